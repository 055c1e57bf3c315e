"""Scopes and what they bind: the names' part of the reader."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from famulus.lsp_server.review.index.facts import ANY, Binding, Definition, Import, Scope
from famulus.lsp_server.review.index.outcomes import Outcome
from famulus.lsp_server.review.index.paths import UNKNOWN, path_of
from famulus.lsp_server.review.index.uses import Uses

_NOTHING = Binding("unknown")


class Names(Uses):
    """What :class:`.reader.Reader` knows of scopes; expressions are read by :class:`.uses.Uses`."""

    def __init__(self, source: bytes) -> None:
        super().__init__()
        self.lines = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if self.lines[0].startswith(b"\xef\xbb\xbf"):
            self.lines[0] = self.lines[0][3:]
        self.scopes: list[Scope] = []
        self.definitions: list[Definition] = []
        self.imports: list[Import] = []
        self.exports: list[str] | None = None
        self.conditional = 0
        self.type_checking = False
        self.globals: list[dict[str, int]] = []
        self.outcomes: list[Outcome] = [Outcome()]

    def _open(self, kind: Any, parent: int, name: str, definition: int) -> int:
        self.scopes.append(Scope(kind, parent, name, definition, {}, {}))
        self.globals.append({})
        self.scope = len(self.scopes) - 1
        return self.scope

    def bind(self, name: str, binding: Binding) -> None:
        """Gives ``name`` a value in the current scope, or where ``global`` and ``nonlocal`` say."""
        scope = self.globals[self.scope].get(name, self.scope)
        if scope != self.scope:
            binding = Binding(binding.kind, binding.index, "", binding.annotation, True)
            if binding.kind == "value" and not binding.annotation:
                binding = _NOTHING
        known = self.scopes[scope].bindings.setdefault(name, [])
        if self.scopes[scope].kind in ("module", "class") and not binding.conditional:
            if binding.kind == "definition" and self._continues(known, binding):
                return
            known.clear()
        known.append(binding)

    def _continues(self, known: Sequence[Binding], binding: Binding) -> bool:
        """A setter or an implementation registered on what the name already means (``@price.setter``)."""
        new = self.definitions[binding.index]
        return bool(known) and any(d.path.partition(".")[0] == new.name and "." in d.path for d in new.decorators)

    def assign(self, target: ast.expr, values: Sequence[str], annotation: str = "", source: str = "") -> None:
        """Binds what an assignment's target names."""
        if isinstance(target, ast.Name):
            self._assign_name(target, values, annotation, source)
        elif isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(e, ast.Starred) for e in target.elts)
            for index, element in enumerate(target.elts):
                inner = element.value if isinstance(element, ast.Starred) else element
                known = [f"{v}[{index}]" for v in values if v and not v.startswith("#")] if not starred else []
                self.assign(inner, known or [""])
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(target, values, annotation)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, [""])
        else:
            if isinstance(target, ast.Subscript) and self.holds_names(path_of(target.value)):
                self.stored.add(ANY)
            self.expression(target, "store")

    def holds_names(self, path: str) -> bool:
        """Whether an expression is the dictionary of the module's names."""
        return path == "globals()" or (self.scope == 0 and path in ("vars()", "locals()"))

    def _assign_name(self, target: ast.Name, values: Sequence[str], annotation: str, source: str) -> None:
        conditional = bool(self.conditional)
        where = self.scopes[self.globals[self.scope].get(target.id, self.scope)]
        if where.kind in ("module", "class") and where is self.scopes[self.scope]:
            known = where.bindings.get(target.id)
            if not (known and all(b.kind == "definition" for b in known) and conditional and not source):
                qualname = f"{where.name}.{target.id}" if where.name else target.id
                self.definitions.append(
                    Definition(
                        "value", target.id, qualname, self.scope, target.lineno, target.col_offset,
                        target.end_lineno or target.lineno, target.end_col_offset or 0, annotation=annotation,
                        returns=tuple(v for v in values if v), source=source, conditional=conditional,
                        start=target.lineno,
                    )
                )  # fmt: skip
                self.bind(target.id, Binding("definition", len(self.definitions) - 1, "", "", conditional))
                return
        for value in [v for v in values if v != target.id] or [""]:
            known_value = "" if value == UNKNOWN else value
            if known_value or annotation:
                self.bind(target.id, Binding("value", -1, known_value, annotation, conditional))
            else:
                self.bind(target.id, _NOTHING)

    def _assign_attribute(self, target: ast.Attribute, values: Sequence[str], annotation: str) -> None:
        owner = self._class_of_self(target.value)
        if owner is None:
            self.stored.add(target.attr)
        else:
            for value in values or [""]:
                known = "" if value == UNKNOWN else value
                found = Binding("attribute", self.scope, known, annotation, bool(self.conditional))
                self.scopes[owner].attributes.setdefault(target.attr, []).append(found)
        self.refer(target, path_of(target), "store")
        if not isinstance(target.value, ast.Name):
            self.expression(target.value, f"attr:{target.attr}")

    def _class_of_self(self, node: ast.expr) -> int | None:
        """The scope of the class, if ``node`` is the first parameter of a method around this place."""
        if not isinstance(node, ast.Name):
            return None
        at = self.scope
        while at > 0:
            scope = self.scopes[at]
            if scope.kind == "function" and node.id in scope.bindings:
                parameters = self.definitions[scope.definition].parameters
                method = self.scopes[scope.parent].kind == "class"
                return scope.parent if method and parameters and parameters[0].name == node.id else None
            at = scope.parent
        return None

    def source(self, node: ast.expr | None) -> str:
        """The source of an expression, on one line."""
        if node is None:
            return ""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if first == last:
            return self.lines[first][node.col_offset : node.end_col_offset].decode("utf-8", "replace")
        parts = [
            self.lines[first][node.col_offset :],
            *self.lines[first + 1 : last],
            self.lines[last][: node.end_col_offset],
        ]
        return b" ".join(part.strip() for part in parts).decode("utf-8", "replace")
