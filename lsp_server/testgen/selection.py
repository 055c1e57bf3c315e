"""Which examples are enough: the smallest set that kills what can be killed, then a few that differ from those."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import Form
from famulus.lsp_server.testgen.case import Example
from famulus.lsp_server.testgen.familiar import oddity

T = TypeVar("T")


_EASY = 32
"""Characters of a call that are read at a glance."""
_STEP = 0.4
"""How much of a step's characters counts: steps are alike."""
_ONE_MORE = 60.0
"""What a test costs a reader besides its own price."""

ROWS = 8
"""Examples of one function at most, where most of them are rows of a table."""
_REFUSED = 12
"""Examples that are looked at in vain before no more are."""
_BY_KILL = 3
"""How many facts a mutant is worth that nothing else kills."""


def cover(
    kills: Sequence[Collection[int]],
    *,
    known: Collection[int] = (),
    cost: Sequence[float] | None = None,
    most: int | None = None,
) -> list[int]:
    """Positions of a small set that kills what all together kill, beyond ``known``: greedy, the most for its cost
    first, without those that the others make superfluous. Where that are more than ``most``: the ``most`` that kill
    the most."""
    price = cost or [0.0] * len(kills)
    chosen = _greedy(kills, known, lambda n, gain: (gain / (_ONE_MORE + price[n]), -price[n], -n))
    for position in sorted(chosen, key=lambda n: -price[n]):
        others = set(known).union(*(kills[n] for n in chosen if n != position))
        if not set(kills[position]) - others:
            chosen.remove(position)
    if most is not None and len(chosen) > most:
        return _greedy(kills, known, lambda n, gain: (gain, -price[n], -n))[:most]
    return chosen


def _greedy(
    kills: Sequence[Collection[int]], known: Collection[int], worth: Callable[[int, int], tuple[float, ...]]
) -> list[int]:
    left = set().union(*kills) - set(known) if kills else set()
    chosen: list[int] = []
    while left:
        adding = [n for n in range(len(kills)) if left & set(kills[n])]
        best = max(adding, key=lambda n: worth(n, len(left & set(kills[n]))))
        chosen.append(best)
        left -= set(kills[best])
    return chosen


def price(function: Function, call: Call, outcome: Outcome) -> float:
    """How much a reader has to take in: characters, and more for those that nobody types without a reason."""
    seen = len(outcome.shown(200))
    trusted = call.source in ("recorded", "test", "doctest")
    odd = 0.0 if trusted else oddity(call, function)
    long = max(0, len(call.text) - _EASY) + _STEP * sum(map(len, call.before))
    return long + 0.5 * seen + 4.0 * odd + 15.0 * call.doubt - (20.0 if trusted else 0.0)


_ODD, _LONG = 4.0, 60
"""Oddity, and characters, of a call that is hard to read."""
_FAIR = 70.0
"""Price above which an example is not taken for its other values."""
_DEAR = 110.0
"""Price above which an example is not taken for its richness alone."""


def rich(
    chosen: Sequence[int], kills: Sequence[Collection[int]], reach: Sequence[float], price: Sequence[float], most: int
) -> list[int]:
    """``chosen`` and one more, if there is room: the one that alone kills the most and has most ``reach``
    (0: it is not wanted). What is
    chosen kills with as little as possible; this one notices changes that no mutant stands for."""
    left = [n for n in range(len(kills)) if n not in chosen and price[n] <= _DEAR and kills[n] and reach[n]]
    if not left or len(chosen) >= most:
        return list(chosen)
    best = max(left, key=lambda n: (len(kills[n]), reach[n], -price[n]))
    return [*chosen, best]


def diverse(
    chosen: Sequence[int], traits: Sequence[Collection[T]], most: int, *, order: Sequence[float] | None = None
) -> list[int]:
    """``chosen`` and further positions, up to ``most``, each with a trait that none before it has; the lowest of
    ``order`` first."""
    found = list(chosen)
    seen: set[T] = set().union(*(traits[n] for n in found)) if found else set()
    for position in sorted(range(len(traits)), key=lambda n: order[n] if order else n):
        if len(found) >= most:
            break
        if position not in found and set(traits[position]) - seen:
            found.append(position)
            seen |= set(traits[position])
    return found


