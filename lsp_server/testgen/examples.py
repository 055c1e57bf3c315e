"""What the code answers today: calls whose answers are the same in every process, and may be relied on."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import raises
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import Form
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.testgen import domain, protocols, simpler
from famulus.lsp_server.testgen.assertions import body
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.matching import matched
from famulus.lsp_server.testgen.reasons import reason
from famulus.lsp_server.testgen.settings import RUNNER, SEEDED, Settings
from famulus.lsp_server.testgen.stating import is_vague
from famulus.lsp_server.testgen.unreached import Unreached

MOST = 130
"""Examples of one function that are compared with mutants."""
_FIRST, _NEXT, _ROUNDS = 90, 80, 6
_MATCHED = 8
"""Calls of a round in which an argument is taken from the others."""
_AIMED = 3
"""Rounds in which lines are aimed at that were not reached."""
_COMMANDS = 24
"""Runs of a program, and"""
_OUTSIDE = 12
"""calls outside the documented domain that are tried in a round: the latter for what refuses them."""
_RETURNED = 8
"""Calls of what a function returns, for so many of its calls in a round."""
_CPU = 0.2
_WALL, _WAIT = 3.0, 1.0
"""Seconds at most and at least; a machine may be busy with other things."""
_CPU_COMMAND = 2.0
_RUNNER = frozenset(("os.putenv", "os.unsetenv"))
"""What the runner of a command does itself."""
_SEEDS = (2, 3)
_SLIPS = frozenset({"TypeError", "AttributeError", "IndexError", "KeyError", "ZeroDivisionError", "UnboundLocalError"})
"""Exceptions that Python itself raises more often than code that means it."""
_ENDS = re.compile(r"\bexit\(|ArgumentParser|\bparse_args\b|SystemExit")
"""Code that means to end the program."""
_WARNS = re.compile(r"\bwarn\(|\bdeprecated\b")
"""Code that means to warn."""
_TRUSTED = ("recorded", "test", "doctest")


@dataclass
class _Told:
    """What was answered so far. ``found``: what a test may say; ``seen``: all answers; ``lines``: that the former
    reached; ``changing``: calls that change their object, and whether by
    more than the type of a number; ``came``: calls and how far they came."""

    found: list[Example] = field(default_factory=list)
    seen: list[Outcome] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)
    changing: dict[Call, bool] = field(default_factory=dict)
    came: list[tuple[Call, frozenset[int]]] = field(default_factory=list)


class Oracle:
    """Asks one version of the project what its functions answer."""

    def __init__(self, version: Version) -> None:
        self.version = version

    def examples(
        self, aim: Aim, inputs: Inputs, *, seconds: float, unreached: Unreached | None = None
    ) -> tuple[list[Example], str]:
        """Stable examples, and why there are none, as a sentence. ``unreached``: aims at lines that no call reached.

        Raises :class:`ImportFailed` and :class:`ExecutionFailed`."""
        started = time.monotonic()
        deadline = started + seconds
        words = domain.Domain(aim.function)
        settings = Settings(aim, inputs.constructors.words)
        told = _Told()
        for number in range(_ROUNDS):
            made = [] if settings.is_command else inputs.calls(_FIRST if number == 0 else _NEXT)
            made += matched(made, _MATCHED)
            before = len(told.lines)
            placed = self._placed(aim, made, inputs, settings, words)
            go_on = self._asked(aim, inputs, placed, words, told, deadline)
            if not go_on or time.monotonic() > deadline or (len(told.found) >= MOST and len(told.lines) == before):
                break
        for _ in range(_AIMED if unreached and not settings.is_command else 0):
            made = unreached.calls(told.lines, told.came)[:_NEXT] if unreached and time.monotonic() < deadline else []
            placed = self._placed(aim, made, inputs, settings, words)
            if not self._asked(aim, inputs, placed, words, told, deadline):
                break
        late = bool(told.found) and time.monotonic() > deadline + (deadline - started)
        made = [call for call, _ in told.came]
        more = [] if late else [*simpler.observed(aim, told.changing, made), *simpler.prepared(aim)]
        sequences = self._counted(aim, [call for call in more if words.holds(call)])
        stable = _telling(aim, self._stable(aim, [*_spread(told.found), *sequences]))
        if stable:
            return stable, ""
        asked = {name for outcome in told.seen for name in outcome.asked}
        if not inputs.possible and not any(outcome.kind == "value" for outcome in told.seen):
            return [], "no object of its class could be made"
        return [], reason(told.seen, len(told.seen), asked, stable=not (told.found or sequences))

    def _asked(
        self, aim: Aim, inputs: Inputs, placed: dict[Call, Call], words: domain.Domain, told: _Told, deadline: float
    ) -> bool:
        """Make calls and take note of their answers; whether more of them may tell more."""
        calls = list(placed)
        outcomes = self._answers(aim, calls, deadline - time.monotonic()) if calls else []
        told.seen += outcomes
        if all(outcome.kind == "ended" for outcome in outcomes):
            return False
        for call, made, outcome in zip(calls, placed.values(), outcomes, strict=True):
            inputs.learn(made, outcome)
            if outcome.kind in ("value", "raised"):
                told.came.append((made, outcome.lines))
            if outcome.receiver and outcome.kind == "value":
                told.changing[call] = _numbers(outcome.receiver) != _numbers(outcome.receiver_before)
            if self._counts(aim, call, outcome) and (words.holds(call) or outcome.kind == "raised"):
                told.found.append(Example(call, outcome))
                told.lines |= outcome.lines
        return True

    def _placed(
        self, aim: Aim, calls: Sequence[Call], inputs: Inputs, settings: Settings, words: domain.Domain
    ) -> dict[Call, Call]:
        """The calls in the form and the setting that the function wants, each with the one that it was made of."""
        found: dict[Call, Call] = {}
        outside = 0
        for made in calls:
            mended = words.mended(made)
            if not words.holds(mended):
                outside += 1
                if outside > _OUTSIDE or not words.refuses(mended):
                    continue
            for call in protocols.formed(aim, mended):
                found.setdefault(settings.around(call), made)
        for call in settings.commands(_COMMANDS):
            found.setdefault(call, call)
        if protocols.takes_values(aim.function):
            found |= {call: call for first in list(found)[:3] for call in protocols.sent(aim, first)}
        if inner := protocols.returned(aim.function):
            of = [call for call in found if not call.receiver][:_RETURNED]
            found |= {c: c for first in of for c in protocols.called(aim, first, inner, inputs.constructors)}
        return found

    def _answers(self, aim: Aim, calls: list[Call], seconds: float) -> list[Outcome]:
        """What the calls answer; those that turn out to ask for random numbers are made again with a seed. Where calls
        wait, each of them and all together get no longer than ``seconds``, but at least :data:`_WAIT`."""
        command = any(call.receiver == RUNNER for call in calls)  # the first one imports much
        total = None if command else max(_WAIT, seconds)
        cpu, wall = (_CPU, min(_WALL, total)) if total else (_CPU_COMMAND, 2 * _CPU_COMMAND)
        outcomes = self.version.calls(
            aim.module, calls, cpu=cpu, wall=wall, total=total, trace=True, looks=True, imports=aim.prelude
        )
        places = [n for n, o in enumerate(outcomes) if "random" in o.asked and SEEDED not in calls[n].setting]
        if places:
            for n in places:
                calls[n] = replace(calls[n], setting=(*calls[n].setting, SEEDED))
            again = [calls[n] for n in places]
            answers = self.version.calls(
                aim.module, again, cpu=_CPU, wall=_WALL, losses=2, trace=True, looks=True, imports=aim.prelude
            )
            for n, answer in zip(places, answers, strict=True):
                outcomes[n] = answer
        return outcomes

    def more(self, aim: Aim, examples: Sequence[Example]) -> list[Example]:
        """Stable examples that are simpler than these."""
        words = domain.Domain(aim.function)
        return self._stable(aim, self._counted(aim, [c for c in simpler.simpler(aim, examples) if words.holds(c)]))

    def _counted(self, aim: Aim, calls: Sequence[Call]) -> list[Example]:
        outcomes = self.version.calls(
            aim.module, calls, cpu=_CPU, wall=_WALL, losses=2, trace=True, looks=True, imports=aim.prelude
        )
        return [Example(c, o) for c, o in zip(calls, outcomes, strict=True) if self._counts(aim, c, o)]

    def again(self, aim: Aim, examples: Sequence[Example], seed: int) -> list[Outcome]:
        """The same calls in a process with other hashes."""
        calls = [example.call for example in examples]
        return self.version.calls(aim.module, calls, cpu=1.0, wall=2.0, looks=True, imports=aim.prelude, seed=seed)

    def _stable(self, aim: Aim, examples: list[Example]) -> list[Example]:
        for seed in _SEEDS:
            answers = self.again(aim, examples, seed)
            examples = [e for e, answer in zip(examples, answers, strict=True) if e.outcome.same(answer)]
        return examples

    @staticmethod
    def _counts(aim: Aim, call: Call, outcome: Outcome) -> bool:
        """Whether a test may say that the answer is right: it can be written down, and somebody meant it."""
        if (
            set(outcome.effects) - (_RUNNER if call.receiver == RUNNER else set())
            or (outcome.warned and not _WARNS.search(aim.source))
            or not _set(call, outcome)
        ):
            return False
        if outcome.kind == "value":
            return body(aim, call, outcome) is not None and (
                call.doubt == 0 or call.source != "guess" or call.doubt <= 1
            )
        if outcome.kind != "raised" or outcome.exception in ("RecursionError", "MemoryError"):
            return False
        if call.source in _TRUSTED:
            return True
        if outcome.exception == "SystemExit":
            return "SystemExit" in raises(aim.function) or bool(_ENDS.search(aim.source))
        return bool(set(outcome.kinds) & raises(aim.function)) and _raised_by(aim, outcome)


def _numbers(form: Form) -> Any:
    """A form in which equal numbers are the same."""
    match form:
        case ["int" | "float", str(text)] if len(text) < 16:
            return float(text)
        case list():
            return [_numbers(part) for part in form]
    return form


def _telling(aim: Aim, examples: list[Example]) -> list[Example]:
    """The examples without those that only say what kind of thing comes out; where there are no others the simplest."""
    said = [body(aim, example.call, example.outcome) for example in examples]
    vague = [e for e, one in zip(examples, said, strict=True) if one is not None and is_vague(one.lines)]
    if len(vague) == len(examples):
        return [min(vague, key=lambda example: example.call.size)] if vague else []
    return [example for example in examples if not any(example is other for other in vague)]


def _set(call: Call, outcome: Outcome) -> bool:
    """Whether what the call asked besides its arguments is the same in every run."""
    setting = "\n".join(call.setting)
    given = {"random": SEEDED in setting, "clock": "moment" in setting or ".time" in setting}
    return all(given.get(name, False) for name in outcome.asked)


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
        kept.setdefault(example.call.script, example)
    ranked = sorted(kept.values(), key=lambda e: (e.call.source not in _TRUSTED, e.call.doubt, e.call.size))
    groups: dict[tuple[object, ...], list[Example]] = {}
    for example in ranked:
        steps = tuple(step.partition("(")[0] for step in example.call.before)
        groups.setdefault((example.outcome.exception, example.outcome.lines, steps), []).append(example)
    spread: list[Example] = []
    depth = 0
    while len(spread) < min(MOST, len(ranked)):
        spread += [group[depth] for group in groups.values() if depth < len(group)]
        depth += 1
    return spread[:MOST]
