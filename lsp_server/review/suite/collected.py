"""The tests in a file, as pytest and unittest collect them by default."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from famulus.lsp_server.review.equality.canonical import Function
from famulus.lsp_server.review.suite.assertions import Assertion, assertions, name_of

_SKIPS = ("skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure", "skipTest", "SkipTest", "importorskip")


def is_test_file(path: str) -> bool:
    """Whether a path is one of a test: by its name, or by a folder ``tests`` or ``test`` above it."""
    pure = PurePosixPath(path)
    named = pure.stem.startswith("test_") or pure.stem.endswith("_test") or pure.stem in ("tests", "test")
    return pure.suffix == ".py" and (named or bool({"tests", "test"} & set(pure.parts[:-1])))


@dataclass(frozen=True, slots=True)
class Mark:
    """A decorator, or a call in a test, that keeps its failure from being seen. ``always``: without a condition."""

    name: str
    text: str
    line: int
    always: bool
    strict: bool = False


@dataclass(frozen=True)
class Test:
    """One test. ``name``: dotted inside of its file; ``owner``: the classes around it, outermost first."""

    __test__ = False

    name: str
    node: Function
    path: str
    owner: tuple[ast.ClassDef, ...] = ()

    @cached_property
    def demands(self) -> list[Assertion]:
        """What it asserts."""
        return list(assertions(self.node.body))

    @cached_property
    def body(self) -> str:
        """Its statements in one spelling."""
        return "\n".join(ast.unparse(statement) for statement in self.node.body)

    @cached_property
    def called(self) -> frozenset[str]:
        """The last names of all that it calls."""
        return frozenset(name_of(n) for n in ast.walk(self.node) if isinstance(n, ast.Call))

    @cached_property
    def names(self) -> frozenset[str]:
        """All names and attributes in it."""
        return names_in(self.node)

    @cached_property
    def marks(self) -> list[Mark]:
        """What keeps a failure of it from being seen: on it, on its classes, and in its body."""
        found = [m for d in self.node.decorator_list if (m := _mark(d))]
        found += [m for c in self.owner for d in c.decorator_list if (m := _mark(d))]
        for statement, sure in _straight(self.node.body):
            value: ast.expr | None = None
            if isinstance(statement, ast.Expr):
                value = statement.value
            elif isinstance(statement, ast.Raise):
                value = statement.exc
            mark = _mark(value) if value is not None else None
            if mark is not None:
                found.append(Mark(mark.name, mark.text, statement.lineno, sure))
        return found

    @cached_property
    def returns(self) -> list[tuple[int, bool]]:
        """Lines of a ``return`` with demands behind it, and whether it is always reached."""
        lines = [d.line for d in self.demands]
        return [
            (s.lineno, sure)
            for s, sure in _straight(self.node.body)
            if isinstance(s, ast.Return) and any(line > s.lineno for line in lines)
        ]

    @cached_property
    def cases(self) -> dict[str, list[str]]:
        """The cases of each ``parametrize`` with a literal list, by the names that it binds."""
        found: dict[str, list[str]] = {}
        owners = [d for c in self.owner for d in c.decorator_list]
        for decorator in (*self.node.decorator_list, *owners):
            if isinstance(decorator, ast.Call) and name_of(decorator) == "parametrize":
                given = {k.arg: k.value for k in decorator.keywords}
                names = decorator.args[0] if decorator.args else given.get("argnames")
                values = decorator.args[1] if len(decorator.args) > 1 else given.get("argvalues")
                if names is not None and isinstance(values, ast.List | ast.Tuple | ast.Set):
                    found[ast.unparse(names)] = [ast.unparse(v) for v in values.elts]
        return found

    @cached_property
    def replaced(self) -> dict[str, tuple[str, int]]:
        """What it replaces by a mock: the last name → the text and line."""
        found: dict[str, tuple[str, int]] = {}
        for node in [n for part in (self.node, *self.owner) for d in part.decorator_list for n in ast.walk(d)] + [
            n for s in self.node.body for n in ast.walk(s)
        ]:
            target = _patched(node)
            if target:
                found.setdefault(target, (ast.unparse(node), getattr(node, "lineno", self.node.lineno)))
        return found


def collected(tree: ast.Module, path: str) -> Iterator[Test]:
    """The tests of a file."""
    yield from _collected(tree.body, path, ())


def _collected(body: list[ast.stmt], path: str, owner: tuple[ast.ClassDef, ...]) -> Iterator[Test]:
    for statement in body:
        if isinstance(statement, Function) and statement.name.startswith("test"):
            if not any(name_of(d) == "fixture" for d in statement.decorator_list):
                yield Test(".".join([*(c.name for c in owner), statement.name]), statement, path, owner)
        elif isinstance(statement, ast.ClassDef) and _is_test_class(statement):
            yield from _collected(statement.body, path, (*owner, statement))
        elif isinstance(statement, ast.If | ast.Try):
            yield from _collected([*statement.body, *statement.orelse], path, owner)


def _is_test_class(node: ast.ClassDef) -> bool:
    return node.name.startswith("Test") or any("Test" in name_of(base) for base in node.bases)


def names_in(node: ast.AST) -> frozenset[str]:
    """All identifiers in a piece of code."""
    found: set[str] = set()
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            found.add(n.id)
        elif isinstance(n, ast.Attribute):
            found.add(n.attr)
        elif isinstance(n, ast.arg | ast.keyword):
            found.add(n.arg or "")
        elif isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(n.name)
        elif isinstance(n, ast.alias):
            found.update((n.asname or n.name).split("."))
    return frozenset(found)


def file_marks(tree: ast.Module) -> list[Mark]:
    """What keeps the failures of a whole file from being seen."""
    found = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and any(name_of(t) == "pytestmark" for t in statement.targets):
            values = statement.value.elts if isinstance(statement.value, ast.List | ast.Tuple) else [statement.value]
            found += [m for v in values if (m := _mark(v))]
        elif isinstance(statement, ast.Expr) and (mark := _mark(statement.value)) and mark.name == "skip":
            found.append(mark)
    return found


def _mark(node: ast.expr) -> Mark | None:
    name = name_of(node)
    if name not in _SKIPS or name == "importorskip":
        return None
    call = node if isinstance(node, ast.Call) else None
    given = {k.arg: k.value for k in call.keywords} if call else {}
    conditional = name in ("skipif", "skipIf", "skipUnless") or (
        name == "xfail" and call is not None and (bool(call.args) or "condition" in given)
    )
    strict = isinstance(given.get("strict"), ast.Constant) and given["strict"].value is True  # type: ignore[attr-defined]
    return Mark(name, ast.unparse(node), node.lineno, not conditional, strict)


def _straight(body: list[ast.stmt], sure: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
    """The statements of a function, not those of functions inside; with it whether each is always reached."""
    for statement in body:
        yield statement, sure
        if isinstance(statement, Function | ast.ClassDef):
            continue
        plain = isinstance(statement, ast.With | ast.AsyncWith)
        for name in ("body", "orelse", "finalbody"):
            yield from _straight(getattr(statement, name, None) or [], sure and plain)
        for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from _straight(part.body, False)


def _patched(node: ast.AST) -> str:
    """The last name of what a node replaces by something else; empty if it does not."""
    if isinstance(node, ast.Call):
        strings = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if name_of(node) == "patch" and node.args and strings:
            return strings[0].rpartition(".")[2]
        if name_of(node) == "object" and "patch" in ast.unparse(node.func) and strings:
            return strings[0]
        if name_of(node) == "setattr" and "monkeypatch" in ast.unparse(node.func) and strings:
            return strings[0].rpartition(".")[2]
    if isinstance(node, ast.Assign) and name_of(node.value) in ("Mock", "MagicMock", "AsyncMock"):
        target = node.targets[0]
        return target.attr if isinstance(target, ast.Attribute) else ""
    return ""
