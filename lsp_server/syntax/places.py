"""Where in its code a cursor stands: comment or string, which function, which block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.tree import COMPOUND, Function, Place, Tree

if TYPE_CHECKING:
    import tree_sitter

_QUOTES = frozenset(("string_start", '"', "'", "`", '"""', "'''", 'f"', "f'", "heredoc_start"))
_WIDE = re.compile(r"\"\"\"|'''|`")
_WIDEST = 50
"""Quotes that may span lines, of which so many are looked at."""
_OPENING = frozenset("{[(")
_CLOSING = frozenset("}])")


def inside(tree: Tree, offset: int) -> Place:
    """What a character typed at ``offset`` would belong to."""
    grammar = tree.grammar
    node = tree.root.descendant_for_byte_range(max(0, offset - 1), offset)
    while node is not None:
        within = node.start_byte < offset < node.end_byte
        if node.type in grammar.holes and (within or (node.start_byte < offset and not _closed_by(node, "}"))):
            return "code"
        if node.type in grammar.comments and node.start_byte < offset and (within or not _finished(tree, node)):
            return "comment"
        if node.type in grammar.strings and (within or (node.start_byte < offset and _open_string(tree, node))):
            return "string"
        node = node.parent
    return "string" if tree.root.has_error and _after_open_quote(tree, offset) else "code"


def _closed_by(node: tree_sitter.Node, closer: str) -> bool:
    last = node.child(node.child_count - 1) if node.child_count else None
    return last is not None and last.type == closer and not last.is_missing


def _finished(tree: Tree, node: tree_sitter.Node) -> bool:
    """Whether what is typed right behind a comment does not belong to it."""
    text = tree.source_of(node)
    return text.endswith(("\n", "\r")) or (text.startswith("/*") and text.endswith("*/") and len(text) > 3)


def _open_string(tree: Tree, node: tree_sitter.Node) -> bool:
    """Whether the end of a string is missing."""
    if node.has_error:
        return True
    last = node.child(node.child_count - 1) if node.child_count else None
    return last is not None and last.is_missing


def _after_open_quote(tree: Tree, offset: int) -> bool:
    """Whether a quote that nothing closes stands before the cursor, in its line unless it may span lines."""
    line = tree.text.starts[tree.text.place(offset)[0]]
    if any(_opens(tree, leaf) for leaf in leaves(tree.root, line, offset) if leaf.end_byte <= offset):
        return True
    found = list(_WIDE.finditer(tree.text.value, 0, line))[-_WIDEST:]
    leaf_at = tree.root.descendant_for_byte_range
    return any((leaf := leaf_at(m.start(), m.end())) is not None and _opens(tree, leaf) for m in found)


def open_quotes(tree: Tree) -> Iterator[tree_sitter.Node]:
    """Quotes without their pair, in order."""
    return (leaf for leaf in leaves(tree.root, broken_only=True) if _opens(tree, leaf))


def _opens(tree: Tree, leaf: tree_sitter.Node) -> bool:
    """Whether a token is a quote that nothing closes."""
    parent = leaf.parent
    if leaf.type not in _QUOTES or leaf.is_missing or parent is None:
        return False
    return parent.type not in tree.grammar.strings or (parent.has_error and leaf.start_byte == parent.start_byte)


def leaves(
    root: tree_sitter.Node, start: int = 0, end: int | None = None, broken_only: bool = False
) -> Iterator[tree_sitter.Node]:
    """Tokens in order, of ``start`` to ``end``; ``broken_only``: not those of parts without an error."""
    cursor = root.walk()
    while True:
        node = cursor.node
        assert node is not None
        apart = node.end_byte < start or (end is not None and node.start_byte > end)
        whole = broken_only and not node.has_error and not _in_error(node)
        if not (apart or whole) and cursor.goto_first_child():
            continue
        if not node.child_count and not apart:
            yield node
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _in_error(node: tree_sitter.Node) -> bool:
    return node.parent is not None and node.parent.is_error


def functions(tree: Tree) -> list[Function]:
    """All functions that have a name, in the order in which they start."""
    found = []
    cursor = tree.root.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.type in tree.grammar.functions and (name := function_name(tree, node)):
            found.append(Function(name, node.start_byte, node.end_byte, _body_start(node)))
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found


