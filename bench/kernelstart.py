"""``famulus bench kernelstart``: from the launch of a kernel to its first answer, ours and the stock one in turn.

Both kernels run in the same interpreter and are started exactly as Jupyter starts them, by a kernelspec. The client
tries the port every two milliseconds, so that its own waiting does not round the times. The order changes with every
pair; two starts of each go before and are not counted. Processor time is that of the kernel's process until it answers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from famulus.bench.report import heading, median, percentile, table
from famulus.jupyter_kernel import install

GOAL = 1.10
"""The most that a start may take, in starts of the stock kernel."""
PATIENCE = 60_000
"""Milliseconds until a kernel that does not answer fails the benchmark."""
RETRY = 2
"""Milliseconds between two attempts to connect."""


@dataclass(frozen=True)
class Start:
    """One start: seconds to the answer, processor seconds until then, bytes held then."""

    seconds: float
    processor: float
    memory: int


def start(spec: KernelSpec, folder: Path) -> Start:
    """Starts a kernel, waits for the answer to ``kernel_info_request``, and ends it."""
    manager = KernelManager(connection_file=str(folder / "connection.json"))
    manager._kernel_spec = spec
    environment = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "FAMULUS_HOME": str(folder / "home")}
    began = time.perf_counter()
    manager.start_kernel(env=environment, cwd=str(folder))
    try:
        with zmq.Context() as context, context.socket(zmq.DEALER) as shell:
            shell.linger, shell.reconnect_ivl, shell.rcvtimeo = 0, RETRY, PATIENCE
            shell.connect(f"tcp://{manager.ip}:{manager.shell_port}")
            manager.session.send(shell, "kernel_info_request", {})
            shell.recv_multipart()
            seconds = time.perf_counter() - began
        process = psutil.Process(getattr(manager.provisioner, "pid", None))
        used, held = process.cpu_times(), process.memory_info().rss
        return Start(seconds, used.user + used.system, held)
    finally:
        manager.shutdown_kernel(now=True)
        manager.cleanup_connection_file()


def interleaved(specs: dict[str, KernelSpec], count: int, warm: int = 2) -> dict[str, list[Start]]:
    """``count`` starts of each, in turn."""
    found: dict[str, list[Start]] = {name: [] for name in specs}
    with tempfile.TemporaryDirectory(prefix="famulus-bench-") as folder:
        for turn in range(-warm, count):
            for name in list(specs)[:: 1 if turn % 2 else -1]:
                seen = start(specs[name], Path(folder))
                if turn >= 0:
                    found[name].append(seen)
    return found


def report(found: dict[str, list[Start]]) -> str:
    """The table, with the ratio of ours to the stock kernel."""
    ours, stock = found["famulus"], found["ipykernel"]
    figures: tuple[tuple[str, Callable[[list[Start]], float], float, str, str], ...] = (
        ("to the first answer, p50", lambda starts: median([s.seconds for s in starts]), 1e3, "ms", f"≤ {GOAL:.2f}"),
        ("to the first answer, p90", lambda starts: percentile([s.seconds for s in starts], 0.9), 1e3, "ms", ""),
        ("processor time, p50", lambda starts: median([s.processor for s in starts]), 1e3, "ms", ""),
        ("memory, p50", lambda starts: median([float(s.memory) for s in starts]), 1e-6, "MB", ""),
    )
    rows = []
    for name, figure, scale, unit, goal in figures:
        mine, theirs = figure(ours), figure(stock)
        rows.append([name, *(f"{value * scale:.0f} {unit}" for value in (mine, theirs)), f"{mine / theirs:.2f}", goal])
    return table([f"{len(ours)} starts", "famulus", "ipykernel", "ratio", "goal"], rows)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="famulus bench kernelstart", description=__doc__)
    parser.add_argument("--starts", type=int, default=30, help="starts of each kernel (default: %(default)s)")
    options = parser.parse_args(arguments)
    ours = install.kernelspec(install.examine(sys.executable))
    stock = get_kernel_dict()
    stock["argv"][0] = sys.executable
    specs = {"famulus": KernelSpec(**ours), "ipykernel": KernelSpec(**stock)}
    print(heading("famulus bench kernelstart"))
    print(report(interleaved(specs, options.starts)))
    return 0
