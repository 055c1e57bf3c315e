"""Syntax errors as a person would tell them: few, small, and at the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.places import leaves, open_quotes
from famulus.lsp_server.syntax.tree import Problem, Tree

if TYPE_CHECKING:
    import tree_sitter

MOST = 5
"""Problems of one text; what follows the first ones mostly follows from them."""

_PAIRS = {"(": ")", "[": "]", "{": "}", "${": "}", "#{": "}", "$(": ")"}
_LONGEST = 30


def problems(tree: Tree) -> list[Problem]:
    """What keeps the text from parsing, in order."""
    if not tree.broken:
        return []
    found = _quotes(tree) or _brackets(tree)
    lines = {tree.text.place(problem.start)[0] for problem in found}
    for problem in _others(tree):
        line = tree.text.place(problem.start)[0]
        if line not in lines and not (found and problem.start > found[0].start):
            lines.add(line)
            found.append(problem)
    return sorted(found, key=lambda problem: problem.start)[:MOST]


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
        if node.is_missing:
            found.append(_missing(tree, node))
        elif node.is_error:
            found.append(_unexpected(tree, node))
        elif node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found + [_hollow(tree, block) for block in _hollows(tree)]


def _hollows(tree: Tree) -> list[tree_sitter.Node]:
    return list(tree.hollow()) if tree.language == "python" else []


def _hollow(tree: Tree, block: tree_sitter.Node) -> Problem:
    head = tree.text.value[: block.start_byte].rstrip()
    return Problem(max(0, len(head) - 1), max(1, len(head)), "an indented block is expected after this line")


def _missing(tree: Tree, node: tree_sitter.Node) -> Problem:
    end = len(tree.text.value[: node.start_byte].rstrip())
    what = f'"{node.type}"' if not node.is_named else node.type.replace("_", " ")
    return Problem(max(0, end - 1), max(end, 1), f"{what} is missing here")


def _unexpected(tree: Tree, node: tree_sitter.Node) -> Problem:
    first = next((leaf for leaf in leaves(node) if leaf.end_byte > leaf.start_byte), node)
    text = tree.source_of(first).split("\n", 1)[0][:_LONGEST]
    return Problem(first.start_byte, first.start_byte + len(text), f"{text!r} is unexpected here")
