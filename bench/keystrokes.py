"""``famulus bench keystrokes``: real functions typed key by key into their files, a completion asked for at every key.

What an editor does: text that the last suggestion already shows is typed through without a request; any other key
cancels the request before it. The typist is seeded: pauses are log-normal around 0.18 s. Times are from the key to the
first and to the last token shown, over the keys whose request was answered before the next key.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from famulus.bench.report import heading, median, percentile, table
from famulus.bench.typist import Function, functions, keys, pauses
from famulus.engine.client import connect
from famulus.engine.protocol import Delta, Done, Infill
from famulus.engine.stream import Call, Stream
from famulus.engine.stream import connect as stream_connect


@dataclass
class Result:
    """Counts over all keys, and times in seconds."""

    keys: int = 0
    typed_through: int = 0
    asked: int = 0
    answered: int = 0
    empty: int = 0
    cancelled: int = 0
    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)


class Typist:
    """Types one function after another on one stream."""

    def __init__(self, stream: Stream, result: Result, seed: int) -> None:
        self._stream, self._result = stream, result
        self._pauses = pauses(seed)
        self._ghost = ""
        self._pending: asyncio.Task[None] | None = None
        self._call: Call | None = None

    async def type(self, function: Function) -> None:
        """Open the file, wait for the first suggestion, then all keys of one function.

        Indentation at a line's start comes from the editor in one go.
        """
        self._ghost = ""
        typed = ""
        self._ask(function, typed)
        assert self._pending is not None
        await self._pending
        for key in keys(function.body):
            typed += key
            self._result.keys += 1
            if self._ghost.startswith(key):
                self._ghost = self._ghost[len(key) :]
                self._result.typed_through += bool(self._ghost)
            else:
                self._ghost = ""
            if not self._ghost:
                self._ask(function, typed)
            await asyncio.sleep(next(self._pauses))
        self._drop()

    def _ask(self, function: Function, typed: str) -> None:
        self._drop()
        self._result.asked += 1
        prompt = Infill(function.before + typed, function.after, path=function.path, language="python")
        self._call = self._stream.generate(prompt, lane="key", max_tokens=32)
        self._pending = asyncio.create_task(self._show(self._call, cold=not typed))

    def _drop(self) -> None:
        """A newer key (or the end) makes the open request useless."""
        if self._pending is not None and not self._pending.done():
            self._result.cancelled += 1
            assert self._call is not None
            self._call.cancel()
            self._pending.cancel()

    async def _show(self, call: Call, cold: bool) -> None:
        start, shown, first = time.perf_counter(), "", None
        async for event in call:
            if isinstance(event, Delta) and event.text:
                first = first or time.perf_counter() - start
                shown += event.text
            elif isinstance(event, Done):
                now = time.perf_counter() - start
                self._result.answered += 1
                self._ghost = shown
                self._result.empty += not shown
                if cold:
                    self._result.cold.append(now)
                    return
                self._result.computed.append(event.usage.prompt - event.usage.cached)
                self._result.last.append(now)
                if first is not None:
                    self._result.first.append(first)


async def measure(home: Path | None, count: int, seed: int) -> tuple[Result, dict[str, float]]:
    """Type ``count`` functions; the result and what the engine's counters rose by."""
    result = Result()
    with connect(home) as client:
        client.tokenize("x")
        before = client.status()["stats"]
        async with stream_connect(home) as stream:
            typist = Typist(stream, result, seed)
            for function in functions(count, seed):
                await typist.type(function)
        after = client.status()["stats"]
    return result, {name: after[name] - before.get(name, 0) for name in after}


def report(result: Result, counters: dict[str, float]) -> str:
    """The table."""

    def ms(seconds: float) -> str:
        return f"{1000 * seconds:.0f} ms"

    asked = f"{result.asked} ({result.answered} answered, {result.cancelled} cancelled by the next key)"
    rows: list[list[object]] = [
        ["keys typed", result.keys, ""],
        ["typed through, no request", result.typed_through, ""],
        ["requests", asked, ""],
        ["first token, p50 / p95", f"{ms(median(result.first))} / {ms(percentile(result.first, 0.95))}", ""],
        ["last token, p50 / p95", f"{ms(median(result.last))} / {ms(percentile(result.last, 0.95))}", "p50 ≤ 200 ms"],
        ["first request in a file (cold), p50", ms(median(result.cold)), ""],
        ["prompt tokens computed per answered key, mean", f"{_mean(result.computed):.1f}", "≤ 5"],
        ["same, median", f"{median([float(c) for c in result.computed]):.0f}", ""],
        ["steps abandoned when their request was cancelled", f"{counters['aborted_steps']:.0f}", ""],
        ["steps finished for a cancelled request", f"{counters['unwanted_chunks']:.0f}", "0"],
    ]
    return table(["keystrokes", "measured", "goal"], rows)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else float("nan")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench keystrokes", description=__doc__)
    parser.add_argument("--functions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(heading(f"famulus bench keystrokes --functions {options.functions} --seed {options.seed}"))
    result, counters = asyncio.run(measure(None, options.functions, options.seed))
    print(report(result, counters))


if __name__ == "__main__":
    main()
