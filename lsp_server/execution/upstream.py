"""Functions from which a call comes to another one in the end, as far as the names that code mentions tell.

A name that is mentioned is not always called, and what is called by a made-up name is not mentioned: whoever runs the
candidates sees which of them come there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.functions import Function, functions_in
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.nodes import nodes

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree

_FAR = 7
"""Steps that are followed."""
_COMMON = 25
"""Names that more functions mention say nothing."""
_MOST_FILES = 80
_PLAIN = frozenset(
    ["str", "int", "bool", "bytes", "float", "Path", "list", "dict", "tuple", "set", "Sequence", "Iterable", "Mapping"]
)
_TEXTS = frozenset(
    ["text", "source", "string", "s", "src", "data", "code", "name", "line", "markup", "content", "value"]
)


@dataclass(frozen=True)
class Candidate:
    """A function of the file ``path``, ``steps`` away."""

    path: str
    function: Function
    steps: int


class Upstream:
    """Knows the code of one version of a project; a file is read when a name that it has is asked for."""

    def __init__(self, tree: Tree) -> None:
        self._texts = {p: tree.read(p) or b"" for p in tree.paths() if p.endswith(".py") and not is_test(p)}
        self._mentions: dict[str, list[tuple[str, Function | None, str]]] = {}
        """By name: path and function of each place that mentions it, and what that place is called; no function: a
        table, or a class that names its base."""
        self._methods: dict[str, list[tuple[str, Function | None, str]]] = {}
        """The same of the public methods of a class, by its name: what an object was given, all of them may use."""
        self._learnt = 0
        """Files; their text is not needed any more."""

    def of(self, path: str, function: Function) -> list[Candidate]:
        """Candidates for ``function`` of the file ``path``: the easiest to call and the nearest first."""
        known: dict[tuple[str, str], Candidate] = {}
        names = {function.node.name} if not function.node.name.startswith("__") else set()
        if function.owner is not None:
            names.add(function.owner.name)
        own = function.owner.name if function.owner is not None else ""
        seen = set(names)
        for steps in range(1, _FAR + 1):
            following: set[str] = set()
            for name in names:
                places = self._places(name)
                if len(places) > _COMMON and name != function.node.name:
                    places = []
                if name != own:  # who cannot call one method of an object cannot call the others
                    places = [*places, *self._methods.get(name, ())]
                for where, user, called in places:
                    if user is not None and (where, user.name) != (path, function.name):
                        known.setdefault((where, user.name), Candidate(where, user, steps))
                    following.add(called)
            names = following - seen
            seen |= names
        return sorted(known.values(), key=lambda c: (_effort(c.path, c.function) + c.steps, c.path, c.function.name))

    def _places(self, name: str) -> list[tuple[str, Function | None, str]]:
        word, room = name.encode(), _MOST_FILES - self._learnt
        if room > 0:
            for path in [path for path, text in self._texts.items() if word in text][:room]:
                self._learnt += 1
                self._learn(path, self._texts.pop(path))
        return self._mentions.get(name, [])

    def _learn(self, path: str, text: bytes) -> None:
        try:
            module = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        for function in functions_in(module).values():
            own = function.node.name
            called = function.owner.name if function.owner and own.startswith("__") else own
            for name in _mentioned(function.node):
                self._add(name, path, function, called)
            if function.owner and not own.startswith("_"):
                self._methods.setdefault(function.owner.name, []).append((path, function, called))
        for body in (module.body, *(node.body for node in module.body if isinstance(node, ast.ClassDef))):
            for statement in body:
                if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                    for called in _targets(statement):
                        for name in _mentioned(statement.value):
                            self._add(name, path, None, called)
                elif isinstance(statement, ast.ClassDef):
                    for name in {name for base in statement.bases for name in _mentioned(base)}:
                        self._add(name, path, None, statement.name)

    def _add(self, name: str, path: str, function: Function | None, called: str) -> None:
        self._mentions.setdefault(name, []).append((path, function, called))


def _mentioned(node: ast.AST) -> set[str]:
    found = set()
    for inner in nodes(node):
        if isinstance(inner, ast.Name):
            found.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            found.add(inner.attr)
    return found


def _targets(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Name):
            yield target.id


def _effort(path: str, function: Function) -> int:
    """How little is to be expected of it: it needs what is no plain value, takes no text, is private or a program."""
    kinds = [ast.unparse(p.annotation).partition("[")[0] if p.annotation else "" for p in function.parameters]
    hard = sum(p.required and kind not in _PLAIN for p, kind in zip(function.parameters, kinds, strict=True))
    text = any(kind in ("str", "bytes") or p.name in _TEXTS for p, kind in zip(function.parameters, kinds, strict=True))
    private = any(part.startswith("_") and part != "__init__" for part in function.name.split("."))
    program = function.name in ("main", "cli") or any(word in path for word in ("cli", "__main__"))
    lonely = not function.parameters and function.owner is None
    return 3 * hard + 2 * private + 3 * (not text) + 8 * (program or lonely)
