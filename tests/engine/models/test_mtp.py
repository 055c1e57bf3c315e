"""DeepSeek-V3's heads that predict several tokens say what ``transformers``' say."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from famulus.engine.batch import build as build_batch
from famulus.engine.cache import Table
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.decoder import Decoder
from famulus.engine.hardware import PAGE
from famulus.engine.loader import load_parts
from famulus.engine.models import deepseek, deepseek_mtp
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, Sequence, StepPlan
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

HEADS = 2


def published(name: str, value: Tensor, first: int) -> dict[str, Tensor]:
    """A head's tensor as the checkpoint has it: a further layer, every expert alone."""
    _, k, rest = name.split(".", 2)
    at = f"model.layers.{first + int(k)}"
    rest = rest.removeprefix("mtp_block.").replace("post_norm.", "shared_head.norm.")
    if rest == "mlp.experts.gate_up_proj":
        halves = {"gate_proj": 0, "up_proj": 1}
        return {
            f"{at}.mlp.experts.{e}.{half}.weight": one.chunk(2)[n].clone()
            for e, one in enumerate(value)
            for half, n in halves.items()
        }
    if rest == "mlp.experts.down_proj":
        return {f"{at}.mlp.experts.{e}.down_proj.weight": one.clone() for e, one in enumerate(value)}
    return {f"{at}.{rest}": value.clone()}


def test_heads_predict_what_those_of_transformers_predict(tmp_path: Path) -> None:
    from transformers.cache_utils import MtpCache
    from transformers.modeling_layers import MtpModel

    model = zoo.make("deepseek-v3")
    model.config.num_mtp_layers = HEADS
    heads = MtpModel(model, HEADS).eval()
    own = {
        n: v
        for n, v in [*heads.named_parameters(), *heads.named_buffers()]
        if n.startswith("layers.") and ("weight" in n or "proj" in n or "correction" in n)
    }
    zoo.fill(own, seed=1)
    folder = tiny.write_folder(tmp_path / "m", model)
    file = folder / "model.safetensors"
    layers = model.config.num_hidden_layers
    more = {k: v for n, value in own.items() for k, v in published(n, value.detach(), layers).items()}
    save_file(load_file(file) | more, file)

    tokens = tiny.prompt(60)
    checkpoint = open_checkpoint(folder, stamps=tmp_path / "s")
    ours = tiny.open_model(folder)
    assert isinstance(ours, Decoder)
    args = deepseek.Args.from_config(checkpoint.config)
    found = deepseek_mtp.build(args, load_parts(checkpoint, deepseek_mtp.parts(args), "fp32", lambda _: None), ours)
    assert len(found) == HEADS

    runner = Runner.create(ours, 10)
    pages = list(range(1, 1 + -(-len(tokens) // PAGE)))
    whole = Sequence(1, "tiny", "chat", tokens, table=Table("", pages))
    hidden = runner.forward(StepPlan((Chunk(whole, 0, len(tokens)),)), lambda: None).clone()
    with torch.inference_mode():
        theirs = model.model(torch.tensor([tokens])).last_hidden_state
        cache = MtpCache(config=model.config.get_mtp_config())
        for k, head in enumerate(found):
            hidden, theirs = hidden[:-1], theirs[:, :-1]
            following = tokens[k + 1 :]
            places = torch.arange(k + 1, len(tokens))[None]
            theirs = heads.forward_layer(k, theirs, places, cache, input_ids=torch.tensor([following]))
            wanted = model.lm_head(theirs)[0]
            store = torch.empty(args.kv_shape()[0], 10 * PAGE, args.kv_shape()[1])
            sequence = Sequence(2, "tiny", "chat", following, table=Table("", pages))
            before, parts, at = hidden, [], 0
            for count in (30, 1, 1, len(following) - 32):  # a prompt, two single tokens, the rest
                plan = StepPlan((Chunk(sequence, at, count),))
                batch = build_batch(plan, PAGE, ours.rotation, ours.compute, ours.window)
                parts.append(head(before[at : at + count], batch, store))
                at += count
            hidden = torch.cat(parts)
            assert tiny.error(ours.logits(hidden), wanted) < 1e-5
            assert wanted.std() > 0.3
