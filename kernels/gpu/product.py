"""The product of a few rows with a tile of weights, in every form that weights are stored in: what linear layers and
experts are made of.

A block of weights is loaded once, in pieces of 16 bytes, and becomes the right operand of one or two products.
Integers become floats without a conversion: a nibble is put into the mantissa of 128 (bf16) or 1024 (fp16), and that
offset is taken out again with the sum of the group's ``x``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from famulus.kernels.gpu.eight_bits import byte
from famulus.kernels.gpu.launch import COMPUTE, card
from famulus.kernels.linear import make_fp8, make_int8, make_pairs
from famulus.kernels.pack import FP8_BLOCK, Weight

AFFINE, SYMMETRIC, E2M1, BLOCKS, ROWS, DENSE = range(6)

DENSE_STEP = 128
"""Columns of a dense weight that are read together."""


@dataclass(frozen=True)
class Stored:
    """A weight as the kernels take it. ``name``: its form in tables of tile sizes; ``step``: columns that one turn of
    the loop reads; ``constants``: what the kernels are compiled with."""

    name: str
    values: Tensor
    scales: Tensor | None
    minimums: Tensor | None
    stride: int
    step: int
    step_bytes: int
    constants: dict[str, Any]


def stored(w: Weight, x: Tensor) -> Stored:
    """How ``w`` (or all experts' ``w``, with one more dimension in front) meets ``x``."""
    given = {"GROUP": w.group, "OFFSET": 0.0, "E4M3": False, "COMPUTE": COMPUTE[x.dtype]}
    kind = f" {x.dtype}" if x.dtype in (torch.float32, torch.float16) else ""
    if w.pairs is not None:
        name = "e2m1" if w.format == "e2m1" else "symmetric" if w.pair_minimums is None else "affine"
        given["FORMAT"] = {"affine": AFFINE, "symmetric": SYMMETRIC, "e2m1": E2M1}[name]
        given["OFFSET"] = {torch.bfloat16: 128.0, torch.float16: 1024.0}.get(x.dtype, 0.0)
        name = f"{name}-{w.group}{kind}"
        return Stored(name, w.pairs, w.pair_scales, w.pair_minimums, w.columns // 2, 2 * w.group, w.group, given)
    if w.fp8 is not None:
        assert w.fp8_scales is not None
        blocks = w.fp8_scales.ndim == w.fp8.ndim
        given["FORMAT"] = BLOCKS if blocks else ROWS
        given["E4M3"] = card(x).architecture < 89
        if given["E4M3"] and x.dtype == w.fp8.dtype:
            given["COMPUTE"] = tl.float16  # holds e4m3 exactly
        values = w.fp8.view(torch.uint8) if given["E4M3"] else w.fp8
        name = ("fp8-blocks" if blocks else "fp8") + kind
        return Stored(name, values, w.fp8_scales, None, w.columns, FP8_BLOCK, FP8_BLOCK, given)
    if w.int8 is not None:
        given["FORMAT"] = ROWS
        return Stored("int8" + kind, w.int8, w.int8_scales, None, w.columns, FP8_BLOCK, FP8_BLOCK, given)
    assert w.dense is not None
    given["FORMAT"] = DENSE
    return Stored(
        "dense" + kind, w.dense, None, None, w.columns, DENSE_STEP, DENSE_STEP * w.dense.element_size(), given
    )


def example(name: str, rows: int, columns: int) -> Weight:
    """A weight in the form of this name (see :class:`Stored`) on the ``meta`` device, for activations in bf16."""
    form, _, group = name.partition("-")
    if name == "dense":
        return Weight(rows, columns, "dense", torch.empty(rows, columns, dtype=torch.bfloat16, device="meta"))
    values = torch.empty(rows, columns, dtype=torch.uint8, device="meta")
    if form == "int8":
        return make_int8(values.to(torch.int8), torch.empty(rows, device="meta"))
    if form == "fp8":
        sizes = (-(-rows // FP8_BLOCK), -(-columns // FP8_BLOCK)) if group else (rows,)
        return make_fp8(values.to(torch.float8_e4m3fn), torch.empty(*sizes, device="meta"))
    scales = torch.empty(rows, columns // int(group), dtype=torch.float16, device="meta")
    return make_pairs(values, scales, scales if form == "affine" else None, int(group), e2m1=form == "e2m1")


@triton.jit
def _nibble(bits, E2M1: tl.constexpr, COMPUTE: tl.constexpr):
    """Nibbles as floats: ``q + offset`` for integers, the value itself for MXFP4."""
    if E2M1:
        sign = 1.0 - 2.0 * (bits >> 3).to(tl.float32)
        exponent = (bits >> 1) & 3
        mantissa = (bits & 1).to(tl.float32)
        power = (1 << exponent.to(tl.int32)).to(tl.float32) * 0.5
        return (sign * tl.where(exponent == 0, 0.5 * mantissa, power * (1.0 + 0.5 * mantissa))).to(COMPUTE)
    elif COMPUTE == tl.bfloat16:  # noqa: SIM300
        return (bits.to(tl.uint16) | 0x4300).to(tl.bfloat16, bitcast=True)
    elif COMPUTE == tl.float16:  # noqa: SIM300
        return (bits.to(tl.uint16) | 0x6400).to(tl.float16, bitcast=True)
    else:
        return bits.to(COMPUTE)


@triton.jit
def product(
    row, present, w, scales, minimums, n, N, K, w_stride, first, last,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, OFFSET: tl.constexpr, E4M3: tl.constexpr, COMPUTE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, STEP: tl.constexpr, row_scales=None,
):  # fmt: skip
    """The steps ``first`` to ``last`` of the product of the rows at ``row`` [BM] (pointers; those not ``present`` are
    0) with the rows ``n`` [BN] of ``w`` → [BM, BN] f32. ``row_scales`` [BM] (pointers) of rows that have 8 bits: one
    for each row, or for each of its steps where ``w`` is in blocks."""
    acc = tl.zeros((BM, BN), tl.int32 if COMPUTE == tl.int8 else tl.float32)  # noqa: SIM300
    here = (n < N)[None, :]
    there = present[:, None]
    if FORMAT <= 2:
        k = tl.arange(0, GROUP)
        column = w + n[None, :].to(tl.int64) * w_stride + k[:, None]
        for step in range(first, last):
            bits = tl.load(column + step * GROUP, mask=here, other=0)
            for side in tl.static_range(2):
                group = 2 * step + side
                nibbles = _nibble((bits >> 4) if side else (bits & 15), FORMAT == 2, COMPUTE)
                inputs = tl.load(row[:, None] + group * GROUP + k[None, :], mask=there, other=0.0)
                scale = tl.load(scales + group * N + n, mask=n < N, other=0.0).to(tl.float32)
                acc += tl.dot(inputs.to(COMPUTE), nibbles, input_precision="ieee") * scale[None, :]
                if FORMAT != 2:
                    shift = -OFFSET * scale
                    if FORMAT == 0:
                        shift += tl.load(minimums + group * N + n, mask=n < N, other=0.0).to(tl.float32)
                    else:
                        shift -= 8.0 * scale
                    acc += tl.sum(inputs.to(tl.float32), 1)[:, None] * shift[None, :]
    else:
        k = tl.arange(0, STEP)
        column = w + n[None, :].to(tl.int64) * w_stride + k[:, None]
        for step in range(first, last):
            left = k < K - step * STEP
            weights = tl.load(column + step * STEP, mask=here & left[:, None], other=0 if E4M3 else 0.0)
            inputs = tl.load(row[:, None] + step * STEP + k[None, :], mask=there & left[None, :], other=0.0)
            if FORMAT == 5:
                acc = tl.dot(inputs.to(COMPUTE), weights.to(COMPUTE), acc, input_precision="ieee")
            elif COMPUTE == tl.int8:  # noqa: SIM300
                acc = tl.dot(inputs, weights, acc, out_dtype=tl.int32)
            else:
                left = inputs.to(COMPUTE) if row_scales is None else byte(inputs, E4M3, COMPUTE)
                part = tl.dot(left, byte(weights, E4M3, COMPUTE), input_precision="ieee")
                if FORMAT == 3:
                    at = (n // 128) * ((K + 127) // 128) + step * STEP // 128
                    part *= tl.load(scales + at, mask=n < N, other=0.0)[None, :]
                if row_scales is not None:  # in every step: the sums of products in 8 bits are short of digits
                    part *= tl.load(row_scales + (step if FORMAT == 3 else 0), mask=present, other=0.0)[:, None]
                acc += part
    total = acc.to(tl.float32)
    if FORMAT == 4:
        total *= tl.load(scales + n, mask=n < N, other=0.0)[None, :]
    if COMPUTE == tl.int8:  # noqa: SIM300
        total *= tl.load(row_scales, mask=present, other=0.0)[:, None]
    return total
