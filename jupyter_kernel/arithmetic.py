"""Arithmetic over the user's variables, as it is written or spoken: *slope * x + b*, *y minus fit*."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.schema import Variable
from famulus.jupyter_kernel.words import lexicon

_OPERATORS = {
    "+": "+", "-": "-", "−": "-", "*": "*", "×": "*", "·": "*", "/": "/", "÷": "/", "**": "**", "^": "**", "%": "%",
    "@": "@",
}  # fmt: skip
_SPOKEN = {"plus": "+", "subtract": "-", "multiply": "*", "divide": "/"}
# Verbs say the same with little words: "subtract a from b" is no infix.
_VERBS = frozenset(("subtract", "multiply", "divide", "add"))
_STATISTICS = frozenset(("mean", "sum", "max", "min", "std", "var"))
_NUMERIC = frozenset(("number", "array", "series"))


@dataclass(frozen=True)
class Arithmetic:
    """An expression, the variables in it, and the tokens that say it."""

    code: str
    names: tuple[str, ...]
    tokens: frozenset[int]


def arithmetic(read: Read) -> Arithmetic | None:
    """The longest arithmetic expression over variables of the user's that the words hold, None where there is none."""
    best: Arithmetic | None = None
    start = 0
    while start < len(read.tokens):
        end = start
        pieces: list[str] = []
        while end < len(read.tokens) and end not in read.taken and (piece := _piece(read, read.tokens[end])):
            pieces.append(piece)
            end += 1
        found = _expression(read, start, end, pieces)
        if found is not None and (best is None or len(found.tokens) > len(best.tokens)):
            best = found
        start = max(end, start + 1)
    return best


def _expression(read: Read, start: int, end: int, pieces: Sequence[str]) -> Arithmetic | None:
    """The pieces as an expression, without operators and brackets that are left over at the ends."""
    pieces = list(pieces)
    said = start > 0 and read.tokens[start - 1].kind == "word"
    while pieces and (pieces[0] in "+*/%@**)" or (pieces[0] == "-" and said)):
        pieces, start = pieces[1:], start + 1
    while pieces and (pieces[-1] in "+-*/%@**("):
        pieces, end = pieces[:-1], end - 1
    code = _spaced(pieces)
    try:
        tree = ast.parse(code, mode="eval")
    except SyntaxError:
        return None
    names = tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))
    if not names or not any(isinstance(node, ast.BinOp) for node in ast.walk(tree)):
        return None
    return _aggregated(read, Arithmetic(code, names, frozenset(range(start, end))))


def _aggregated(read: Read, found: Arithmetic) -> Arithmetic:
    """*The mean of y - fit*: the statistic that stands before an expression over arrays."""
    before = min(found.tokens) - 1
    while before >= 0 and read.tokens[before].text.lower() in ("of", "the", "(", "all"):
        before -= 1
    key = read.tokens[before].key if before >= 0 else ""
    if key not in _STATISTICS or not any(_is_array(read, name) for name in found.names):
        return found
    tokens = found.tokens | set(range(before, min(found.tokens)))
    return Arithmetic(f"({found.code}).{key}()", found.names, tokens)


def _is_array(read: Read, name: str) -> bool:
    variable = read.schema.variable(name)
    return variable is not None and variable.kind in ("array", "series")


def _piece(read: Read, token: Token) -> str:
    if token.kind == "number" and not token.value.endswith("%"):
        return token.value
    if token.kind == "symbol":
        return token.text if token.text in "()" else _OPERATORS.get(token.text, "")
    if token.kind != "word":
        return ""
    if token.text.lower() not in _VERBS and token.key in _SPOKEN:
        return _SPOKEN[token.key]
    variable = read.schema.variable(token.text)
    return token.text if variable is not None and _counts(variable) else ""


def _counts(variable: Variable) -> bool:
    return variable.kind in _NUMERIC


def _spaced(pieces: Sequence[str]) -> str:
    """The pieces with a space around operators between operands, none after a sign or inside brackets."""
    out = ""
    for index, piece in enumerate(pieces):
        before = pieces[index - 1] if index else "("
        signs = set(_OPERATORS.values())
        if piece in signs and before not in signs | {"("}:
            out += f" {piece} "
        else:
            out += piece
    return out


def share(read: Read, found: Arithmetic) -> float:
    """How much of the instruction the expression accounts for, 0 to 1. Before it may stand what it is called."""
    first = min(found.tokens)
    known = lexicon().single.values()
    total = covered = 0.0
    for index, token in enumerate(read.tokens):
        if index in read.taken or token.weight <= NOISE:
            continue
        total += token.weight
        if index in found.tokens or (index < first and token.key in ("show", "make", "value", "difference")):
            covered += token.weight
        elif index < first and token.kind == "word" and token.key not in known:
            # *predictions a * x + b*: a label.
            covered += 0.7 * token.weight
    return covered / total if total else 1.0