def widest(
    chosen: Sequence[int], facts: Sequence[Collection[T]], price: Sequence[float], most: int, *, least: int = 2
) -> list[int]:
    """``chosen`` and further positions, up to ``most``: those with the most facts that none before has, at ``least``
    so many. Changes that no mutant stands for show where the values are others."""
    found = list(chosen)
    seen: set[T] = set().union(*(facts[n] for n in found)) if found else set()
    while len(found) < most:
        left = [n for n in range(len(facts)) if n not in found and price[n] <= _FAIR]
        new = {n: len(set(facts[n]) - seen) for n in left}
        best = max(left, key=lambda n: (new[n] / (_ONE_MORE + price[n]), -n), default=None)
        if best is None or new[best] < least:
            break
        found.append(best)
        seen |= set(facts[best])
    return found


def fuller(
    chosen: Sequence[int],
    kills: Sequence[Collection[int]],
    facts: Sequence[Collection[T]],
    price: Sequence[float],
    few: Callable[[Sequence[int]], bool],
) -> list[int]:
    """``chosen`` and further positions, up to :data:`ROWS`, as long as they make ``few`` tests: rows of a table cost a
    reader little. Those that kill the most more, and whose values are others."""
    found, refused = list(chosen), set[int]()
    while len(found) < ROWS and len(refused) < _REFUSED:
        killed = set[int]().union(*(kills[n] for n in found))
        seen = set[T]().union(*(facts[n] for n in found))
        left = [n for n in range(len(kills)) if n not in found and n not in refused and price[n] <= _FAIR]
        new = {n: _BY_KILL * len(set(kills[n]) - killed) + len(set(facts[n]) - seen) for n in left}
        best = max(left, key=lambda n: (new[n] / (_ONE_MORE + price[n]), -n), default=None)
        if best is None or not new[best]:
            break
        if few([*found, best]):
            found.append(best)
        else:
            refused.add(best)
    return found


def worths(function: Function, examples: Sequence[Example], chosen: Sequence[int]) -> list[float]:
    """How much more each example shows than those that are ``chosen``; 0 for those whose answer is one of theirs."""
    seen = [examples[n].outcome for n in chosen]
    return [
        0.0 if _odd(function, example.call) or any(example.outcome.same(one) for one in seen) else _richness(example)
        for example in examples
    ]


def _odd(function: Function, call: Call) -> bool:
    """Whether a call is taken for nothing but the mutants that no other one notices."""
    return oddity(call, function) > _ODD or len(call.text) > _LONG


def _richness(example: Example) -> float:
    """How much of the function an example shows; 0 for those that a reader would wonder about."""
    strange = not example.call.text.isascii() or "\\" in example.call.text
    if example.outcome.kind != "value" or strange:
        return 0.0
    text = "".join(example.call.expressions)
    different = len(set(re.findall(r"\w+", text))) / 10 + (text != text.lower()) / 10
    return len(example.outcome.lines) + min(different, 0.6) + min(len(example.outcome.shown()), 30) / 100


def traits(examples: Sequence[Example], function: Function | None = None) -> list[frozenset[object]]:
    """What tells the kinds of answer apart: the exception, or the lines that were run, the parameters that are given,
    and the values that have no other like them; nothing for calls of ``function`` that a reader would wonder about."""
    found: list[frozenset[object]] = []
    for example in examples:
        call, outcome = example.call, example.outcome
        if function is not None and _odd(function, call):
            found.append(frozenset())
            continue
        plain = _sort(outcome.value)
        given = (len(call.args), *(name for name, _ in call.kwargs))
        found.append(
            frozenset({outcome.exception, outcome.lines} if outcome.exception else {outcome.lines, plain, given})
        )
    return found


def _sort(form: Form) -> str:
    """Which sort of values of its type one is: a truth value itself, a number by its sign, all else by being empty."""
    if form[:1] in (["bool"], ["const"]):
        return str(form[1])
    if form[:1] in (["int"], ["float"]):
        text = str(form[1])
        return "negative" if text.startswith("-") else "zero" if not re.search(r"[1-9a-z]", text) else "positive"
    return "" if len(form) < 2 else f"{form[0]} {bool(form[1])}"
