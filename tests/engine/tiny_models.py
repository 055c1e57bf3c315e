"""Random models small enough for tests, written to disk as others write them, and run through the engine's runner.

``transformers`` is the reference; it is imported only where a test compares with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from famulus.engine.cache import Table
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.draft.speculation import Speculation
from famulus.engine.hardware import PAGE
from famulus.engine.layers import Model
from famulus.engine.loader import load
from famulus.engine.prompt import PromptCard
from famulus.engine.protocol import ModelInfo
from famulus.engine.runner import Runner
from famulus.engine.served import Served
from famulus.engine.step import Chunk, Limits, Sequence, StepPlan
from famulus.engine.text import Tokenizer
from famulus.engine.threads import Governor

WORDS = ["i n", "in g", "t h", "th e", "Ġ the", "Ġ a", "e r", "l o", "lo w", "Ġ low"]
torch.set_num_threads(1)  # a second thread costs more than products of this size

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 272
"""Rows of the embedding; the tokenizer has three fewer, as real models pad theirs."""

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
}


def alphabet() -> list[str]:
    """The 256 characters of byte-level tokenizers."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def tokens_and_merges() -> tuple[list[str], list[str]]:
    """Spelling of every id, and the merges."""
    return [*alphabet(), *(w.replace(" ", "") for w in WORDS), *MARKS], WORDS


def write_tokenizer(path: Path, spare: int = 0) -> None:
    """A byte-level ``tokenizer.json`` with a few merges and three control tokens; ``spare`` more control tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    words = [*alphabet(), *(w.replace(" ", "") for w in WORDS)]
    merges = [tuple(w.split(" ")) for w in WORDS]
    made = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(m) for m in [*MARKS, *(f"<|spare_{i}|>" for i in range(spare))]])
    path.write_text(made.to_str())


def random_model(kind: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """A ``transformers`` model in fp32 whose weights are large enough that every part of the maths matters."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    config, build = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[kind]
    made = build(config(**{**SIZES, "attn_implementation": "eager", **changes})).eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in made.named_parameters():
            noise = torch.randn(value.shape, generator=g)
            wide = value.shape[-1] ** -0.5
            value.copy_(1 + 0.3 * noise if "norm" in name else 0.3 * noise if name.endswith("bias") else wide * noise)
        made.model.embed_tokens.weight.mul_(4)  # also the head where it is tied: logits with a spread
    return made


def write_folder(folder: Path, model: Any, **how: Any) -> Path:
    """``model`` as a Hugging Face folder; ``how``: for ``save_pretrained`` (``max_shard_size``)."""
    model.save_pretrained(folder, **how)
    write_tokenizer(folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return folder


_INNER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(path: Path, model: Any, kind: str) -> dict[str, Tensor]:
    """``model`` as llama.cpp's converter writes it, matrices in ``kind`` ("Q4_1", "F16", …): the stored values by
    Hugging Face's names, f32."""
    c, family = model.config, model.config.model_type
    writer = gguf.GGUFWriter(str(path), family)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    spelled, merges = tokens_and_merges()
    padded = [*spelled, *(f"<|pad_{i}|>" for i in range(VOCABULARY - len(spelled)))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(padded)
    writer.add_token_types([3 if t.startswith("<|") else 1 for t in padded])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(padded.index("<|im_end|>"))
    form = gguf.GGMLQuantizationType[kind]
    stored: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        data = value.numpy()
        if family == "llama" and ".q_proj" in name:
            data = _interleaved(data, c.num_attention_heads)
        if family == "llama" and ".k_proj" in name:
            data = _interleaved(data, c.num_key_value_heads)
        if value.dim() < 2:
            writer.add_tensor(_gguf_name(name), data)
            stored[name] = value
        else:
            blocks = gguf.quants.quantize(data, form)
            writer.add_tensor(_gguf_name(name), blocks, raw_dtype=form)
            # Neither the order of rows nor the blocks along a row mix: quantising before or after is the same.
            plain = gguf.quants.dequantize(gguf.quants.quantize(value.numpy(), form), form)
            stored[name] = torch.from_numpy(plain.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def _gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    _, _, layer, inner = stem.split(".", 3)
    return f"blk.{layer}.{_INNER[inner]}.{kind}"


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's ``convert_hf_to_gguf.py`` does to the rows of query and key (``LlamaModel.permute``)."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def open_model(path: Path, precision: str = "fp32", device: str = "cpu") -> Model:
    """The engine's model of a folder or file; packed weights are kept beside it."""
    checkpoint = open_checkpoint(path, stamps=path.parent / "stamps")
    return load(checkpoint, precision, path.parent / "kept", lambda _: None, device)


def logits(
    model: Model, tokens: Rows[int], pieces: Rows[int] = (), scattered: bool = False, kv: str = "auto"
) -> Tensor:
    """[tokens, vocabulary] f32 through the runner, computed in ``pieces`` (sizes; then the rest at once).

    ``scattered``: the pages lie in no order. ``kv``: how keys and values are kept.
    """
    pages = -(-len(tokens) // PAGE)
    runner = Runner.create(model, 2 * pages + 1, kv)
    order = [2 * (pages - i) for i in range(pages)] if scattered else list(range(1, pages + 1))
    sequence = Sequence(1, "tiny", "chat", list(tokens), table=Table("", order))
    found: list[Tensor] = []
    at = 0
    while at < len(tokens):
        count = min(pieces[len(found)] if len(found) < len(pieces) else len(tokens), len(tokens) - at)
        plan = StepPlan((Chunk(sequence, at, count),))
        found.append(runner.logits(runner.forward(plan, lambda: None)).clone().cpu())
        at += count
    return torch.cat(found)


def reference(model: Any, tokens: Rows[int]) -> Tensor:
    """[tokens, vocabulary] f32 of the ``transformers`` model."""
    with torch.inference_mode():
        found: Tensor = model(torch.tensor([list(tokens)])).logits[0].float()
    return found


def error(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((found.double() - wanted.double()).abs().max() / wanted.double().abs().max())


def prompt(length: int, seed: int = 0) -> list[int]:
    """Random ids without control tokens."""
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (length,), generator=g).tolist()  # type: ignore[no-any-return]


def serve(
    model: Model, tokenizer: Tokenizer, *, pages: int = 64, context: int = 256, limits: Limits, kv: str = "auto"
) -> Served:
    """``model`` with what the core needs, and a cache of ``pages`` pages of 16 tokens, kept as ``kv`` says."""
    info = ModelInfo("tiny", "llama", context, tokenizer.vocab_size, 0, "fp32", "suffix as comment", False)
    return Served(
        runner=Runner.create(model, pages, kv),
        tokenizer=tokenizer,
        card=PromptCard("tiny", context, context // 2),
        info=info,
        limits=limits,
        pages=pages,
        governor=Governor([1], 1, lambda _: None),
        plan=[],
        speculation=Speculation(),
    )
