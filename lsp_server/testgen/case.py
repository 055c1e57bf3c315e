"""What is passed along while tests are made."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.mining import top_names
from famulus.lsp_server.execution.outcome import Outcome


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
    """What became of one function. ``killed_before``: mutants that the project's own tests notice, None if there are
    none or they could not be run. ``refused``: why there is nothing, as a sentence."""

    aim: Aim
    examples: Sequence[Example] = ()
    mutants: int = 0
    killed_before: int | None = None
    killed: int = 0
    tried: int = 0
    refused: str = ""
    seconds: float = 0.0
