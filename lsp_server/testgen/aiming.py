"""From a function of the project to the calls that can be made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function, functions
from famulus.lsp_server.execution.inputs import Inputs, vocabulary
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.mining import Mine, top_names
from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.testgen import constants
from famulus.lsp_server.testgen.case import Aim
from famulus.lsp_server.testgen.commandline import runner
from famulus.lsp_server.testgen.fixtures import Fixture
from famulus.lsp_server.testgen.natural import Natural
from famulus.lsp_server.testgen.unreached import Unreached


@dataclass(frozen=True)
class Prepared:
    """A function that is to be tested, the calls to try, how objects are made for them, and what aims at its lines."""

    aim: Aim
    inputs: Inputs
    constructors: Constructors
    unreached: Unreached


def _unreached(function: Function, constructors: Constructors, known: dict[str, object]) -> Unreached:
    """What aims at lines of a function that the first calls do not reach."""
    owner = constructors.classes.get(function.owner.name) if function.owner else None
    if owner is None or function.how not in ("method", "property"):
        return Unreached(function, known)
    made_by, parameters = constructors.parameters(owner)
    return Unreached(function, known, parameters, constants.kept(made_by, parameters))


@dataclass
class Aims:
    """Looks at the functions of one version of a project; its files are read once, ``check`` is called meanwhile."""

    tree: Tree
    layout: Layout
    check: Callable[[], None] = lambda: None
    fixtures: tuple[Fixture, ...] = ()
    """Those that the tests may use."""

    @cached_property
    def _mine(self) -> Mine:
        return Mine(self.tree)

    def of(self, path: str, source: str, function: Function, seconds: float) -> Prepared | None:
        """What is to be tested and its inputs; None where the module at ``path`` cannot be imported by a name.

        ``seconds``: in which calls of it are looked for in the project."""
        self.check()
        module = self.layout.module(path)
        if module is None:
            return None
        given = constants.expressions(source, path, function, self._found)
        constructors = Constructors(path, source, vocabulary(function.node, *given.values()), self._found)
        deadline = time.monotonic() + seconds
        calls = self._mine.of(function, path, top_names(source), lambda: time.monotonic() < deadline).calls
        self.check()
        natural = Natural(source, function, constructors).calls()
        inputs = Inputs(function, constructors, constructors.words, found=[*calls, *natural])
        imports = dict.fromkeys((*constructors.imports, *runner(source, function)))
        aim = Aim(path, module[0], source, function, tuple(imports), self.fixtures)
        return Prepared(aim, inputs, constructors, _unreached(function, constructors, constants.values(given)))

    def others(self, path: str, source: str) -> Callable[[str], Inputs | None]:
        """Fresh inputs of the functions of a module, by name."""
        known = functions(source)

        def inputs(name: str) -> Inputs | None:
            prepared = self.of(path, source, known[name], 0.5) if name in known else None
            return prepared.inputs if prepared else None

        return inputs

    def _found(self, name: str, importer: str) -> tuple[str, str, str] | None:
        known = self.layout.found(name, importer)
        content = self.tree.read(known[0]) if known else None
        return (known[0], decoded(content), known[1]) if known and content is not None else None
