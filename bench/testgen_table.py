"""The tables of ``famulus bench testgen``, of what was measured so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from famulus.bench.report import median, percentile, table
from famulus.bench.testgen_keep import Module, Record, Suite, Verdict


def share(part: float, whole: float) -> str:
    """A percentage."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def ours(records: Sequence[Record]) -> str:
    """What the tests are worth in one table."""
    verdicts = [v for r in records for v in r.verdicts]
    killable = [v for v in verdicts if v.killable]
    with_tests = [r for r in records if r.suite.text]
    tests = sum(r.suite.tests for r in records)
    dropped = sum(r.suite.dropped for r in records)
    red, flaky = sum(r.suite.red for r in records), sum(r.suite.flaky for r in records)
    mutants, killed = sum(r.mutants for r in records), sum(r.killed for r in records)
    rows: list[list[object]] = [
        ["functions, of them with tests", f"{len(records)}, {len(with_tests)}"],
        ["tests of a function, on average (those with tests)", f"{tests / max(1, len(with_tests)):.2f}"],
        ["most tests of a function", max((r.suite.tests for r in records), default=0)],
        ["with each row of a table: on average, most", _rows([r.suite.rows for r in with_tests])],
        ["changes that were held out, of them killable", f"{len(verdicts)}, {len(killable)}"],
        ["killable ones caught", share(sum(bool(v.ours) for v in killable), len(killable))],
        ["all caught", share(sum(bool(v.ours) for v in verdicts), len(verdicts))],
        ["mutation score (kinds of the selection)", share(killed, mutants)],
        ["lines reached", _part(r.suite.lines for r in records)],
        ["branches reached", _part(r.suite.branches for r in records)],
        ["tests kept of those proposed", share(tests, tests + dropped)],
        ["tests without an assertion", sum(r.suite.bare for r in records)],
        ["tests that fail, that are flaky (10 runs)", f"{red}, {flaky}"],
        ["seconds for a function: median, 90 %, most", _seconds([r.seconds for r in records])],
        ["processor seconds for a function: median, 90 %, most", _seconds([r.processor for r in records])],
        ["importing the project and collecting, median seconds", f"{median([r.importing for r in with_tests]):.2f}"],
    ]  # fmt: skip
    return table(["of all", "value"], rows)


def _rows(counts: Sequence[int]) -> str:
    return f"{sum(counts) / len(counts):.2f}, {max(counts)}" if counts else "–"


def _part(pairs: Iterable[tuple[int, int]]) -> str:
    listed = list(pairs)
    return share(sum(p for p, _ in listed), sum(w for _, w in listed))


