"""What a call of a value must give: the parameters left when receivers, decorators and ``partial`` had theirs."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.lsp_server.review.index.annotations import parsed
from famulus.lsp_server.review.index.binding import after_partial, without_first
from famulus.lsp_server.review.index.facts import KEYWORD_ONLY, POSITIONAL, Parameter
from famulus.lsp_server.review.index.paths import path_of
from famulus.lsp_server.review.index.values import Instance, Made, Method, Outside, Partial, Symbol, Value

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.resolution import Resolver

_KEEPING = {
    "staticmethod", "classmethod", "property", "abstractmethod", "lru_cache", "cache", "wraps", "contextmanager",
    "asynccontextmanager", "override", "final", "no_type_check", "deprecated", "typechecked", "beartype",
    "atexit.register",
    "coroutine",
}  # fmt: skip
_HARMLESS = {"final", "total_ordering", "runtime_checkable", "dataclass", "deprecated", "unique"}
_FROM = {
    "functools",
    "contextlib",
    "abc",
    "typing",
    "typing_extensions",
    "warnings",
    "builtins",
    "asyncio",
    "types",
    "atexit",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """``function``: whose parameters these are (the class, if made from its fields). ``sure``: no decorator of
    unknown effect stands in between."""

    parameters: tuple[Parameter, ...]
    function: Symbol
    sure: bool = True


class Signatures:
    """Signatures of one version."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._constructors: dict[Symbol, Signature | None] = {}

    def of(self, value: Value) -> Signature | None:
        """What a call of ``value`` has to fit; None if that is not known."""
        if isinstance(value, Partial):
            inner = self.of(value.inner)
            if inner is None:
                return None
            left = after_partial(inner.parameters, value.positional, value.keywords)
            return Signature(left, inner.function, inner.sure)
        if isinstance(value, Method):
            found = self._function(value.function)
            if found is None or not value.instance:
                return found
            return Signature(without_first(found.parameters), found.function, found.sure)
        if isinstance(value, Symbol):
            if value.definition.kind == "function":
                return self._function(value)
            return self.constructor(value) if value.definition.kind == "class" else self.named_tuple(value)
        if isinstance(value, Instance):
            for found_call in self.resolver.classes.attribute(value.of, "__call__", instance=True):
                return self.of(found_call) if isinstance(found_call, Method) else None
        return None

    def _function(self, function: Symbol) -> Signature | None:
        definition = function.definition
        sure = True
        for decorator in definition.decorators:
            kept = self._kept(function, decorator.path)
            if kept is None:
                return None
            sure = sure and kept
        return Signature(definition.parameters, function, sure)

    def _kept(self, function: Symbol, path: str) -> bool | None:
        """True: the decorator keeps the signature. False: it probably does. None: it does not."""
        if path.rpartition(".")[2] in (
            "overload",
            "fixture",
            "setter",
            "deleter",
            "command",
            "group",
            "singledispatch",
            "register",
        ):
            return None
        if path.rpartition(".")[2] in ("staticmethod", "classmethod", "property"):
            return True
        for value in self.resolver.resolve(function.module, function.definition.scope, path):
            if isinstance(value, Outside):
                module, _, name = value.name.rpartition(".")
                return name in _KEEPING and module.partition(".")[0] in _FROM
            if isinstance(value, Symbol) and value.definition.kind == "function":
                return value.definition.passes or self._factory(value)
        return False

    def _factory(self, factory: Symbol) -> bool:
        """Whether a function returns decorators that keep the signature."""
        results = factory.definition.returns
        found = [v for path in results for v in self.resolver.resolve(factory.module, factory.definition.body, path)]
        return bool(found) and all(isinstance(v, Symbol) and v.definition.passes for v in found)

    # classes

    def constructor(self, cls: Symbol) -> Signature | None:
        """What a call of the class takes."""
        if cls not in self._constructors:
            self._constructors[cls] = None
            self._constructors[cls] = self._constructor(cls)
        return self._constructors[cls]

    def _constructor(self, cls: Symbol) -> Signature | None:
        classes = self.resolver.classes
        if not classes.ordinary(cls) or classes.is_enum(cls):
            return None
        above = cls
        for value in classes.line(cls):
            if isinstance(value, Symbol):
                if any(d.path.rpartition(".")[2] not in _HARMLESS for d in value.definition.decorators):
                    return None
                for name in ("__init__", "__new__"):
                    own = value.module.by_qualname.get(f"{value.qualname}.{name}")
                    if own is not None:
                        found = self._function(own) if own.definition.kind == "function" else None
                        return found and Signature(without_first(found.parameters), own, found.sure)
                if (options := dataclass_options(value)) is not None and options.get("init") is not False:
                    return Signature(tuple(self._fields(cls, value)), cls) if classes.known(cls) else None
                above = value
            elif isinstance(value, Outside) and value.name == "typing.NamedTuple":
                if above.definition.source:
                    return self.named_tuple(above)
                return Signature(tuple(self._tuple_fields(above)), cls)
            elif not (isinstance(value, Outside) and value.name in ("builtins.object", "abc.ABC", "typing.Generic")):
                return None
        return Signature((), cls) if not cls.definition.keywords else None

    def of_tuple(self, value: Value) -> tuple[Symbol, tuple[str, ...]] | None:
        """The class of a named tuple, or the name for it, and its fields; None if ``value`` is none."""
        symbol = self.resolver.project.symbol(value.name) if isinstance(value, Made) else None
        if isinstance(value, Instance) and self.resolver.classes.is_named_tuple(value.of):
            symbol = value.of
        found = self.of(symbol) if symbol is not None else None
        return (symbol, tuple(p.name for p in found.parameters)) if symbol is not None and found is not None else None

    def _tuple_fields(self, cls: Symbol) -> list[Parameter]:
        found = []
        for symbol in _body(cls):
            if symbol.definition.kind == "value" and symbol.definition.annotation:
                found.append(_parameter(symbol, POSITIONAL, symbol.definition.source or None))
        return found

    def _fields(self, cls: Symbol, made_by: Symbol) -> list[Parameter]:
        """The fields of a data class, those of its bases first; a later one of the same name keeps the place."""
        found: dict[str, Parameter] = {}
        line = [v for v in self.resolver.classes.line(cls) if isinstance(v, Symbol)]
        for owner in reversed(line[line.index(made_by) :]):
            options = dataclass_options(owner)
            if options is None:
                continue
            kind = KEYWORD_ONLY if options.get("kw_only") is True else POSITIONAL
            for symbol in _body(owner):
                annotation = symbol.definition.annotation
                if symbol.definition.kind != "value" or not annotation:
                    continue
                if annotation.rpartition(".")[2] == "KW_ONLY":
                    kind = KEYWORD_ONLY
                    continue
                if annotation.split("[")[0].rpartition(".")[2] == "ClassVar":
                    continue
                parameter = _field(symbol, kind)
                if parameter is not None:
                    found[symbol.name] = parameter
                else:
                    found.pop(symbol.name, None)
        return [p for p in found.values() if p.kind == POSITIONAL] + [
            p for p in found.values() if p.kind == KEYWORD_ONLY
        ]

    def named_tuple(self, symbol: Symbol) -> Signature | None:
        """``Point = namedtuple("Point", "x y")``, and a class with such a base."""
        tree = parsed(symbol.definition.source) if symbol.definition.source else None
        if (
            not isinstance(tree, ast.Call)
            or path_of(tree.func).rpartition(".")[2] != "namedtuple"
            or len(tree.args) != 2
        ):
            return None
        if tree.keywords:
            return None
        fields = tree.args[1]
        if isinstance(fields, ast.Constant) and isinstance(fields.value, str):
            names = fields.value.replace(",", " ").split()
        elif isinstance(fields, (ast.List, ast.Tuple)):
            names = [e.value for e in fields.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
            if len(names) != len(fields.elts):
                return None
        else:
            return None
        return Signature(tuple(Parameter(name, POSITIONAL) for name in names), symbol)


def _body(cls: Symbol) -> list[Symbol]:
    """The names that a class body assigns, in order."""
    return [s for s in cls.module.symbols if s.definition.scope == cls.definition.body and s.definition.kind == "value"]


def _parameter(symbol: Symbol, kind: int, default: str | None) -> Parameter:
    return Parameter(symbol.name, kind, default, symbol.definition.annotation)


def dataclass_options(cls: Symbol) -> dict[str, object] | None:
    """The options of the class's own ``@dataclass``; None without one."""
    for decorator in cls.definition.decorators:
        if decorator.path in ("dataclass", "dataclasses.dataclass"):
            tree = parsed(decorator.source)
            keywords = tree.keywords if isinstance(tree, ast.Call) else []
            return {k.arg: k.value.value for k in keywords if k.arg and isinstance(k.value, ast.Constant)}
    return None


def _field(symbol: Symbol, kind: int) -> Parameter | None:
    """The parameter that a field makes; None if it makes none."""
    source = symbol.definition.source
    tree = parsed(source) if source.startswith(("field", "dataclasses.field")) else None
    if not isinstance(tree, ast.Call) or path_of(tree.func).rpartition(".")[2] != "field":
        return _parameter(symbol, kind, source or None)
    default = None
    for keyword in tree.keywords:
        constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg == "init" and constant is False:
            return None
        if keyword.arg == "kw_only":
            kind = KEYWORD_ONLY if constant is True else POSITIONAL
        if keyword.arg == "default":
            default = ast.unparse(keyword.value)
        if keyword.arg == "default_factory":
            default = ast.unparse(keyword.value) + "()"
    return _parameter(symbol, kind, default)
