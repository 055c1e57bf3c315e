"""Languages other than Python: whether two versions have the same syntax tree, comments aside, token by token.

Trees, not tokens alone, are compared, since a line end may be a token (the end of a statement in JavaScript or Go).
Comments that tools or compilers read stay in. Where the trees differ, declarations and statements are put side by side,
as far down as there are blocks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tree_sitter

    from famulus.lsp_server.syntax.grammars import Grammar

LANGUAGES = {
    ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascriptreact", ".ts": "typescript",
    ".mts": "typescript", ".cts": "typescript", ".tsx": "typescriptreact", ".go": "go", ".rs": "rust", ".java": "java",
    ".c": "c", ".h": "cpp", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp", ".hpp": "cpp", ".hh": "cpp", ".json": "json",
}  # fmt: skip
"""Languages in which blanks mean nothing outside of tokens, by the end of a path."""

_READ_BY_TOOLS = {
    "go": re.compile(r"//go:|//export|//line|// *\+build|/\*line|#include|#cgo|//nolint"),
    "rust": re.compile(r"///|//!|/\*\*|/\*!"),
    "java": re.compile(r"\\u"),
    "c": re.compile(r"\\$", re.MULTILINE),
    "cpp": re.compile(r"\\$", re.MULTILINE),
}
_BY_DEFAULT = re.compile(r"[@#]|/// *<|webpack|eslint|jshint|istanbul|prettier|sourceMapping")
_TOO_DEEP = 900


@dataclass
class TreeComparison:
    """Lines of either side (from 1) that hold tokens which are not proven to be the same."""

    open_old: set[int] = field(default_factory=set)
    open_new: set[int] = field(default_factory=set)


def language_of(path: str) -> str | None:
    """The language of a path, if it is one of :data:`LANGUAGES`."""
    return LANGUAGES.get(PurePosixPath(path).suffix.lower())


def parsed(language: str, text: str) -> tree_sitter.Node | None:
    """The tree of a text; None if there is no grammar or the text has a syntax error."""
    import tree_sitter

    from famulus.lsp_server.syntax.grammars import load  # takes long, and most changes are Python's alone

    grammar = load(language)
    if grammar is None:
        return None
    root = tree_sitter.Parser(grammar).parse(text.encode("utf-8", "surrogatepass")).root_node
    return None if root.has_error else root


def compare(language: str, old: str, new: str) -> TreeComparison | None:
    """How two texts differ in more than layout and comments; None if one of them cannot be read."""
    left, right = parsed(language, old), parsed(language, new)
    if left is None or right is None:
        return None
    made = _Comparison(language)
    try:
        made.nodes(left, right)
    except RecursionError:
        return None
    return made.result


class _Comparison:
    def __init__(self, language: str) -> None:
        from famulus.lsp_server.syntax.grammars import GRAMMARS

        self._grammar: Grammar = GRAMMARS[language]
        self._tools = _READ_BY_TOOLS.get(language, _BY_DEFAULT)
        self._numbers: dict[object, int] = {}
        self._known: dict[int, int] = {}
        self.result = TreeComparison()

    def nodes(self, old: tree_sitter.Node, new: tree_sitter.Node) -> None:
        """Compares what is inside of two nodes that are versions of each other."""
        left, right = list(self._children(old)), list(self._children(new))
        keys = [self._key(n) for n in left], [self._key(n) for n in right]
        matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
        for tag, i, j, k, m in matcher.get_opcodes():
            if tag != "equal":
                self._unequal(left[i:j], right[k:m])

    def _unequal(self, old: list[tree_sitter.Node], new: list[tree_sitter.Node]) -> None:
        if len(old) == len(new) and all(self._alike(a, b) for a, b in zip(old, new, strict=True)):
            for a, b in zip(old, new, strict=True):
                self.nodes(a, b)
            return
        for nodes, lines in ((old, self.result.open_old), (new, self.result.open_new)):
            for node in nodes:
                for token in _leaves(node):
                    lines.update(range(token.start_point[0] + 1, token.end_point[0] + 2))

    def _alike(self, old: tree_sitter.Node, new: tree_sitter.Node) -> bool:
        """Whether two nodes hold blocks, and may be compared part by part."""
        return old.type == new.type and self._holds_block(old) and self._holds_block(new)

    def _holds_block(self, node: tree_sitter.Node) -> bool:
        if node.type in self._grammar.blocks:
            return True
        return any(child.type in self._grammar.blocks or self._holds_block(child) for child in node.children)

    def _children(self, node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
        for child in node.children:
            if child.type not in self._grammar.comments or self._tools.search(_text(child)):
                yield child

    def _key(self, node: tree_sitter.Node, depth: int = 0) -> int:
        if depth > _TOO_DEEP:
            raise RecursionError
        known = self._known.get(node.id)
        if known is None:
            children = tuple(self._key(child, depth + 1) for child in self._children(node))
            quoted = node.type in self._grammar.strings
            text = _text(node) if quoted or not node.children else ""
            known = self._numbers.setdefault((node.type, text, children), len(self._numbers))
            self._known[node.id] = known
        return known


def _leaves(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    if not node.children:
        if node.end_byte > node.start_byte:
            yield node
    else:
        for child in node.children:
            yield from _leaves(child)


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "surrogatepass")
