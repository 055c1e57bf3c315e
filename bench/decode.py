"""``famulus bench decode``: decoding end to end with random weights in the exact shapes of published models.

Every cell is a model, a precision, a batch and a context; one that does not fit the memory is marked so. With
``--peer transformers`` its static cache, best experts and compiled step are measured on the same shapes in bf16. Runs
from a plain checkout with torch, triton, tokenizers, safetensors and transformers: ``python -P -m famulus.bench.decode
--out FOLDER``. ``--tiny`` takes the families' test sizes, on any device.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from famulus.bench.device_time import Report, synchronize
from famulus.bench.random_model import SHAPES, random_model
from famulus.engine.cache import Table
from famulus.engine.decoder import Decoder
from famulus.engine.hardware import PAGE
from famulus.engine.models import family
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, StepPlan
from famulus.engine.step import Sequence as Stream

BATCHES, CONTEXTS = (1, 4, 16, 64), (1024, 8192, 32768)

COLUMNS = ["model", "precision", "batch", "context", "tokens/s", "ms a step", "of the copy", "transformers, tokens/s"]


def ours(model: Decoder, batch: int, context: int, steps: int) -> float:
    """Seconds of a step that decodes one token of each of ``batch`` sequences: plan, model, head and choice."""
    pages = -(-(context + steps + 8) // PAGE)
    runner = Runner.create(model, pages * batch)
    for store in runner.kv:
        store.normal_()
    streams = [
        Stream(i, "bench", "chat", [7] * context, table=Table("", list(range(i * pages, (i + 1) * pages))))
        for i in range(batch)
    ]

    def step() -> None:
        chunks = tuple(Chunk(s, len(s.tokens) - 1, 1) for s in streams)
        found = runner.logits(runner.forward(StepPlan(chunks), lambda: None)).argmax(-1).tolist()
        for stream, token in zip(streams, found, strict=True):
            stream.tokens.append(token)

    return _per_step(step, steps, model.device)


def _per_step(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """The median of ``steps``, after four that compile, record and warm up."""
    times = []
    for i in range(steps + 4):
        synchronize(device)
        start = time.perf_counter()
        step()
        synchronize(device)
        if i >= 4:
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def theirs(config: dict[str, Any], batch: int, context: int, steps: int, device: torch.device) -> float:
    """The same with ``transformers``: random weights, static cache, grouped experts, a compiled step."""
    from transformers import AutoConfig, AutoModelForCausalLM, StaticCache

    said = AutoConfig.for_model(**config)
    with torch.device(device):
        build: Any = AutoModelForCausalLM.from_config
        model = build(said, dtype=torch.bfloat16).eval()
    if hasattr(model, "set_experts_implementation") and "moe_intermediate_size" in config:
        model.set_experts_implementation("grouped_mm")
    cache = StaticCache(config=said, max_cache_len=context + steps + 8)
    run = torch.compile(model, mode="max-autotune-no-cudagraphs") if device.type == "cuda" else model
    place = torch.tensor([context], device=device)
    tokens = torch.full((batch, 1), 7, device=device)

    def step() -> None:
        nonlocal tokens, place
        found = run(tokens, past_key_values=cache, cache_position=place, position_ids=place.expand(batch, 1))
        tokens = found.logits[:, -1].argmax(-1, keepdim=True)
        tokens.tolist()
        place = place + 1

    return _per_step(step, steps, device)


def read_bytes(model: Decoder, context: int) -> int:
    """What one token has to read: the weights that it meets, and what is kept of its context."""
    rows, width = model.kv_shape
    kept = context * rows * width * model.layers * torch.empty(0, dtype=model.compute).element_size()
    return kept + sum(w.decode_bytes for w in model.linears())


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench decode", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="the families' test sizes, to see that everything runs")
    parser.add_argument("--models", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp8", "int4"])
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--contexts", nargs="+", type=int, default=list(CONTEXTS))
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--peer", choices=["transformers"])
    parser.add_argument("--out", type=Path, help="folder for the table, written after every row")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    report = Report("famulus bench decode", device, COLUMNS, options.out)
    # The cells that say most come first: whoever is stopped early has them.
    cells = sorted((c, b) for c in options.contexts for b in options.batches)
    with torch.inference_mode():
        for name in options.models:
            config = SHAPES[name]
            if options.tiny:
                config = family(config["model_type"]).tiny() | {"model_type": config["model_type"]}
            for precision in options.precisions:
                _model(report, options, name, config, precision, cells, device)


def _model(
    report: Report,
    options: argparse.Namespace,
    name: str,
    config: dict[str, Any],
    precision: str,
    cells: list[tuple[int, int]],
    device: torch.device,
) -> None:
    """All cells of one model in one precision; the peer's are measured when our weights have made room."""
    found: dict[tuple[int, int], float | str] = {}
    bytes_read: dict[int, int] = {}
    try:
        model = random_model(config, precision, device)
    except torch.OutOfMemoryError:
        _free(device)
        report.add(name, precision, "-", "-", "does not fit", "-", "-", "-")
        return
    for context, batch in cells:
        bytes_read[context] = read_bytes(model, context)
        try:
            found[context, batch] = ours(model, batch, context, options.steps)
        except torch.OutOfMemoryError:
            found[context, batch] = "does not fit"
        _free(device)
        if options.peer is None or precision != "bf16":
            _tell(report, name, precision, context, batch, found[context, batch], bytes_read[context], "-")
    del model
    _free(device)
    if options.peer is not None and precision == "bf16":
        for context, batch in cells:
            try:
                peer = f"{batch / theirs(config, batch, context, options.steps, device):.1f}"
            except torch.OutOfMemoryError:
                peer = "does not fit"
            except Exception as error:  # a peer that fails must not take our figures with it
                peer = f"failed: {type(error).__name__}"
            _free(device)
            _tell(report, name, precision, context, batch, found[context, batch], bytes_read[context], peer)


def _tell(
    report: Report, name: str, precision: str, context: int, batch: int, took: float | str, read: int, peer: str
) -> None:
    if isinstance(took, str):
        report.add(name, precision, batch, context, took, "-", "-", peer)
        return
    share = f"{read / took / report.bandwidth:.0%}" if batch == 1 else "-"
    report.add(name, precision, batch, context, f"{batch / took:.1f}", f"{took * 1e3:.2f}", share, peer)


if __name__ == "__main__":
    main()
