"""The speed tables of ``famulus bench engine``: ours and llama.cpp's forms of the same weights, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.bench import drivers
from famulus.bench.report import median, table
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.folders import folders
from famulus.engine.text import Tokenizer
from famulus.engine.threads import worker_environment

FORMS = ("Q8_0", "Q4_0")
"""What the peer makes of the same weights: their values all but unchanged, and the form that it computes fastest."""
JUDGED = ("textwrap", "heapq", "calendar", "csv", "shlex", "statistics", "queue", "tempfile")
"""Modules of the standard library whose beginnings tell what a form of the weights costs."""
WINDOW = 384
"""Tokens of each."""
STEPS = 24
"""Tokens of each sequence that a decoding burst times, at 16 sequences half as many."""


@dataclass(frozen=True)
class Burst:
    """What is asked of a side in one go; ``tokens``: how many it computes."""

    name: str
    order: dict[str, Any]
    tokens: int

    @classmethod
    def prompt(cls, tokens: int) -> Burst:
        return cls(f"prompt of {tokens}", {"do": "prefill", "tokens": tokens}, tokens)

    @classmethod
    def decode(cls, batch: int, steps: int) -> Burst:
        return cls(f"decode, batch {batch}", {"do": "decode", "batch": batch, "tokens": steps}, batch * steps)


QUICK = (Burst.prompt(64), Burst.decode(1, 4), Burst.decode(4, 4))
WHOLE = (
    *(Burst.prompt(n) for n in (64, 512, 2048)),
    *(Burst.decode(batch, STEPS // 2 if batch > 4 else STEPS) for batch in (1, 4, 16)),
)


class Side:
    """One driver process. ``home``: where it keeps what it makes of the weights, by default where the engine does."""

    def __init__(self, python: str, side: str, model: str, threads: int, home: Path | None = None) -> None:
        command = [python, "-P", drivers.__file__, side, model, str(threads)]
        environment = worker_environment() | ({} if home is None else {"FAMULUS_HOME": os.fspath(home)})
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
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


@dataclass
class Speeds:
    """What the sides took, by (threads, burst, side); the first side is ours."""

    names: list[str]
    files: list[int]
    threads: Sequence[int]
    bursts: Sequence[Burst]
    seconds: dict[tuple[int, str, int], list[float]] = field(default_factory=dict)
    processor: dict[tuple[int, str, int], list[float]] = field(default_factory=dict)

    def note(self, key: tuple[int, str, int], answer: dict[str, float]) -> None:
        """One burst's answer."""
        self.seconds.setdefault(key, []).append(answer["seconds"])
        self.processor.setdefault(key, []).append(answer["processor"])

    def speed_table(self) -> str:
        """Tokens per second and the ratios of each round."""
        columns = ["tokens/s", self.names[0], *(f for name in self.names[1:] for f in (name, "ratio"))]
        rows = []
        for threads, burst in ((t, b) for t in self.threads for b in self.bursts):
            each = [self.seconds[threads, burst.name, at] for at in range(len(self.names))]
            row = [_where(threads, burst), f"{burst.tokens / median(each[0]):.0f}"]
            for theirs in each[1:]:
                ratio = median([b / a for a, b in zip(each[0], theirs, strict=True)])
                row += [f"{burst.tokens / median(theirs):.0f}", f"{ratio:.2f}"]
            rows.append(row)
        return table(columns, rows)

    def cost_table(self) -> str:
        """Processor seconds of a thousand tokens; for prompts also what the first token waits for."""
        columns = ["processor seconds per 1,000 tokens", *self.names, *(f"first token, {n}" for n in self.names)]
        rows = []
        for threads, burst in ((t, b) for t in self.threads for b in self.bursts):
            keys = [(threads, burst.name, at) for at in range(len(self.names))]
            waits = [f"{1000 * median(self.seconds[key]):.0f} ms" for key in keys]
            first = waits if burst.order["do"] == "prefill" else ["-"] * len(keys)
            used = [f"{1000 * median(self.processor[key]) / burst.tokens:.2f}" for key in keys]
            rows.append([_where(threads, burst), *used, *first])
        return table(columns, rows)

    def memory_table(self, bandwidth: dict[int, float]) -> str:
        """How much of the machine's read bandwidth the weights of single decoded tokens take."""
        burst = next(b for b in self.bursts if b.order.get("batch") == 1)
        rows = []
        for threads in self.threads:
            row = [f"{threads} thread{'s' * (threads > 1)}: {bandwidth[threads] / 1e9:.1f} GB/s"]
            for at, size in enumerate(self.files):
                rate = size * burst.tokens / median(self.seconds[threads, burst.name, at])
                row.append(f"{rate / bandwidth[threads]:.0%}")
            rows.append(row)
        sizes = [f"{name} ({size / 1e6:.0f} MB)" for name, size in zip(self.names, self.files, strict=True)]
        return table(["share of the measured read bandwidth, decode, batch 1", *sizes], rows)


