"""``famulus bench engine [--peer llama.cpp]``: prompts, decoding, start, memory; beside llama.cpp on the same weights.

Both sides run in a process of their own with the same number of threads and take turns, a burst each, so that what
else happens on the machine happens to both. Ratios are medians over the rounds of ours / theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from famulus.bench import drivers
from famulus.bench.report import heading, median, table
from famulus.engine.catalog import EMBEDDED, Catalog
from famulus.engine.client import connect
from famulus.engine.hardware import cores
from famulus.engine.launch import find
from famulus.engine.threads import worker_environment

BURSTS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("prefill 512", {"do": "prefill", "tokens": 512}, 512),
    ("decode, batch 1", {"do": "decode", "batch": 1, "tokens": 24}, 24),
    ("decode, batch 4", {"do": "decode", "batch": 4, "tokens": 24}, 96),
)
"""(name, order, tokens)."""


class Side:
    """One driver process."""

    def __init__(self, python: str, side: str, model: str, threads: int) -> None:
        command = [python, "-P", drivers.__file__, side, model, str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=worker_environment()
        )
        self._answer()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order, one answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("A driver of the benchmark died; its last words are above.")
        return json.loads(line)  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def has_peer(python: str) -> bool:
    """Whether ``python`` can import llama-cpp-python."""
    check = [python, "-P", "-c", "import llama_cpp"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def speeds(model: Path, threads: int, peer: str | None, rounds: int) -> str:
    """The table of prefill and decode."""
    ours = Side(sys.executable, "ours", os.fspath(model.parent), threads)
    theirs = Side(peer, "llama.cpp", os.fspath(model), threads) if peer else None
    sides = [ours] if theirs is None else [ours, theirs]
    seconds: dict[tuple[str, int], list[float]] = {}
    for i in range(rounds + 1):
        for name, order, _ in BURSTS:
            for at, side in enumerate(sides):
                took = side.ask(order)["seconds"]
                if i:  # the first round warms up
                    seconds.setdefault((name, at), []).append(took)
    facts, version = ours.ask({"do": "facts"}), theirs.ask({"do": "facts"})["version"] if theirs else ""
    for side in sides:
        side.close()
    rows = []
    for name, _, tokens in BURSTS:
        mine, other = seconds[name, 0], seconds.get((name, 1), [])
        ratio = median([b / a for a, b in zip(mine, other, strict=False)])
        share = facts["decode_bytes"] / (median(mine) / 24) / facts["bandwidth"] if name == "decode, batch 1" else None
        rows.append(
            [
                name,
                f"{tokens / median(mine):.0f}",
                f"{tokens / median(other):.0f}" if other else "-",
                f"{ratio:.2f}" if other else "-",
                f"{share:.0%}" if share is not None else "-",
            ]
        )
    columns = ["tokens/s", "Famulus", f"llama.cpp (llama-cpp-python {version})", "ratio", "of the memory's bandwidth"]
    below = (
        f"\n{threads} thread{'s' if threads > 1 else ''}, {rounds} rounds. A decoded token reads "
        f"{facts['decode_bytes'] / 1e6:.0f} MB of weights; measured read bandwidth {facts['bandwidth'] / 1e9:.1f} GB/s."
    )
    return table(columns, rows) + "\n" + below


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
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=9)
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
    print(speeds(model, options.threads, peer, options.rounds) + "\n")
    print(start_and_memory())


if __name__ == "__main__":
    main()
