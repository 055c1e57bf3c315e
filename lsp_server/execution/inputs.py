"""Which calls to make of a function: found ones first, then made ones, then those that grow from what went well."""

from __future__ import annotations

import ast
import contextlib
import math
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from famulus.lsp_server.execution import mutation, regexes
from famulus.lsp_server.execution.calls import Call, How, Source
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function, Parameter, functions_in
from famulus.lsp_server.execution.nodes import nodes, nodes_of
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.execution.values import Values, Vocabulary

_WORKING = 16
"""Receivers that are remembered because they could be made."""


@dataclass
class _Slot:
    """One argument: its parameter, the types it may have, and how well each of them did."""

    parameter: Parameter
    options: list[Values]
    good: list[float]
    found: list[str] = field(default_factory=list)
    """Expressions that were seen in its place."""
    unknown: bool = False
    """Nothing tells what it is: it may be what other methods of the object give."""
    next_edge: int = 0


@dataclass
class _Way:
    """A method that may be called on an object first. ``good``: how well that went."""

    name: str
    arguments: list[Values]
    good: float = 1.0


def vocabulary(*pieces: ast.AST, known: Sequence[tuple[str, object]] = ()) -> Vocabulary:
    """The constants in pieces of code; ``known``: more of them, as :meth:`.Version.samples` gives them."""
    words = Vocabulary()
    for top in pieces:
        own = ast.get_docstring(top, clean=False) if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef) else None
        inner = nodes_of(top)
        types = set(nodes(*(hint for node in inner for hint in _hints(node))))
        for node in (node for node in inner if node not in types):
            if isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value != own:
                _learn(words, node.value)
            elif isinstance(node, ast.Call) and (pattern := _compiled(node)):
                _learn_pattern(words, *pattern)
            elif isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict) and _is_literal(node):
                words.containers.append(ast.unparse(node))
    for kind, value in known:
        if kind == "pattern" and isinstance(value, list):
            _learn_pattern(words, str(value[0]), int(value[1]))
        elif kind == "constant":
            _learn(words, value)
    return words


