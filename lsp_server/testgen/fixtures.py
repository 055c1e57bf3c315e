"""Fixtures of the project's ``conftest.py`` files that give what a function takes."""

from __future__ import annotations

import ast
import copy
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Parameter

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree

_MADE = re.compile(r"(\w+) = conftest_(\w+)\(\)$")


@dataclass(frozen=True)
class Fixture:
    """``type``: name of the class of what it gives, empty if that is not told; ``statements``: with them the name
    ``conftest_NAME`` is the function."""

    name: str
    type: str
    statements: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line of a setting that stands for the fixture."""
        return f"{self.name} = conftest_{self.name}()"

    def gives(self, parameter: Parameter) -> bool:
        """Whether it has the parameter's type, or its name where no type is told."""
        hint = ast.unparse(parameter.annotation).strip("'\"").rpartition(".")[2] if parameter.annotation else ""
        if hint and self.type:
            return hint == self.type
        return self.name == parameter.name


def name_in(line: str) -> str:
    """The fixture that a line of a setting stands for; empty if it is another line."""
    match = _MADE.match(line)
    return match[1] if match and match[1] == match[2] else ""


def fixtures(tree: Tree, place: str) -> tuple[Fixture, ...]:
    """Those that tests at ``place`` may use, the nearest first; only such as need no other fixture and end with what
    they return."""
    folder = posixpath.dirname(place)
    paths = [place]
    while True:
        paths.append(posixpath.join(folder, "conftest.py"))
        if not folder:
            break
        folder = posixpath.dirname(folder)
    found: dict[str, Fixture] = {}
    for path in paths:
        content = tree.read(path)
        try:
            module = ast.parse(content or b"")
        except (SyntaxError, ValueError):
            continue
        for fixture in _of(module):
            found.setdefault(fixture.name, fixture)
    return tuple(found.values())


def _of(module: ast.Module) -> Iterator[Fixture]:
    imports = tuple(
        ast.unparse(node)
        for node in module.body
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
    )
    for node in module.body:
        if not isinstance(node, ast.FunctionDef) or not any(_is_fixture(d) for d in node.decorator_list):
            continue
        results = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value]
        yields = any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node))
        if yields or not results or ast.unparse(node.args):
            continue
        hint = ast.unparse(node.returns).strip("'\"").rpartition(".")[2] if node.returns else ""
        made = results[-1].func if isinstance(results[-1], ast.Call) else None
        kind = hint or (ast.unparse(made).rpartition(".")[2] if made is not None else "")
        plain = copy.copy(node)
        plain.name, plain.decorator_list, plain.returns = f"conftest_{node.name}", [], None
        source = ast.unparse(plain)
        yield Fixture(node.name, kind if kind[:1].isupper() or hint else "", (*imports, source))


def _is_fixture(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        named = [k for k in node.keywords if k.arg in ("name", "params", "autouse")]
        return not named and _is_fixture(node.func)
    return ast.unparse(node).rpartition(".")[2] == "fixture"


def with_fixture(call: Call, place: int, fixture: Fixture) -> Call:
    """The call with what the fixture gives at ``place`` of its expressions."""
    lines = call.setting if fixture.line in call.setting else (fixture.line, *call.setting)
    return replace(call.replaced(place, fixture.name), setting=lines)
