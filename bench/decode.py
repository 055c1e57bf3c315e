"""``famulus bench decode``: decoding end to end with random weights in the exact shapes of published models.

Every cell is a model, a precision, a batch and a context; one that does not fit the memory is marked so. With
``--peer transformers`` its static cache, best experts and compiled step are measured on the same tensors in bf16. Runs
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

from famulus.bench.decode_peer import peer_model, peer_step
from famulus.bench.device_time import Report, synchronize
from famulus.bench.random_model import SHAPES, built, random_weights
from famulus.engine.cache import Table
from famulus.engine.decoder import Decoder
from famulus.engine.hardware import PAGE
from famulus.engine.layers import Loaded
from famulus.engine.models import family
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, StepPlan
from famulus.engine.step import Sequence as Stream
from famulus.kernels.store import DTYPES, FORMATS, empty

BATCHES, CONTEXTS = (1, 4, 16, 64), (1024, 8192, 32768)

COLUMNS = ["model", "precision", "batch", "context", "tokens/s", "ms a step", "of the copy", "transformers, tokens/s"]


def ours(model: Decoder, batch: int, context: int, steps: int, kv: str) -> float:
    """Seconds of a step that decodes one token of each of ``batch`` sequences: plan, model, head and choice; ``kv``:
    how keys and values are kept."""
    pages = -(-(context + steps + 8) // PAGE)
    runner = Runner.create(model, pages * batch, kv)
    for store in runner.kv:
        if isinstance(store, torch.Tensor):
            store.normal_()
        else:
            store.values.view(torch.uint8).random_(0, 64)  # e4m3's NaN is 127
            store.scales.fill_(1 / 64)
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


def read_bytes(model: Decoder, context: int, kv: str) -> int:
    """What one token has to read: the weights that it meets, and what is kept of its context."""
    rows, width = model.kv_shape
    one = empty((rows, 1, width), model.compute if kv == "auto" else DTYPES[kv], torch.device("meta"))
    return context * model.layers * one.nbytes + sum(w.decode_bytes for w in model.linears())


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
    parser.add_argument(
        "--resident",
        nargs="+",
        type=int,
        default=[0],
        help="experts of each layer on the card, the others apart; 0: all",
    )
    parser.add_argument("--kv", choices=["auto", *FORMATS], default="auto", help="how keys and values are kept")
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
                config = tiny_config(config["model_type"])
            for precision in options.precisions:
                for resident in options.resident:
                    _model(report, options, name, config, precision, resident, cells, device)


def tiny_config(kind: str) -> dict[str, Any]:
    """The family's test sizes, with plain positions."""
    said: dict[str, Any] = family(kind).tiny() | {"model_type": kind}
    return {k: v for k, v in said.items() if k != "rope_parameters"}


def _model(
    report: Report,
    options: argparse.Namespace,
    name: str,
    config: dict[str, Any],
    precision: str,
    resident: int,
    cells: list[tuple[int, int]],
    device: torch.device,
) -> None:
    """All cells of one model in one precision; then the peer's, over the same tensors."""
    found: dict[tuple[int, int], float | str] = {}
    bytes_read: dict[int, int] = {}
    try:
        loaded = random_weights(config, precision, device, resident)
    except torch.OutOfMemoryError:
        _free(device)
        report.add(name, precision, "-", "-", "does not fit", "-", "-", "-")
        return
    model = built(config, loaded, precision)
    shown = precision if loaded.residency is None else f"{precision}, {loaded.residency.slots} experts on the card"
    shown += "" if options.kv == "auto" else f", keys and values in {options.kv}"
    peers = options.peer is not None and shown == "bf16"
    for context, batch in cells:
        bytes_read[context] = read_bytes(model, context, options.kv)
        try:
            found[context, batch] = ours(model, batch, context, options.steps, options.kv)
        except torch.OutOfMemoryError:
            found[context, batch] = "does not fit"
        _free(device)
        if not peers:
            _tell(report, name, shown, context, batch, found[context, batch], bytes_read[context], "-")
    del model
    _free(device)
    if peers:
        for context, batch in cells:
            peer = _peer(config, loaded, batch, context, options.steps, device)
            _free(device)
            _tell(report, name, precision, context, batch, found[context, batch], bytes_read[context], peer)


def _peer(config: dict[str, Any], loaded: Loaded, batch: int, context: int, steps: int, device: torch.device) -> str:
    """Its tokens/s, or why there are none."""
    try:
        theirs = peer_model(config, loaded, device, torch.bfloat16)
        return f"{batch / _per_step(peer_step(theirs, batch, context, steps, device), steps, device):.1f}"
    except torch.OutOfMemoryError:
        return "does not fit"
    except Exception as error:  # a peer that fails must not take our figures with it
        return f"failed: {type(error).__name__}"


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
