"""Which calls to make of a function: found ones first, then made ones, then those that grow from what went well."""

from __future__ import annotations

import ast
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from famulus.lsp_server.execution import mutation
from famulus.lsp_server.execution.calls import Call, Source
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function, Parameter
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.execution.values import Values, Vocabulary


@dataclass
class _Slot:
    """One argument: its parameter, the types it may have, and how well each of them did."""

    parameter: Parameter
    options: list[Values]
    good: list[float]
    found: list[str] = field(default_factory=list)
    """Expressions that were seen in its place."""
    next_edge: int = 0


def vocabulary(*nodes: ast.AST) -> Vocabulary:
    """The constants in pieces of code."""
    words = Vocabulary()
    for top in nodes:
        documentation = (
            ast.get_docstring(top, clean=False) if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef) else None
        )
        for node in ast.walk(top):
            if isinstance(node, ast.Constant):
                if isinstance(node.value, bool) or node.value == documentation:
                    continue
                if isinstance(node.value, int):
                    words.integers.append(node.value)
                elif isinstance(node.value, float):
                    words.floats.append(node.value)
                elif isinstance(node.value, str) and node.value:
                    words.texts.append(node.value)
                elif isinstance(node.value, bytes) and node.value:
                    words.texts.append(node.value.decode("latin-1"))
    return words


class Inputs:
    """Makes calls of one function, and learns from how they went.

    ``parameters``: those that calls may give; of a function whose signature changes, those that both versions share.
    ``found``: calls that the project itself makes. The same arguments make the same calls."""

    def __init__(
        self,
        function: Function,
        constructors: Constructors,
        words: Vocabulary,
        *,
        parameters: Sequence[Parameter] | None = None,
        found: Sequence[Call] = (),
        seed: int = 0,
    ) -> None:
        self.function, self.constructors = function, constructors
        self.found = list(found)
        self._dice = random.Random(zlib.crc32(function.name.encode()) + seed)
        shapes = Shapes(function, words, constructors)
        self._slots = []
        for parameter in function.parameters if parameters is None else parameters:
            if parameter.kind == "stars":
                continue
            options = shapes.options(parameter)
            self._slots.append(_Slot(parameter, options, [(n + 1.0) ** -1.5 for n in range(len(options))]))
        owner = function.owner.name if function.owner else ""
        nested = function.name.rpartition(".")[0]
        made = constructors(owner) if function.how in ("method", "property") else None
        self._receivers = [text.replace(owner + "(", nested + "(", 1) for text in made.edges] if made else []
        self._made = made
        self._owner, self._nested = owner, nested
        self._seen: set[str] = set()
        self._choices: dict[Call, list[int]] = {}
        self._corpus: list[Call] = []
        self._lines: set[int] = set()
        for call in self.found:
            self._learn_expressions(call)

    @property
    def possible(self) -> bool:
        """Whether there is any way to call it."""
        return self.function.how not in ("method", "property") or bool(self._receivers or self.found) or self._is_init

    @property
    def _is_init(self) -> bool:
        return self.function.node.name == "__init__"

    def calls(self, number: int) -> list[Call]:
        """The next calls, at most ``number``, none of them twice."""
        made: list[Call] = []
        for call in self._candidates(number * 3):
            text = call.text + "\0".join(call.before)
            if text not in self._seen and len(text) < 2000:
                self._seen.add(text)
                made.append(call)
                if len(made) >= number:
                    break
        return made

    def learn(self, call: Call, outcome: Outcome) -> None:
        """Take note of how a call went in the version that is trusted."""
        useful = outcome.kind == "value" or (outcome.kind == "raised" and outcome.at is not None)
        if outcome.exception in ("TypeError", "AttributeError") or outcome.kind in ("ended", "invalid"):
            useful = False
        for slot, choice in zip(self._slots, self._choices.get(call, ()), strict=False):
            if choice >= 0:
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
        call = replace(self._call(tuple(args), tuple(kwargs)), doubt=max([0, *choices]))
        self._choices[call] = choices
        return call

    def _value(self, slot: _Slot, likely: bool) -> tuple[str, int]:
        """An argument, and which of its types it has; only the likeliest one if ``likely``."""
        if slot.found and self._dice.random() < 0.5:
            return self._dice.choice(slot.found), -1
        choice = 0 if likely else self._dice.choices(range(len(slot.options)), slot.good)[0]
        option = slot.options[choice]
        if slot.next_edge < len(option.edges) and self._dice.random() < 0.5:
            slot.next_edge += 1
            return option.edges[slot.next_edge - 1], choice
        return option.some(self._dice), choice

    def _call(self, args: tuple[str, ...], kwargs: tuple[tuple[str, str], ...]) -> Call:
        function = self.function
        source: Source = "hint" if all(s.parameter.annotation for s in self._slots) else "guess"
        if self._is_init:
            return Call(self._nested, args, kwargs, source=source)
        if function.how not in ("method", "property"):
            return Call(function.name, args, kwargs, source=source)
        receiver = self._dice.choice(self._receivers) if self._receivers else ""
        if self._made and self._dice.random() < 0.7:
            receiver = self._made.some(self._dice).replace(self._owner + "(", self._nested + "(", 1)
        return Call(
            function.name, args, kwargs, receiver, how="get" if function.how == "property" else "call", source=source
        )

    def _grown(self, call: Call) -> Call:
        """A call that differs a little from one that did well."""
        expressions = call.expressions
        if not expressions:
            return self._fresh()
        place = self._dice.randrange(len(expressions))
        if len(expressions) > 1 and self._dice.random() < 0.2:
            return call.replaced(place, self._dice.choice(expressions[1 if call.receiver else 0 :]))
        pool = [text for slot in self._slots for text in slot.found]
        return call.replaced(place, mutation.mutated(expressions[place], self._dice, pool))

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
