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

from famulus.kernels.op import Case, op


def frequencies(dim: int, theta: float, scaling: Mapping[str, Any] | None = None) -> Tensor:
    """Inverse frequencies [dim/2] f32, with linear and Llama 3's scaling of ``config.json``'s ``rope_scaling``."""
    inverse = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    kind = (scaling or {}).get("rope_type", (scaling or {}).get("type", "default"))
    if scaling and kind == "linear":
        inverse = inverse / float(scaling["factor"])
    elif scaling and kind == "llama3":
        inverse = _llama3(inverse, scaling)
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


def tables(positions: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """``positions`` [tokens] int64 → (cos, signed sin), each [tokens, 1, D] f32; the first half of sin is negated."""
    angles = positions[:, None].float() * inverse
    cos, sin = angles.cos(), angles.sin()
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
