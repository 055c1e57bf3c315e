"""A parsed text that knows where code, comments, functions and names are.

tree-sitter counts bytes. What it is given has one byte for each code point (:func:`source`), so that every offset of a
node is an offset of the text, and nothing needs to be converted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from famulus.lsp_server.documents import Change, Text
from famulus.lsp_server.syntax.grammars import GRAMMARS, Grammar, load

if TYPE_CHECKING:
    import tree_sitter

Place = Literal["code", "comment", "string"]

_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_WILDCARDS = {
    "python": re.compile(r"^[ \t]*from[ \t]+\S+[ \t]+import[ \t]+\*", re.MULTILINE),
    "java": re.compile(r"^[ \t]*import\b[^;\n]*\.\*", re.MULTILINE),
    "rust": re.compile(r"^[ \t]*(?:pub )?use\b[^;]*::\*", re.MULTILINE),
    "c": re.compile(r"^[ \t]*#[ \t]*include\b", re.MULTILINE),
    "cpp": re.compile(r"^[ \t]*#[ \t]*include\b", re.MULTILINE),
}
COMPOUND = frozenset(
    (
        "module", "block", "function_definition", "class_definition", "decorated_definition", "if_statement",
        "elif_clause", "else_clause", "for_statement", "while_statement", "try_statement", "except_clause",
        "except_group_clause", "finally_clause", "with_statement", "match_statement", "case_clause",
    )
)  # fmt: skip
"""Nodes of Python that can hold a block."""


@dataclass(frozen=True)
class Span:
    """``text[start:end]``."""

    start: int
    end: int


@dataclass(frozen=True)
class Function:
    """A function or method. ``body_start``: of the first statement, or what is behind the opening bracket."""

    name: str
    start: int
    end: int
    body_start: int


@dataclass(frozen=True)
class Problem:
    """What is wrong with ``text[start:end]``, in one short sentence without a full stop."""

    start: int
    end: int
    message: str


def source(text: str) -> bytes:
    """``text`` as the grammars read it: ASCII, one byte for each code point.

    Letters become a letter, so that names stay names; blanks become blanks; all else becomes a control character, which
    is as wrong in code, and as right in strings and comments, as what it stands for. A lone ``\\r`` ends a line.
    """
    if "\r" in text:
        text = _LONE_RETURN.sub("\n", text)
    return (text if text.isascii() else _FOREIGN.sub(_plain, text)).encode("ascii")


def _plain(run: re.Match[str]) -> str:
    return "".join("Q" if c.isalnum() else " " if c.isspace() or c == "\ufeff" else "\x01" for c in run[0])


def parse(language: str, text: Text) -> Tree | None:
    """The tree of a text; None if there is no grammar for the language."""
    grammar = load(language)
    if grammar is None:
        return None
    return Tree(language, text, _run(grammar, text, None))


def _run(grammar: tree_sitter.Language, text: Text, old: tree_sitter.Tree | None) -> tree_sitter.Tree:
    import tree_sitter

    parser = tree_sitter.Parser(grammar)
    raw = source(text.value)
    return parser.parse(raw) if old is None else parser.parse(raw, old)


def moved(old: tree_sitter.Tree, before: Text, change: Change, after: Text) -> None:
    """Tell ``old`` (changing it) what was edited, so that parsing ``after`` reads only what is new.

    One character more on either side: beside a change, ``\\r`` may begin or cease to be a line's end.
    """
    start, end = max(0, change.start - 1), min(len(before), change.end + 1)
    new_end = end + len(after) - len(before)
    old.edit(start, end, new_end, _point(before.value, start), _point(before.value, end), _point(after.value, new_end))


def _point(text: str, offset: int) -> tuple[int, int]:
    """Row and column as the grammars count them."""
    if "\r" in text:
        text = _LONE_RETURN.sub("\n", text[: offset + 1])
    return text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1)


class Tree:
    """A text and its syntax. It never changes; :meth:`edited` makes another one."""

    def __init__(self, language: str, text: Text, raw: tree_sitter.Tree) -> None:
        self.language = language
        self.text = text
        self.raw = raw
        self.grammar: Grammar = GRAMMARS[language]
        self.bindings: dict[int, list[tuple[int, str]]] = {}
        """What scopes bind, by the id of their node; filled when it is first asked for."""

    @cached_property
    def root(self) -> tree_sitter.Node:
        """The node of the whole text."""
        return self.raw.root_node

    @cached_property
    def broken(self) -> bool:
        """Whether the text does not parse. Python's empty blocks, which the grammar lets pass, count as broken."""
        return self.root.has_error or (self.language == "python" and any(True for _ in self.hollow()))

    def hollow(self) -> Iterator[tree_sitter.Node]:
        """Python's blocks without a statement."""
        cursor = self.root.walk()
        while True:
            node = cursor.node
            assert node is not None
            if node.type == "block" and not node.named_child_count:
                yield node
            if node.type in COMPOUND and cursor.goto_first_child():
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return

    def edited(self, change: Change) -> Tree:
        """The tree after ``change``, read incrementally; this one stays as it is."""
        return self.after([(change, self.text.edited(change))])

    def after(self, edits: Sequence[tuple[Change, Text]]) -> Tree:
        """The tree after several changes, each given with the text after it."""
        raw, text = self.raw.copy(), self.text
        for change, next_text in edits:
            moved(raw, text, change, next_text)
            text = next_text
        grammar = load(self.language)
        assert grammar is not None
        return Tree(self.language, text, _run(grammar, text, raw))

    def source_of(self, node: tree_sitter.Node) -> str:
        """The text of a node."""
        return self.text.value[node.start_byte : node.end_byte]

    def around(self, offset: int) -> list[tree_sitter.Node]:
        """The nodes that the cursor stands in, innermost first, the root last.

        In languages where indentation ends a block, an empty line belongs to the blocks above that are less indented
        than the cursor.
        """
        value = self.text.value
        end = self.code_before(offset)
        node = self.root.descendant_for_byte_range(max(0, end - 1), end) if end else None
        chain = []
        indent = self.indentation(offset)
        while node is not None:
            inside = node.start_byte < offset < node.end_byte
            if not inside and node.end_byte <= offset:
                inside = self._reaches(node, offset, indent, value)
            if inside:
                chain.append(node)
            node = node.parent
        if not chain or chain[-1] != self.root:
            chain.append(self.root)
        return chain

    def code_before(self, offset: int) -> int:
        """The end of the last code before ``offset``: neither blanks nor whole comments."""
        value = self.text.value
        end = len(value[:offset].rstrip())
        while end:
            node = self.root.descendant_for_byte_range(end - 1, end)
            if node is None or node.type not in self.grammar.comments or node.end_byte > end:
                break
            end = len(value[: node.start_byte].rstrip())
        return end

    def _reaches(self, node: tree_sitter.Node, offset: int, indent: int, value: str) -> bool:
        """Whether a node whose last character stands before the cursor is still open there."""
        if node.end_byte == offset:
            last = value[offset - 1 : offset]
            return _is_word(last) or node.has_error or self.grammar.indented
        if not self.grammar.indented:
            return node.is_error
        line = self.text.place(node.start_byte)[0]
        return node.parent is not None and indent > len(_margin(self.text.line(line)))

    def indentation(self, offset: int) -> int:
        """How far the cursor's line is indented; on an empty line, how far the cursor is."""
        line, column = self.text.place(offset)
        text = self.text.line(line)
        return min(column, len(_margin(text))) if not text[:column].strip() else len(_margin(text))

    def inside(self, offset: int) -> Place:
        """What a character typed at ``offset`` would belong to."""
        from famulus.lsp_server.syntax.places import inside

        return inside(self, offset)

    def errors(self) -> list[Problem]:
        """What keeps the text from parsing: the few places where a person would look."""
        from famulus.lsp_server.syntax.problems import problems

        return problems(self)

    def function_at(self, offset: int) -> Span | None:
        """The innermost function around an offset."""
        for node in self.around(offset):
            if node.type in self.grammar.functions:
                return Span(node.start_byte, node.end_byte)
        return None

    def functions(self) -> list[Function]:
        """All functions that have a name, in the order in which they start."""
        from famulus.lsp_server.syntax.places import functions

        return functions(self)

    def names_at(self, offset: int) -> list[str]:
        """Identifiers that mean something at ``offset``, nearest first, without the language's own (builtins)."""
        from famulus.lsp_server.syntax.scopes import names_at

        return names_at(self, offset)

    @cached_property
    def wildcard(self) -> bool:
        """Whether an import brings names that the text does not tell."""
        found = _WILDCARDS.get(self.language)
        return found is not None and found.search(self.text.value) is not None

    def block_end(self, offset: int) -> int:
        """Where the innermost block around the cursor ends."""
        from famulus.lsp_server.syntax.places import block_end

        return block_end(self, offset)

    def opens_block(self, offset: int) -> bool:
        """Whether the cursor stands in a block that has just been opened and is empty."""
        from famulus.lsp_server.syntax.places import opens_block

        return opens_block(self, offset)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t\f"))]
