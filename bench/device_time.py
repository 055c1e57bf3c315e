"""Timing on a device, and the bandwidth that it reaches by copying: the measure for what a kernel could reach."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from famulus.bench.report import heading, table


def synchronize(device: torch.device) -> None:
    """Wait until everything that was launched is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], object], device: torch.device, budget: float = 0.1) -> float:
    """The median time of ``run`` over about ``budget`` seconds, after a warm-up; on a GPU with a cold cache."""
    run()
    if device.type == "cuda":
        import triton.testing

        return float(triton.testing.do_bench(run, warmup=25, rep=int(1000 * budget), return_mode="median")) / 1e3
    times: list[float] = []
    while sum(times) < budget:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def copy_bandwidth(device: torch.device) -> float:
    """Bytes/s of a large copy, read and written bytes together."""
    source = torch.empty(1 << (30 if device.type == "cuda" else 25), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), device)


def device_line(device: torch.device, bandwidth: float) -> str:
    """What is measured on, as an item of a Markdown list."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    return f"- device: {name}, {bandwidth / 1e9:.0f} GB/s by copying\n"


class Report:
    """A table that is on the disk after every row: what was measured stays, whatever happens to the machine."""

    def __init__(self, command: str, device: torch.device, columns: Sequence[str], folder: Path | None) -> None:
        self.bandwidth = copy_bandwidth(device)
        self._head = heading(command) + device_line(device, self.bandwidth)
        self._name, self._columns, self._folder = command.split()[-1], columns, folder
        self._rows: list[list[str]] = []
        print(self._head, flush=True)

    def add(self, *cells: object) -> None:
        """One more row."""
        self._rows.append([str(cell) for cell in cells])
        print(" | ".join(self._rows[-1]), flush=True)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{self._name}.md").write_text(f"{self._head}\n{table(self._columns, self._rows)}\n")
            rows = [dict(zip(self._columns, row, strict=True)) for row in self._rows]
            (self._folder / f"{self._name}.json").write_text(json.dumps(rows, indent=1))
