"""Linear layers: ``y = x Wᵀ + b``.

Bytes that bound decode (one row): the weight, 0.5 + 4/32 bytes per value in int4 (bf16 scale and zero per group of
32), 1 in int8. Measured on two cores with AVX512-VNNI, torch 2.13: the stock int4 op wins up to 4 rows and loses from
8 on (its cost grows with the rows); int8 × int8 with a scale per row of activations wins beyond.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.kernels.cpu import compiled
from famulus.kernels.op import Case, op
from famulus.kernels.pack import (
    FINER,
    Weight,
    dequantize_int4,
    dequantize_pairs,
    fp8_scales,
    pair_groups,
    quantize_fp8,
    quantize_int4,
    quantize_int8,
    tile_int4,
    torch_int4,
    untile_int4,
)

INT4_ROWS = 4
"""The largest number of rows that is answered from the int4 form when there is also an int8 form."""

BLOCK_ROWS = 64
"""Rows of activations that are quantised, multiplied and scaled together."""


def _key(x: Tensor, w: Weight) -> tuple[str, str, bool, bool, bool]:
    one_digit = w.int8 is not None and len(w.int8) == w.rows
    return (x.device.type, w.format, x.shape[0] <= INT4_ROWS, x.shape[0] <= compiled.ROWS8, one_digit)


def _bytes(x: Tensor, w: Weight) -> int:
    weight = w.decode_bytes
    if w.format == "int4+int8" and x.shape[0] > INT4_ROWS:
        weight = w.rows * w.columns
    return weight + x.numel() * x.element_size() + x.shape[0] * w.rows * x.element_size()


def make_weight(dense: Tensor, format: str, dtype: torch.dtype, bias: Tensor | None = None) -> Weight:
    """Quantise ``dense`` [rows, columns] f32 to ``format`` ("dense", "tiles", "int4", "int8", "int4+int8")."""
    rows, columns = dense.shape
    parts: dict[str, Any] = {}
    if format == "dense":
        parts["dense"] = dense.to(dtype)
    if format == "tiles":
        parts["tiles"] = tile_int4(*quantize_int4(dense))
    if "int4" in format:
        parts["int4"], parts["int4_scales"] = torch_int4(*quantize_int4(dense))
    if "int8" in format:
        parts["int8"], parts["int8_scales"] = quantize_int8(dense)
    return Weight(rows, columns, format, bias=None if bias is None else bias.to(dtype), **parts)


def dense_of(w: Weight) -> Tensor:
    """The values that a weight stands for, f32 [rows, columns]; its finest form counts."""
    if w.dense is not None:
        return w.dense.float()
    if w.int8 is not None and w.int8_scales is not None:
        exact = w.int8[: w.rows].float()
        if len(w.int8) > w.rows:
            exact += w.int8[w.rows :].float() / FINER
        return exact * w.int8_scales[:, None]
    if w.tiles is not None:
        return dequantize_int4(*untile_int4(w.tiles, w.rows))
    if w.pairs is not None and w.pair_scales is not None:
        return dequantize_pairs(w.pairs, w.pair_scales, w.pair_minimums, w.group, e2m1=w.format == "e2m1")
    if w.fp8 is not None and w.fp8_scales is not None:
        return w.fp8.float() * fp8_scales(w.fp8_scales, w.rows, w.columns)
    assert w.int4 is not None and w.int4_scales is not None
    # torch's packing has no public inverse: multiply the identity through its own reference path.
    eye = torch.eye(w.columns, dtype=torch.bfloat16)
    product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(eye, w.int4, 32, w.int4_scales)
    return product.float().t()[: w.rows]  # the tiles are padded


def make_pairs(
    values: Tensor,
    scales: Tensor,
    minimums: Tensor | None,
    group: int,
    *,
    e2m1: bool = False,
    bias: Tensor | None = None,
) -> Weight:
    """int4 for a GPU. ``values`` [rows, columns] uint8 of 0..15; ``scales``, ``minimums`` [rows, columns/group]."""
    rows, columns = values.shape
    return Weight(
        rows,
        columns,
        "e2m1" if e2m1 else "pairs",
        bias=bias,
        pairs=pair_groups(values, group),
        pair_scales=scales.t().contiguous(),
        pair_minimums=None if minimums is None else minimums.t().contiguous(),
        group=group,
        arrivals=_arrivals(rows, values.device),
    )


def make_fp8(values: Tensor, scales: Tensor, bias: Tensor | None = None) -> Weight:
    """fp8 for a GPU. ``values`` [rows, columns] e4m3; ``scales`` f32 of blocks or rows."""
    rows, columns = values.shape
    arrivals = _arrivals(rows, values.device)
    return Weight(rows, columns, "fp8", bias=bias, fp8=values, fp8_scales=scales, arrivals=arrivals)


def make_int8(values: Tensor, scales: Tensor, bias: Tensor | None = None) -> Weight:
    """int8 for a GPU. ``values`` [rows, columns] int8; ``scales`` [rows] f32."""
    rows, columns = values.shape
    arrivals = _arrivals(rows, values.device)
    return Weight(rows, columns, "int8", bias=bias, int8=values, int8_scales=scales, arrivals=arrivals)


def _arrivals(rows: int, device: torch.device) -> Tensor:
    return torch.zeros(-(-rows // 16), dtype=torch.int32, device=device)


def _gpu_cases(g: torch.Generator) -> Iterator[Case]:
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)):
        for rows, n, k, group in ((1, 80, 256, 128), (3, 64, 192, 32), (17, 33, 512, 64)):
            x, bias = torch.randn(rows, k, generator=g).to(dtype), torch.randn(n, generator=g).to(dtype)
            values = torch.randint(0, 16, (n, k), generator=g, dtype=torch.uint8)
            scales = (torch.rand(n, k // group, generator=g) * 0.01 + 0.001).half()
            minimums = (scales * -7.3).half()
            name = f"{rows}x{n}x{k}-{dtype}"
            yield Case(f"pairs-{name}", (x, make_pairs(values, scales, minimums, group, bias=bias)), tolerance)
            yield Case(f"symmetric-{name}", (x, make_pairs(values, scales, None, group)), tolerance)
            yield Case(f"e2m1-{name}", (x, make_pairs(values, scales, None, group, e2m1=True)), tolerance)
            dense = torch.randn(n, k, generator=g) * 0.05
            yield Case(f"fp8-{name}", (x, make_fp8(*quantize_fp8(dense, blocks=False), bias=bias)), tolerance)
            yield Case(f"fp8-blocks-{name}", (x, make_fp8(*quantize_fp8(dense, blocks=True))), tolerance)
            if dtype != torch.bfloat16:  # the processor, which rounds activations, has cases of its own in bf16
                made = make_int8(*quantize_int8(dense), bias=bias)
                yield Case(f"int8-gpu-{name}", (x, made), max(tolerance, 1e-4))


def _cases(g: torch.Generator) -> Iterator[Case]:
    yield from _gpu_cases(g)
    for rows in (1, 3, 4, 5, 17, 64):
        for n, k in ((48, 64), (192, 160), (96, 1536)):
            x = torch.randn(rows, k, generator=g)
            dense = torch.randn(n, k, generator=g) * 0.05
            bias = torch.randn(n, generator=g)
            yield Case(f"dense-{rows}x{n}x{k}", (x, make_weight(dense, "dense", torch.float32, bias)), 1e-5)
            yield Case(f"int8-{rows}x{n}x{k}", (x.bfloat16(), make_weight(dense, "int8", torch.bfloat16, bias)), 0.02)
            for name, given in (("f32", x), ("bf16", x.bfloat16())):
                made = make_weight(dense[:-3], "tiles", torch.bfloat16, bias[:-3])
                yield Case(f"tiles-{rows}x{n - 3}x{k}-{name}", (given, made), 0.02)
            packed, scale, minimum = quantize_int4(dense)
            tiles, scales = torch_int4(packed, scale, minimum)
            values = dequantize_int4(packed, scale, minimum)
            q8, s8 = quantize_int8(values, digits=2)
            both = Weight(n, k, "int4+int8", int4=tiles, int4_scales=scales, int8=q8, int8_scales=s8)
            yield Case(f"int4+int8-{rows}x{n}x{k}", (x.bfloat16(), both), 0.02)


@op(
    key=_key,
    cases=_cases,
    bytes_moved=_bytes,
    words=("format", f"up to {INT4_ROWS} rows", f"up to {compiled.ROWS8} rows", "one digit of int8"),
)
def linear(x: Tensor, w: Weight) -> Tensor:
    """``x`` [tokens, columns] → [tokens, rows] in the dtype of ``x``; accumulation in f32."""
    y = x.float() @ dense_of(w).t()
    if w.bias is not None:
        y += w.bias.float()
    return y.to(x.dtype)


@linear.implement("dense", rule=lambda k: k[1] == "dense", why="weights are kept in the compute dtype")
def _linear_dense(x: Tensor, w: Weight) -> Tensor:
    assert w.dense is not None
    return F.linear(x, w.dense, w.bias)


@linear.implement(
    "torch-int4",
    rule=lambda k: k[0] == "cpu" and "int4" in k[1] and (k[2] or k[1] == "int4"),
    why=f"int4 weights and at most {INT4_ROWS} rows (or no int8 form): fewest bytes",
)
def _linear_int4(x: Tensor, w: Weight) -> Tensor:
    # bf16 input only: f16 and f32 take a scalar path that is over 30 times slower.
    y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x.bfloat16(), w.int4, 32, w.int4_scales)
    if y.shape[1] != w.rows:  # the tiles are padded
        y = y[:, : w.rows]
    if w.bias is not None:
        y += w.bias
    return y.to(x.dtype)


@cache
def largest_digit() -> int:
    """The largest digit of an activation with which this processor's integer products are exact.

    Without VNNI (before Ice Lake, Zen 4), oneDNN shifts the left operand to 0..255 and adds pairs of products in 16
    bits, which saturate silently: 255 * 127 * 2 does not fit, 255 * 64 * 2 does. So it is tried, not guessed.
    """
    most = torch.full((32, 64), 127, dtype=torch.int8)
    exact = bool((torch._int_mm(most, most.t()) == 64 * 127 * 127).all())
    return 127 if exact else 64


def _integer_product(digits: Tensor, q: Tensor) -> Tensor:
    """[tokens, columns] x [rows, columns], int8 → [tokens, rows] int32, exact for digits up to the largest."""
    if largest_digit() == 127:
        if len(digits) == 2:  # one row's digits: one-row products are twice as fast as a two-row one
            return torch.cat([torch._int_mm(digits[:1], q.t()), torch._int_mm(digits[1:], q.t())])
        return torch._int_mm(digits, q.t())
    if len(digits) == 1:  # a product with one column takes another way, which saturates
        return _integer_product(digits.repeat(2, 1), q)[:1]
    return torch._int_mm(q, digits.t()).t()  # the small operand must be the right one


def _refinement(columns: int) -> int:
    """How many times finer the second digit of an activation is; bounded so that no int32 sum can overflow.

    Both digits together are at most ``127 * refinement`` and a weight's 127, so a sum stays below
    ``columns * 127 * 127 * refinement < 2**31`` (for up to 130,000 columns).
    """
    return 1 << min(7, max(0, ((1 << 31) // (127 * 128 * columns)).bit_length() - 1))


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two int8 digits per value: [tokens, n] → (int8 [2 * tokens, n], scale f32 [tokens, 1]).

    ``x ≈ scale * (first + second / refinement)``; the rows of all second digits follow those of the first. One digit is
    not enough: a few channels of a normalised row are a hundred times as large as the rest (measured on the embedded
    model: NLL +0.03, 87 % equal first choices; with two digits as good as bf16). One scale per row, so that a row's
    result does not depend on what else is in the batch.
    """
    exact = x.float()
    scale = exact.abs().amax(-1, True).div_(largest_digit()).clamp_(min=1e-12)
    exact = exact / scale
    first = exact.round()
    second = exact.sub_(first).mul_(_refinement(x.shape[-1])).round_()
    return torch.cat([first, second]).to(torch.int8), scale