def _seconds(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{median(values):.1f}, {percentile(values, 0.9):.1f}, {max(values):.1f}"


def beside(records: Sequence[Record], modules: Sequence[Module]) -> str:
    """Ours and the peer's tests of the same functions."""
    ours = [r for r in records if any(v.peer is not None for v in r.verdicts)]
    keys = {r.key for r in ours}
    theirs = [m for m in modules if any(f"{m.key.rpartition(':')[0]}::{name}" in keys for name in m.functions)]
    verdicts = [v for r in ours for v in r.verdicts if v.killable]
    parts = {f"{m.key.rpartition(':')[0]}::{name}": part for m in theirs for name, part in m.coverage.items()}
    lines = [(parts[r.key][0][0] if r.key in parts else 0, r.suite.lines[1]) for r in ours]
    branches = [(parts[r.key][1][0] if r.key in parts else 0, _branches(r, parts)) for r in ours]
    own_branches = [(r.suite.branches[0], _branches(r, parts)) for r in ours]
    caught = [[bool(v.ours) for v in verdicts], [bool(v.peer) for v in verdicts]]
    own, other = sides = [r.suite for r in ours], [m.suite for m in theirs]
    seconds = sum(r.seconds for r in ours), sum(m.seconds for m in theirs)
    rows: list[list[object]] = [
        ["modules, functions", *[f"{len(theirs)}, {len(ours)}"] * 2],
        ["functions, modules without tests", sum(not s.text for s in own), sum(not s.text for s in other)],
        ["killable changes", *[len(verdicts)] * 2],
        ["of them caught", *(share(sum(side), len(side)) for side in caught)],
        ["missed", *(len(side) - sum(side) for side in caught)],
        ["missed, but noticed by the other", *(_alone(*pair) for pair in (caught[::-1], caught))],
        ["tests", *(_sum(side, "tests") for side in sides)],
        ["tests of a function, on average", *(f"{_sum(side, 'tests') / max(1, len(ours)):.2f}" for side in sides)],
        ["tests without an assertion", *(_sum(side, "bare") for side in sides)],
        ["tests that are expected to fail", *(_sum(side, "expected") for side in sides)],
        ["tests that fail, flaky in ten runs", *(f"{_sum(side, 'red')}, {_sum(side, 'flaky')}" for side in sides)],
        ["lines reached", _part(s.lines for s in own), _part(lines)],
        ["branches reached", _part(own_branches), _part(branches)],
        ["lines and branches", _part([*(s.lines for s in own), *own_branches]), _part([*lines, *branches])],
        ["seconds of a function, on average", *(f"{taken / max(1, len(ours)):.1f}" for taken in seconds)],
        ["of a module: given, taken, to start before", "", _times(theirs)],
    ]
    return table(["on the same functions", "Famulus", "Pynguin"], rows)


def _alone(one: Sequence[bool], other: Sequence[bool]) -> int:
    """What the first side notices and the other does not."""
    return sum(hit and not miss for hit, miss in zip(one, other, strict=True))


def _sum(suites: Sequence[Suite], name: str) -> int:
    return sum(int(getattr(suite, name)) for suite in suites)


def _times(modules: Sequence[Module]) -> str:
    """On average."""
    each = ([m.budget for m in modules], [m.seconds for m in modules], [m.starting for m in modules])
    return ", ".join(f"{sum(one) / max(1, len(one)):.1f}" for one in each)


def _branches(record: Record, parts: Mapping[str, tuple[tuple[int, int], tuple[int, int]]]) -> int:
    """How many there are: a side without tests of the function knows of none."""
    return max(record.suite.branches[1], parts[record.key][1][1] if record.key in parts else 0)


def by_kind(records: Sequence[Record]) -> str:
    """What is caught of each kind of change."""
    groups: dict[str, list[Verdict]] = {}
    for record in records:
        for verdict in record.verdicts:
            groups.setdefault(verdict.kind, []).append(verdict)
    rows = []
    for kind, verdicts in sorted(groups.items()):
        killable = [v for v in verdicts if v.killable]
        rows.append([kind, len(verdicts), len(killable), share(sum(bool(v.ours) for v in killable), len(killable))])
    return table(["kind of change", "changes", "killable", "caught"], rows)


def missed(records: Sequence[Record], most: int) -> str:
    """Functions with what their tests did not notice, and functions without tests: at most so many."""
    lines = ["Missed (* killable):"]
    worst = sorted(records, key=lambda r: -sum(v.killable and not v.ours for v in r.verdicts))
    for record in [r for r in worst if any(not v.ours for v in r.verdicts)][:most]:
        caught = sum(bool(v.ours) for v in record.verdicts)
        reached = share(*record.suite.lines)
        lines.append(
            f"- {record.key}: {caught} of {len(record.verdicts)}; {record.suite.tests} tests, {reached} of lines, "
            f"{record.seconds:.0f} s{'; ' + record.why if record.why else ''}"
        )
        for verdict in record.verdicts:
            if not verdict.ours:
                mark = "*" if verdict.killable else " "
                lines.append(f"   {mark} {verdict.line}: {verdict.kind}: {verdict.change}")
    return "\n".join(lines)
