"""What is passed along while tests are made."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.mining import top_names
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.testgen.coverage import Coverage, Reach, coverage, together
from famulus.lsp_server.testgen.fixtures import Fixture


@dataclass(frozen=True)
class Example:
    """A call and what it answers in every process, whatever the hash seed."""

    call: Call
    outcome: Outcome


@dataclass(frozen=True)
class Aim:
    """A function to be tested. ``module``: the name by which its project imports it; ``imports``: statements for names
    of other modules that its arguments use; ``fixtures``: of the project, that tests of it may use."""

    path: str
    module: str
    source: str = field(repr=False)
    function: Function
    imports: tuple[str, ...] = ()
    fixtures: tuple[Fixture, ...] = ()

    @cached_property
    def prelude(self) -> tuple[str, ...]:
        """Statements that its calls need: imports, and what the project's fixtures are made by."""
        return (*self.imports, *dict.fromkeys(line for one in self.fixtures for line in one.statements))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that stand at the top of its module."""
        return frozenset(top_names(self.source))

    @cached_property
    def is_procedure(self) -> bool:
        """Whether the function is called for what it does: it has no result but None."""
        returned = {ast.unparse(node) for node in ast.walk(self.function.node) if isinstance(node, ast.Return)}
        return returned <= {"return", "return None"}

    @cached_property
    def raising(self) -> frozenset[int]:
        """Lines of its module's ``raise`` statements."""
        nodes = [node for node in ast.walk(ast.parse(self.source)) if isinstance(node, ast.Raise)]
        return frozenset(line for node in nodes for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


Kind = Literal["undoes", "twice", "order", "more"]


@dataclass(frozen=True)
class Property:
    """``kind``: what holds of the function ``target``; ``other``: the one that is undone. ``arguments``: with which a
    test shows it, each a row of expressions; ``kills``: the mutants, by number, that it notices."""

    kind: Kind
    target: str
    other: str
    names: tuple[str, ...]
    arguments: tuple[tuple[str, ...], ...]
    kills: frozenset[int] = frozenset()

    @property
    def statement(self) -> str:
        """What a test asserts of its parameters."""
        first = self.names[0]
        match self.kind:
            case "undoes":
                return f"{self.target}({self.other}({first})) == {first}"
            case "twice":
                return f"{self.target}({self.target}({first})) == {self.target}({first})"
            case "order":
                one, two = self.names
                return f"{self.target}({one}, {two}) == {self.target}({two}, {one})"
        return f"{self.target}({self.names[0]}) <= {self.target}({self.names[1]})"

    @property
    def title(self) -> str:
        """As the name of a test says it."""
        return {
            "undoes": f"undoes_{self.other}",
            "twice": "changes_nothing_the_second_time",
            "order": "does_not_depend_on_the_order",
            "more": "does_not_decrease",
        }[self.kind]


@dataclass
class Result:
    """What became of one function. ``mutants``: how many were tried, ``untried``: how many there was no time for;
    ``kills``: those, by number, that each of its ``examples`` notices; ``known``: those that the project's own tests
    notice, None if there are none or they could not be run, ``unasked``: on how many there was no time to run them;
    ``reached``: what these run of its file; ``properties``:
    what holds for all arguments. ``refused``: why there is nothing, as a sentence; ``unexpected``: what it answers
    against its documentation."""

    aim: Aim
    examples: Sequence[Example] = ()
    mutants: int = 0
    untried: int = 0
    unasked: int = 0
    kills: Sequence[frozenset[int]] = ()
    known: frozenset[int] | None = None
    properties: Sequence[Property] = ()
    reached: Reach = field(default_factory=Reach)
    refused: str = ""
    unexpected: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def killed_before(self) -> int | None:
        """How many mutants the project's own tests notice."""
        return None if self.known is None else len(self.known)

    @property
    def killed(self) -> int:
        """How many mutants are noticed with the examples."""
        return len((self.known or frozenset()).union(*self.kills, *(one.kills for one in self.properties)))

    @property
    def coverage(self) -> tuple[Coverage, Coverage]:
        """What is run of the function without the examples and with them."""
        own = together(Reach(example.outcome.lines, example.outcome.arcs) for example in self.examples)
        return coverage(self.aim.function, self.reached), coverage(self.aim.function, self.reached | own)

    def keep(self, examples: Collection[Example | Property]) -> None:
        """Leave out the examples and properties that are not among these: their tests did not hold."""
        self.properties = [one for one in self.properties if any(one is other for other in examples)]
        kept = [n for n, example in enumerate(self.examples) if any(example is other for other in examples)]
        self.kills = [self.kills[n] for n in kept] if self.kills else ()
        self.examples = [self.examples[n] for n in kept]
