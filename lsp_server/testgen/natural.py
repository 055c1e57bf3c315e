"""Calls that a person would write: with values that fit the names and the types of parameters, and in sequences."""

from __future__ import annotations

import ast
import itertools
import random
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from famulus.lsp_server.execution.calls import Call, How
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function, Parameter, functions
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.testgen.familiar import fits, of_kind, of_name, quoted
from famulus.lsp_server.testgen.matching import keyed, told
from famulus.lsp_server.testgen.special import BOUNDS, literal
from famulus.lsp_server.testgen.telltale import telltales

_EDGES: dict[type, tuple[str, ...]] = {
    int: ("0", "-1"), float: ("0", "-1.5"), str: ("''",), list: ("[]",), dict: ("{}",),
}  # fmt: skip
_MOST = 40
_STEPS = 5
_TELLTALE, _HISTORIES = 30, 40
"""Calls of these kinds;"""
_LONG, _STEP_KINDS = 4, 4
"""steps before a call are fewer, and of so many kinds."""
_CHANGING = frozenset(
    (
        "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
        "setdefault", "update",
    )
)  # fmt: skip
"""Methods that change what is held in an attribute."""


class Natural:
    """Natural calls of one function of the module with this source."""

    def __init__(self, source: str, function: Function, constructors: Constructors) -> None:
        self._function, self._constructors = function, constructors
        holder = function.name.rpartition(".")[0]
        self._siblings = [f for f in functions(source).values() if holder and f.name.rpartition(".")[0] == holder]
        self._shapes: dict[Function, Shapes] = {}
        self._quoted = [*quoted(function.docstring), *told(function)]

    def calls(self) -> list[Call]:
        """Calls with arguments that a person would choose, and short sequences of calls."""
        natural = [*self._plain(), *self._sequences()]
        natural = list(dict.fromkeys([*itertools.chain(*map(keyed, natural)), *natural]))[:_MOST]
        return list(dict.fromkeys([*natural, *self._telltale(), *self._histories()]))

    def _plain(self) -> Iterator[Call]:
        function = self._function
        for number in range(_STEPS):
            receiver = self._receiver(number)
            if receiver is not None:
                yield from self._with(function, receiver, (), number)

    def _with(self, function: Function, receiver: str, before: tuple[str, ...], number: int) -> Iterator[Call]:
        """The function with what it must get, and with each of its options."""
        target = function.name
        if function.node.name == "__init__":
            target, receiver = function.name.rpartition(".")[0], ""
        how: How = "get" if function.how == "property" else "call"
        needed = [p for p in function.parameters if p.required]
        later = 1 if receiver not in ("", "self") else 0  # an object and its argument are not equal
        given = [self._value(function, p, number, place, later=later) for place, p in enumerate(needed)]
        given = _related(needed, given, number)
        if not all(given):
            return
        args = tuple(g for g, p in zip(given, needed, strict=True) if p.kind != "keyword")
        kwargs = tuple((p.name, g) for g, p in zip(given, needed, strict=True) if p.kind == "keyword")
        call = Call(target, args, kwargs, receiver, before, how=how, source="hint")
        yield call
        for place, parameter in enumerate(function.parameters):
            if parameter.required or parameter.kind in ("star", "stars", "position"):
                continue
            value = self._value(function, parameter, number, place)
            if value and number < 3:
                yield replace(call, kwargs=(*call.kwargs, (parameter.name, value)))
            if isinstance(literal(value), int | float) and not number:
                yield replace(call, kwargs=(*call.kwargs, (parameter.name, "-1")))
        if number == 0 and not before:
            yield from self._edges(call)

    def _edges(self, call: Call) -> Iterator[Call]:
        """The call with one argument at the edge of its type, and the others natural."""
        for place in range(bool(call.receiver), len(call.expressions)):
            value = literal(call.expressions[place])
            for edge in _EDGES.get(type(value), ()):
                yield call.replaced(place, edge)

    def _telltale(self) -> list[Call]:
        """A natural call with one argument in its place at which code goes wrong that is right for others."""
        receiver = self._receiver(0)
        call = None if receiver is None else next(self._with(self._function, receiver, (), 0), None)
        if call is None:
            return []
        given, code = call.expressions, self._function.node
        places = range(bool(call.receiver), len(given))
        rows = [[call.replaced(place, text) for text in telltales(given[place], code)] for place in places]
        for one, other in itertools.pairwise(places):
            if type(literal(given[one])) is type(literal(given[other])):
                near = [given[one], *telltales(given[one], code)]
                rows.append([call.replaced(other, text) for text in near])
        return [one for row in itertools.zip_longest(*rows) for one in row if one is not None][:_TELLTALE]

    def _receiver(self, number: int) -> str | None:
        """The object whose method it is, empty if it is none's; None if it cannot be made."""
        function = self._function
        if function.owner is None or function.how not in ("method", "property") or function.node.name == "__init__":
            return ""
        made = self._object(function.owner.name, number)
        return made.replace(function.owner.name + "(", function.name.rpartition(".")[0] + "(", 1) or None

    def _object(self, name: str, number: int, depth: int = 0) -> str:
        """An expression that makes an object of a class of the module; empty where that is not known."""
        node = self._constructors.classes.get(name)
        if node is None or depth > 2 or self._constructors(name) is None:
            return ""
        if shown := self._constructors.examples(name):
            return shown[number % len(shown)]
        if (other := self._constructors.concrete(name)) != name:
            return self._object(other, number, depth)
        made_by, parameters = self._constructors.parameters(node)
        given = []
        for place, parameter in enumerate(parameters):
            if parameter.required:
                value = self._value(made_by, parameter, number, place, depth + 1)
                if not value:
                    return ""
                given.append(f"{parameter.name}={value}" if parameter.kind == "keyword" else value)
        return f"{name}({', '.join(given)})"

    def _value(
        self, function: Function, parameter: Parameter, number: int, place: int, depth: int = 0, later: int = 0
    ) -> str:
        """An argument; ``number``: which one of those that fit; of objects the one ``later``."""
        if function not in self._shapes:
            self._shapes[function] = Shapes(function, self._constructors.words, self._constructors)
        shapes = self._shapes[function]
        kinds = [option.kind for option in shapes.options(parameter)[:1]]
        kind = kinds[0] if kinds else ""
        if kind in self._constructors.classes:
            return self._object(kind, number + place + later, depth + 1)
        fitting = [value for value in self._quoted if fits(kind, value)] if kind.startswith("str") else []
        named = [value for value in of_name(parameter.name) if fits(kind, value)]
        pool = [*fitting, *named] or list(of_kind(kind))
        return pool[(number + (0 if fitting or named else place)) % len(pool)] if pool else ""

    def _sequences(self) -> Iterator[Call]:
        """Other methods of its object are called first, with the same arguments where they have the same names."""
        function = self._function
        receiver = self._receiver(0)
        if not receiver:
            return
        for other in self._siblings:
            own = other.node.name
            if own.startswith("_") or own == function.node.name or other.how != "method" or not changes(other):
                continue
            made = [next(self._with(other, "self", (), number), None) for number in range(3)]
            steps = [f"self.{Call(own, c.args, c.kwargs).text}" for c in made if c is not None]
            if not steps or not made[0] or not (made[0].args or made[0].kwargs):
                continue
            for count in range(1, len(steps) + 1):
                yield from self._with(function, receiver, tuple(steps[:count]), 0)
        if changes(function):
            yield from self._seen(receiver)

    def _seen(self, receiver: str) -> Iterator[Call]:
        """What the object's other methods tell after the function was called once, twice and three times."""
        made = [next(self._with(self._function, "self", (), number), None) for number in range(3)]
        steps = [f"self.{Call(self._function.node.name, c.args, c.kwargs).text}" for c in made if c is not None]
        for other in telling(self._siblings, self._function):
            for count in range(1, len(steps) + 1):
                yield from itertools.islice(self._with(other, receiver, tuple(steps[:count]), 0), 1)

    def _histories(self) -> Iterator[Call]:
        """The function, or what tells of its object, after methods that change it in any order, itself among them:
        much of what is wrong with an object shows only later."""
        function = self._function
        changing = [
            other
            for other in self._siblings
            if other.how == "method" and not other.node.name.startswith("_") and changes(other)
        ]
        receivers = [made for number in range(3) if (made := self._receiver(number))]
        if not receivers or not changing or function.node.name == "__init__":
            return
        ordered = sorted(changing, key=lambda f: f is not function)
        steps = [
            f"self.{Call(other.node.name, c.args, c.kwargs).text}"
            for number in range(2)
            for other in ordered
            if (c := next(self._with(other, "self", (), number), None)) is not None
        ]
        steps = list(dict.fromkeys(steps))[:_STEP_KINDS]
        lengths = range(1, _LONG + (len(steps) < 3))
        histories = [before for length in lengths for before in itertools.product(steps, repeat=length)]
        for before in histories:
            yield from itertools.islice(self._with(function, receivers[0], before, 0), 1)
        dice = random.Random(zlib.crc32(function.name.encode()))
        last = [function, *telling(self._siblings, function)[:2]]
        own = f"self.{function.node.name}("
        for before in dice.sample(histories, min(_HISTORIES, len(histories))):
            seen_in = dice.choice(last) if any(step.startswith(own) for step in before) else function
            yield from itertools.islice(self._with(seen_in, dice.choice(receivers), before, 0), 1)


