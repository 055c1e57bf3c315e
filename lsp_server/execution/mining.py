"""Calls that the project itself makes, in its code, its tests and its doctests, with arguments that are written out.

Nothing is run: a name stands for what the same function assigned to it before, or for the values of ``parametrize``.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from famulus.lsp_server.execution.callplaces import Names, Places, last_name
from famulus.lsp_server.execution.calls import MODULES, STANDARD, Call, Source
from famulus.lsp_server.execution.functions import AnyFunction, Function
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.nodes import nodes

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree

MOST = 40
_LARGEST = 2000
_HARMLESS = frozenset(name for name, kind in vars(builtins).items() if isinstance(kind, type)) | {
    *("abs", "chr", "iter", "len", "max", "min", "ord", "repr", "round", "sorted", "sum"),
}
"""Builtins that an argument may use."""


@dataclass(frozen=True)
class Site:
    """A place that calls the function: path, and line from 1."""

    path: str
    line: int


@dataclass
class Mined:
    """Calls of one function, and all places that call something of its name."""

    calls: list[Call] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)


class Mine:
    """Looks through one version of a project. Files are read once."""

    def __init__(self, tree: Tree) -> None:
        self._texts = {path: tree.read(path) or b"" for path in tree.paths() if path.endswith(".py")}
        self._trees: dict[str, ast.Module | None] = {}
        self._places: dict[str, Places] = {}
        self._documented: dict[str, list[str]] = {}

    def of(
        self, function: Function, path: str, names: frozenset[str], go_on: Callable[[], bool] = lambda: True
    ) -> Mined:
        """Calls of ``function``, which the file ``path`` defines. ``names``: what that module knows at its top. No
        further file is looked at when ``go_on`` says no."""
        mined = Mined()
        reader = _Reader(function, names)
        for text in self._documentation(path):
            if function.node.name in text or (function.owner and function.owner.name in text):
                mined.calls += reader.doctests(text)
        name = _word(function).encode()
        word = re.compile(rb"\b" + re.escape(name) + rb"\b")
        for other in sorted(self._texts, key=lambda other: (not is_test(other), other != path, other)):
            if name not in self._texts[other] or not word.search(self._texts[other]):  # the first is much quicker
                continue
            if not go_on():
                break
            places = self._places_of(other)
            if places is None:
                continue
            for site, call in reader.file(places, "test" if is_test(other) else "call"):
                mined.sites.append(Site(other, site))
                if call is not None and len(mined.calls) < MOST:
                    mined.calls.append(call)
        mined.calls = list({call.text + "".join(call.before): call for call in reversed(mined.calls)}.values())[::-1]
        return mined

    def tests(self, words: Sequence[str]) -> list[str]:
        """Files of tests in which one of these words occurs."""
        if not words:
            return []
        pattern = re.compile(rb"\b(" + b"|".join(re.escape(word.encode()) for word in words) + rb")\b")
        return [path for path, text in self._texts.items() if is_test(path) and pattern.search(text)]

    def _documentation(self, path: str) -> list[str]:
        if path not in self._documented:
            tree = self._tree(path)
            self._documented[path] = _documentation(tree) if tree else []
        return self._documented[path]

    def _places_of(self, path: str) -> Places | None:
        if path not in self._places and (tree := self._tree(path)) is not None:
            self._places[path] = Places(tree)
        return self._places.get(path)

    def _tree(self, path: str) -> ast.Module | None:
        if path not in self._trees:
            try:
                self._trees[path] = ast.parse(self._texts.get(path, b""))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._trees[path] = None
        return self._trees[path]


def _word(function: Function) -> str:
    return function.owner.name if function.owner and function.node.name.startswith("__") else function.node.name


def _documentation(tree: ast.Module) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in nodes(tree) if isinstance(node, kinds)]
    return [text for text in texts if ">>>" in text]


class _Reader:
    """Finds calls of one function in code."""

    def __init__(self, function: Function, names: frozenset[str]) -> None:
        self.function, self.names = function, names
        self.method = function.how in ("method", "property")
        self.constructor = function.node.name == "__init__"
        self.owner = function.owner.name if function.owner else ""
        self.path = function.name.rpartition(".")[0]

    def doctests(self, text: str) -> list[Call]:
        """Calls in the examples of a docstring."""
        try:
            source = "".join(example.source for example in doctest.DocTestParser().get_examples(text))
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return []
        return [call for _, call in self.file(Places(tree), "doctest") if call is not None]

    def file(self, places: Places, source: Source) -> Iterator[tuple[int, Call | None]]:
        """Line of each call, and the call if its arguments are written out."""
        wanted = self.owner if self.constructor else self.function.node.name
        for node, around in places.of(wanted, read=self.function.how == "property"):
            if self._is_call(node):
                yield from self._read(node, places.names(around), around.body, source)

    def _is_call(self, node: ast.AST) -> bool:
        wanted = self.function.node.name
        if self.function.how == "property":
            return isinstance(node, ast.Attribute) and node.attr == wanted and isinstance(node.ctx, ast.Load)
        if not isinstance(node, ast.Call):
            return False
        name = last_name(node.func)
        if self.constructor:
            return name == self.owner
        return name == wanted and (isinstance(node.func, ast.Attribute) or not self.function.owner)

    def _read(
        self, node: ast.AST, names: Names, body: Sequence[ast.stmt], source: Source
    ) -> Iterator[tuple[int, Call | None]]:
        assert isinstance(node, ast.Call | ast.Attribute)
        variants = max([1, *(len(names[n.id]) for n in nodes(node) if isinstance(n, ast.Name) and n.id in names)])
        for variant in range(min(variants, 12)):
            call = self._call(node, _Writer(names, self.names, variant), body, source)
            if variant == 0 or call is not None:
                yield node.lineno, call

    def _call(
        self, node: ast.Call | ast.Attribute, write: _Writer, body: Sequence[ast.stmt], source: Source
    ) -> Call | None:
        function = node.func if isinstance(node, ast.Call) else node
        receiver = ""
        before: tuple[str, ...] = ()
        if self.method and not self.constructor:
            assert isinstance(function, ast.Attribute)
            receiver = write.text(function.value) or ""
            if not receiver or last_name(function.value) in self.names or receiver in MODULES:
                return None
            if isinstance(function.value, ast.Name):
                before = _before(function.value.id, body, node, write)
        if isinstance(node, ast.Attribute):
            return Call(self.function.name, receiver=receiver, before=before, how="get", source=source)
        if any(isinstance(argument, ast.Starred) for argument in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            return None
        args = [write.text(argument) for argument in node.args]
        kwargs = [(keyword.arg or "", write.text(keyword.value)) for keyword in node.keywords]
        if any(text is None for text in (*args, *(text for _, text in kwargs))):
            return None
        target = self.path if self.constructor else self.function.name
        known = tuple((name, text or "") for name, text in kwargs)
        return Call(target, tuple(text or "" for text in args), known, receiver, before, source=source)


class _Writer:
    """Writes expressions without the names of the function around them. ``own``: names that may stay."""

    def __init__(self, names: Names, own: frozenset[str], variant: int) -> None:
        self.names, self.own, self.variant = names, own, variant

    def text(self, node: ast.expr) -> str | None:
        """The expression; None if it cannot stand alone, or is too long."""
        try:
            text = ast.unparse(ast.fix_missing_locations(self._written(node, 0)))
        except (_Bound, RecursionError, ValueError):
            return None
        return text if len(text) <= _LARGEST else None

    def _written(self, node: ast.expr, depth: int) -> ast.expr:
        if depth > 30 or isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            raise _Bound
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            if _free(node) - self.own - _HARMLESS:
                raise _Bound
            return node
        if isinstance(node, ast.Name):
            return self._name(node, depth)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id not in self.names:
                if node.value.id in MODULES or node.value.id in self.own:
                    return node
                if node.attr in self.own and node.attr[:1].isupper():
                    return ast.Name(node.attr, ast.Load())  # shop.Stack
            return ast.Attribute(self._written(node.value, depth + 1), node.attr, ast.Load())
        parts: dict[str, Any] = {name: self._part(value, depth) for name, value in ast.iter_fields(node)}
        return type(node)(**parts)

    def _part(self, value: object, depth: int) -> object:
        if isinstance(value, list):
            return [self._part(item, depth) for item in value]
        if isinstance(value, ast.keyword):
            return ast.keyword(value.arg, self._written(value.value, depth + 1))
        return self._written(value, depth + 1) if isinstance(value, ast.expr) else value

    def _name(self, node: ast.Name, depth: int) -> ast.expr:
        values = self.names.get(node.id)
        if values:
            return self._written(values[self.variant % len(values)], depth + 1)
        if node.id in self.own or node.id in STANDARD or node.id in MODULES or node.id in _HARMLESS:
            return node
        raise _Bound


class _Bound(Exception):
    """An expression that needs what is around it."""


def _free(node: ast.AST) -> set[str]:
    inner = nodes(node)
    names = [n for n in inner if isinstance(n, ast.Name)]
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {n.arg for n in inner if isinstance(n, ast.arg)}
    return {n.id for n in names} - bound


def _before(name: str, body: Sequence[ast.stmt], until: ast.expr, write: _Writer) -> tuple[str, ...]:
    """Statements between the making of an object and a call that only call its methods."""
    found: list[str] = []
    for statement in body:
        if (statement.end_lineno or 0, statement.end_col_offset or 0) > (until.lineno, until.col_offset):
            break
        if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
            continue
        function = statement.value.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == name:
            args = [write.text(argument) for argument in statement.value.args]
            kwargs = [(keyword.arg, write.text(keyword.value)) for keyword in statement.value.keywords]
            if None in args or any(key is None or text is None for key, text in kwargs):
                return ()
            given = [str(text) for text in args] + [f"{key}={text}" for key, text in kwargs]
            found.append(f"self.{function.attr}({', '.join(given)})")
    return tuple(found[:8])


@functools.lru_cache(64)  # asked for by each function of a file
def top_names(source: str) -> frozenset[str]:
    """Names that a module knows at its top."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | AnyFunction):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            found |= {n.id for n in nodes(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return frozenset(found)
