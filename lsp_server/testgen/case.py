"""What is passed along while tests are made."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.mining import top_names
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.testgen.coverage import Coverage, Reach, coverage, together


@dataclass(frozen=True)
class Example:
    """A call and what it answers in every process, whatever the hash seed."""

    call: Call
    outcome: Outcome


@dataclass(frozen=True)
class Aim:
    """A function to be tested. ``module``: the name by which its project imports it; ``imports``: statements for names
    of other modules that its arguments use."""

    path: str
    module: str
    source: str = field(repr=False)
    function: Function
    imports: tuple[str, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that stand at the top of its module."""
        return frozenset(top_names(self.source))

    @cached_property
    def raising(self) -> frozenset[int]:
        """Lines of its module's ``raise`` statements."""
        nodes = [node for node in ast.walk(ast.parse(self.source)) if isinstance(node, ast.Raise)]
        return frozenset(line for node in nodes for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


@dataclass
class Result:
    """What became of one function. ``kills``: the mutants, by number, that each of its ``examples`` notices; ``known``:
    those that the project's own tests notice, None if there are none or they could not be run; ``reached``: what
    these run of its file. ``refused``: why there is nothing, as a sentence."""

    aim: Aim
    examples: Sequence[Example] = ()
    mutants: int = 0
    kills: Sequence[frozenset[int]] = ()
    known: frozenset[int] | None = None
    reached: Reach = field(default_factory=Reach)
    refused: str = ""
    seconds: float = 0.0

    @property
    def killed_before(self) -> int | None:
        """How many mutants the project's own tests notice."""
        return None if self.known is None else len(self.known)

    @property
    def killed(self) -> int:
        """How many mutants are noticed with the examples."""
        return len((self.known or frozenset()).union(*self.kills))

    @property
    def coverage(self) -> tuple[Coverage, Coverage]:
        """What is run of the function without the examples and with them."""
        own = together(Reach(example.outcome.lines, example.outcome.arcs) for example in self.examples)
        return coverage(self.aim.function, self.reached), coverage(self.aim.function, self.reached | own)

    def keep(self, examples: Collection[Example]) -> None:
        """Leave out the examples that are not among these: their tests did not hold."""
        kept = [n for n, example in enumerate(self.examples) if any(example is other for other in examples)]
        self.kills = [self.kills[n] for n in kept] if self.kills else ()
        self.examples = [self.examples[n] for n in kept]
