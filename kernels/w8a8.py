"""Linear layers of prompts with weights and activations in 8 bits (W8A8), which tensor cores multiply at twice the rate
of 16 bits.

A norm rounds what it writes (:func:`famulus.kernels.norm.quantized_rms_norm`): int8 for weights in int8, e4m3 for those
in fp8; with a scale per token, or per token and 128 columns for a weight in blocks, as DeepSeek-V3 does (arXiv
2412.19437, §3.3). Decoding is bound by the weights' bytes and gains nothing, so it keeps activations of 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from famulus.kernels.linear import dense_of, make_fp8, make_int8
from famulus.kernels.op import Case, op
from famulus.kernels.pack import FP8_BLOCK, Weight, quantize_fp8, quantize_int8
from famulus.kernels.store import Quantized, quantize

PROMPT_ROWS = 64
"""More tokens than these are bound by tensor cores, fewer by the weights' bytes."""


def activations(w: Weight) -> tuple[torch.dtype, int] | None:
    """In which dtype ``w`` meets activations of 8 bits, and how many columns share a scale; None where it does not."""
    if w.fp8 is not None and w.fp8_scales is not None:
        if w.fp8_scales.ndim == 1:
            return torch.float8_e4m3fn, w.columns
        return (torch.float8_e4m3fn, FP8_BLOCK) if w.columns % FP8_BLOCK == 0 else None
    return (torch.int8, w.columns) if w.int8 is not None and len(w.int8) == w.rows else None


def _cases(g: torch.Generator) -> Iterator[Case]:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)):
        for rows, n, k in ((3, 80, 256), (17, 33, 384), (130, 150, 256)):
            dense, bias = torch.randn(n, k, generator=g) * 0.05, torch.randn(n, generator=g).to(dtype).float()
            loud = torch.randn(rows, k // FP8_BLOCK, 1, generator=g).exp()  # no group's scale may be another's
            x = (torch.randn(rows, k // FP8_BLOCK, FP8_BLOCK, generator=g) * loud).view(rows, k)
            for name, w in (
                ("int8", make_int8(*quantize_int8(dense), bias=bias)),
                ("fp8", make_fp8(*quantize_fp8(dense, blocks=False), bias=bias)),
                ("fp8-blocks", make_fp8(*quantize_fp8(dense, blocks=True))),
            ):
                form = activations(w)
                assert form is not None
                given = Quantized(*quantize(x.view(rows, -1, form[1]), form[0]))
                # Tensor cores add the products of e4m3 with fewer digits than f32 has.
                allowed = tolerance if name == "int8" else max(tolerance, 1e-3)
                yield Case(f"{name}-{rows}x{n}x{k}-{dtype}", (given, w, dtype), allowed)


def _bytes(x: Quantized, w: Weight, dtype: torch.dtype) -> int:
    return w.decode_bytes + x.nbytes + x.shape[0] * w.rows * dtype.itemsize


@op(key=lambda x, w, dtype: x.values.device.type, cases=_cases, bytes_moved=_bytes, made_of=("linear",))
def linear_w8a8(x: Quantized, w: Weight, dtype: torch.dtype) -> Tensor:
    """``x`` [tokens, groups, columns / groups] int8 or e4m3 as :func:`activations` says → [tokens, rows] in ``dtype``;
    scales and sums in f32, products of int8 summed exactly."""
    y = x.exact().flatten(1) @ dense_of(w).t()
    if w.bias is not None:
        y += w.bias.float()
    return y.to(dtype)
