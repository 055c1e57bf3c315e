"""Reading ``config.json`` into the arguments of a family: what it says, what is missing, what is not supported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from famulus.engine.errors import BadWeights
from famulus.engine.quantized import METHODS, asked_in_vain
from famulus.kernels.pack import FP8_BLOCK
from famulus.kernels.rope import amplitude, frequencies


@dataclass(frozen=True, kw_only=True)
class Args:
    """The keys of ``config.json`` that all families have; each adds its own fields, with the defaults that its
    configuration has in ``transformers``. A field without a default must be said.

    ``SUPPORTED``: other keys that would change what is computed, with the values that we compute (None always is one).
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: Mapping[str, Any] | None = None
    tie_word_embeddings: bool = False

    SUPPORTED: ClassVar[dict[str, tuple[Any, ...]]] = {
        "hidden_act": ("silu",),
        "partial_rotary_factor": (1, 1.0),
        "router_top_p": (1, 1.0),
    }
    QUANTIZED: ClassVar[tuple[str, ...]] = ()
    """``quantization_config.quant_method`` that the family reads beside those of :mod:`famulus.engine.quantized`."""
    LAYERS: ClassVar[tuple[str, ...]] = ("full_attention",)
    """``layer_types`` that a family without such a field computes, each in all layers."""
    ALIASES: ClassVar[dict[str, tuple[str, ...]]] = {
        "num_experts": ("num_local_experts", "n_routed_experts"),
        "num_local_experts": ("num_experts", "n_routed_experts"),
        "n_routed_experts": ("num_local_experts", "num_experts"),
    }
    """What other versions of ``transformers`` call a key."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Raises :class:`BadWeights` naming the key that is missing, has a value of another kind, or asks for something
        that this family does not compute."""
        own = {field.name for field in dataclasses.fields(cls)}
        for key, allowed in {**Args.SUPPORTED, **cls.SUPPORTED}.items():
            if key not in own and config.get(key) is not None and config[key] not in allowed:
                raise unsupported(key, config[key])
        kinds = [] if "layer_types" in own else config.get("layer_types") or []
        if not isinstance(kinds, list) or not all(kind in cls.LAYERS for kind in kinds):
            raise unsupported("layer_types", kinds)
        cls._check_quantization(config.get("quantization_config"))
        given = {}
        for field in dataclasses.fields(cls):
            names = (field.name, *Args.ALIASES.get(field.name, ()))
            value = next((config[name] for name in names if config.get(name) is not None), None)
            if value is None and field.default is dataclasses.MISSING:
                raise BadWeights(f"The model's config.json does not say {field.name!r}.", fix="Fetch the model again.")
            if value is not None:
                if not _fits(value, str(field.type)):
                    raise BadWeights(f"The model's config.json has the {field.name} {str(value)[:50]!r}.")
                given[field.name] = value
        args = cls(**given)
        args.check()
        return args

    @classmethod
    def _check_quantization(cls, said: Any) -> None:
        if not isinstance(said, Mapping):
            return
        method, block = said.get("quant_method"), said.get("weight_block_size")
        if method in METHODS:
            vain = asked_in_vain(said)
            if vain is not None:
                raise unsupported(f"quantization_config.{vain[0]}", vain[1])
        elif method not in cls.QUANTIZED:
            raise unsupported("quantization_config.quant_method", method)
        if method == "fp8" and block != [FP8_BLOCK, FP8_BLOCK]:
            raise unsupported("quantization_config.weight_block_size", block)

    def check(self) -> None:
        """Raises :class:`BadWeights` for numbers that no model can have."""
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise BadWeights(
                f"The model's config.json has num_attention_heads {self.num_attention_heads}, num_key_value_heads "
                f"{self.num_key_value_heads} and head_dim {self.head_dim}, which do not go together.",
                fix="Fetch the model again.",
            )
        if not 0 <= self.rms_norm_eps < 1:
            raise BadWeights(f"The model's config.json has the rms_norm_eps {str(self.rms_norm_eps)[:50]!r}.")
        try:
            inverse, _ = self.rotation()
            usable = inverse.isfinite().all()
        except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError, RuntimeError) as error:
            raise BadWeights(f"The model's rope_scaling cannot be computed: {error}.") from error
        if not usable:
            raise BadWeights(f"The model's rope_scaling cannot be computed: {str(self.rope_scaling)[:200]}.")

    def rotation(self) -> tuple[Tensor, float]:
        """Rotary frequencies [rotated / 2] f32, and what cos and sin are multiplied with."""
        return frequencies(self.head_dim, self.rope_theta, self.rope_scaling), amplitude(self.rope_scaling)

    def kv_shape(self) -> tuple[int, int]:
        """Rows and width of what a layer keeps of a token."""
        return 2 * self.num_key_value_heads, self.head_dim

    def attention_rows(self) -> tuple[int, int, int]:
        """Rows of the query, key and value projections."""
        kv = self.num_key_value_heads * self.head_dim
        return self.num_attention_heads * self.head_dim, kv, kv


def unsupported(key: str, value: Any) -> BadWeights:
    """The error for a key of ``config.json`` whose value asks for what is not computed here."""
    return BadWeights(f"The model's config.json asks for {key} = {str(value)[:100]!r}, which cannot be run yet.")


def positive(key: str, value: float) -> None:
    """Raises :class:`BadWeights` for a size or a divisor that is not above 0."""
    if not value > 0:
        raise BadWeights(f"The model's config.json has the {key} {value}.", fix="Fetch the model again.")


def check_experts(experts: int, chosen: int) -> None:
    """Raises :class:`BadWeights` unless so many experts can be chosen of so many."""
    if not 1 <= chosen <= experts:
        raise BadWeights(
            f"The model's config.json has num_experts_per_tok {chosen} of {experts} experts, which do not go together.",
            fix="Fetch the model again.",
        )


def _fits(value: Any, kind: str) -> bool:
    """Whether a value from JSON is of the annotated kind; sizes are positive."""
    if kind.startswith("int"):
        return type(value) is int and value >= 0
    if kind.startswith("float"):
        return type(value) in (int, float)
    if kind.startswith("bool"):
        return type(value) is bool
    return True
