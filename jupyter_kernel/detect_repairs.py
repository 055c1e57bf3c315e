"""What is one change away from Python: a slip of the keys, a bracket or a comma that is missing."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Container, Iterator, Sequence
from itertools import islice, pairwise

from famulus.jupyter_kernel.detect_tokens import (
    HEADS,
    INFIX,
    KEYWORDS,
    LEXICON,
    WIDE_GAP,
    Token,
    gaps,
    lines_of,
    rows_of,
)
from famulus.jupyter_kernel.detect_words import VERBS

_LONG_KEYWORDS = frozenset(word for word in HEADS | {"print"} if len(word) > 3)
_SLIPS = frozenset({"no", "nor", "a", "an", "am", "i"})
"""Words of sentences that are slips of keywords as well."""

_FLAGS = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_NUMBER_AND_KEYWORD = re.compile(r"\d(?<![\w.]\d)[\w.]*?(?=(?:and|else|for|if|in|is|not|or)\b)")
_ESCAPE = re.compile(r"\\(?:([\n\r\\'\"N])|.)")


_PRINT = re.compile(r"^([ \t]*(?:\w.*:[ \t]*)?)(?:print|exec)[ \t]+(?![=(])(.+?)[ \t]*$", re.MULTILINE)
_ROOT = re.compile(r"\W.*")
_TRAILING = re.compile(r"(?<=\S)  +[^\W\d].*$", re.MULTILINE)
_LAST_WORD = re.compile(r"[^\W\d]+$")


def parse(code: str) -> ast.Module | None:
    """The tree of the code, with ``await`` allowed outside of functions; None where Python cannot read it."""
    try:
        tree = compile(_quiet(code), "<cell>", "exec", _FLAGS, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def parses(code: str) -> bool:
    """Whether Python reads the code."""
    return parse(code) is not None


def _quiet(code: str) -> str:
    """The code without what Python would warn of, ``"\\d"`` and ``1in x``: only the run itself may warn the user."""
    code = _NUMBER_AND_KEYWORD.sub(r"\g<0> ", code)
    return _ESCAPE.sub(lambda found: found[0] if found[1] else "__", code) if "\\" in code else code


def repairs(code: str, names: Container[str]) -> dict[str, float]:
    """The signs that speak for Python alone and cost a few parses: one small change makes the cell Python."""
    lines = lines_of(code)
    whole = "\n".join(lines)
    rows = rows_of(lines)
    slip = len(whole) < 1500 and any(
        other != whole and _is_more_than_names(other) for other in islice(_put_right(whole, rows, names), 40)
    )
    sign = not slip and len(whole) < 1500 and _one_sign_from_python(rows)
    verb = bool(rows[0]) and rows[0][0].kind == "word" and rows[0][0].text.lower() in VERBS
    return {
        "one slip from Python": float(slip),
        "one sign from Python": float(sign and (not verb or any(map(WIDE_GAP.search, lines)))),
    }


def _put_right(code: str, rows: Sequence[Sequence[Token]], names: Container[str]) -> Iterator[str]:
    """The cell with one thing put right: the brackets of ``print``, its missing end, a word torn or misspelt."""
    yield _PRINT.sub(r"\1print(\2)", code)
    yield _TRAILING.sub("", code)
    end = code.rstrip()
    yield end + ": pass"
    last = _LAST_WORD.search(end)
    for word in sorted(INFIX) if last else ():
        if last and word.startswith(last[0]):
            yield end[: last.start()] + word + " x"
            yield end[: last.start()] + word + " in x"
            yield end[: last.start()] + word + " x: pass"
    for row in rows:
        for a, b in pairwise(row):
            joined = a.text + _ROOT.sub("", b.text) if b.kind in ("word", "name", "keyword") else ""
            known = joined in KEYWORDS or joined in names or hasattr(builtins, joined)
            if not b.joined and a.kind in ("word", "name", "keyword") and (known or row[0].text in HEADS):
                yield code.replace(f"{a.text} {b.text}", a.text + b.text)
        for a, b, c in zip(row, row[1:], row[2:], strict=False):
            if b.kind == "operator" and b.joined and c.joined and a.text + c.text in KEYWORDS:
                yield code.replace(a.text + b.text + c.text, a.text + c.text)
    for row in rows:
        for token in row:
            if token.kind == "word" and len(token.text) < 9 and (token.text not in LEXICON or token.text in _SLIPS):
                for other in KEYWORDS:
                    if abs(len(other) - len(token.text)) < 2 and _one_slip(token.text, other):
                        yield re.sub(rf"\b{token.text}\b", other, code, count=1)


def _is_more_than_names(code: str) -> bool:
    tree = parse(code)
    return tree is not None and not all(isinstance(p, ast.Expr) and isinstance(p.value, ast.Name) for p in tree.body)


def _one_sign_from_python(rows: Sequence[Sequence[Token]]) -> bool:
    """Whether the cell parses once a comma or an equals sign stands in the one place where two words meet."""
    if sum(map(gaps, rows)) != 1:
        return False
    for row in rows:
        for i, (a, b) in enumerate(pairwise(row)):
            if gaps((a, b)):
                left = "".join(" " * (not t.joined) + t.text for t in row[: i + 1]).strip()
                right = "".join(" " * (not t.joined) + t.text for t in row[i + 1 :]).strip()
                return any(parses(left + sign + right) for sign in (", ", " = ", ": "))
    return False


def is_slip(first: Sequence[Token]) -> bool:
    """Whether a line opens with a keyword that is misspelt or torn in two: *improt os*, *impo rt os*."""
    if not first or first[0].kind != "word":
        return False
    torn = len(first) > 1 and first[1].kind in ("word", "keyword") and first[0].text + first[1].text in KEYWORDS
    return torn or _near_keyword(first[0].text)


def _near_keyword(word: str) -> bool:
    """Whether one slip of the keys makes a keyword of a word that is none and no word of requests."""
    if word in LEXICON or word in KEYWORDS or word == "print" or not 3 <= len(word) <= 9:
        return False
    return any(_one_slip(word, other) for other in _LONG_KEYWORDS if abs(len(word) - len(other)) < 2)


def _one_slip(a: str, b: str) -> bool:
    if len(a) > len(b):
        a, b = b, a
    i = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        return a[i:] == b[i + 1 :]
    swapped = i + 1 < len(a) and a[i] == b[i + 1] and a[i + 1] == b[i] and a[i + 2 :] == b[i + 2 :]
    return swapped or a[i + 1 :] == b[i + 1 :]
