"""How objects of the project's classes are made: the expressions that call their constructors."""

from __future__ import annotations

import ast
import functools
import itertools
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Literal

from famulus.lsp_server.execution import making, relatives
from famulus.lsp_server.execution import values as v
from famulus.lsp_server.execution.functions import Function, Parameter, functions_in
from famulus.lsp_server.execution.nodes import nodes
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.execution.tabular import tabular
from famulus.lsp_server.execution.values import Values, Vocabulary

_DEEP = 3
_FACTORIES = 2
_HEIRS = 6
Find = Callable[[str, str], tuple[str, str, str] | None]
"""(module name, path of the importing file) → path, source and absolute name of a module of the project."""


@functools.lru_cache(128)  # the same few modules are asked for by each function that takes objects of their classes
def _read(source: str) -> tuple[ast.Module, dict[str, Function], dict[str, ast.ClassDef], list[ast.ImportFrom]]:
    """The tree of a module, its functions, its classes and what it imports; nobody changes them."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        module = ast.Module([], [])
    inner = nodes(module)
    classes = {node.name: node for node in inner if isinstance(node, ast.ClassDef)}
    return module, functions_in(module), classes, [node for node in inner if isinstance(node, ast.ImportFrom)]


class Constructors:
    """Makes objects of classes that a module defines or imports from the project.

    ``imports`` collects statements for classes of other modules; ``module`` is the name of such a one."""

    def __init__(
        self,
        path: str,
        source: str,
        words: Vocabulary,
        find: Find = lambda name, path: None,
        *,
        module: str = "",
        imports: dict[str, None] | None = None,
    ) -> None:
        self.path, self.words, self.find = path, words, find
        self.imports: dict[str, None] = {} if imports is None else imports
        self._foreign = module
        self.module, self._functions, self.classes, self._imports = _read(source)
        self._depth = 0
        self._made: dict[str, Values | None] = {}

    def __call__(self, name: str) -> Values | None:
        """Values of the class known as ``name``; None if there is no such class or no way to make one. ``type[name]``:
        the class itself and those that derive from it."""
        if name.startswith("type["):
            return self._kinds(name[5:-1])
        if name in self._made:
            return self._made[name]
        if self._depth >= _DEEP or not name:
            return None
        self._depth += 1
        try:
            node = self.classes.get(name)
            made = self._of_class(node) if node else self._alias(name) or self._imported(name)
            made = made or self._tabular(name)
        finally:
            self._depth -= 1
        if self._depth == 0:
            self._made[name] = made
        return made

    def _tabular(self, name: str) -> Values | None:
        found = tabular(name, self.module, self.words)
        if found is None:
            return None
        self.imports[found[0]] = None
        return found[1]

    def _alias(self, name: str) -> Values | None:
        """``Name = Union[...]``, ``Name = NewType("Name", int)``, ``T = TypeVar("T", bound=int)``."""
        for node in self.module.body:
            if not (
                isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
            ):
                continue
            value = node.value
            shapes = Shapes(_nothing(), self.words, self)
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name | ast.Attribute):
                called = ast.unparse(value.func).rpartition(".")[2]
                parts = [*value.args[1:], *(k.value for k in value.keywords if k.arg == "bound")]
                return shapes.annotated(parts[0]) if called in ("NewType", "TypeVar") and parts else None
            return shapes.annotated(value) if isinstance(value, ast.Subscript | ast.BinOp | ast.Name) else None
        return None

    def _imported(self, name: str) -> Values | None:
        for node in self._imports:
            for alias in node.names:
                if (alias.asname or alias.name) != name:
                    continue
                other = self._other(node)
                return other(name) if other is not None and alias.name == name else None
        return None

    def _other(self, node: ast.ImportFrom) -> Constructors | None:
        """For the module of the project that is imported from."""
        found = self.find("." * node.level + (node.module or ""), self.path)
        if found is None:
            return None
        path, source, module = found
        other = Constructors(path, source, self.words, self.find, module=module, imports=self.imports)
        other._depth = self._depth
        return other

    def _derived(self, name: str) -> Iterator[tuple[Constructors, ast.ClassDef]]:
        """Classes that this module defines, or imports from the project, and that derive from the class ``name``."""
        yield from ((self, node) for node in self.classes.values() if relatives.derives(node, name, self.classes))
        for node in self.module.body:
            if isinstance(node, ast.ImportFrom):
                asked = [alias.name for alias in node.names if alias.name[:1].isupper() and alias.asname is None]
                other = self._other(node) if asked else None
                for kind in (other.classes[known] for known in asked if known in other.classes) if other else ():
                    if other is not None and relatives.derives(kind, name, other.classes):
                        yield other, kind

    def _kinds(self, name: str) -> Values | None:
        names = [node.name for _, node in itertools.islice(self._derived(name), _HEIRS)]
        names += [name] * (name in self.classes)
        for own in names:
            if own in self.classes:
                self._import(own)
        return v.constant(f"type[{name}]", *dict.fromkeys(names)) if names else None

    def _import(self, name: str) -> None:
        """Have what this module defines known where the calls are made."""
        if self._foreign:
            self.imports[f"from {self._foreign} import {name}"] = None

    def having(self, attributes: Collection[str]) -> Values | None:
        """Objects of the first two classes of this module that have all these attributes."""
        asked = set(attributes)
        kinds = [node.name for node in self.classes.values() if asked <= relatives.attributes(node, self.classes)]
        made = [values for values in map(self, kinds[:2] if asked else ()) if values is not None]
        return v.either(*made) if made else None

    def _of_class(self, node: ast.ClassDef) -> Values | None:
        self._import(node.name)
        bases = [ast.unparse(base).rpartition(".")[2].partition("[")[0] for base in node.bases]
        if any(base in ("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag") for base in bases):
            members = [
                t.id for s in node.body if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)
            ]
            return v.constant(node.name, *(f"{node.name}.{m}" for m in members[:8])) if members else None
        if "TypedDict" in bases:
            return self._record(node)
        if making.is_abstract(node, self.classes):
            other = making.heir(node, self.classes)
            made = self._of_class(other) if other else self._of_heirs(node.name)
            return replace(made, kind=node.name) if made else None
        return self._ways(node)

    def _of_heirs(self, name: str) -> Values | None:
        """Objects of imported classes that derive from an abstract one."""
        kinds = [(owner, kind) for owner, kind in self._derived(name) if not making.is_abstract(kind, owner.classes)]
        made = [values for owner, kind in kinds[:2] if (values := owner._of_class(kind)) is not None]
        return v.either(*made) if made else None

    def _ways(self, node: ast.ClassDef) -> Values:
        """Objects by the class itself, by its factories and the module's, and as its documentation shows."""
        plain = self._calls(node.name, self.parameters(node))
        if self._depth > 1:
            return plain
        by_class = making.factories(node, self._functions)
        others = [self._calls(f"{node.name}.{f.node.name}", (f, f.parameters)) for f in by_class[:_FACTORIES]]
        for function in relatives.makers(node.name, self._functions)[:_FACTORIES]:
            self._import(function.name)
            others.append(self._calls(function.name, (function, function.parameters)))
        if known := relatives.constants(node.name, self.module.body):
            for name in known:
                self._import(name)
            others.append(v.constant(node.name, *known))
        shown = making.shown(node, [f.node.name for f in by_class])
        edges = (*shown, *plain.edges, *(edge for other in others for edge in other.edges[:2]))

        def draw(dice: random.Random) -> str:
            if shown and dice.random() < 0.4:
                return dice.choice(shown)
            return (dice.choice(others) if others and dice.random() < 0.3 else plain).some(dice)

        return Values(node.name, tuple(dict.fromkeys(edges)), draw if shown or others else plain.draw)

    def examples(self, name: str) -> list[str]:
        """Expressions for objects of a class of this module that are likelier to work than calls of its constructor."""
        node = self.classes.get(name)
        return making.shown(node, [f.node.name for f in making.factories(node, self._functions)]) if node else []

    def concrete(self, name: str) -> str:
        """The name of a class of this module of which there are objects: itself, or an heir of an abstract one."""
        node = self.classes.get(name)
        if node is None or not making.is_abstract(node, self.classes):
            return name
        other = making.heir(node, self.classes)
        return other.name if other else name

    def _record(self, node: ast.ClassDef) -> Values:
        shapes = Shapes(_nothing(), self.words, self)
        known = [(name, (a and shapes.annotated(a)) or v.integers(self.words)) for name, a, _ in _fields(node)]

        def written(draw: Callable[[Values], str]) -> str:
            return "{" + ", ".join(f"{name!r}: {draw(value)}" for name, value in known) + "}"

        edges = tuple(written(lambda value, n=n: value.edges[n % len(value.edges)]) for n in range(2))  # type: ignore[misc]
        return Values(node.name, edges, lambda dice: written(lambda value: value.some(dice)))

    def parameters(self, node: ast.ClassDef) -> tuple[Function, tuple[Parameter, ...]]:
        """What the constructor takes, and the function that says so."""
        seen: set[str] = set()
        todo = [node]
        while todo:
            cls = todo.pop(0)
            if cls.name in seen:
                continue
            seen.add(cls.name)
            for function in self._functions.values():
                own = function.owner is not None and function.owner.name == cls.name
                if own and function.node.name in ("__init__", "__new__"):
                    return function, function.parameters
            if _is_record(cls) and not _says(cls, "init", False):
                return _nothing(), self._fields(cls)
            todo += [self.classes[b] for b in map(ast.unparse, cls.bases) if b in self.classes]
        return _nothing(), ()

    def _fields(self, node: ast.ClassDef) -> tuple[Parameter, ...]:
        """What a record takes: its bases' fields first, those that must be given before the others."""
        line = relatives.line(node, self.classes)
        fields = {n: (a, _default(d)) for cls in reversed(line) if _is_record(cls) for n, a, d in _fields(cls)}
        kind: Literal["keyword", "either"] = "keyword" if _says(node, "kw_only", True) else "either"
        found = [Parameter(name, kind, a, d) for name, (a, d) in fields.items()]
        return tuple(sorted(found, key=lambda parameter: parameter.default is not None))

    def _calls(self, called: str, made_by: tuple[Function, tuple[Parameter, ...]]) -> Values:
        function, parameters = made_by
        shapes = Shapes(function, self.words, self)
        used = [p for p in parameters if p.kind not in ("star", "stars")]
        pools = [(p, v.either(*shapes.options(p)[:3])) for p in used]

        def written(pick: Callable[[Values], str], dice: random.Random | None) -> str:
            args: list[str] = []
            gap = False
            for parameter, pool in pools:
                if parameter.required or (dice is not None and dice.random() < 0.5):
                    by_name = gap or parameter.kind == "keyword"
                    args.append(f"{parameter.name}={pick(pool)}" if by_name else pick(pool))
                elif parameter.kind != "position":
                    gap = True
            return f"{called}({', '.join(args)})"

        edges = [written(lambda pool, n=n: pool.edges[n % len(pool.edges)], None) for n in range(3)]  # type: ignore[misc]
        return Values(called, tuple(dict.fromkeys(edges)), lambda dice: written(lambda pool: pool.some(dice), dice))


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """Name, annotation and value of the attributes that are annotated, or declared as ``attrs`` does."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = ast.unparse(statement.annotation)
            if "ClassVar" not in kind and kind != "KW_ONLY":
                yield statement.target.id, statement.annotation, statement.value
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            name = statement.targets[0]
            if relatives.last(statement.value) in ("ib", "attrib") and isinstance(name, ast.Name):
                yield name.id.lstrip("_"), None, statement.value


def _says(node: ast.ClassDef, option: str, value: bool) -> bool:
    """Whether a decorator of a class has an option with this value."""
    given = [k for call in node.decorator_list if isinstance(call, ast.Call) for k in call.keywords if k.arg == option]
    return any(isinstance(keyword.value, ast.Constant) and keyword.value.value is value for keyword in given)


def _is_record(node: ast.ClassDef) -> bool:
    words = [ast.unparse(part) for part in (*node.decorator_list, *node.bases)]
    return any(word.partition("(")[0].rpartition(".")[2] in _RECORDS for word in words)


_RECORDS = ("dataclass", "define", "frozen", "mutable", "s", "attrs", "NamedTuple", "BaseModel", "Struct")


def _default(node: ast.expr | None) -> ast.expr | None:
    """The default of a field, None if it is required."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("field", "Field", "ib", "attrib"):
        given = {keyword.arg for keyword in node.keywords}
        return node if given & {"default", "default_factory", "factory", "init"} else None
    return node


def _nothing() -> Function:
    """A function without a body, for annotations that belong to none."""
    node = ast.parse("def nothing(): pass").body[0]
    assert isinstance(node, ast.FunctionDef)
    return Function("nothing", node, "function", ())