def int8_product(x: Tensor, q: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """``x`` [tokens, columns] with the int8 digits ``q`` [1 or 2 * rows, columns] → [tokens, rows] in ``dtype``.

    Worked through in blocks of rows, so that the int32 sums are still in the cache when they are scaled.
    """
    refinement, rows = _refinement(x.shape[-1]), len(scales)
    y = torch.empty((x.shape[0], rows), dtype=dtype)
    for start in range(0, x.shape[0], BLOCK_ROWS):
        digits, xs = quantize_rows(x[start : start + BLOCK_ROWS])
        first, second = _integer_product(digits, q[:rows]).chunk(2)
        product = torch.mul(torch.add(second, first, alpha=refinement, out=second), scales)
        if len(q) > rows:  # second digit by second digit would change nothing any more
            product.addcmul_(_integer_product(digits[: len(xs)], q[rows:]), scales, value=refinement / FINER)
        torch.mul(product, xs.div_(refinement), out=y[start : start + BLOCK_ROWS])
    return y


if compiled.ready():  # else there is nothing to run, and nothing to check
    linear.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and k[1] == "tiles",
        why="int4 weights and int8 activations, compiled for this processor's integer products",
    )(compiled.linear)
    linear.implement(
        "compiled-int8",
        rule=lambda k: k[0] == "cpu" and k[1] == "int8" and k[3] and k[4],
        why=f"int8 weights and at most {compiled.ROWS8} rows: read once, activations in 16 bits",
    )(compiled.rows8)


@linear.implement(
    "torch-int8", rule=lambda k: k[0] == "cpu" and "int8" in k[1], why="int8 weights: integer products (VNNI)"
)
def _linear_int8(x: Tensor, w: Weight) -> Tensor:
    assert w.int8 is not None and w.int8_scales is not None
    y = int8_product(x, w.int8, w.int8_scales, x.dtype)
    if w.bias is not None:
        y += w.bias
    return y
