"""Root mean square normalisation: ``y = x / sqrt(mean(x²) + eps) * w`` (Zhang & Sennrich 2019).

Bytes: the row is read and written once; at decode the launch counts, not the bytes, so the addition to the residual
stream that comes before it is part of the same operation. Llama casts to the compute dtype before it multiplies with
``w``, Gemma after it and stores ``w - 1``; here the product is taken in f32, which serves both once the 1 is added.
What follows in a prompt may take its input in 8 bits (:mod:`famulus.kernels.w8a8`): then the norm rounds it while it is
still in registers.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.cpu.ends import norm, ready
from famulus.kernels.op import Case, op
from famulus.kernels.pack import FP8_BLOCK
from famulus.kernels.store import LARGEST, Quantized, quantize


def _cases(g: torch.Generator) -> Iterator[Case]:
    for rows in (1, 7, 64):
        for n in (64, 576, 2048):
            x = torch.randn(rows, n, generator=g) * 3
            yield Case(f"{rows}x{n}", (x, torch.randn(n, generator=g), 1e-5, torch.float32), 1e-6)
            yield Case(f"{rows}x{n}-bf16", (x, torch.randn(n, generator=g), 1e-5, torch.bfloat16), 1e-2)


@op(
    key=lambda x, w, eps, dtype: x.device.type,
    cases=_cases,
    bytes_moved=lambda x, w, eps, dtype: x.numel() * (x.element_size() + dtype.itemsize) + w.numel() * w.element_size(),
)
def rms_norm(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``x`` [tokens, n] f32 residual stream, ``w`` [n] f32 → [tokens, n] in ``dtype``; statistics in f32."""
    x = x.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w.float()).to(dtype)


if ready():
    rms_norm.implement(
        "compiled", rule=lambda k: k == "cpu", why="nothing of torch's own op has to be fetched for a row or two"
    )(norm)


@rms_norm.implement("torch", rule=lambda k: True, why="torch's own op: one call from Python")
def _rms_norm_torch(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), w, eps).to(dtype)


def _added_cases(g: torch.Generator) -> Iterator[Case]:
    for case in _cases(g):
        x, w, eps, dtype = case.arguments
        delta = torch.randn(x.shape, generator=g).to(dtype)
        yield Case(case.name, (x, delta, w, eps, dtype), case.tolerance)


@op(
    key=lambda h, delta, w, eps, dtype: h.device.type,
    cases=_added_cases,
    bytes_moved=lambda h, delta, w, eps, dtype: h.numel() * (8 + 2 * dtype.itemsize) + w.nbytes,
)
def add_rms_norm(h: Tensor, delta: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``h += delta`` in place, then its norm: ``h`` [tokens, n] f32, ``delta`` [tokens, n] → (``h``, [tokens, n] in
    ``dtype``)."""
    h += delta
    return h, rms_norm.reference(h, w, eps, dtype)


@add_rms_norm.implement("torch", rule=lambda k: True, why="torch's own ops")
def _add_rms_norm_torch(h: Tensor, delta: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    h += delta
    return h, _rms_norm_torch(h, w, eps, dtype)


def _quantized_cases(g: torch.Generator) -> Iterator[Case]:
    for case in _cases(g):
        x, w, eps, dtype = case.arguments
        if dtype != torch.float32:
            continue
        for small, largest in LARGEST.items():  # what lies halfway between two steps may become either
            step = (1 if small == torch.int8 else 32) / largest
            for width in {x.shape[1], FP8_BLOCK}:
                if x.shape[1] % width == 0:
                    delta = torch.randn(x.shape, generator=g) if width == FP8_BLOCK else None
                    name = f"{case.name}/{width}-{small}{'-added' if delta is not None else ''}"
                    yield Case(name, (x, delta, w, eps, small, width), 1.2 * step)


@op(
    key=lambda h, delta, w, eps, dtype, width: h.device.type,
    cases=_quantized_cases,
    bytes_moved=lambda h, delta, w, eps, dtype, width: (
        h.nbytes + (0 if delta is None else h.nbytes + delta.nbytes) + h.numel() + 4 * h.numel() // width + w.nbytes
    ),
    made_of=("rms_norm",),
)
def quantized_rms_norm(
    h: Tensor, delta: Tensor | None, w: Tensor, eps: float, dtype: torch.dtype, width: int
) -> tuple[Tensor, Quantized]:
    """``h += delta`` in place if there is one, then its norm in 8 bits: ``h`` [tokens, n] f32, ``delta`` [tokens, n] →
    (``h``, [tokens, n / width, width] in ``dtype``, int8 or e4m3). ``width`` divides n; so many columns share a scale.
    """
    if delta is not None:
        h += delta
    normalised = rms_norm.reference(h, w, eps, torch.float32)
    return h, Quantized(*quantize(normalised.view(len(h), -1, width), dtype))
