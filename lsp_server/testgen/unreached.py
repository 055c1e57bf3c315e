"""Calls that aim at lines which no call has reached: what has to hold on the way there is solved, where it is simple.

The conditions around a line are comparisons with constants, membership, lengths, types, beginnings and ends of texts,
regular expressions, truth. What they speak of is followed back through plain steps (``text.strip()[0]``, ``ord(…)``) to
an argument, or to one that the constructor keeps, and that one is changed in a call which came near.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function, Parameter
from famulus.lsp_server.testgen.solving import Condition, Solver, Way

_GOALS = 16
"""Places that are aimed at in a round,"""
_WAYS = 8
"""ways to fulfil what leads to one, and"""
_SEEDS = 3
"""calls that are changed for it."""


@dataclass(frozen=True)
class Goal:
    """A line, and the conditions on the way from the function's beginning."""

    line: int
    conditions: tuple[Condition, ...]


def goals(function: Function) -> Iterator[Goal]:
    """The first line of each block of a function, in the order of the code."""
    yield from _blocks(function.node.body, ())


def _blocks(body: Sequence[ast.stmt], before: tuple[Condition, ...]) -> Iterator[Goal]:
    for statement in body:
        yield Goal(statement.lineno, before)
        match statement:
            case ast.If(test=test, body=inner, orelse=other):
                yield from _blocks(inner, (*before, Condition(test, True)))
                yield from _blocks(other, (*before, Condition(test, False)))
                if _leaves(inner):
                    before = (*before, Condition(test, False))
                elif other and _leaves(other):
                    before = (*before, Condition(test, True))
            case (
                ast.While(test=test, body=inner) | ast.For(iter=test, body=inner) | ast.AsyncFor(iter=test, body=inner)
            ):
                yield from _blocks(inner, (*before, Condition(test, True)))
                yield from _blocks(statement.orelse, before)
            case ast.With(body=inner) | ast.AsyncWith(body=inner):
                yield from _blocks(inner, before)
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=last):
                for part in (inner, *(handler.body for handler in handlers), other, last):
                    yield from _blocks(part, before)
            case ast.Match(subject=subject, cases=cases):
                for case in cases:
                    value = case.pattern.value if isinstance(case.pattern, ast.MatchValue) else None
                    same = ast.Compare(subject, [ast.Eq()], [value]) if value else None
                    yield from _blocks(case.body, (*before, Condition(same, True)) if same else before)


def _leaves(body: Sequence[ast.stmt]) -> bool:
    """Whether nothing after the block is run."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


class Unreached:
    """Makes calls of one function for lines that no call has reached. ``constants``: what names of the module stand
    for; ``constructor``: parameters of what makes the object, and those that it keeps as an attribute, by attribute."""

    def __init__(
        self,
        function: Function,
        constants: Mapping[str, object],
        constructor: Sequence[Parameter] = (),
        kept: Mapping[str, str] | None = None,
    ) -> None:
        self.function, self.constructor = function, constructor
        self._solver = Solver(function, constants, kept or {})
        self._goals = list(goals(function))
        self._tried: set[str] = set()

    def calls(self, reached: Collection[int], seeds: Sequence[tuple[Call, frozenset[int]]]) -> list[Call]:
        """Changed ones of ``seeds``, which are calls and the lines that they reached; none of them twice."""
        missing: dict[tuple[Condition, ...], Goal] = {}
        for goal in self._goals:
            if goal.line not in reached and goal.conditions:
                missing.setdefault(goal.conditions, goal)
        found: list[Call] = []
        for goal in list(missing.values())[:_GOALS]:
            near = sorted(seeds, key=lambda seed: (-_on_the_way(goal, seed[1]), seed[0].size))[:_SEEDS]
            for way in itertools.islice(self._solver.ways(goal.conditions), _WAYS):
                found += [made for call, _ in near if (made := self._changed(call, way)) is not None]
        new = [call for call in found if call.script not in self._tried]
        self._tried |= {call.script for call in new}
        return list(dict.fromkeys(new))

    def _changed(self, call: Call, way: Way) -> Call | None:
        """The call with what the way asks of its arguments; None if it has no place for that."""
        for step in way:
            if step.kept:
                receiver = _in_constructor(call.receiver, self.constructor, step.name, step.new)
                if receiver is None:
                    return None
                call = replace(call, receiver=receiver)
                continue
            parameter = next((p for p in self.function.parameters if p.name == step.name), None)
            if parameter is None or parameter.kind in ("star", "stars"):
                return None
            position = [p.name for p in self.function.parameters if p.kind in ("position", "either")]
            place = position.index(step.name) if step.name in position else len(call.args)
            named = dict(call.kwargs)
            if place < len(call.args):
                given = list(call.args)
                given[place] = step.new(given[place])
                call = replace(call, args=tuple(given))
            elif parameter.kind == "position":
                return None
            else:
                named[step.name] = step.new(named.get(step.name, ""))
                call = replace(call, kwargs=tuple(named.items()))
        return replace(call, doubt=0)


def _on_the_way(goal: Goal, lines: frozenset[int]) -> int:
    """How many of the conditions a call came to."""
    return sum(condition.test.lineno in lines for condition in goal.conditions if hasattr(condition.test, "lineno"))


def _in_constructor(receiver: str, parameters: Sequence[Parameter], name: str, new: object) -> str | None:
    """The expression that makes an object with another argument for ``name``."""
    try:
        made = ast.parse(receiver, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(made, ast.Call) or not callable(new):
        return None
    position = [p.name for p in parameters if p.kind in ("position", "either")]
    for keyword in made.keywords:
        if keyword.arg == name:
            keyword.value = ast.parse(new(ast.unparse(keyword.value)), mode="eval").body
            return ast.unparse(made)
    place = position.index(name) if name in position else len(made.args)
    if place < len(made.args):
        made.args[place] = ast.parse(new(ast.unparse(made.args[place])), mode="eval").body
    else:
        made.keywords.append(ast.keyword(name, ast.parse(new(""), mode="eval").body))
    return ast.unparse(made)
