"""In what the new version of a test demands less than the old one."""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from famulus.lsp_server.review.finding import Certainty
from famulus.lsp_server.review.suite.assertions import CLOSE, EXACT, Assertion
from famulus.lsp_server.review.suite.collected import Test
from famulus.lsp_server.review.suite.pairing import Suite

_WORD = re.compile(r"[^\W\d]\w*")
_ANYTHING = ("", "''", '""', "'.*'", "'.'", "'.+'")


@dataclass(frozen=True, slots=True)
class Weakening:
    """One way in which a test demands less. ``kind``: the last part of the rule's id. ``text``: what it now does, to
    follow the name of the test. ``before``, ``after``: the source, empty if there is none. ``line``: of the new side,
    0 for the test itself; ``old_line``: of the old side."""

    kind: str
    text: str
    before: str
    after: str
    line: int = 0
    old_line: int = 0
    certainty: Certainty = "certain"


def weakenings(suite: Suite, old: Test, new: Test) -> Iterator[Weakening]:
    """All of them."""
    yield from _demands(suite, old, new)
    yield from _marks(old, new)
    yield from _returns(old, new)
    yield from _cases(suite, old, new)
    yield from _mocks(old, new)


def _demands(suite: Suite, old: Test, new: Test) -> Iterator[Weakening]:
    left, right = list(old.demands), list(new.demands)
    for demand in list(left):
        same = next((d for d in right if d.text == demand.text and d.about == demand.about), None)
        if same is not None:
            left.remove(demand)
            right.remove(same)
            yield from _swallowed(demand, same)
    missing = []
    for demand in left:
        among = [d for d in right if d.about & demand.about and (d.kind == "raises") == (demand.kind == "raises")]
        if not among:
            missing.append(demand)
            continue
        version = max(among, key=lambda d: (d.strength, difflib.SequenceMatcher(None, d.text, demand.text).ratio()))
        right.remove(version)
        yield from _swallowed(demand, version)
        yield from _less(suite, demand, version, right)
    yield from _missing(suite, old, new, missing, right)


def _swallowed(old: Assertion, new: Assertion) -> Iterator[Weakening]:
    if new.swallowed and not old.swallowed:
        text = f"passes even if `{new.text}` fails: the failure is caught and dropped"
        yield Weakening("swallowed", text, old.text, new.text, new.line, old.line)


def _less(suite: Suite, old: Assertion, new: Assertion, others: list[Assertion]) -> Iterator[Weakening]:
    """``new`` in the place of ``old``; ``others``: what the test demands in addition since."""

    def weakening(kind: str, text: str) -> Weakening:
        return Weakening(kind, text, old.text, new.text, new.line, old.line)

    if old.kind == "raises":
        wider = _wider(suite, old.errors, new.errors)
        if wider:
            yield weakening("error-broadened", f"accepts any {wider} where it demanded {' or '.join(old.errors)}")
        if old.match not in _ANYTHING and new.match in _ANYTHING:
            yield weakening("match-removed", f"no longer looks at the error's message (it had to match {old.match})")
        return
    if old.text in new.either:
        yield weakening("weaker", f"is content with less: `{old.text}` became `{new.text}`")
        return
    if new.strength < old.strength:
        if not any(d.strength >= old.strength and _speaks_of(d, old) for d in others):
            kind = "approximate" if (old.strength, new.strength) == (EXACT, CLOSE) else "weaker"
            yield weakening(kind, f"is content with less: `{old.text}` became `{new.text}`")
        return
    changed = {n: (v, new.tolerance[n]) for n, v in old.tolerance.items() if n in new.tolerance}
    if any(b > a for a, b in changed.values()) and not any(b < a for a, b in changed.values()):
        yield weakening("tolerance", f"accepts a larger error: `{old.text}` became `{new.text}`")
    elif _looser(old.bound, new.bound):
        yield weakening("tolerance", f"accepts more: `{old.text}` became `{new.text}`")
    elif old.choices is not None and new.choices is not None and new.choices > old.choices:
        yield weakening("weaker", f"accepts more: `{old.text}` became `{new.text}`")


def _looser(old: tuple[str, float] | None, new: tuple[str, float] | None) -> bool:
    if old is None or new is None or old[0][0] != new[0][0]:
        return False
    grown = new[1] > old[1] if old[0][0] == "<" else new[1] < old[1]
    return grown or (new[1] == old[1] and len(new[0]) > len(old[0]))


def _speaks_of(demand: Assertion, old: Assertion) -> bool:
    return any(subject in text for subject in old.about for text in demand.about)


