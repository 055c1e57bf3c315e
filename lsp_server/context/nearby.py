"""The names that code around the cursor uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.lsp_server.context.words import WORD
from famulus.lsp_server.documents import Text

if TYPE_CHECKING:
    from famulus.lsp_server.syntax import Tree

CLOSE = 3
"""Lines around the cursor whose names count most."""
BODY = 120
"""Lines of a function, above the cursor, whose names are looked at."""
_MEMBER = (".", "->", "::")


@dataclass(frozen=True)
class Use:
    """A name. ``member``: it stands behind a dot or the like. ``near``: 0 to 1."""

    name: str
    member: bool
    near: float


def uses(tree: Tree | None, text: Text, offset: int) -> list[Use]:
    """The names of the cursor's line before it, of the lines close by, and of the function around, each once."""
    line = text.place(offset)[0]
    first = max(0, line - CLOSE)
    if tree is not None and (function := tree.function_at(offset)) is not None:
        first = min(first, text.place(function.start)[0])
    first = max(first, line - BODY)
    start, end = text.starts[first], text.line_end(min(text.lines - 1, line + CLOSE))
    found: dict[tuple[str, bool], float] = {}
    for at, name in _names(tree, text, start, end):
        row = text.place(at)[0]
        if row == line and at + len(name) >= offset:
            continue  # the word being typed, and what stands behind it
        near = 1.0 if row == line else 0.9 if abs(row - line) <= CLOSE else 0.5 * 0.99 ** (line - row)
        member = text.value[max(0, at - 2) : at].endswith(_MEMBER)
        found[name, member] = max(near, found.get((name, member), 0.0))
    return [Use(name, member, near) for (name, member), near in found.items()]


def _names(tree: Tree | None, text: Text, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Identifiers with their offsets; without a tree all words, those of comments among them."""
    if tree is None:
        yield from ((match.start(), match[0]) for match in WORD.finditer(text.value, start, end))
        return
    cursor = tree.root.walk()
    while True:
        node = cursor.node
        assert node is not None
        apart = node.end_byte <= start or node.start_byte >= end
        if not apart and node.is_named and not node.child_count and node.type.endswith(("identifier", "word", "_name")):
            yield node.start_byte, text.value[node.start_byte : node.end_byte]
        if not apart and cursor.goto_first_child():
            continue
        if node.start_byte >= end:
            return
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
