"""``famulus bench engine [--peer llama.cpp]``: prompts, decoding, start, memory; beside llama.cpp on the same weights.

Each side runs in a process of its own with the same number of threads and they take turns, a burst each, so that what
else happens on the machine happens to all. Ratios are medians over the rounds of ours / theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from famulus.bench.engine_speed import QUICK, WHOLE, has_peer, speeds
from famulus.bench.report import heading, median, table
from famulus.engine.catalog import EMBEDDED, Catalog
from famulus.engine.client import connect
from famulus.engine.hardware import cores
from famulus.engine.launch import find


def start_and_memory(rounds: int = 3) -> str:
    """The table of start-up times and resident memory, of real servers in homes of their own."""
    accepting, ready, memory = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="fam") as folder:
            # The packed weights come from the user's cache as on any start but the first.
            home = Path(folder)
            times = _one_start(home)
            accepting.append(times["accepting"])
            ready.append(times["ready"])
            memory.append(times["memory"])
    rows = [
        ["server accepts after", f"{median(accepting):.2f} s", "≤ 1 s"],
        ["weights ready after (warm)", f"{median(ready):.2f} s", "≤ 3 s"],
        ["resident memory after a 1,000-token prompt", f"{median(memory) / 1e6:.0f} MB", "≤ 600 MB"],
    ]
    return table(["start and memory", "median", "goal"], rows)


def _one_start(home: Path) -> dict[str, float]:
    _first_start(home)
    start = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-P", "-m", "famulus.engine"], env=_environment(home))
    try:
        client = None
        while client is None:
            try:
                client = connect(home, start=False)
            except Exception as error:
                if time.perf_counter() - start > 30:
                    raise SystemExit(f"The server did not come up: {error}") from error
                time.sleep(0.005)
        accepting = time.perf_counter() - start
        client.tokenize("x")  # answered by the worker, so weights are there
        ready = time.perf_counter() - start
        words = " ".join(f"name_{i} = {i}" for i in range(180))
        client.generate(words, max_tokens=8).read()
        return {"accepting": accepting, "ready": ready, "memory": float(_resident(server.pid))}
    finally:
        server.terminate()
        server.wait()


def _first_start(home: Path) -> None:
    """Pack the weights once, so that the timed start is a warm one."""
    with connect(home) as client:
        client.tokenize("x")
        client.shutdown()
    while find(home) is not None:
        time.sleep(0.05)


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "FAMULUS_HOME": os.fspath(home)}


def _resident(server: int) -> int:
    """Bytes of physical memory of the server and its worker; a page that both map counts once (PSS)."""
    total = 0
    for pid in [server, *children(server)]:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) << 10
    return total


def children(pid: int) -> list[int]:
    """The processes that a process started and that have not ended; none of one that has ended itself."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench engine", description=__doc__)
    parser.add_argument("--peer", choices=["llama.cpp"], help="measure the peer in the same rounds")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has llama-cpp-python")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, cores()}))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few tokens once, to see that everything runs")
    options = parser.parse_args(arguments)
    peer = options.peer_python if options.peer else None
    print(heading("famulus bench engine" + (" --peer llama.cpp" if peer else "")))
    if peer and not has_peer(peer):
        print("llama-cpp-python is not installed, so there is no peer (pip install 'famulus[bench]').\n")
        peer = None
    catalog = Catalog()
    folder = catalog.path(catalog.find(EMBEDDED))
    if folder is None:
        raise SystemExit("The embedded model is not on this machine. Run: make tour")
    model = folder if folder.is_file() else next(folder.glob("*.gguf"))
    if options.quick:
        print(speeds(model, options.threads, peer, 1, QUICK))
        return
    print(speeds(model, options.threads, peer, options.rounds, WHOLE) + "\n")
    print(start_and_memory())


if __name__ == "__main__":
    main()
