"""``famulus bench kernels``: every Triton kernel in the shapes of real models: µs, GB/s, share of the copy's bandwidth.

Runs from a plain checkout with torch and triton alone: ``python -P -m famulus.bench.kernels --out FOLDER``. On a
processor it measures what runs there instead; ``--tiny`` makes the shapes small. ``--tune`` tries other tile sizes for
every shape under ``--below`` of the copy's bandwidth and writes the best into ``kernels/tuned``; under Triton's
interpreter that shows that it runs, and ``--into`` must name another folder.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from famulus.bench.device_time import Report, seconds
from famulus.bench.tune import Tuner
from famulus.kernels.activation import swiglu
from famulus.kernels.attention import Segment, Segments, attention
from famulus.kernels.check import registry
from famulus.kernels.indexer import index_tokens
from famulus.kernels.linear import linear, make_fp8, make_int8, make_pairs
from famulus.kernels.mla import mla
from famulus.kernels.moe import Experts, moe
from famulus.kernels.norm import add_rms_norm, rms_norm
from famulus.kernels.op import Op, interpreting
from famulus.kernels.pack import GROUP, Weight
from famulus.kernels.rope import frequencies, rope_store, tables
from famulus.kernels.router import Rule, route, sorted_pairs
from famulus.kernels.sample import Choice, sample
from famulus.kernels.store import FORMATS, Quantized, quantize
from famulus.kernels.tuned import FOLDER
from famulus.kernels.w8a8 import activations, linear_w8a8

ROWS = (1, 4, 16, 64)
"""Tokens of a step."""

PROMPT = 1024
"""Tokens of a prompt in one step."""

CONTEXTS = (1024, 8192, 32768)

Measured = tuple[str, Op[Any, Any], tuple[Any, ...]]


class Shapes:
    """Random arguments on ``device``; ``tiny`` divides all sizes."""

    def __init__(self, device: torch.device, tiny: bool) -> None:
        self.device, self.tiny = device, tiny
        self.dtype = torch.bfloat16

    def size(self, n: int) -> int:
        """A width."""
        return max(64, n // 16 // 64 * 64) if self.tiny else n

    def floats(self, *shape: int) -> Tensor:
        """Values of about 1."""
        return torch.randn(*shape, device=self.device).to(self.dtype)

    def weight(self, form: str, rows: int, columns: int, *stack: int) -> Weight:
        """A matrix, or a stack of them, in "bf16", "fp8", "int8" or "int4"."""
        if form == "bf16":
            return Weight(rows, columns, "dense", self.floats(*stack, rows, columns) * columns**-0.5)
        if form == "fp8":
            values = self.floats(*stack, rows, columns).to(torch.float8_e4m3fn)
            scales = torch.full((*stack, rows), columns**-0.5, device=self.device)
            return (
                make_fp8(values, scales) if not stack else Weight(rows, columns, "fp8", fp8=values, fp8_scales=scales)
            )
        if form == "int8":
            values = torch.randint(-127, 128, (*stack, rows, columns), dtype=torch.int8, device=self.device)
            scales = torch.full((*stack, rows), columns**-0.5 / 64, device=self.device)
            return (
                make_int8(values, scales)
                if not stack
                else Weight(rows, columns, "int8", int8=values, int8_scales=scales)
            )
        values = torch.randint(0, 16, (rows, columns), dtype=torch.uint8, device=self.device)
        scales = torch.full((rows, columns // GROUP), columns**-0.5 / 4, dtype=torch.float16, device=self.device)
        one = make_pairs(values, scales, scales * -7.5, GROUP)
        return Experts.of([one] * stack[0]).stacked if stack else one


def measured(shapes: Shapes) -> Iterator[Measured]:
    """What is timed: layers of Qwen3-30B-A3B, the MLP of Qwen2.5-Coder-7B, attention of DeepSeek-Coder-V2-Lite, the
    index of V3.2 over its 64 heads."""
    s, device = shapes, shapes.device
    hidden, heads, experts = s.size(2048), 32 if not s.tiny else 4, 128 if not s.tiny else 8
    kv_heads, dim = (4, 128) if not s.tiny else (2, 64)
    for rows in ROWS:
        x = s.floats(rows, hidden)
        h, delta, one = x.float().clone(), s.floats(rows, hidden), torch.ones(hidden, device=device)
        yield f"rms_norm {rows}x{hidden}", rms_norm, (h, one, 1e-6, s.dtype)
        yield f"add_rms_norm {rows}x{hidden}", add_rms_norm, (h, delta, one, 1e-6, s.dtype)
        mixed = s.floats(rows, heads + 2 * kv_heads, dim)
        cos, sin = (t.to(device) for t in tables(torch.arange(rows), frequencies(dim, 1e6)))
        store = s.floats(2 * kv_heads, 4096, dim)
        slots = torch.arange(rows, device=device)
        yield f"rope_store {rows}x{heads}/{kv_heads}x{dim}", rope_store, (mixed, cos, sin, slots, store)
        gate = torch.randn(experts, hidden, device=device) * hidden**-0.5
        yield f"route {rows}x{experts}/8", route, (x, gate, Rule(8, renormalise=True), None, None)
        yield f"swiglu {rows}x{s.size(18944)}", swiglu, (s.floats(rows, 2 * s.size(18944)),)
        logits = torch.randn(rows, s.size(151936), device=device) * 3
        for name, way in (("greedy", Choice()), ("top-p", Choice(0.8, top_p=0.95)), ("top-k", Choice(0.8, 20, 0.8))):
            choices = [replace(way, key=i) for i in range(rows)]
            yield f"sample {name} {rows}x{logits.shape[1]}", sample, (logits, choices)
    for n, k in ((s.size(5120), hidden), (s.size(3584), s.size(18944))):
        for form in ("bf16", "fp8", "int8", "int4"):
            weight = s.weight(form, n, k)
            for rows in ROWS:
                yield f"linear {form} {rows}x{n}x{k}", linear, (s.floats(rows, k), weight)
            small = activations(weight)
            if small is not None:
                x = s.floats(s.size(PROMPT), k)
                yield f"linear {form} {len(x)}x{n}x{k}", linear, (x, weight)
                rounded = Quantized(*quantize(x.view(len(x), -1, small[1]), small[0]))
                yield f"linear_w8a8 {form} {len(x)}x{n}x{k}", linear_w8a8, (rounded, weight, s.dtype)
    inner = s.size(768)
    for form in ("bf16", "fp8", "int8", "int4"):
        up, down = (Experts(s.weight(form, n, k, experts)) for n, k in ((2 * inner, hidden), (hidden, inner)))
        for rows in ROWS:
            chosen = torch.rand(rows, experts, device=device).argsort(-1)[:, :8].contiguous()
            weights = torch.full((rows, 8), 0.125, device=device)
            arguments = (s.floats(rows, hidden), up, down, weights, chosen, sorted_pairs(chosen), None)
            yield f"moe {form} {rows}x{experts}/8x{hidden}x{inner}", moe, arguments
    yield from _attentions(s, heads, kv_heads, dim)


def _attentions(s: Shapes, heads: int, kv_heads: int, dim: int) -> Iterator[Measured]:
    latent, width, v2_heads, index = (512, 576, 16, 128) if not s.tiny else (32, 48, 4, 16)
    for context in CONTEXTS[:1] if s.tiny else CONTEXTS:
        for rows in (1, 16):
            if rows * context > 1 << 18:
                continue
            segments = Segments(Segment(i, 1, context, i * context) for i in range(rows))
            kv = s.floats(2 * kv_heads, rows * context, dim)
            q = s.floats(rows, heads, dim)
            yield f"attention {rows}x{context}", attention, (q, kv, segments, dim**-0.5)
            for form, dtype in FORMATS.items():
                kept = Quantized(*quantize(kv, dtype))
                yield f"attention {form} {rows}x{context}", attention, (q, kept, segments, dim**-0.5)
            store = s.floats(1, rows * context, width)
            q = s.floats(rows, 4 * v2_heads, index)
            weights = torch.rand(rows, 4 * v2_heads, device=s.device)
            found = q, weights, store, segments, s.size(2048)
            yield f"index_tokens {rows}x{context}", index_tokens, found
            yield f"mla {rows}x{context}", mla, (s.floats(rows, v2_heads, width), store, segments, width**-0.5, latent)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench kernels", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to see that everything runs")
    parser.add_argument("--only", default="", help="operations whose name begins so")
    parser.add_argument("--out", type=Path, help="folder for the table, written after every row")
    parser.add_argument("--tune", action="store_true", help="try other tile sizes where a kernel is slow")
    parser.add_argument("--below", type=float, default=0.7, help="tune shapes under this share of the copy's bandwidth")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin to tune no further shape after these")
    parser.add_argument("--into", type=Path, help="folder of the tuned tables; those of famulus.kernels by default")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    registry()
    tuner = _tuner(parser, options, device) if options.tune else None
    report = Report(
        "famulus bench kernels", device, ["kernel", "implementation", "µs", "GB/s", "of the copy"], options.out
    )
    budget, until = 0.01 if options.tiny else 0.1, time.monotonic() + 60 * options.minutes
    with torch.inference_mode():
        for name, op, given in measured(Shapes(device, options.tiny)):
            if not name.startswith(options.only):
                continue
            chosen, _ = op.choose(op.key(*given))
            if chosen.name == "reference" and device.type == "cpu":
                continue  # a form for GPUs

            def run(op: Op[Any, Any] = op, given: tuple[Any, ...] = given) -> Any:
                return op(*given)

            size = op.bytes_moved(*given)
            share = _add(report, name, chosen.name, seconds(run, device, budget), size)
            if tuner and chosen.gpu and chosen.gpu.table and share < options.below and time.monotonic() < until:
                for shape, (best, _, took) in tuner.tune(run).items():
                    _add(report, f"{name}, tuned", f"{shape}: {best}", took, size)


def _add(report: Report, name: str, implementation: str, took: float, size: int) -> float:
    """One more row; answers the share of the copy's bandwidth."""
    speed = size / took
    report.add(name, implementation, f"{took * 1e6:.1f}", f"{speed / 1e9:.1f}", f"{speed / report.bandwidth:.0%}")
    return speed / report.bandwidth


def _tuner(parser: argparse.ArgumentParser, options: argparse.Namespace, device: torch.device) -> Tuner:
    if device.type != "cuda" and not interpreting():
        parser.error("--tune needs a GPU, or TRITON_INTERPRET=1 to see that it runs")
    if interpreting() and options.into is None:
        parser.error("under the interpreter --tune needs --into: its times say nothing of a card")
    return Tuner(device, options.into or FOLDER, 0.001 if options.tiny else 0.1)


if __name__ == "__main__":
    main()
