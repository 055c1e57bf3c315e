"""One version of a project: its modules, their definitions, and who uses them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.review.declared import declared_folders
from famulus.lsp_server.review.finding import Place, Side
from famulus.lsp_server.review.index.annotations import quietly
from famulus.lsp_server.review.index.facts import Definition, Import, Reference, Text
from famulus.lsp_server.review.index.imports import Imports, dotted
from famulus.lsp_server.review.index.nodes import Nodes, nodes
from famulus.lsp_server.review.index.notebook import code
from famulus.lsp_server.review.index.reader import Unreadable, read
from famulus.lsp_server.review.index.store import Store
from famulus.lsp_server.review.index.values import Module, Symbol, Use, Value
from famulus.lsp_server.review.links import Links, links_of

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.resolution import Resolver
    from famulus.lsp_server.review.index.signatures import Signatures

_LARGEST = 4_000_000
"""Bytes; a larger file is data."""


class Project:
    """All Python of a tree. Files are read when they are first asked for; ``left_out`` names those that could not be.

    ``store`` None: the facts are kept in Famulus's cache.
    """

    def __init__(self, tree: Tree, store: Store | None = None) -> None:
        self.tree = tree
        self.imports = Imports(tree.paths(), Links(links_of(tree)), declared_folders(tree))
        self.left_out: list[str] = []
        self._store = store or Store()
        self._modules: dict[str, Module | None] = {}
        self._lines: dict[str, list[str]] = {}
        self._nodes: dict[str, Nodes] = {}
        self._known_cells: dict[str, Mapping[int, str]] = {}

    @property
    def paths(self) -> list[str]:
        """The Python files and notebooks, sorted."""
        return sorted(self.imports.files | self.imports.notebooks)

    def module(self, path: str) -> Module | None:
        """The module of a file, or of the folder of a namespace package; None if it cannot be read."""
        if path not in self._modules:
            self._modules[path] = self._read(path)
        return self._modules[path]

    def _read(self, path: str) -> Module | None:
        if path not in self.imports.files | self.imports.notebooks:
            return Module(dotted(path), path, None) if path in self.imports.folders else None
        digest = self.tree.digest(path)
        facts = self._store.get(digest)
        if facts is None:
            content = self.tree.read(path)
            if content is None:
                return None
            if len(content) > _LARGEST:
                self.left_out.append(f"{path} was not read: it has more than {_LARGEST // 1_000_000} MB.")
                return None
            try:
                facts = read(self._python(path, content)[0])
            except (Unreadable, ValueError) as error:
                self.left_out.append(f"{path} was not read: {error}.")
                return None
            self._store.put(digest, facts)
        return Module(self.imports.name(path), path, facts)

    @staticmethod
    def _python(path: str, content: bytes) -> tuple[bytes, Mapping[int, str]]:
        """The Python of a file, and the cells of its lines in a notebook."""
        return code(content) if path.endswith(".ipynb") else (content, {})

    def _cells(self, path: str) -> Mapping[int, str]:
        """Of a notebook: the cell of each line."""
        if path not in self._known_cells:
            self._known_cells[path] = self._python(path, self.tree.read(path) or b"")[1]
        return self._known_cells[path]

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """Every module that could be read, by path."""
        found = tuple(m for path in self.paths if (m := self.module(path)) is not None)
        self._store.sweep()
        return found

    @cached_property
    def by_name(self) -> dict[str, Module]:
        """Modules by dotted name; the first path counts where two have one name."""
        found: dict[str, Module] = {}
        for module in self.modules:
            found.setdefault(module.name, module)
        return found

    @cached_property
    def resolver(self) -> Resolver:
        """What names mean here."""
        from famulus.lsp_server.review.index.resolution import Resolver

        return Resolver(self)

    @cached_property
    def signatures(self) -> Signatures:
        """What calls have to fit here."""
        from famulus.lsp_server.review.index.signatures import Signatures

        return Signatures(self.resolver)

    def symbol(self, name: str) -> Symbol | None:
        """The definition of a dotted name, ``package.module.Class.method``; aliases are not followed."""
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            module = self.by_name.get(".".join(parts[:cut]))
            if module is not None:
                return module.by_qualname.get(".".join(parts[cut:]))
        return None

    def symbols(self) -> Iterator[Symbol]:
        """All definitions that can be reached by name, file by file."""
        for module in self.modules:
            yield from module.by_qualname.values()

    def resolve(self, module: Module, path: str, scope: int = 0) -> tuple[Value, ...]:
        """What an expression, written as a path, can mean in a scope of a module."""
        return self.resolver.resolve(module, scope, path)

    def uses(self, names: Iterable[str]) -> Iterator[Use]:
        """References in which one of these simple names, or another name given to it, occurs."""
        from famulus.lsp_server.review.index.naming import uses

        return uses(self, names)

    def callers(self, symbol: Symbol) -> list[Use]:
        """The references that can mean this function, method or class."""
        from famulus.lsp_server.review.index.naming import callers

        return callers(self, symbol)

    def lines(self, path: str) -> list[str]:
        """The lines of a file, without ends."""
        if path not in self._lines:
            self._lines[path] = decoded(self.tree.read(path) or b"").split("\n")
        return self._lines[path]

    def nodes(self, module: Module) -> Nodes:
        """The syntax tree of a file, as far as the facts do not tell it."""
        if module.path not in self._nodes:
            self._nodes[module.path] = nodes(self._python(module.path, self.tree.read(module.path) or b"")[0])
        return self._nodes[module.path]

    def tree_of(self, symbol: Symbol) -> ast.stmt | None:
        """The syntax tree of a definition, read from its own lines; None if they cannot be read alone."""
        definition = symbol.definition
        lines = self.lines(symbol.module.path)[definition.start - 1 : definition.end_line]
        indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
        try:
            tree = quietly("\n".join(line[indent:] if not line[:indent].strip() else line for line in lines))
            statement: ast.stmt = ast.increment_lineno(tree, definition.start - 1).body[0]
            return statement
        except (SyntaxError, IndexError, ValueError):
            return None

    def place(self, module: Module, item: Reference | Import | Definition | Text, side: Side = "new") -> Place:
        """Where something stands; of a definition, its head's first line."""
        line, end_line, end_column = item.line, item.end_line, item.end_column
        column = self._column(module.path, line, item.column)
        symbol = self.symbol_around(module, item.scope)
        if module.path in self.imports.notebooks:
            return Place(path=module.path, line=line, symbol=symbol, side=side, cell=self._cells(module.path)[line])
        if isinstance(item, Definition):
            if item.kind == "value":
                return Place(path=module.path, line=line, column=column, symbol=item.qualname, side=side)
            text = self.lines(module.path)[line - 1] if line <= len(self.lines(module.path)) else ""
            start = text.find(item.name, column - 1)
            column = start + 1 if start >= 0 else column
            return Place(
                path=module.path, line=line, column=column, end_line=line, end_column=column + len(item.name),
                symbol=item.qualname, side=side,
            )  # fmt: skip
        return Place(
            path=module.path, line=line, column=column, end_line=end_line,
            end_column=self._column(module.path, end_line, end_column), symbol=symbol, side=side,
        )  # fmt: skip

    def _column(self, path: str, line: int, column: int) -> int:
        lines = self.lines(path)
        text = lines[line - 1] if 0 < line <= len(lines) else ""
        return len(text.encode()[:column].decode("utf-8", "ignore")) + 1

    @staticmethod
    def symbol_around(module: Module, scope: int) -> str:
        """The dotted name of the innermost definition around a scope, without ``<locals>``."""
        if module.facts is None or scope < 0:
            return ""
        return module.facts.scopes[scope].name.replace(".<locals>", "")

    def find(self, name: str, importer: Module) -> Module | None:
        """The project's module that ``import name`` gives."""
        path = self.imports.find(name, importer.path)
        return self.module(path) if path is not None else None

    def imported(self, module: Module, found: Import) -> Module | None:
        """The project's module behind ``from module import …`` or ``import module``."""
        if found.level:
            path = self.imports.relative(module.path, found.level, found.module)
            return self.module(path) if path is not None else None
        return self.find(found.module, module)

    def submodule(self, module: Module, name: str) -> Module | None:
        """``module.name``, if it is a module."""
        import posixpath

        folder = posixpath.dirname(module.path) if module.facts is not None else module.path
        if module.facts is not None and not posixpath.basename(module.path).startswith("__init__."):
            return None
        path = self.imports.at(posixpath.join(folder, name))
        return self.module(path) if path is not None and path != module.path else None

    def files(self, suffixes: Sequence[str]) -> list[str]:
        """Paths of other files that end so."""
        return [path for path in self.tree.paths() if path.endswith(tuple(suffixes))]
