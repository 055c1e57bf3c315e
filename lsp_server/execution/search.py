"""Looks for a call that two versions of a function answer differently."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.outcome import Difference, Outcome, What, difference
from famulus.lsp_server.execution.pair import Pair
from famulus.lsp_server.execution.relevance import Reliable, another_matter
from famulus.lsp_server.execution.shrink import shrunk
from famulus.lsp_server.execution.version import Patch, Version

FIRST, NEXT, ROUNDS = (8, 32), 80, 8
"""Nine of ten differences that are found at all are found by the first eight calls."""
TRIED = (14, 40, 60)
"""Calls by which one sees whether a function comes to another one; the later ones if those before came near."""
_ENOUGH, _STALE = 120, 2
"""After so many calls that the old version answered, and rounds that reached no new line, nothing more is expected."""
_CPU = 0.1
"""CPU seconds that a call of the old version may take. Slower ones are not compared."""
_WALL = 0.7
"""Seconds that it may take: code that sleeps or waits is not compared."""
_LOSSES = 3
"""Calls of a function that may cost their process before the rest is left alone."""
_CANDIDATES, _TRIED, _VAIN = 40, 8, 2
"""Calls that are made again, those in vain, and those of them that differ in the same place."""
_SHRINKING = 0.7
"""Seconds in which a call that shows a difference is made smaller."""
_SEEDS = (1, 2)
_MORE_SEEDS = (3, 4)
"""Where two answers differ in nothing but order, two seeds may agree by chance."""


@dataclass(frozen=True)
class Subject:
    """A function in both versions: the modules' names, the functions, the sources of their modules."""

    old_module: str
    new_module: str
    old: Function
    new: Function
    old_path: str
    imports: tuple[str, ...] = ()
    within: Within | None = None
    new_source: str = field(default="", repr=False)
    """Of the module, where calls of the function itself are tried."""

    @property
    def patch(self) -> Patch | None:
        """What makes the old version answer as the new one, if all else in it stays."""
        if self.within is None:
            return (self.old.name, self.new_source) if self.new_source else None
        return self.within.name, self.within.new_source, self.within.module


@dataclass(frozen=True)
class Within:
    """The changed function, where calls of it are not tried, but calls of one that comes to it.

    ``module`` and ``lines``: where it stands in the old version; ``new_source``: of its file; ``reshaped``: its
    parameters are others."""

    module: str
    name: str
    lines: range
    new_source: str = field(repr=False)
    reshaped: bool = False


@dataclass(frozen=True)
class Witness:
    """A call with both answers, seen in fresh processes with two seeds of the hashes each."""

    call: Call
    old: Outcome
    new: Outcome
    difference: Difference
    settled: bool = True
    """Whether all of both answers was the same again, not only what differs."""


@dataclass
class Found:
    """What a search found: at most one witness of each kind, the strongest first, and how many calls it took."""

    witnesses: list[Witness] = field(default_factory=list)
    tried: int = 0
    usable: int = 0
    """Calls that the old version answered."""
    unstable: int = 0
    """Calls whose answer was not the same twice."""
    ended: int = 0
    """Calls that the old version did not come to the end of: on a busy machine another one may."""
    vain: list[str] = field(default_factory=list)
    """Where in their answers calls differed which fresh processes did not bear out."""
    module: str = ""
    """The old version's module in which the calls are made."""