def function_name(tree: Tree, node: tree_sitter.Node) -> str:
    """The name of a function's or class's node; "" if it has none."""
    name = node.child_by_field_name("name")
    if name is None and (declarator := node.child_by_field_name("declarator")) is not None:
        while (inner := declarator.child_by_field_name("declarator")) is not None:
            declarator = inner
        name = declarator
    if name is None and node.parent is not None and node.type in ("arrow_function", "function_expression"):
        name = node.parent.child_by_field_name("name") or node.parent.child_by_field_name("key")
    return tree.source_of(name) if name is not None else ""


def _body_start(node: tree_sitter.Node) -> int:
    body = node.child_by_field_name("body")
    if body is None:
        return node.end_byte
    first = body.child(0) if body.child_count else None
    return first.end_byte if first is not None and first.type == "{" else body.start_byte


def block_end(tree: Tree, offset: int) -> int:
    """Where the innermost block around the cursor ends: before its closing bracket, or at the end of its last line."""
    for node in tree.around(offset):
        if node.type in tree.grammar.blocks and _bracketed(node):
            last = node.child(node.child_count - 1)
            if last is not None and last.type in _CLOSING and not last.is_missing:
                return last.start_byte
    if tree.grammar.indented:
        return _dedent(tree, offset)
    return len(tree.text)


def _bracketed(node: tree_sitter.Node) -> bool:
    first = node.child(0) if node.child_count else None
    return first is not None and first.type in _OPENING


def _dedent(tree: Tree, offset: int) -> int:
    """The end of the last line with code that is indented at least as far as the cursor."""
    text = tree.text
    indent = tree.indentation(offset)
    line = text.place(offset)[0]
    end = max(offset, text.line_end(line))
    for number in range(line + 1, text.lines):
        content = text.line(number)
        if not content.strip():
            continue
        width = len(content) - len(content.lstrip(" \t\f"))
        if width < indent and not _continues(tree, text.starts[number] + width):
            break
        end = text.line_end(number)
    return end


def _continues(tree: Tree, start: int) -> bool:
    """Whether what starts at ``start`` goes on with a statement of lines above: in brackets, or in a string."""
    node = tree.root.descendant_for_byte_range(start, start + 1)
    while node is not None and node.start_byte == start and node.type not in tree.grammar.comments:
        node = node.parent
    if node is None or node.type in tree.grammar.comments or tree.language != "python":
        return False
    return node.type not in COMPOUND and not node.is_error


def opens_block(tree: Tree, offset: int) -> bool:
    """Whether the cursor stands in a block that has just been opened and is empty."""
    value = tree.text.value
    before = value[: tree.code_before(offset)]
    if not before or inside(tree, offset) != "code":
        return False
    if not tree.grammar.indented:
        after = value[offset:].lstrip()
        return before[-1] == "{" and (not after or after[0] == "}" or _shallower(tree, offset, len(before)))
    if before[-1] != ":" or value[offset:].partition("\n")[0].strip():
        return False
    return _header(tree, len(before)) and _shallower(tree, offset, len(before))


def _header(tree: Tree, end: int) -> bool:
    """Whether the colon that ends at ``end`` ends a statement's head, not a slice, a key or an annotation."""
    node = tree.root.descendant_for_byte_range(end - 1, end)
    parent = node.parent if node is not None else None
    if parent is None:
        return False
    if parent.is_error:
        line = tree.text.line(tree.text.place(end - 1)[0]).strip()
        return line.split(" ", 1)[0].rstrip(":") in _HEADS
    return tree.language == "yaml" or parent.child_by_field_name("body") is not None or parent.type in COMPOUND


_HEADS = frozenset(
    "async def class if elif else for while try except finally with match case".split()  # noqa: SIM905
)


def _shallower(tree: Tree, offset: int, opening: int) -> bool:
    """Whether the next line with text is not indented deeper than the line that opens the block."""
    text = tree.text
    head = text.line(text.place(opening - 1)[0])
    margin = len(head) - len(head.lstrip(" \t\f"))
    for number in range(text.place(offset)[0] + 1, text.lines):
        line = text.line(number)
        if line.strip():
            return len(line) - len(line.lstrip(" \t\f")) <= margin
    return True
