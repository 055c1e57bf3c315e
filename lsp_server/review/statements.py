"""The statements of functions that tests could run, by function."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from famulus.lsp_server.review.change import FileChange, parsed
from famulus.lsp_server.review.finding import Side
from famulus.lsp_server.review.kept import Kept, digest_of, python_mark

VERSION = 1
"""Raised whenever the same text gives other bodies."""
_NO_CODE = frozenset({"abstractmethod", "overload"})
_PRAGMAS = ("pragma: no cover", "pragma: nocover")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Statement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One statement: lines ``first`` to ``last``; of a compound one only its head. Lines count from 1."""

    first: int
    last: int

    @property
    def lines(self) -> range:
        """Its lines."""
        return range(self.first, self.last + 1)


class FunctionBody(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A function and its own statements, without those of functions inside and those that no test has to run.

    ``line``: of its head; ``first`` and ``last``: all of it, with its decorators; ``code``: the same for functions of
    the same name and code, wherever they stand."""

    name: str
    line: int
    first: int
    last: int
    statements: tuple[Statement, ...]
    code: str

    @property
    def lines(self) -> range:
        """All its lines, from the first decorator on."""
        return range(self.first, self.last + 1)

    @property
    def own_name(self) -> str:
        """Its last name."""
        return self.name.rpartition(".")[2]


def bodies_of(file: FileChange, side: Side) -> list[FunctionBody]:
    """The functions of one side of a changed file, as :func:`function_bodies`; kept by its text."""
    old = side == "old"
    text = file.old_text if old else file.new_text
    kept = Kept(f"bodies-{VERSION}-{python_mark()}", list[FunctionBody])
    digest = digest_of(text.encode(errors="surrogatepass"))
    found = kept.get(digest)
    if found is None:
        found = _bodies(file.old_tree if old else file.new_tree, text)
        kept.put(digest, found)
        kept.sweep()
    return found


def function_bodies(source: str) -> list[FunctionBody]:
    """The functions of a file; none if it is no Python. What is marked ``# pragma: no cover`` is left out."""
    return _bodies(parsed(source), source)


def _bodies(tree: ast.Module | None, source: str) -> list[FunctionBody]:
    if tree is None:
        return []
    marked = {number for number, line in enumerate(source.split("\n"), 1) if any(mark in line for mark in _PRAGMAS)}
    return list(_functions(tree.body, "", marked))


def _functions(body: Sequence[ast.stmt], around: str, marked: set[int]) -> Iterator[FunctionBody]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.lineno not in marked:
            yield from _functions(node.body, f"{around}{node.name}.", marked)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.lineno in marked or any(_last(decorator) in _NO_CODE for decorator in node.decorator_list):
                continue
            name = f"{around}{node.name}"
            own = node.body[1:] if _is_text(node.body[0]) else node.body
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            code = hashlib.sha256(ast.dump(node).encode("utf-8", "surrogatepass")).hexdigest()
            last = node.end_lineno or node.lineno
            yield FunctionBody(name, node.lineno, first, last, tuple(_statements(own, marked)), code)
            yield from _functions(list(_inside(node)), f"{name}.", marked)
        elif isinstance(node, (ast.If, ast.Try, ast.With)) and not _for_others(node):
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            yield from _functions(inner, around, marked)


def _inside(node: ast.AST) -> Iterator[_Function]:
    """Functions inside, at whatever depth of blocks, but not those inside of these."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
        elif not isinstance(child, ast.expr):
            yield from _inside(child)


def _statements(body: Sequence[ast.stmt], marked: set[int]) -> Iterator[Statement]:
    for node in body:
        if node.lineno in marked or _is_text(node) or _for_others(node):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Pass)) or _says_not_there(node):
            continue
        blocks = [block for name in ("body", "orelse", "finalbody") for block in getattr(node, name, ())]
        handlers = getattr(node, "handlers", ())
        cases = getattr(node, "cases", ())
        if not isinstance(node, ast.Try):
            inner = [part.lineno for part in (*blocks, *(case.pattern for case in cases))]
            last = max(node.lineno, min(inner) - 1) if inner else (node.end_lineno or node.lineno)
            yield Statement(node.lineno, last)
        yield from _statements(blocks, marked)
        for part in (*handlers, *cases):
            if part.body[0].lineno not in marked and getattr(part, "lineno", 0) not in marked:
                yield from _statements(part.body, marked)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _says_not_there(node: ast.stmt) -> bool:
    """``raise NotImplementedError``, ``assert False``, ``assert_never(x)``: nobody means them to be run."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return _last(raised) in ("NotImplementedError", "AssertionError")
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _last(node.value.func) == "assert_never"


def _for_others(node: ast.stmt) -> bool:
    """Whether a statement is for type checkers, or for running the file as a program."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    if isinstance(test, ast.Compare):
        return isinstance(test.left, ast.Name) and test.left.id == "__name__"
    return _last(test) == "TYPE_CHECKING"


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