def _wider(suite: Suite, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """The error among ``new`` that lets through more than ``old`` did; empty if there is none."""
    for name in new:
        if name not in old and all(_above(suite, name, o) for o in old[:1]):
            return name
    return next((n for n in new if n not in old), "") if set(new) > set(old) else ""


def _above(suite: Suite, upper: str, lower: str) -> bool:
    """Whether ``upper`` is a base of ``lower``."""
    upper, lower = upper.rpartition(".")[2], lower.rpartition(".")[2]
    if upper == lower:
        return False
    a, b = getattr(builtins, upper, None), getattr(builtins, lower, None)
    if isinstance(a, type) and isinstance(b, type):
        return issubclass(b, a)
    if upper in ("Exception", "BaseException"):
        return True
    seen, stack = set(), [lower]
    while stack:
        name = stack.pop()
        if name == upper:
            return True
        if name not in seen:
            seen.add(name)
            stack += suite.bases.get(name, ())
    return False


def _missing(
    suite: Suite, old: Test, new: Test, missing: list[Assertion], others: list[Assertion]
) -> Iterator[Weakening]:
    """Demands that nothing stands in for. What was taken away or went to another test or a helper is no loss."""
    if (new.called - old.called) & (suite.helpers | suite.new_functions) or _spread(new) > _spread(old):
        return
    lost = [d for d in missing if not _elsewhere(suite, new, d)]
    for other in others:
        if lost and other.strength:
            lost.remove(max(lost, key=lambda d: difflib.SequenceMatcher(None, d.text, other.text).ratio()))
    for demand in lost:
        if demand.strength and not demand.swallowed:
            yield Weakening("removed", f"no longer checks `{demand.text}`", demand.text, "", 0, demand.line)


def _elsewhere(suite: Suite, new: Test, demand: Assertion) -> bool:
    """Whether a demand went with what it was about, or to another test, or is now an argument (``wait(lambda: …)``)."""
    if suite.gained[demand.text] or suite.lost_names & _words(demand):
        return True
    if any(d.about & demand.about and d.strength >= demand.strength for t in suite.come for d in t.demands):
        return True
    return any(isinstance(n, ast.Call) and demand.text in ast.unparse(n) for n in ast.walk(new.node))


def _words(demand: Assertion) -> set[str]:
    return set(_WORD.findall(demand.text))


def _spread(test: Test) -> int:
    """How many times over a test's demands are asked."""
    loops = sum(isinstance(n, ast.For | ast.AsyncFor | ast.comprehension) for n in ast.walk(test.node))
    given = sum("parametrize" in ast.unparse(d) or "given" in ast.unparse(d) for d in test.node.decorator_list)
    return sum(len(cases) for cases in test.cases.values()) + loops + 2 * given


def _marks(old: Test, new: Test) -> Iterator[Weakening]:
    before = {mark.name: mark for mark in old.marks}
    for mark in new.marks:
        was = before.get(mark.name)
        certainty: Certainty = "certain" if mark.always else "likely"
        if was is None:
            what = "may fail from now on" if mark.name in ("xfail", "expectedFailure") else "is no longer run"
            if not mark.always:
                what += " under a condition"
            yield Weakening("skipped", f"{what} (`{mark.text}`)", "", mark.text, mark.line, 0, certainty)
        elif was.strict and not mark.strict:
            text = "may pass without anybody noticing: its `strict=True` is gone"
            yield Weakening("strict-removed", text, was.text, mark.text, mark.line, was.line)
        elif mark.always and not was.always:
            text = f"is skipped always, no longer under a condition (`{mark.text}`)"
            yield Weakening("skipped", text, was.text, mark.text, mark.line, was.line)


def _returns(old: Test, new: Test) -> Iterator[Weakening]:
    if len(new.returns) <= len(old.returns):
        return
    line, sure = new.returns[0]
    first = next(d for d in new.demands if d.line > line)
    text = f"{'returns' if sure else 'may return'} before it checks `{first.text}`"
    yield Weakening("returns-early", text, "", "return", line, 0, "certain" if sure else "likely")


def _cases(suite: Suite, old: Test, new: Test) -> Iterator[Weakening]:
    for names, before in old.cases.items():
        after = new.cases.get(names)
        if after is None or len(after) >= len(before):
            continue
        elsewhere = Counter(c for t in suite.come for cases in t.cases.values() for c in cases)
        lost = list((Counter(before) - Counter(after) - elsewhere).elements())
        lost = [
            case for case in lost if not any(name in suite.lost_names for name in case.replace('"', "'").split("'"))
        ]
        if lost:
            shown = ", ".join(f"`{case}`" for case in lost[:3]) + (", …" if len(lost) > 3 else "")
            text = f"is no longer run for {shown}"
            yield Weakening("cases-removed", text, "\n".join(lost), "", new.node.lineno, old.node.lineno)


def _mocks(old: Test, new: Test) -> Iterator[Weakening]:
    for name, (source, line) in new.replaced.items():
        if name not in old.replaced and name in old.called and name in new.called:
            text = f"tests a mock: `{name}`, which it calls, is replaced by `{source}`"
            yield Weakening("subject-mocked", text, "", source, line)
