"""Simpler calls beside those that were chosen: they take the place of these if they notice as much."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from famulus.lsp_server.execution.calls import Call, How
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.shrink import smaller_expressions
from famulus.lsp_server.testgen import familiar
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.natural import telling

_OF_ONE = 14
_ALL = 90
_OBSERVERS, _FILLINGS = 6, 2
_PLAIN = {"int": ("1", "2"), "float": ("1.5", "2.5"), "str": ("'a'", "'b'"), "bool": ("True", "False")}
"""Arguments for methods that only prepare an object."""


def simpler(aim: Aim, examples: Sequence[Example]) -> list[Call]:
    """Calls with less in them than the examples have."""
    required = sum(p.required and p.kind in ("position", "either") for p in aim.function.parameters)
    known = {example.call for example in examples}
    found: dict[Call, None] = {}
    for example in examples:
        if familiar.oddity(example.call, aim.function):
            found |= dict.fromkeys(c for c in _plainer(aim, example.call) if c not in known)
        smaller = [c for c in dict.fromkeys(_neighbours(example.call, required)) if c not in known]
        found |= dict.fromkeys(sorted(smaller, key=lambda c: (len(c.text), c.text))[:_OF_ONE])
        found |= dict.fromkeys(
            sorted(smaller, key=lambda c: (familiar.oddity(c, aim.function), -len(c.text)))[: _OF_ONE // 2]
        )
    # Nobody made these calls: they are not trusted.
    return [replace(call, source="hint", setting=_needed(call)) for call in found][:_ALL]


def _needed(call: Call) -> tuple[str, ...]:
    """The setting without files that neither the call nor the rest of the setting names any more."""
    lines = call.setting
    for name in [match[1] for line in lines if (match := re.match(r"(\w+) = tmp_path\b", line))]:
        inside = r"|\(tmp_path / " if f"{name} = tmp_path" in lines else ""
        files = [line for line in lines if re.match(rf"{name} = tmp_path\b|{name}\.write_text\({inside}", line)]
        others = [line for line in lines if line not in files]
        if not re.search(rf"\b{name}\b", "\n".join((*call.expressions, *call.before, *call.inside, *others))):
            lines = tuple(others)
    return lines


def observed(aim: Aim, calls: Mapping[Call, bool], made: Sequence[Call] = ()) -> list[Call]:
    """Short sequences of calls: after one of ``calls``, which change their object (more or less), another one of its
    class tells of it. An empty object often tells nothing, so it is filled first, by a step that one of the ``made``
    calls began with."""
    function = aim.function
    changing = [call for call in calls if call.receiver and not call.before]
    if not changing or function.owner is None:
        return []
    holder, _, own = function.name.rpartition(".")
    found: dict[Call, None] = {}
    steps = dict.fromkeys(call.before[0] for call in made if call.before and not call.setting)
    filling = [step for step in steps if not step.startswith(f"self.{own}(")][:_FILLINGS]
    plain = sorted(changing, key=lambda c: (familiar.oddity(c, function), c.size))
    chosen = [*[c for c in plain if calls[c]][: _OBSERVERS - 2], *[c for c in plain if not calls[c]]][:_OBSERVERS]
    siblings = [f for f in functions(aim.source).values() if f.name.rpartition(".")[0] == holder]
    for observer in telling(siblings, function):
        for call in chosen:
            done = f"self.{Call(call.target.rpartition('.')[2], call.args, call.kwargs).text}"
            how: How = "get" if observer.how == "property" else "call"
            known = dict(zip(familiar.argument_names(function, call), call.expressions, strict=True))
            args = tuple(known.get(p.name, "") for p in observer.parameters if p.required)
            if all(args):
                look = Call(observer.name, args, (), call.receiver, (done,), how=how, source=call.source)
                found |= {look: None} if args else {look: None, replace(look, before=(done, done)): None}
                found |= dict.fromkeys(replace(look, before=(step, done), source="hint") for step in filling)
    return list(found)


def prepared(aim: Aim) -> list[Call]:
    """Calls of a method that needs no argument, after others of its class have been called."""
    function = aim.function
    asked = function.owner is not None and function.how in ("method", "property")
    if not asked or function.node.name == "__init__" or any(p.required for p in function.parameters):
        return []
    holder, _, own = function.name.rpartition(".")
    how: How = "get" if function.how == "property" else "call"
    found = []
    for other in functions(aim.source).values():
        inside, _, name = other.name.rpartition(".")
        needed = [p for p in other.parameters if p.required]
        if inside != holder or name.startswith("_") or name == own or other.how != "method" or not needed:
            continue
        values = [_PLAIN.get(ast.unparse(p.annotation)) if p.annotation else None for p in needed]
        for number in (1, 2):
            steps = [f"self.{name}({', '.join(v[n] for v in values if v)})" for n in range(number)]
            if all(values):
                found.append(Call(function.name, (), (), f"{holder}()", tuple(steps), how=how, source="hint"))
    return found


def _neighbours(call: Call, required: int) -> Iterator[Call]:
    for place in range(len(call.kwargs)):
        yield replace(call, kwargs=(*call.kwargs[:place], *call.kwargs[place + 1 :]))
    if len(call.args) > required:
        yield replace(call, args=call.args[:-1])
    for place, text in enumerate(call.expressions):
        for less in smaller_expressions(text):
            yield call.replaced(place, less)


def _plainer(aim: Aim, call: Call) -> Iterator[Call]:
    """The call with natural values in the place of its literals, one at a time."""
    names = familiar.argument_names(aim.function, call)
    for place, (name, text) in enumerate(zip(names, call.expressions, strict=True)):
        for plain in familiar.plainer(text, name):
            yield call.replaced(place, plain)
