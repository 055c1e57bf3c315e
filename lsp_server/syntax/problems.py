"""Syntax errors as a person would tell them: few, small, and at the cause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.places import leaves, open_quotes
from famulus.lsp_server.syntax.python import module_of, unfinished
from famulus.lsp_server.syntax.tree import Problem, Tree

if TYPE_CHECKING:
    import tree_sitter

    from famulus.lsp_server.documents import Text

MOST = 5
"""Problems of one text; what follows the first ones mostly follows from them."""
PYTHON_MOST = 120_000
"""Code points; a longer Python text is not shown to Python's own parser, which nothing else can interrupt."""

_PAIRS = {"(": ")", "[": "]", "{": "}", "${": "}", "#{": "}", "$(": ")"}
_TRAILING_COMMA = re.compile(r",\s*[\]}]")
_DETECTED = re.compile(r" \(detected at line \d+\)$")
_HOLLOW = re.compile(r"(expected an indented block .*) on line \d+")
_ENDLESS = re.compile("never closed|unterminated")
_NOTHING = re.compile(r"\s*(?:#.*)?")
_LONGEST = 30


def problems(tree: Tree) -> list[Problem]:
    """What keeps the text from parsing, in order.

    Python's own parser has the last word on Python: it names causes, and what it accepts is right.
    """
    if not tree.broken:
        return []
    if tree.language == "python" and len(tree.text) <= PYTHON_MOST:
        said = _python(tree)
        return [] if said is None else _with_others(tree, [said], _ENDLESS.search(said.message) is not None)
    quotes, brackets = _quotes(tree), _brackets(tree)
    line = tree.text.place
    before = [b for b in brackets if not quotes or line(b.start)[0] < line(quotes[0].start)[0]]
    found = before or quotes
    return _with_others(tree, found, bool(found))


def open_until(text: Text, offset: int) -> int:
    """Up to where a Python text may not parse only because what stands at ``offset`` is not written to its end; 0: it
    is. Python tells of a missing ``except`` where the next statement begins: this reaches to the end of its line."""
    line, _ = text.place(offset)
    starts = {text.offset(line, 0), offset}  # what is being written may close, on its line, what was open above
    if offset > PYTHON_MOST or not any(unfinished(text.value[:start]) for start in starts):
        return 0
    line += 1
    while line < text.lines - 1 and _NOTHING.fullmatch(text.line(line)):
        line += 1
    return text.line_end(line)


def _with_others(tree: Tree, found: list[Problem], endless: bool) -> list[Problem]:
    """``found`` and what the tree shows in other statements; only before, if the first of ``found`` spoils the rest."""
    place = tree.text.place
    for problem in _others(tree):
        apart = all(abs(place(problem.start)[0] - place(known.start)[0]) > 1 for known in found)
        new = all(_statement(tree, problem) != _statement(tree, known) for known in found)
        if apart and new and not (endless and problem.start > found[0].start):
            found.append(problem)
    return sorted(found, key=lambda problem: problem.start)[:MOST]


def _statement(tree: Tree, problem: Problem) -> tuple[int, int]:
    """What a problem belongs to: a line, in Python a whole statement of the module."""
    node = tree.root.descendant_for_byte_range(problem.start, problem.end) if tree.language == "python" else None
    while node is not None and node.parent is not None:
        if node.parent == tree.root:
            return node.start_byte, node.end_byte
        node = node.parent
    return tree.text.place(problem.start)[0], -1


def _python(tree: Tree) -> Problem | None:
    """The error that Python itself reports; None if it reports none."""
    text = tree.text
    try:
        module_of(text.value)
    except SyntaxError as error:
        line = min(max(error.lineno or 1, 1), text.lines) - 1
        start = text.offset(line, max(0, (error.offset or 1) - 1))
        end = start
        if error.end_lineno and error.end_offset and error.end_offset > 0 and error.end_lineno <= text.lines:
            end = min(text.offset(error.end_lineno - 1, error.end_offset - 1), text.line_end(line))
        message = _DETECTED.sub("", error.msg or "invalid syntax")
        if hollow := _HOLLOW.fullmatch(message):  # Python stands at the statement that follows
            message = hollow[1]
            start = end = _code_end(text.value[:start])
        return _visible(tree, start, end, message)
    return None