class Search:
    """Compares the two versions of a pair. ``source``: the old version's text of a path, None if there is none."""

    def __init__(self, pair: Pair, source: Callable[[str], str | None]) -> None:
        self.old, self.new, self._apart = pair.old, pair.new, pair.apart
        self._counts = Reliable(source)

    def open(self, old_module: str, new_module: str) -> None:
        """Import the modules of both versions, at the same time. Raises :class:`ImportFailed`."""
        _opened(self.old, self.new, old_module, new_module)

    def witness(self, subject: Subject, inputs: Inputs, *, seconds: float) -> Found:
        """Look for ``seconds`` of time, or until enough calls are made.

        Raises :class:`ImportFailed` and :class:`ExecutionFailed`."""
        found = Found(module=subject.old_module)
        deadline = time.monotonic() + seconds
        self.open(subject.old_module, subject.new_module)
        stale = 0
        for number in range(ROUNDS):
            reached = inputs.reached
            for size in FIRST if number == 0 else (NEXT,):
                calls = inputs.calls(size)
                self._compare(subject, inputs, calls, found, deadline)
                enough = any(w.difference.what not in _SLIGHT for w in found.witnesses)
                if not calls or enough or time.monotonic() > deadline:
                    return found
            stale = 0 if inputs.reached > reached else stale + 1
            if stale >= _STALE and found.usable >= _ENOUGH:
                break
            if stale > 1 and found.usable <= found.ended and (found.ended or not found.usable):
                break  # there is no way to call it, or it seldom comes to an end
        return found

    def _compare(self, subject: Subject, inputs: Inputs, calls: Sequence[Call], found: Found, deadline: float) -> None:
        """Add to ``found`` what these calls show."""
        candidates = self._differing(subject, inputs, calls, found)
        known = {witness.difference.what for witness in found.witnesses}
        for what in dict.fromkeys(d.what for _, d in candidates if d.what not in known):
            if found.witnesses and time.monotonic() > deadline:
                break
            witness = self._established(subject, [c for c in candidates if c[1].what == what], found, deadline)
            if witness is not None:
                found.witnesses.append(witness)

    def comes_there(self, subject: Subject, inputs: Inputs, until: float) -> bool:
        """Whether a few calls come to the function ``within``. Raises :class:`ImportFailed`."""
        assert subject.within is not None
        self.open(subject.old_module, subject.new_module)
        body = frozenset(subject.within.lines[1:])
        for number in TRIED:
            calls = inputs.calls(number)
            outcomes = _answers(self.old, subject, calls, cpu=_CPU, wall=_WALL, trace=subject.within.module)
            for call, outcome in zip(calls, outcomes, strict=True):
                inputs.learn(call, outcome)
            if any(outcome.lines & body for outcome in outcomes):
                return True
            if not inputs.reached or time.monotonic() > until:
                break
        return False

    def _differing(
        self, subject: Subject, inputs: Inputs, calls: Sequence[Call], found: Found
    ) -> list[tuple[Call, Difference]]:
        """Calls that both versions answered, and differently; the most telling first."""
        trace = subject.within.module if subject.within else True
        losses = max(1, _LOSSES - found.ended)
        was = _answers(self.old, subject, calls, cpu=_CPU, wall=_WALL, losses=losses, trace=trace)
        found.tried += len(calls)
        found.ended += sum(outcome.kind == "ended" for outcome in was)
        for call, outcome in zip(calls, was, strict=True):
            inputs.learn(call, outcome)
        usable = [(c, o) for c, o in zip(calls, was, strict=True) if self._counts(subject, c, o)]
        found.usable += len(usable)
        now = self._new(subject, [c for c, _ in usable], [o for _, o in usable], _LOSSES)
        differing = []
        for (call, old), new in zip(usable, now, strict=True):
            seen = difference(old, new)
            if seen is not None and new.ended != "wall" and not another_matter(subject, call, new):
                differing.append((call, seen))
        return sorted(differing, key=lambda pair: (_WEIGHT[pair[1].what], pair[0].doubt, pair[0].size))

    def _new(self, subject: Subject, calls: Sequence[Call], was: Sequence[Outcome], losses: int) -> list[Outcome]:
        limits = [min(0.5, max(0.02, 20 * outcome.cpu)) for outcome in was]
        version, patch = (self.old, subject.patch) if subject.within else (self.new, None)
        is_new = version is self.new
        return _answers(version, subject, calls, is_new, cpu=limits, wall=2.0, losses=losses, patch=patch)

    @staticmethod
    def _is_the_cause(
        version: Version, subject: Subject, call: Call, old: Outcome, what: What, limit: float, seed: int
    ) -> bool:
        """Whether the old version answers otherwise as soon as it has the new function."""
        (patched,) = _answers(
            version, subject, [call], cpu=limit, wall=8.0 + limit, fresh=True, seed=seed, patch=subject.patch
        )
        seen = difference(old, patched)
        return seen is not None and seen.what == what and patched.exception not in ("NameError", "UnboundLocalError")

    def _established(
        self, subject: Subject, candidates: Sequence[tuple[Call, Difference]], found: Found, deadline: float
    ) -> Witness | None:
        """A witness of one kind, seen in fresh processes with several seeds, and made small."""
        telling_first = sorted(candidates, key=lambda candidate: candidate[1].slight)
        for number, (call, seen) in enumerate(telling_first[:_CANDIDATES]):
            place = re.sub(r"\d+", "", seen.path)
            if found.vain.count(place) >= _VAIN or len(found.vain) >= _TRIED:
                continue
            if time.monotonic() > deadline and number:
                break
            witness = self._shown_small(subject, call, seen.what, deadline)
            if witness is not None:
                return witness
            found.unstable += 1
            found.vain.append(place)
        return None

    def _shown_small(self, subject: Subject, call: Call, what: What, deadline: float) -> Witness | None:
        """The witness of a call, or better of a smaller one; that fresh processes show it is seen to the end once."""
        first = self._seen(subject, call, what)
        if first is None:
            return None
        small = self._smaller(subject, call, first.difference, min(deadline + 0.5, time.monotonic() + _SHRINKING))
        return (self._thoroughly(subject, small, what) if small != call else None) or self._thoroughly(
            subject, call, what
        )

    def _smaller(self, subject: Subject, call: Call, sought: Difference, until: float) -> Call:
        return shrunk(
            call,
            lambda calls: self._show(subject, calls, sought),
            required=sum(p.required for p in subject.old.parameters if p.kind in ("position", "either")),
            go_on=lambda: time.monotonic() < until,
        )

    def _show(self, subject: Subject, calls: Sequence[Call], sought: Difference) -> list[bool]:
        was = _answers(self.old, subject, calls, cpu=_CPU, wall=_WALL)
        counts = [self._counts(subject, call, outcome) for call, outcome in zip(calls, was, strict=True)]
        some = [n for n, yes in enumerate(counts) if yes]
        losses = 1 if sought.what == "end" else _LOSSES  # the first that shows it is the smallest
        now = self._new(subject, [calls[n] for n in some], [was[n] for n in some], losses)
        shown = [False] * len(calls)
        for n, outcome in zip(some, now, strict=True):
            seen = difference(was[n], outcome)
            alike = seen is not None and seen.what == sought.what and seen.slight <= sought.slight
            shown[n] = alike and not another_matter(subject, calls[n], outcome)
        return shown

    def _thoroughly(self, subject: Subject, call: Call, what: What) -> Witness | None:
        """The witness if fresh processes show it with every seed of the hashes, and in another folder."""
        witness: Witness | None = None
        seeds = list(_SEEDS)
        while seeds:
            seed = seeds.pop(0)
            again = self._seen(subject, call, what) if seed == 1 else self._seen_apart(subject, call, what, seed)
            if again is None or (witness is not None and again.difference != witness.difference):
                return None
            if witness is not None and not (again.old.same(witness.old) and again.new.same(witness.new)):
                witness = replace(witness, settled=False)
            if witness is None and _reordered(again.old, again.new):
                seeds += _MORE_SEEDS
            witness = witness or again
        return witness if witness is not None and self._by_the_change(subject, witness) else None

    def _by_the_change(self, subject: Subject, witness: Witness) -> bool:
        """Whether the code is why, and not the place or the time: the old version with the new function differs from
        itself as well, or, if that does not, it answers as before in another sandbox."""
        call, old, what = witness.call, witness.old, witness.difference.what
        if subject.within is not None:
            return True
        if subject.patch and self._is_the_cause(self.old, subject, call, old, what, _patience(old), 1):
            return True
        with self._apart.lock:
            (again,) = _answers(self._apart.old, subject, [call], cpu=1.0, wall=4.0, fresh=True)
        return difference(again, witness.new) == witness.difference

    def _seen_apart(self, subject: Subject, call: Call, what: What, seed: int) -> Witness | None:
        """As :meth:`_seen`, with another seed of the hashes, and so in another folder."""
        with self._apart.lock:
            _opened(self._apart.old, self._apart.new, subject.old_module, subject.new_module, seed)
            return self._seen(subject, call, what, (self._apart.old, self._apart.new), seed)

    def _seen(
        self, subject: Subject, call: Call, what: What, versions: tuple[Version, Version] | None = None, seed: int = 1
    ) -> Witness | None:
        """The witness if fresh processes show it."""
        was, now = versions or (self.old, self.new)
        (old,) = _answers(was, subject, [call], cpu=1.0, wall=4.0, fresh=True, seed=seed)
        if not self._counts(subject, call, old):
            return None
        limit = _patience(old)
        (new,) = _answers(now, subject, [call], True, cpu=limit, wall=8.0 + limit, fresh=True, seed=seed)
        found = difference(old, new)
        if found is None or found.what != what or new.ended == "wall" or another_matter(subject, call, new):
            return None
        if subject.within and not self._is_the_cause(was, subject, call, old, what, limit, seed):
            return None
        return Witness(call, old, new, found)


def _opened(old: Version, new: Version, old_module: str, new_module: str, seed: int = 1) -> None:
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(old.open, old_module, seed=seed)
        new.open(new_module, seed=seed)
        opening.result()


def _answers(
    version: Version, subject: Subject, calls: Sequence[Call], is_new: bool = False, **more: Any
) -> list[Outcome]:
    """As :meth:`.Version.calls`: equal chance for both versions, so that only code can make them differ."""
    module = subject.new_module if is_new else subject.old_module
    return version.calls(module, calls, imports=subject.imports, steady=True, **more)


def _patience(old: Outcome) -> float:
    """CPU seconds after which a call does not end: more than at a first look, and less for what took long before."""
    return max(0.5, min(2.0, 100 * old.cpu), 20 * old.cpu)


def _reordered(old: Outcome, new: Outcome) -> bool:
    """Whether two answers consist of the same, in another order."""
    return sorted(old.key) == sorted(new.key)


_WEIGHT: Mapping[What, int] = {
    "value": 0,
    "exception": 1,
    "argument": 1,
    "state": 1,
    "output": 2,
    "end": 2,
    "type": 3,
    "message": 5,
}
_SLIGHT = ("type", "message")