def _outside_table(found: dict[str, float]) -> str:
    """How much of a decoded token is neither product nor attention but everything that Python and torch do around."""
    row = [
        f"{1000 * found['step']:.2f} ms",
        f"{1000 * found['outside']:.2f} ms",
        f"{found['outside'] / found['step']:.0%}",
    ]
    columns = ["1 thread, batch 1: processor time of a step", "outside compiled kernels", "share", "goal", "calls"]
    return table(columns, [[*row, "≤ 15%", f"{found['calls']:.0f}"]])


def _where(threads: int, burst: Burst) -> str:
    return f"{threads} thread{'s' * (threads > 1)}, {burst.name}"


def speeds(model: Path, threads: Sequence[int], peer: str | None, rounds: int, bursts: Sequence[Burst]) -> str:
    """All tables of the model in the file ``model``; ``peer``: the interpreter that has llama-cpp-python."""
    files = [model]
    names, sides = ["Famulus"], [Side(sys.executable, "ours", os.fspath(model.parent), threads[0])]
    if peer:
        files += _other_forms(model, peer, threads[-1])
        sides += [Side(peer, "llama.cpp", os.fspath(file), threads[0]) for file in files]
        names += ["llama.cpp", *(f"its {kind}" for kind in FORMS)]
    facts = sides[0].ask({"do": "facts"})
    peers = [file.stat().st_size for file in files] if peer else []
    found = Speeds(names, [facts["decode_bytes"], *peers], threads, bursts)
    bandwidth: dict[int, float] = {}
    for i in range(rounds + 1):
        for count in threads:
            for side in sides:
                side.ask({"do": "threads", "count": count})
            for burst in bursts if i else QUICK:  # the first round warms up
                for at, side in enumerate(sides):
                    answer = side.ask(burst.order)
                    if i:
                        found.note((count, burst.name, at), answer)
            bandwidth[count] = max(bandwidth.get(count, 0), sides[0].ask({"do": "facts"})["bandwidth"])
    outside = sides[0].ask({"do": "outside", "tokens": STEPS if bursts is WHOLE else 4})
    texts = _texts(model)[: 1 if bursts is QUICK else None]
    losses = [side.ask({"do": "likelihood", "texts": texts})["nll"] for side in sides] if peer else []
    version = f" (llama-cpp-python {sides[1].ask({'do': 'facts'})['version']})" if peer else ""
    for side in sides:
        side.close()
    parts = [found.speed_table(), found.cost_table(), found.memory_table(bandwidth), _outside_table(outside)]
    if peer:
        rows = [[name, f"{loss:.4f}", f"{loss - losses[1]:+.4f}"] for name, loss in zip(names, losses, strict=True)]
        judged = f"quality: nats per token of {sum(len(t) - 1 for t in texts)} of code"
        parts.append(table([judged, "loss", f"against {names[1]}"], rows))
    below = f"{rounds} rounds, medians; drafts are off. The peer{version} reads the file that Famulus reads."
    return "\n\n".join([*parts, below])


def _other_forms(model: Path, peer: str, threads: int) -> list[Path]:
    """The peer's other forms of ``model``, made once and kept in the cache folder."""
    kept = folders().cache / "peer"
    kept.mkdir(parents=True, exist_ok=True)
    wanted = [kept / f"{model.stem}-{kind}.gguf" for kind in FORMS]
    if not all(path.exists() for path in wanted):
        side = Side(peer, "llama.cpp", os.fspath(model), threads)
        for kind, path in zip(FORMS, wanted, strict=True):
            half_made = path.with_suffix(f".{os.getpid()}")
            side.ask({"do": "requantise", "kind": kind, "to": os.fspath(half_made)})
            half_made.replace(path)
        side.close()
    return wanted


def _texts(model: Path) -> list[list[int]]:
    tokenizer = Tokenizer.of(open_checkpoint(model.parent))
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = [(library / f"{name}.py").read_text(encoding="utf-8")[:9000] for name in JUDGED]
    return [tokenizer.encode(text)[:WINDOW] for text in texts]
