"""Rule 1, pytest: tests that ask for a fixture which is gone."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator

from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.finding import Finding, Grade, Proof, Related
from famulus.lsp_server.review.index.annotations import parsed
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.facts import Definition
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Symbol
from famulus.lsp_server.review.rules.callsites_words import old_place

_PLAIN_MARKS = {"fixture", "slow", "skip", "skipif", "xfail", "asyncio", "anyio", "usefixtures", "timeout"}
"""Decorators that give a test no arguments."""


def check(changes: Changes) -> Iterator[Finding]:
    """Functions below the old fixture's file that name it, where no fixture of that name is left in reach."""
    lost = {
        name: symbol for before, _ in changes.files if before is not None for name, symbol in fixtures(before.symbols)
    }
    left: dict[str, list[str]] = {}
    for module in changes.new.modules if lost else ():
        for name, symbol in fixtures(module.symbols):
            left.setdefault(name, []).append(symbol.module.path)
    for name, fixture in lost.items():
        if changes.new.module(fixture.module.path) is None or name not in left:
            yield from _askers(changes, name, fixture, left.get(name, []))


def fixtures(symbols: list[Symbol]) -> Iterator[tuple[str, Symbol]]:
    """Fixtures by the name under which tests ask for them."""
    for symbol in symbols:
        for decorator in symbol.definition.decorators:
            if symbol.definition.kind == "function" and decorator.path.rpartition(".")[2] == "fixture":
                yield _given_name(decorator.source) or symbol.name, symbol


def _given_name(source: str) -> str:
    tree = parsed(source)
    for keyword in tree.keywords if isinstance(tree, ast.Call) else ():
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def _askers(changes: Changes, name: str, fixture: Symbol, left: list[str]) -> Iterator[Finding]:
    path = fixture.module.path
    reach = posixpath.dirname(path) if posixpath.basename(path) == "conftest.py" else None
    for module in changes.new.modules:
        below = module.path == path if reach is None else not reach or module.path.startswith(reach + "/")
        if not below:
            continue
        for symbol in module.symbols:
            definition = symbol.definition
            if _asks(changes.new, symbol) and any(p.name == name and p.default is None for p in definition.parameters):
                yield _finding(changes, symbol, definition, name, fixture)


def _asks(project: Project, symbol: Symbol) -> bool:
    """Whether pytest fills the parameters: a test, or a fixture; not one with parameters from elsewhere."""
    definition = symbol.definition
    if definition.kind != "function" or "<locals>" in symbol.qualname:
        return False
    fixture = any(d.path.rpartition(".")[2] == "fixture" for d in definition.decorators)
    test = definition.name.startswith("test") and is_test(symbol.module.path)
    marks = {d.path.rpartition(".")[2] for d in definition.decorators}
    strange = not marks <= _PLAIN_MARKS
    return (fixture or test) and not strange


def _finding(changes: Changes, symbol: Symbol, definition: Definition, name: str, fixture: Symbol) -> Finding:
    place = changes.new.place(symbol.module, definition)
    there = changes.old.place(fixture.module, fixture.definition, "old")
    return Finding(
        rule="call-site/missing-fixture",
        message=f"{place} {symbol.name}() asks for the fixture `{name}`, which is not there any more.",
        grade=Grade.MEASURED,
        certainty="likely",
        severity="error",
        place=place,
        old_place=old_place(changes, symbol.module, place),
        key=f"{symbol.qualname} asks for {name}",
        proof=Proof(kind="bind", text=f"no fixture `{name}` is left in the project", data={"fixture": name}),
        related=(Related(place=there, message=f"`{name}` was defined here."),),
    )
