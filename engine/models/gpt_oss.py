"""gpt-oss (OpenAI 2025): attention with a sink per head, every second layer within a window, positions stretched by
YaRN; in every layer experts with biases and a clamped SwiGLU. The published weights of the experts are MXFP4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch

from famulus.engine import config, decoder
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Loaded, Part
from famulus.engine.stored import Stored
from famulus.kernels.moe import Clamp
from famulus.kernels.router import Rule

_EXPERT = re.compile(r"(.*\.mlp\.experts)\.(\d+)\.(gate|up|down)_proj\.(weight|bias)")
_KINDS = ("sliding_attention", "full_attention")


@dataclass(frozen=True, kw_only=True)
class Args(config.Args):
    """The keys of ``config.json`` that shape the model; ``mxfp4`` is ours."""

    intermediate_size: int
    num_local_experts: int
    num_experts_per_tok: int = 4
    attention_bias: bool = True
    sliding_window: int = 128
    layer_types: list[str] | None = None
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    mxfp4: bool = False

    QUANTIZED: ClassVar[tuple[str, ...]] = ("mxfp4",)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """See :meth:`config.Args.from_config`."""
        return super().from_config({**config, "mxfp4": bool(config.get("quantization_config"))})

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        super().check()
        config.check_experts(self.num_local_experts, self.num_experts_per_tok)
        config.positive("sliding_window", self.sliding_window)
        kinds = self.layer_types
        if kinds is not None and (len(kinds) != self.num_hidden_layers or not set(kinds) <= set(_KINDS)):
            raise config.unsupported("layer_types", kinds)

    def windowed(self, i: int) -> bool:
        """Whether block ``i`` sees the window only; the first and every second does where nothing is said."""
        return i % 2 == 0 if self.layer_types is None else self.layer_types[i] == "sliding_attention"


def parts(args: Args) -> dict[str, Part]:
    """Every weight of the model by our name, with the checkpoint tensors it is made of."""
    found = decoder.outer_parts(args)
    for i in range(args.num_hidden_layers):
        found |= decoder.norm_parts(args, i)
        found |= decoder.attention_parts(args, i, args.attention_bias, args.attention_bias)
        sinks = f"model.layers.{i}.self_attn.sinks"
        found[f"{i}.sinks"] = Part("norm", (sinks,), ((args.num_attention_heads,),))
        found |= decoder.moe_parts(args, i, args.num_local_experts, args.intermediate_size, bias=True)
    return found


def rename(name: str, args: Args) -> Stored:
    """The router is ``mlp.router``; experts are entries of ``gate_up_proj``, whose gate and up rows alternate, and of
    ``down_proj``: columns first, or as MXFP4 rows first."""
    found = _EXPERT.fullmatch(name)
    if found is None:
        return Stored(name.replace(".mlp.gate.", ".mlp.router."))
    at, expert, which, kind = found.groups()
    rows = {"gate": slice(0, None, 2), "up": slice(1, None, 2), "down": None}[which]
    stack = f"{at}.down_proj" if which == "down" else f"{at}.gate_up_proj"
    if kind == "bias":
        return Stored(f"{stack}_bias", int(expert), rows=rows)
    return Stored(stack, int(expert), mxfp4=args.mxfp4, transposed=not args.mxfp4, rows=rows)


def build(args: Args, loaded: Loaded, compute: torch.dtype) -> Decoder:
    """The model over loaded weights."""
    rule = Rule(args.num_experts_per_tok, renormalise=True)
    clamp = Clamp(args.swiglu_alpha, args.swiglu_limit)
    return Decoder(
        args,
        loaded,
        compute,
        lambda i: decoder.grouped_attention(args, loaded, i, windowed=args.windowed(i)),
        lambda i: decoder.mixture(loaded, i, rule, clamp=clamp),
        window=args.sliding_window,
    )


def tiny() -> dict[str, Any]:
    """A ``config.json`` small enough for tests, with a window and limits that matter."""
    return {
        "model_type": "gpt_oss",
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_local_experts": 8,
        "num_experts_per_tok": 3,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 512,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 150_000.0,
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 64,
        },
        "max_position_embeddings": 2048,
        "sliding_window": 12,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "swiglu_limit": 1.5,
        "tie_word_embeddings": False,
        "attention_bias": True,
        "hidden_act": "silu",
    }
