"""Holes in documents, rendered in the very prompt that the language server's completions get.

A hole is a stretch of characters, the rest of a line, some lines, a node of the syntax tree, or the body of a function
behind its docstring (Bavarian et al. 2022; the mix of kinds follows what an editor asks for). What stands before it is
trimmed and healed as in production.
"""

from __future__ import annotations

import ast
import functools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from famulus.engine.prompt import PromptCard, render
from famulus.engine.protocol import Infill, Piece
from famulus.engine.templates import PREFIX, SUFFIX, FillFormat
from famulus.engine.text import Tokenizer
from famulus.engine.training.corpus import Document
from famulus.engine.training.packing import Item

KINDS = ("rest of line", "lines", "syntax", "body", "characters")
WEIGHTS = (40, 20, 20, 10, 10)
MOST_LINES = 8
"""Of a hole."""
MOST_BODY = 16
"""Lines of a function's body."""
MOST_CHARACTERS = 400
PREFIX_FIRST = 0.25
"""Share of the holes that are shown in the other order, prefix before suffix."""
CONTEXT = 0.5
"""Share of the holes that see pieces of other files."""


def hole(document: Document, kind: str, random: random.Random) -> tuple[int, int] | None:
    """(start, end) of a hole in the text, None where there is none of that kind."""
    text = document.text
    if kind == "characters":
        start = random.randrange(len(text))
        return start, min(len(text), start + random.randint(4, MOST_CHARACTERS))
    if kind in ("syntax", "body"):
        return _node(document, kind, random)
    starts = [i for i, line in _lines(text) if line.strip()]
    if not starts:
        return None
    start = random.choice(starts)
    if kind == "rest of line":
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        return (start + random.randint(indent, max(indent, end - start - 1)), end) if end > start + indent else None
    end = start
    for _ in range(random.randint(1, MOST_LINES)):
        found = text.find("\n", end)
        end = len(text) if found < 0 else found + 1
    return start, end


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.splitlines(keepends=True):
        yield at, line
        at += len(line)


def _node(document: Document, kind: str, random: random.Random) -> tuple[int, int] | None:
    """A node, or the body of a function with a docstring."""
    spans = _spans(document, kind)
    if not spans:
        return None
    first, last = random.choice(spans)
    lines = document.text.splitlines(keepends=True)
    starts = [at for at, _ in _lines(document.text)]

    def place(line: int, column: int) -> int:
        return starts[line - 1] + _characters(lines[line - 1], column)

    assert last.end_lineno is not None and last.end_col_offset is not None
    return place(first.lineno, first.col_offset), place(last.end_lineno, last.end_col_offset)


_Placed = ast.stmt | ast.expr


@functools.lru_cache(maxsize=4)
def _spans(document: Document, kind: str) -> list[tuple[_Placed, _Placed]]:
    """First and last nodes, kept for the next hole of the same document."""
    if document.language != "python":
        return []
    try:
        tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return list(_bodies(tree) if kind == "body" else _nodes(tree))


_NODES = (ast.stmt, ast.Call, ast.BinOp, ast.Compare, ast.Subscript, ast.Lambda, ast.List, ast.Dict, ast.BoolOp)


def _nodes(tree: ast.Module) -> Iterator[tuple[_Placed, _Placed]]:
    for node in ast.walk(tree):
        if isinstance(node, _NODES) and (node.end_lineno or 0) - node.lineno < MOST_LINES:
            yield node, node


def _bodies(tree: ast.Module) -> Iterator[tuple[_Placed, _Placed]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node) and len(node.body) > 1:
            first, last = node.body[1], node.body[-1]
            if (last.end_lineno or 0) - first.lineno < MOST_BODY:
                yield first, last


def _characters(line: str, column: int) -> int:
    """``ast`` counts bytes."""
    return len(line.encode()[:column].decode("utf-8", "ignore"))


def infilling(
    document: Document, others: Sequence[Document], tokenizer: Tokenizer, card: PromptCard, random: random.Random
) -> Item | None:
    """One hole of ``document`` as the engine would be asked to fill it, and what stood there; None where the document
    has none. ``card`` names the model's fill marks."""
    kind = random.choices(KINDS, WEIGHTS)[0]
    found = hole(document, kind, random)
    if found is None or not document.text[found[0] : found[1]].strip():
        return None
    start, end = found
    pieces = []
    if others and random.random() < CONTEXT:
        for other in random.sample(others, min(len(others), random.randint(1, 3))):
            lines = other.text.splitlines()
            first = random.randrange(max(1, len(lines) - 20))
            pieces.append(Piece(other.path, "\n".join(lines[first : first + random.randint(5, 30)])))
    if card.fill is not None and random.random() < PREFIX_FIRST:
        card = replace(card, fill=prefix_first(card.fill))
    asked = Infill(document.text[:start], document.text[end:], document.path, document.language, pieces)
    prompt = render(asked, tokenizer, card, reserve=1)
    answer = prompt.heal + document.text[start:end].encode()
    return Item([*prompt.tokens, *tokenizer.encode(answer.decode())], start=len(prompt.tokens))


def prefix_first(form: FillFormat) -> FillFormat:
    """The same marks with the suffix behind the prefix."""
    marks = [part for part in form.parts if part not in (PREFIX, SUFFIX)]
    if len(marks) != 3:
        return form
    return replace(form, parts=(marks[0], PREFIX, marks[1], SUFFIX, marks[2]))
