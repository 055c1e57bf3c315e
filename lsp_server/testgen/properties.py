"""What holds for all arguments: one function undoes another, doing it twice changes nothing, order does not matter,
more in is more out.

A property is kept if it holds for many arguments, and if it notices a change that no example notices."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.inputs import Inputs
from famulus.lsp_server.execution.mutants import Mutant
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.testgen.case import Aim, Property
from famulus.lsp_server.testgen.domain import Domain

_HOLDS = 500
"""Arguments for which a property holds before it is believed."""
_LEAST = 30
"""Arguments that there must be at all, where a type has not more."""
_ASKED = 120
"""Arguments with which mutants are tried."""
_SHOWN = 3
_CPU, _WALL = 0.1, 1.0
_PAIRS = (
    ("encode", "decode"), ("dump", "load"), ("dumps", "loads"), ("serialize", "deserialize"), ("pack", "unpack"),
    ("compress", "decompress"), ("escape", "unescape"), ("quote", "unquote"), ("encrypt", "decrypt"),
    ("format", "parse"), ("render", "parse"), ("unparse", "parse"), ("join", "split"), ("flatten", "unflatten"),
    ("to", "from"), ("wrap", "unwrap"), ("marshal", "unmarshal"), ("zip", "unzip"), ("rot", "unrot"),
)  # fmt: skip


@dataclass
class Properties:
    """Looks for properties of one function. ``inputs``: calls of a function of its module by name, None if there are
    none; ``go_on`` is asked before each look."""

    version: Version
    aim: Aim
    inputs: Callable[[str], Inputs | None]
    go_on: Callable[[], bool] = lambda: True
    _arguments: dict[str, list[str]] = field(default_factory=dict)

    def found(self, mutants: Sequence[Mutant], noticed: frozenset[int]) -> list[Property]:
        """Properties that hold, and notice mutants that are not ``noticed`` yet."""
        kept: list[Property] = []
        left = [n for n in range(len(mutants)) if n not in noticed]
        for candidate in candidates(self.aim):
            if not left or not self.go_on():
                break
            rows = self._rows(candidate)
            if len(rows) < _LEAST or not all(self._hold(candidate, rows)):
                continue
            proven = self._noticing(candidate, rows[:_ASKED], mutants, left)
            if proven is not None:
                kept.append(proven)
                left = [n for n in left if n not in proven.kills]
        return kept

    def _rows(self, candidate: Property) -> list[tuple[str, ...]]:
        """Arguments in the documented domain, short ones first."""
        name = candidate.other or candidate.target
        if name not in self._arguments:
            self._arguments[name] = self._drawn(name)
        texts = self._arguments[name]
        if candidate.kind in ("undoes", "twice"):
            return [(text,) for text in texts]
        if candidate.kind == "order":
            mixed: list[tuple[str, ...]] = [(text, texts[(n * 7 + 3) % len(texts)]) for n, text in enumerate(texts)]
            return mixed
        numbers = sorted((float(v), t) for t in texts if isinstance(v := _value(t), int | float))
        return [(one, two) for (_, one), (_, two) in pairwise(numbers)]

    def _drawn(self, name: str) -> list[str]:
        """Arguments of a function in its documented domain, short ones first."""
        inputs = self.inputs(name)
        if inputs is None:
            return []
        words = Domain(inputs.function)
        found: dict[str, None] = {}
        for _ in range(4):
            for call in inputs.calls(_HOLDS):
                fits = 1 <= len(call.args) <= 2 and not call.kwargs and not call.setting and not call.receiver
                if fits and call.doubt == 0 and words.holds(call):
                    found |= dict.fromkeys(call.args)
            if len(found) >= _HOLDS:
                break
        return sorted(found, key=lambda text: (len(text), text))[:_HOLDS]

    def _hold(self, candidate: Property, rows: Sequence[tuple[str, ...]], mutant: Mutant | None = None) -> list[bool]:
        """Whether it holds of each row; for a mutant one that could not be asked counts as holding."""
        calls = [call for row in rows for call in _calls(candidate, row)]
        each = len(calls) // len(rows)
        patch = None if mutant is None else (self.aim.function.name, mutant.source)
        outcomes = self.version.calls(
            self.aim.module, calls, cpu=_CPU, wall=_WALL, losses=1, imports=self.aim.prelude, patch=patch
        )
        answers = [outcomes[n : n + each] for n in range(0, len(outcomes), each)]
        if mutant is None:
            return [_holds(candidate, row, answer) for row, answer in zip(rows, answers, strict=True)]
        asked = [all(o.ended != "skipped" and o.kind != "invalid" for o in answer) for answer in answers]
        return [
            not yes or _holds(candidate, row, answer) for yes, row, answer in zip(asked, rows, answers, strict=True)
        ]

    def _noticing(
        self, candidate: Property, rows: Sequence[tuple[str, ...]], mutants: Sequence[Mutant], left: Sequence[int]
    ) -> Property | None:
        """The property with the few arguments that notice the most; None if it notices nothing."""
        broken: dict[int, set[int]] = {}
        for number in left:
            if not self.go_on():
                break
            for place, holds in enumerate(self._hold(candidate, rows, mutants[number])):
                if not holds:
                    broken.setdefault(place, set()).add(number)
        chosen: list[int] = []
        kills: set[int] = set()
        while broken and len(chosen) < _SHOWN:
            best = max(broken, key=lambda place: (len(broken[place] - kills), -place))
            if not broken[best] - kills:
                break
            kills |= broken[best]
            chosen.append(best)
        if not kills:
            return None
        shown = tuple(rows[place] for place in sorted(chosen))
        return Property(candidate.kind, candidate.target, candidate.other, candidate.names, shown, frozenset(kills))


def candidates(aim: Aim) -> Iterator[Property]:
    """Properties that a function may have, going by its name and its parameters."""
    function = aim.function
    plain = [p for p in function.parameters if p.required and p.kind in ("position", "either")]
    needed = sum(p.required for p in function.parameters)
    if function.owner is not None or isinstance(function.node, ast.AsyncFunctionDef) or needed != len(plain):
        return
    names = tuple(p.name for p in plain)
    if len(plain) == 1:
        for target, other in _undoing(aim, function):
            inner = functions(aim.source)[other]
            own = next((p.name for p in inner.parameters if p.required), "value")
            yield Property("undoes", target, other, (own,), ())
        yield Property("twice", function.name, "", names, ())
        yield Property("more", function.name, "", (f"smaller_{names[0]}", f"larger_{names[0]}"), ())
    elif len(plain) == 2 and ast.dump(plain[0].annotation or ast.Constant(0)) == ast.dump(
        plain[1].annotation or ast.Constant(0)
    ):
        yield Property("order", function.name, "", names, ())


def _undoing(aim: Aim, function: Function) -> Iterator[tuple[str, str]]:
    """Pairs of functions of the module, one of them this one, of which the first undoes the second."""
    known = functions(aim.source)
    words = function.name.split("_")
    for there, back in _PAIRS:
        for own, other, first in ((there, back, False), (back, there, True)):
            if own not in words:
                continue
            name = "_".join(other if word == own else word for word in words)
            partner = known.get(name)
            if partner is not None and partner.owner is None and sum(p.required for p in partner.parameters) == 1:
                yield (function.name, name) if first else (name, function.name)
    if match := re.fullmatch(r"(\w+)_to_(\w+)", function.name):
        name = f"{match[2]}_to_{match[1]}"
        if name in known and known[name].owner is None:
            yield function.name, name


def _calls(candidate: Property, row: tuple[str, ...]) -> list[Call]:
    """What has to be asked."""
    target = candidate.target
    match candidate.kind:
        case "undoes":
            return [Call(target, (f"{candidate.other}({row[0]})",))]
        case "twice":
            return [Call(target, (f"{target}({row[0]})",)), Call(target, row)]
        case "order":
            return [Call(target, row), Call(target, row[::-1])]
    return [Call(target, row[:1]), Call(target, row[1:])]


def _holds(candidate: Property, row: tuple[str, ...], answers: Sequence[Outcome]) -> bool:
    if any(answer.kind != "value" or answer.effects or answer.asked for answer in answers):
        return False
    if candidate.kind == "undoes":
        text = expression(answers[0].value)
        return bool(text) and _value(text) == _value(row[0]) is not None
    if candidate.kind == "more":
        one, two = (_value(expression(answer.value)) for answer in answers)
        return isinstance(one, int | float) and isinstance(two, int | float) and one <= two
    return bool(expression(answers[0].value)) and answers[0].value == answers[1].value


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
