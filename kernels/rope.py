"""Rotary position embedding, rotate-half form (Su et al. 2021, as in Llama).

For each head, pairs (i, i + D/2) are turned by ``position * theta^(-2i/D)``:
``y = x * cos + rotate_half(x) * sin`` with ``rotate_half(x) = concat(-x[D/2:], x[:D/2])``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from famulus.kernels.cpu.ends import ready, turns
from famulus.kernels.op import Case, op
from famulus.kernels.store import FORMATS, Quantized, Store, quantize, write


def frequencies(dim: int, theta: float, scaling: Mapping[str, Any] | None = None) -> Tensor:
    """Inverse frequencies [dim/2] f32, with linear, Llama 3's and YaRN's scaling of ``config.json``'s
    ``rope_scaling``. YaRN's comes with an :func:`amplitude`."""
    inverse = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    kind = (scaling or {}).get("rope_type", (scaling or {}).get("type", "default"))
    if scaling and kind == "linear":
        inverse = inverse / float(scaling["factor"])
    elif scaling and kind == "llama3":
        inverse = _llama3(inverse, scaling)
    elif scaling and kind == "yarn":
        inverse = _yarn(inverse, dim, theta, scaling)
    elif scaling and kind == "factors":  # as GGUF stores Llama 3's: worked out beforehand
        inverse = inverse / torch.tensor(scaling["factors"], dtype=torch.float64)
    elif kind != "default":
        raise ValueError(f"rope scaling of type {kind!r} is not known")
    return inverse.float()


