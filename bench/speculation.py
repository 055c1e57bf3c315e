"""``famulus bench speculation``: five kinds of requests with and without drafts, in turn, by the same model in memory.

Times are processor seconds of all threads, because others use the machine too, from the first token of an answer to its
last (*decoding*) and from the request to its end with nothing cached (*whole*). The answers of both sides are compared
token by token: drafts change how long they take and nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from famulus.bench.report import heading, median, table
from famulus.bench.speculation_work import Ask, workloads
from famulus.engine.core import Core
from famulus.engine.protocol import Delta, Failed
from famulus.engine.served import open_served
from famulus.engine.settings import Settings

COLUMNS = [
    "workload",
    "answers",
    "tokens",
    "without, tokens/s",
    "with, tokens/s",
    "decoding, ratio",
    "whole, ratio",
    "drafted a token",
    "of them kept",
    "tokens a step",
]


@dataclass
class Side:
    """One engine's sums over the answers of a workload; seconds of processor time."""

    tokens: int = 0
    decoding: float = 0.0
    whole: float = 0.0
    drafted: float = 0.0
    kept: float = 0.0


def answer(core: Core, ask: Ask, id: str, sums: Side) -> dict[int, str]:
    """One answer from nothing: the text of each candidate. Added to ``sums`` if it has a decoding part."""
    core.cache.evict(core.cache.total)
    before = core.stats()
    core.submit(ask(id))
    text: dict[int, str] = {}
    begun, first = time.process_time(), 0.0
    while core.busy:
        for event in core.step(lambda: None):
            if isinstance(event, Failed):
                raise SystemExit(f"A request failed: {event.message}")
            if isinstance(event, Delta):
                text[event.index] = text.get(event.index, "") + event.text
        if not first and core.stats()["generated_tokens"] > before["generated_tokens"]:
            first = time.process_time()
    ended, after = time.process_time(), core.stats()
    count = int(after["generated_tokens"] - before["generated_tokens"])
    if count > 1:
        sums.tokens += count - 1
        sums.decoding += ended - first
        sums.whole += ended - begun
        sums.drafted += after["drafted_tokens"] - before["drafted_tokens"]
        sums.kept += after["accepted_tokens"] - before["accepted_tokens"]
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench speculation", description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--threads", type=int, default=1, help="1: processor time and wall time are the same")
    parser.add_argument("--count", type=int, default=6, help="requests of each kind")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[])
    options = parser.parse_args(arguments)
    print(heading(f"famulus bench speculation --count {options.count} --rounds {options.rounds} --seed {options.seed}"))
    served = open_served(Settings(model=options.model, threads=options.threads), lambda stage: None)
    served.governor.apply(served.governor.current)
    sides = {"with": Core(served), "without": Core(replace(served, speculation=None))}
    rows, number = [], 0
    for name, asks in workloads(options.count, options.seed).items():
        if options.only and name not in options.only:
            continue
        sums: dict[str, list[Side]] = {side: [] for side in sides}
        for _ in range(options.rounds):
            for side in sides:
                sums[side].append(Side())
            for i, ask in enumerate(asks):
                said = {}
                for side in sorted(sides, reverse=bool(i % 2)):
                    number += 1
                    said[side] = answer(sides[side], ask, str(number), sums[side][-1])
                if said["with"] != said["without"]:
                    raise SystemExit(f"Different answers for request {i} of {name}: {said}")
        rows.append(_row(name, len(asks), sums["with"], sums["without"]))
    print(table(COLUMNS, rows))
    print(
        f"\n{options.threads} thread(s), {options.rounds} rounds; ratios are their medians. All answers were the same."
    )


def _row(name: str, count: int, ours: list[Side], plain: list[Side]) -> list[object]:
    tokens, drafted, kept = (sum(getattr(s, f) for s in ours) for f in ("tokens", "drafted", "kept"))
    return [
        name,
        count,
        tokens // len(ours),
        f"{median([s.tokens / s.decoding for s in plain]):.0f}",
        f"{median([s.tokens / s.decoding for s in ours]):.0f}",
        f"{median([b.decoding / a.decoding for a, b in zip(ours, plain, strict=True)]):.2f}",
        f"{median([b.whole / a.whole for a, b in zip(ours, plain, strict=True)]):.2f}",
        f"{drafted / tokens:.2f}",
        f"{kept / max(1, drafted):.0%}",
        f"{tokens / (tokens - kept):.2f}",
    ]
