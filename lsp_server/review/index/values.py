"""What an expression can turn out to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from famulus.lsp_server.review.index.aliases import aliases
from famulus.lsp_server.review.index.facts import Definition, Import, ModuleFacts, Reference, Scope
from famulus.lsp_server.review.index.paths import is_named_tuple


@dataclass(eq=False)
class Module:
    """One file, or one namespace package (``facts`` None)."""

    name: str
    path: str
    facts: ModuleFacts | None

    @cached_property
    def symbols(self) -> list[Symbol]:
        """All definitions."""
        return [Symbol(self, definition) for definition in self.facts.definitions] if self.facts else []

    @cached_property
    def by_qualname(self) -> dict[str, Symbol]:
        """Definitions at the top and in classes, by their name in the module; of several, the one that counts."""
        found: dict[str, Symbol] = {}
        for symbol in self.symbols:
            if "<locals>" not in symbol.qualname and self._counts(symbol):
                found[symbol.qualname] = symbol
        return found

    def _counts(self, symbol: Symbol) -> bool:
        assert self.facts is not None
        bindings = self.facts.scopes[symbol.definition.scope].bindings.get(symbol.definition.name, [])
        return any(b.kind == "definition" and self.symbols[b.index] is symbol for b in bindings)

    @cached_property
    def aliases(self) -> dict[str, set[str]]:
        """Other names that the file gives to what bears a name."""
        return aliases(self.facts) if self.facts else {}

    def scope_names(self, scope: int) -> tuple[str, str]:
        """What tells a scope apart from the others of its file, and finds it again in another version."""
        assert self.facts is not None
        found = self.facts.scopes[scope]
        return found.kind, found.name

    @cached_property
    def scopes_by_name(self) -> dict[tuple[str, str], int]:
        """The first scope of each kind and name."""
        found: dict[tuple[str, str], int] = {}
        for index, scope in enumerate(self.facts.scopes if self.facts else []):
            found.setdefault((scope.kind, scope.name), index)
        return found

    def __repr__(self) -> str:
        return f"<module {self.name}>"


@dataclass(eq=False)
class Symbol:
    """One definition in its module."""

    module: Module
    definition: Definition

    @property
    def name(self) -> str:
        """Its last name."""
        return self.definition.name

    @property
    def qualname(self) -> str:
        """Its name in the module."""
        return self.definition.qualname

    @property
    def dotted(self) -> str:
        """Its full name."""
        return f"{self.module.name}.{self.qualname}"

    @property
    def scope(self) -> Scope:
        """The scope that binds it."""
        assert self.module.facts is not None
        return self.module.facts.scopes[self.definition.scope]

    @property
    def owner(self) -> Symbol | None:
        """The class in whose body it stands."""
        scope = self.scope
        return self.module.symbols[scope.definition] if scope.kind == "class" else None

    @property
    def is_named_tuple(self) -> bool:
        """Whether it is a name for what ``namedtuple(...)`` makes."""
        returns = self.definition.returns
        return self.definition.kind == "value" and len(returns) == 1 and is_named_tuple(returns[0])

    def __repr__(self) -> str:
        return f"<{self.definition.kind} {self.dotted}>"


@dataclass(frozen=True, slots=True)
class Outside:
    """Something that the project does not define: of the standard library, of another package, or built in."""

    name: str


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a class of the project. ``exact``: of this class, not of one below it."""

    of: Symbol
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """An object of a class outside (``builtins.list``) with what it holds, if that is known, or of what
    ``namedtuple(...)`` made."""

    name: str
    arguments: tuple[tuple[Value, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Method:
    """A function found through a class (``instance`` False) or an object of the class ``of``."""

    function: Symbol
    of: Symbol
    instance: bool


@dataclass(frozen=True, slots=True)
class Above:
    """``super()`` in a method of the class ``of``."""

    of: Symbol
    instance: bool


@dataclass(frozen=True, slots=True)
class Awaitable:
    """What calling an ``async def`` gives."""

    results: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """``functools.partial`` of something."""

    inner: Value
    positional: int
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """A name that the project should have and has not: ``owner`` is a module or a class.

    ``through``: the module and the import that fail, when the name was to come through one; ``hidden``: it is there,
    but ``__all__`` leaves it out of a star import."""

    owner: Module | Symbol
    name: str
    through: tuple[Module, Import] | None = field(default=None, compare=False)
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything."""


UNKNOWN = Unknown()
Value = Module | Symbol | Outside | Instance | Made | Method | Above | Awaitable | Partial | Gone | Unknown


@dataclass(frozen=True, slots=True)
class Use:
    """A reference in its module."""

    module: Module
    reference: Reference