def _llama3(inverse: Tensor, scaling: Mapping[str, Any]) -> Tensor:
    """Long wavelengths are stretched by ``factor``, short ones kept, those between interpolated (Llama 3.1)."""
    factor, original = float(scaling["factor"]), float(scaling["original_max_position_embeddings"])
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    wavelength = 2 * math.pi / inverse
    smooth = ((original / wavelength - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * inverse / factor + smooth * inverse


def _yarn(inverse: Tensor, dim: int, theta: float, scaling: Mapping[str, Any]) -> Tensor:
    """Dimensions that turn less than ``beta_slow`` times over the original context are stretched by ``factor``, those
    that turn more than ``beta_fast`` times kept, those between interpolated (Peng et al. 2023, §3.2)."""
    original = float(scaling["original_max_position_embeddings"])

    def turning(rotations: float) -> float:
        """The dimension that turns so many times over the original context."""
        return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = turning(float(scaling.get("beta_fast") or 32)), turning(float(scaling.get("beta_slow") or 1))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    stretched = ((torch.arange(dim // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    return inverse / float(scaling["factor"]) * stretched + inverse * (1 - stretched)


def yarn_amplitude(factor: float, weight: float = 1.0) -> float:
    """How much larger the products of queries and keys are made against the flatter softmax (YaRN §3.4)."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def amplitude(scaling: Mapping[str, Any] | None) -> float:
    """What cos and sin are multiplied with; 1 but for YaRN."""
    if not scaling or scaling.get("rope_type", scaling.get("type")) != "yarn":
        return 1.0
    if scaling.get("attention_factor") is not None:
        return float(scaling["attention_factor"])
    factor, weight, all_weight = float(scaling["factor"]), scaling.get("mscale"), scaling.get("mscale_all_dim")
    if weight and all_weight:
        return yarn_amplitude(factor, float(weight)) / yarn_amplitude(factor, float(all_weight))
    return yarn_amplitude(factor)


def tables(positions: Tensor, inverse: Tensor, amplitude: float = 1.0) -> tuple[Tensor, Tensor]:
    """``positions`` [tokens] int64 → (cos, signed sin), each [tokens, 1, D] f32; the first half of sin is negated."""
    exact = (positions.dtype, inverse.dtype) == (torch.int64, torch.float32)
    if ready() and exact and type(positions) is Tensor and positions.device.type == inverse.device.type == "cpu":
        return turns(positions, inverse, amplitude)
    angles = positions[:, None].float() * inverse
    cos, sin = angles.cos(), angles.sin()
    if amplitude != 1:
        cos, sin = cos * amplitude, sin * amplitude
    return torch.cat([cos, cos], -1)[:, None], torch.cat([-sin, sin], -1)[:, None]


def _cases(g: torch.Generator) -> Iterator[Case]:
    for tokens, heads, dim in ((1, 12, 64), (9, 4, 32), (33, 2, 128)):
        x = torch.randn(tokens, heads, dim, generator=g)
        cos, sin = tables(torch.randint(0, 8000, (tokens,), generator=g), frequencies(dim, 1e4))
        yield Case(f"{tokens}x{heads}x{dim}", (x, cos, sin), 1e-6)
        yield Case(f"{tokens}x{heads}x{dim}-bf16", (x.bfloat16(), cos, sin), 1e-2)


@op(
    key=lambda x, cos, sin: x.device.type,
    cases=_cases,
    bytes_moved=lambda x, cos, sin: 2 * x.numel() * x.element_size() + 2 * cos.numel() * 4,
)
def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x`` [tokens, heads, D] with tables of :func:`tables` → the same shape and dtype; computed in f32."""
    a, b = x.float().chunk(2, -1)
    half = x.shape[-1] // 2
    c, s = cos[..., :half], sin[..., half:]
    return torch.cat([a * c - b * s, b * c + a * s], -1).to(x.dtype)


@rope.implement("torch", rule=lambda k: True, why="fewest torch calls; bf16 inputs are promoted without a copy")
def _rope_torch(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin).to(x.dtype)


def _store_cases(g: torch.Generator) -> Iterator[Case]:
    for tokens, heads, kv_heads, dim in ((1, 9, 3, 64), (5, 4, 2, 32), (17, 8, 1, 128)):
        for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
            mixed = torch.randn(tokens, heads + 2 * kv_heads, dim, generator=g).to(dtype)
            cos, sin = tables(torch.randint(0, 8000, (tokens,), generator=g), frequencies(dim, 1e4))
            slots = torch.randperm(64, generator=g)[:tokens]
            kv = torch.randn(2 * kv_heads, 64, dim, generator=g).to(dtype)
            name = f"{tokens}x{heads}/{kv_heads}x{dim}-{dtype}"
            yield Case(name, (mixed, cos, sin, slots, kv), tolerance)
            for format, small in FORMATS.items():  # what lies halfway between two steps may become either
                step = {"int8": 1 / 127, "fp8": 32 / 448}[format]
                kept = Quantized(*quantize(kv, small))
                yield Case(f"{name}-{format}", (mixed, cos, sin, slots, kept), 1.2 * step)


@op(
    key=lambda mixed, cos, sin, slots, kv: (mixed.device.type, isinstance(kv, Quantized)),
    cases=_store_cases,
    words=("into 8 bits",),
    bytes_moved=lambda mixed, cos, sin, slots, kv: 2 * mixed.nbytes + 2 * cos.nbytes,
)
def rope_store(mixed: Tensor, cos: Tensor, sin: Tensor, slots: Tensor, kv: Store) -> tuple[Tensor, Store]:
    """Turn queries and keys, and write keys and values into their slots, rounded to 8 bits where the store has them.

    ``mixed`` [tokens, heads + 2 * kv_heads, D]: query, key and value heads; ``slots`` [tokens] int64; ``kv``
    [2 * kv_heads, slots, D] is written in place → (turned queries [tokens, heads, D], ``kv``).
    """
    kv_heads = kv.shape[0] // 2
    turned = rope.reference(mixed[:, :-kv_heads], cos, sin)
    write(kv, 0, slots, turned[:, -kv_heads:])
    write(kv, kv_heads, slots, mixed[:, -kv_heads:])
    return turned[:, :-kv_heads], kv


@rope_store.implement("torch", rule=lambda k: True, why="fewest torch calls")
def _rope_store_torch(mixed: Tensor, cos: Tensor, sin: Tensor, slots: Tensor, kv: Store) -> tuple[Tensor, Store]:
    kv_heads = kv.shape[0] // 2
    turned = _rope_torch(mixed[:, :-kv_heads], cos, sin)
    write(kv, 0, slots, turned[:, -kv_heads:])
    write(kv, kv_heads, slots, mixed[:, -kv_heads:])
    return turned[:, :-kv_heads], kv