def changes(method: Function) -> bool:
    """Whether a method seems to change its object: it stores in an attribute, or calls a method of one."""
    for node in ast.walk(method.node):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self")), attr=name)):
                if name in _CHANGING:
                    return True
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                return True
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id="self")), ctx=ast.Store()):
                return True
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"))))):
                return True
    return False


def _related(parameters: Sequence[Parameter], given: Sequence[str], number: int) -> list[str]:
    """The arguments, of which one that follows a list and has the type of its items is one of them, or none."""
    found = list(given)
    for place in range(1, len(found)):
        many, bound = literal(found[place - 1]), parameters[place].name in BOUNDS
        if isinstance(many, list) and many and not bound and not isinstance(literal(found[place]), list | dict):
            absent = ("'fig'" if "fig" not in many else "'kiwi'") if isinstance(many[0], str) else "4"
            chosen = (many[len(many) // 2], many[0], None, many[-1])[number % 4]
            found[place] = absent if chosen is None else repr(chosen)
    return found


def telling(methods: Iterable[Function], function: Function) -> list[Function]:
    """Methods and properties that tell of an object after ``function``: those that do not change it, if any."""
    found = []
    for other in methods:
        name = other.node.name
        returns = other.node.returns
        told = any(isinstance(node, ast.Return) and node.value for node in ast.walk(other.node)) or (
            returns is not None and ast.unparse(returns) != "None"
        )
        plain = not name.startswith("_") and not isinstance(other.node, ast.AsyncFunctionDef)
        if told and plain and name != function.node.name and other.how in ("method", "property"):
            found.append(other)
    return [other for other in found if not changes(other)] or found
