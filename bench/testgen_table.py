"""The tables of ``famulus bench testgen``, of what was measured so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from famulus.bench.report import median, percentile, table
from famulus.bench.testgen_coverage import Parts
from famulus.bench.testgen_keep import Module, Record, Verdict


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
    theirs = [m for m in modules if keys & set(m.verdicts)]
    verdicts = [v for r in ours for v in r.verdicts if v.killable]
    parts = {(m.key, name): part for m in theirs for name, part in m.coverage.items()}
    reached = {name: part for (_, name), part in parts.items()}
    lines = [(reached[r.name][0][0] if r.name in reached else 0, r.suite.lines[1]) for r in ours]
    branches = [(reached[r.name][1][0] if r.name in reached else 0, _branches(r, reached)) for r in ours]
    rows: list[list[object]] = [
        ["modules, without tests", "–", f"{len(theirs)}, {sum(not m.suite.text for m in theirs)}"],
        ["functions without tests", sum(not r.suite.text for r in ours), "–"],
        ["killable changes caught", *(share(sum(map(bool, hits)), len(hits)) for hits in _hits(verdicts))],
        ["killable changes missed", *(sum(not hit for hit in hits) for hits in _hits(verdicts))],
        ["tests", sum(r.suite.tests for r in ours), sum(m.suite.tests for m in theirs)],
        ["tests without an assertion", sum(r.suite.bare for r in ours), sum(m.suite.bare for m in theirs)],
        ["tests that are expected to fail", sum(r.suite.expected for r in ours), sum(m.suite.expected for m in theirs)],
        ["tests that fail", sum(r.suite.red for r in ours), sum(m.suite.red for m in theirs)],
        ["flaky tests", sum(r.suite.flaky for r in ours), sum(m.suite.flaky for m in theirs)],
        ["lines reached", _part(r.suite.lines for r in ours), _part(lines)],
        ["branches reached", _part((r.suite.branches[0], _branches(r, reached)) for r in ours), _part(branches)],
        ["seconds", f"{sum(r.seconds for r in ours):.0f}", f"{sum(m.seconds for m in theirs):.0f}"],
    ]
    return table(["on the same functions", "Famulus", "Pynguin"], rows)


def _hits(verdicts: Sequence[Verdict]) -> tuple[list[bool | None], list[bool | None]]:
    return [v.ours for v in verdicts], [v.peer for v in verdicts]


def _branches(record: Record, reached: Mapping[str, Parts]) -> int:
    """How many there are: a side without tests of the function knows of none."""
    return max(record.suite.branches[1], reached[record.name][1][1] if record.name in reached else 0)


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