def _compiled(node: ast.Call) -> tuple[str, int] | None:
    """The regular expression that is given to a function of ``re``, and its flags as far as they change its meaning."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=[ast.Constant(value=str(pattern)), *_]):
            verbose = any(sign in ast.unparse(node) for sign in ("re.X", "re.VERBOSE"))
            return pattern, re.VERBOSE if verbose else 0
    return None


def _hints(node: ast.AST) -> list[ast.expr]:
    found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [hint for hint in found if isinstance(hint, ast.expr)]


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def _learn(words: Vocabulary, value: object) -> None:
    if isinstance(value, int) and value not in words.integers:
        words.integers.append(value)
    elif isinstance(value, float) and math.isfinite(value):
        words.floats.append(value)
    elif isinstance(value, bytes) and value:
        words.texts.append(value.decode("latin-1"))
    elif isinstance(value, str) and value:
        if regexes.written_in(value):
            _learn_pattern(words, value, 0)
        elif value not in words.texts:
            words.texts.append(value)


def _learn_pattern(words: Vocabulary, pattern: str, flags: int) -> None:
    with contextlib.suppress(ValueError):
        words.patterns.append(regexes.Pattern(pattern, flags))


def names_used(function: Function) -> list[str]:
    """Dotted names of globals, and of attributes of its class, that a function reads."""
    found: dict[str, None] = {}
    holder = function.name.rpartition(".")[0]
    for node in nodes_of(function.node):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found[node.id] = None
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            found[f"{holder}.{node.attr}"] = None
    return list(found)


class Inputs:
    """Makes calls of one function, and learns from how they went.

    ``parameters``: those that calls may give; of a function whose signature changes, those that both versions share.
    ``found``: calls that the project itself makes. ``stirring``: objects may be used in other ways before the call. The
    same arguments make the same calls."""

    def __init__(
        self,
        function: Function,
        constructors: Constructors,
        words: Vocabulary,
        *,
        parameters: Sequence[Parameter] | None = None,
        found: Sequence[Call] = (),
        seed: int = 0,
        stirring: bool = False,
    ) -> None:
        self.function, self.constructors = function, constructors
        self._containers = list(dict.fromkeys(words.containers))[:40]
        self.found = list(found)
        self._dice = random.Random(zlib.crc32(function.name.encode()) + seed)
        shapes = Shapes(function, words, constructors, constructors.having)
        self._slots = []
        self._keywords: dict[str, Values] = {}
        for parameter in function.parameters if parameters is None else parameters:
            if parameter.kind == "stars":
                self._keywords = shapes.keywords(parameter)
                continue
            options = shapes.options(parameter)
            slot = _Slot(parameter, options, [(n + 1.0) ** -1.5 for n in range(len(options))])
            slot.unknown = shapes.nothing_known(parameter)
            self._slots.append(slot)
        owner = function.owner.name if function.owner else ""
        nested = function.name.rpartition(".")[0]
        made = constructors(owner) if function.how in ("method", "property") else None
        self._receivers = [text.replace(owner + "(", nested + "(", 1) for text in made.edges] if made else []
        self._made = made
        self._working: dict[str, None] = {}
        """Receivers that could be made."""
        self._refused = 0
        """Calls for which something could not be made."""
        self._owner, self._nested = owner, nested
        self._ways = self._others(words) if stirring and made else []
        """Other methods of the object, with their arguments and how well calls after them did."""
        self._seen: set[str] = set()
        self._choices: dict[Call, list[int]] = {}
        self._corpus: list[Call] = []
        self._lines: set[int] = set()
        for call in self.found:
            self._learn_expressions(call)

    def add(self, calls: Sequence[Call]) -> None:
        """Further calls to be tried first, as those that were found."""
        self.found += calls
        for call in calls:
            self._learn_expressions(call)

    @property
    def possible(self) -> bool:
        """Whether there is any way to call it."""
        return self.function.how not in ("method", "property") or bool(self._receivers or self.found) or self._is_init

    @property
    def _is_init(self) -> bool:
        return self.function.node.name == "__init__"

    @property
    def reached(self) -> int:
        """How many lines the calls have reached."""
        return len(self._lines)

    def calls(self, number: int) -> list[Call]:
        """The next calls, at most ``number``, none of them twice."""
        made: list[Call] = []
        for call in self._candidates(number * 3):
            text = call.script
            if text not in self._seen and len(text) < 2000:
                self._seen.add(text)
                made.append(call)
                if len(made) >= number:
                    break
        return made

    def learn(self, call: Call, outcome: Outcome) -> None:
        """Take note of how a call went in the version that is trusted."""
        if call.receiver and outcome.kind in ("value", "raised") and len(self._working) < _WORKING:
            self._working[call.receiver] = None
        self._refused += outcome.kind == "invalid"
        for way in self._ways if call.before else ():
            if any(statement.startswith(f"self.{way.name}(") for statement in call.before):
                way.good = max(0.05, way.good * (0.5 if outcome.kind == "invalid" else 1.1))
        useful = outcome.kind == "value" or (outcome.kind == "raised" and outcome.at is not None)
        if outcome.exception in ("TypeError", "AttributeError") or outcome.kind in ("ended", "invalid"):
            useful = False
        for slot, choice in zip(self._slots, self._choices.get(call, ()), strict=False):
            if 0 <= choice < len(slot.good):
                slot.good[choice] = max(0.02, slot.good[choice] * (1.15 if useful else 0.75))
        if outcome.kind in ("value", "raised") and outcome.lines - self._lines:
            self._lines |= outcome.lines
            self._corpus.append(call)
        elif useful and len(self._corpus) < 8:
            self._corpus.append(call)

    def _candidates(self, number: int) -> Iterator[Call]:
        yield from self.found
        for n in range(number):
            if self._corpus and n % 3 and self._dice.random() < 0.75:
                yield self._grown(self._dice.choice(self._corpus[-12:]))
            else:
                yield self._fresh()

    def _fresh(self) -> Call:
        args: list[str] = []
        kwargs: list[tuple[str, str]] = []
        choices: list[int] = []
        skipped = False
        likely = self._dice.random() < 0.5
        for slot in self._slots:
            parameter = slot.parameter
            if parameter.kind == "star":
                choices.append(0)
                if not skipped and self._dice.random() < 0.6:
                    args += [slot.options[0].some(self._dice) for _ in range(self._dice.choice((1, 2, 3)))]
                continue
            if not parameter.required and (self._dice.random() < 0.45 or (skipped and parameter.kind == "position")):
                skipped = True
                choices.append(-1)
                continue
            text, choice = self._value(slot, likely)
            choices.append(choice)
            if skipped or parameter.kind == "keyword":
                kwargs.append((parameter.name, text))
            else:
                args.append(text)
        kwargs += [(name, v.some(self._dice)) for name, v in self._keywords.items() if self._dice.random() < 0.3]
        call = replace(self._call(tuple(args), tuple(kwargs)), doubt=max([0, *choices]))
        self._choices[call] = choices
        return call

    def _value(self, slot: _Slot, likely: bool) -> tuple[str, int]:
        """An argument, and which of its types it has; only the likeliest one if ``likely``."""
        if slot.found and self._dice.random() < 0.5:
            return self._dice.choice(slot.found), -1
        if self._containers and self._dice.random() < 0.1:
            fitting = [text for text in self._containers if _fits(slot.options[0].kind, text)]
            if fitting:
                return self._dice.choice(fitting), -1
        if slot.unknown and self._ways and self._receivers and self._dice.random() < 0.3:
            return f"{self._receiver()}.{self._use(self._dice.choice(self._ways))}", -1
        choice = 0 if likely else self._dice.choices(range(len(slot.options)), slot.good)[0]
        option = slot.options[choice]
        if slot.next_edge < len(option.edges) and self._dice.random() < 0.5:
            slot.next_edge += 1
            return option.edges[slot.next_edge - 1], choice
        return option.some(self._dice), choice

    @property
    def _source(self) -> Source:
        """Where calls that are made up come from."""
        return "hint" if all(slot.parameter.annotation for slot in self._slots) else "guess"

    def _call(self, args: tuple[str, ...], kwargs: tuple[tuple[str, str], ...]) -> Call:
        function = self.function
        source = self._source
        if self._is_init:
            return Call(self._nested, args, kwargs, source=source)
        if function.how not in ("method", "property"):
            return Call(function.name, args, kwargs, source=source)
        receiver = self._receiver()
        how: How = "get" if function.how == "property" else "call"
        return Call(function.name, args, kwargs, receiver, self._stirred(), how, source=source)

    def _receiver(self) -> str:
        if self._working and self._dice.random() < (0.5 if self._refused < 20 else 0.85):
            return self._dice.choice(list(self._working))
        if self._made and self._dice.random() < 0.7:
            return self._made.some(self._dice).replace(self._owner + "(", self._nested + "(", 1)
        return self._dice.choice(self._receivers) if self._receivers else ""

    def _others(self, words: Vocabulary) -> list[_Way]:
        found = []
        body = self.function.owner.body if self.function.owner else []
        for other in functions_in(ast.Module(list(body), [])).values():
            public = not other.node.name.startswith("_") and other.node.name != self.function.node.name
            if public and isinstance(other.node, ast.FunctionDef) and not other.node.decorator_list:
                shapes = Shapes(other, words, self.constructors, self.constructors.having)
                plain = [p for p in other.parameters[1:] if p.kind in ("position", "either")]
                needed = [p for p in plain if p.required] or plain[:1]
                found.append(_Way(other.node.name, [shapes.options(p)[0] for p in needed]))
        return found[:12]

    def _stirred(self) -> tuple[str, ...]:
        """Statements that use the object before the call, most often none."""
        if not self._ways or self._dice.random() < 0.7:
            return ()
        ways = self._dice.choices(self._ways, [way.good for way in self._ways], k=self._dice.choice((1, 1, 2)))
        return tuple(f"self.{self._use(way)}" for way in ways)

    def _use(self, way: _Way) -> str:
        return f"{way.name}({', '.join(v.some(self._dice) for v in way.arguments)})"

    def _grown(self, call: Call) -> Call:
        """A call that differs a little from one that did well."""
        expressions = call.expressions
        if not expressions:
            return self._fresh()
        call = replace(call, source=self._source)  # whoever made the first one has not made this one
        place = self._dice.randrange(len(expressions))
        slots = self._slots_of(call)
        alike = [n for n in range(len(expressions)) if _exchangeable(slots[place], slots[n])]
        if len(alike) > 1 and self._dice.random() < 0.2:
            return call.replaced(place, expressions[self._dice.choice(alike)])
        pool = [text for slot in self._slots if _exchangeable(slots[place], slot) for text in slot.found]
        return call.replaced(place, mutation.mutated(expressions[place], self._dice, pool))

    def _slots_of(self, call: Call) -> list[_Slot | None]:
        """Of each expression of a call; None for the object."""
        own = [slot for slot in self._slots if slot.parameter.kind in ("position", "either")]
        star = [slot for slot in self._slots if slot.parameter.kind == "star"]
        named = {slot.parameter.name: slot for slot in self._slots}
        placed = [own[n] if n < len(own) else star[0] if star else None for n in range(len(call.args))]
        return [*[None] * bool(call.receiver), *placed, *(named.get(name) for name, _ in call.kwargs)]

    def _learn_expressions(self, call: Call) -> None:
        positional = [slot for slot in self._slots if slot.parameter.kind in ("position", "either")]
        for slot, text in zip(positional, call.args, strict=False):
            if text not in slot.found:
                slot.found.append(text)
        named = {slot.parameter.name: slot for slot in self._slots}
        for name, text in call.kwargs:
            if name in named and text not in named[name].found:
                named[name].found.append(text)
        if call.receiver and call.receiver not in self._receivers:
            self._receivers.append(call.receiver)


def _exchangeable(one: _Slot | None, other: _Slot | None) -> bool:
    """Whether what is given for one parameter may be given for the other, as far as is said."""
    if one is None or other is None:
        return one is other
    hints = [slot.parameter.annotation for slot in (one, other)]
    return not all(hints) or len({ast.unparse(hint) for hint in hints if hint}) == 1


def _fits(kind: str, container: str) -> bool:
    """Whether a container that is written out may have the type ``kind``."""
    return kind.startswith(("dict", "set") if container.startswith("{") else ("list", "tuple"))
