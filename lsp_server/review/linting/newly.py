"""Which remarks of a tool are new: the set difference of both sides, by what survives moves and layout."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.review.equality.canonical import Definition
from famulus.lsp_server.review.finding import Edit, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One remark of a tool. Lines and columns count from 1, in characters; ``end_column`` is exclusive.

    ``line_text``: the line without blanks around it; ``symbol``: the dotted definition around it; both are filled by
    :func:`placed`. ``marks``: fingerprints that the tool gave. ``fix``: a safe fix of the tool with its title.
    """

    tool: str
    code: str
    message: str
    path: str
    line: int
    column: int = 1
    end_line: int | None = None
    end_column: int | None = None
    severity: Severity = "warning"
    url: str = ""
    line_text: str = ""
    symbol: str = ""
    marks: frozenset[tuple[str, str]] = frozenset()
    fix: tuple[str, tuple[Edit, ...]] | None = None
    data: Mapping[str, str] = field(default_factory=dict)


def newly(old: Iterable[Remark], new: Sequence[Remark], changed: Callable[[Remark], bool]) -> list[Remark]:
    """The remarks of the new side that no remark of the old one accounts for, in their order.

    Remarks are matched by the tool's own fingerprints, then by rule, line text and symbol, then by rule, message and
    symbol, and last by rule and message; each old one accounts for one new one, those on unchanged lines first.
    """
    left = list(old)
    open_ = sorted(new, key=changed)
    for key in _KEYS:
        known: dict[Hashable, list[Remark]] = {}
        for remark in left:
            for name in key(remark):
                known.setdefault(name, []).append(remark)
        used: set[int] = set()
        rest = []
        for remark in open_:
            match = next((o for name in key(remark) for o in known.get(name, ()) if id(o) not in used), None)
            if match is None:
                rest.append(remark)
            else:
                used.add(id(match))
        left = [o for o in left if id(o) not in used]
        open_ = rest
    still = {id(remark) for remark in open_}
    return [remark for remark in new if id(remark) in still]


_KEYS: tuple[Callable[[Remark], Sequence[Hashable]], ...] = (
    lambda r: [(r.tool, r.code, *mark) for mark in sorted(r.marks)],
    lambda r: [(r.tool, r.code, r.line_text, r.symbol, r.path)] if r.line_text else [],
    lambda r: [(r.tool, r.code, r.line_text, r.symbol)] if r.line_text else [],
    lambda r: [(r.tool, r.code, r.message, r.symbol)],
    lambda r: [(r.tool, r.code, r.message)],
)


@dataclass
class Texts:
    """The files of one side, read once, for :func:`placed`."""

    tree: Tree
    _sides: dict[str, _File] = field(default_factory=dict)

    def placed(self, remark: Remark) -> Remark:
        """The remark with its line's text and its symbol."""
        from dataclasses import replace

        if remark.path not in self._sides:
            self._sides[remark.path] = _File(remark.path, decoded(self.tree.read(remark.path) or b""))
        file = self._sides[remark.path]
        text = file.lines[remark.line - 1] if 0 < remark.line <= len(file.lines) else ""
        return replace(remark, line_text="".join(text.split()), symbol=file.symbol(remark.line))


@dataclass
class _File:
    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def _spans(self) -> list[tuple[int, int, str]]:
        """Definitions with first and last line, outer ones first."""
        if not self.path.endswith((".py", ".pyi")):
            return []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        found: list[tuple[int, int, str]] = []
        stack: list[tuple[ast.AST, str]] = [(tree, "")]
        while stack:
            node, scope = stack.pop()
            if isinstance(node, Definition):
                scope = f"{scope}.{node.name}".lstrip(".")
                found.append((node.lineno, node.end_lineno or node.lineno, scope))
            stack += [(child, scope) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
        return sorted(found, key=lambda span: (span[0], -span[1]))

    def symbol(self, line: int) -> str:
        """The dotted name of the innermost definition around a line."""
        inside = [name for start, end, name in self._spans if start <= line <= end]
        return inside[-1] if inside else ""