def _code_end(text: str) -> int:
    """Where the last line with code ends."""
    lines = text.split("\n")
    while len(lines) > 1 and _NOTHING.fullmatch(lines[-1]):
        lines.pop()
    return len("\n".join(lines).rstrip())


def _visible(tree: Tree, start: int, end: int, message: str) -> Problem:
    """A problem with at least one character to underline, of the same line where there is one."""
    if end > start:
        return Problem(start, end, message)
    value = tree.text.value
    if start < len(value) and value[start] not in "\r\n":
        return Problem(start, start + 1, message)
    start = len(value[:start].rstrip())
    return Problem(max(0, start - 1), min(max(1, start), len(value)), message)


def _quotes(tree: Tree) -> list[Problem]:
    """The first string that is never closed; quotes after it open what should be closed."""
    for leaf in open_quotes(tree):
        return [Problem(leaf.start_byte, leaf.end_byte, "this string is never closed")]
    return []


def _brackets(tree: Tree) -> list[Problem]:
    """Brackets without their pair, in the parts of the text that do not parse."""
    stack: list[tree_sitter.Node] = []
    found = []
    for leaf in leaves(tree.root, broken_only=True):
        if leaf.is_missing or leaf.end_byte == leaf.start_byte:
            continue
        if leaf.type in _PAIRS:
            stack.append(leaf)
        elif leaf.type in _PAIRS.values():
            if stack and _PAIRS[stack[-1].type] == leaf.type:
                stack.pop()
            elif any(_PAIRS[opener.type] == leaf.type for opener in stack):
                while _PAIRS[stack[-1].type] != leaf.type:
                    found.append(_unclosed(stack.pop()))
                stack.pop()
            else:
                found.append(Problem(leaf.start_byte, leaf.end_byte, f'"{leaf.type}" closes nothing'))
    return [*found, *map(_unclosed, stack)]


def _unclosed(opener: tree_sitter.Node) -> Problem:
    return Problem(opener.start_byte, opener.end_byte, f'"{opener.type}" is never closed')


def _others(tree: Tree) -> list[Problem]:
    """Missing and unexpected tokens, and empty blocks."""
    found = []
    cursor = tree.root.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.is_missing or node.is_error:
            if not _tolerated(tree, node):
                found.append(_missing(tree, node) if node.is_missing else _unexpected(tree, node))
        elif node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found + [_hollow(tree, block) for block in _hollows(tree)]


def _tolerated(tree: Tree, node: tree_sitter.Node) -> bool:
    """Whether the editor lets it pass: commas before closing brackets in JSON with comments."""
    start = max(0, len(tree.text.value[: node.start_byte].rstrip()) - 1) if node.is_missing else node.start_byte
    return tree.language == "jsonc" and _TRAILING_COMMA.match(tree.text.value, start) is not None


def _hollows(tree: Tree) -> list[tree_sitter.Node]:
    return list(tree.hollow()) if tree.language == "python" else []


def _hollow(tree: Tree, block: tree_sitter.Node) -> Problem:
    head = len(tree.text.value[: block.start_byte].rstrip())
    return _visible(tree, head, head, "an indented block is expected after this line")


def _missing(tree: Tree, node: tree_sitter.Node) -> Problem:
    end = len(tree.text.value[: node.start_byte].rstrip())
    what = f'"{node.type}"' if not node.is_named else node.type.replace("_", " ")
    return _visible(tree, max(0, end - 1), end, f"{what} is missing here")


def _unexpected(tree: Tree, node: tree_sitter.Node) -> Problem:
    start = node.start_byte
    text = tree.source_of(node)
    start += len(text) - len(text.lstrip())
    line = text.strip().split("\n", 1)[0].rstrip()
    if len(line) <= _LONGEST and len(line.split()) == 1 and line == text.strip():
        return _visible(tree, start, start + len(line), f"{line!r} is unexpected here")
    return _visible(tree, start, start + len(line), "this does not parse")
