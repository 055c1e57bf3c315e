"""What the code answers today: calls whose answers are the same in every process, and may be relied on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import raises
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.testgen import domain, simpler
from famulus.lsp_server.testgen.assertions import body
from famulus.lsp_server.testgen.case import Aim, Example

MOST = 90
"""Examples of one function that are compared with mutants."""
_FIRST, _NEXT, _ROUNDS = 60, 80, 6
_CPU = 0.2
_SEEDS = (2, 3)
_SLIPS = frozenset({"TypeError", "AttributeError", "IndexError", "KeyError", "ZeroDivisionError", "UnboundLocalError"})
"""Exceptions that Python itself raises more often than code that means it."""
_TRUSTED = ("recorded", "test", "doctest")


class Oracle:
    """Asks one version of the project what its functions answer."""

    def __init__(self, version: Version) -> None:
        self.version = version

    def examples(self, aim: Aim, inputs: Inputs, *, seconds: float) -> tuple[list[Example], str]:
        """Stable examples, and why there are none, as a sentence.

        Raises :class:`ImportFailed` and :class:`ExecutionFailed`."""
        deadline = time.monotonic() + seconds
        words = domain.Domain(aim.function)
        found: list[Example] = []
        effects: set[str] = set()
        lines: set[int] = set()
        changing: list[Call] = []
        tried = 0
        for number in range(_ROUNDS):
            calls = [words.mended(call) for call in inputs.calls(_FIRST if number == 0 else _NEXT)]
            calls = list(dict.fromkeys(call for call in calls if words.holds(call)))
            if not calls:
                break
            tried += len(calls)
            outcomes = self.version.calls(aim.module, calls, cpu=_CPU, wall=1.0, trace=True, imports=aim.imports)
            before = len(lines)
            for call, outcome in zip(calls, outcomes, strict=True):
                inputs.learn(call, outcome)
                effects |= set(outcome.effects)
                if outcome.receiver and outcome.kind == "value":
                    changing.append(call)
                if self._counts(aim, call, outcome):
                    found.append(Example(call, outcome))
                    lines |= outcome.lines
            if time.monotonic() > deadline or (len(found) >= MOST and len(lines) == before):
                break
        sequences = self._counted(aim, [*simpler.observed(aim, changing), *simpler.prepared(aim)])
        stable = self._stable(aim, [*_spread(found), *sequences])
        if stable:
            return stable, ""
        if effects and not found:
            return [], f"it reaches outside its process ({', '.join(sorted(effects)[:3])})"
        if found or sequences:
            return [], "its answers differ from run to run"
        return [], "no arguments were found that it takes" if tried else "there is no way to call it"

    def more(self, aim: Aim, examples: Sequence[Example]) -> list[Example]:
        """Stable examples that are simpler than these."""
        words = domain.Domain(aim.function)
        return self._stable(aim, self._counted(aim, [c for c in simpler.simpler(aim, examples) if words.holds(c)]))

    def _counted(self, aim: Aim, calls: Sequence[Call]) -> list[Example]:
        outcomes = self.version.calls(aim.module, calls, cpu=_CPU, wall=1.0, trace=True, imports=aim.imports)
        return [Example(c, o) for c, o in zip(calls, outcomes, strict=True) if self._counts(aim, c, o)]

    def again(self, aim: Aim, examples: Sequence[Example], seed: int) -> list[Outcome]:
        """The same calls in a process with other hashes."""
        calls = [example.call for example in examples]
        return self.version.calls(aim.module, calls, cpu=1.0, wall=2.0, imports=aim.imports, seed=seed)

    def _stable(self, aim: Aim, examples: list[Example]) -> list[Example]:
        for seed in _SEEDS:
            answers = self.again(aim, examples, seed)
            examples = [e for e, answer in zip(examples, answers, strict=True) if e.outcome.same(answer)]
        return examples

    @staticmethod
    def _counts(aim: Aim, call: Call, outcome: Outcome) -> bool:
        """Whether a test may say that the answer is right: it can be written down, and somebody meant it."""
        if outcome.effects or outcome.answer.get("warned"):
            return False
        if outcome.kind == "value":
            return body(aim, call, outcome) is not None and (
                call.doubt == 0 or call.source != "guess" or call.doubt <= 1
            )
        if outcome.kind != "raised" or outcome.exception in ("RecursionError", "MemoryError"):
            return False
        if call.source in _TRUSTED:
            return True
        return bool(set(outcome.kinds) & raises(aim.function)) and _raised_by(aim, outcome)


def _raised_by(aim: Aim, outcome: Outcome) -> bool:
    """Whether a ``raise`` of the project made the exception."""
    if outcome.at is None:
        return False
    path, line = outcome.at
    if path != aim.path:
        return outcome.exception not in _SLIPS
    return line in aim.raising


def _spread(found: list[Example]) -> list[Example]:
    """At most :data:`MOST` examples: those of the project first, then the short ones of every kind of answer."""
    kept: dict[str, Example] = {}
    for example in found:
        kept.setdefault("\n".join((*example.call.before, example.call.text)), example)
    ranked = sorted(kept.values(), key=lambda e: (e.call.source not in _TRUSTED, e.call.doubt, e.call.size))
    groups: dict[tuple[str, frozenset[int]], list[Example]] = {}
    for example in ranked:
        groups.setdefault((example.outcome.exception, example.outcome.lines), []).append(example)
    spread: list[Example] = []
    depth = 0
    while len(spread) < min(MOST, len(ranked)):
        spread += [group[depth] for group in groups.values() if depth < len(group)]
        depth += 1
    return spread[:MOST]
