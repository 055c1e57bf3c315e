"""Parts of a prompt cut to a number of tokens; what is kept stays the same from keystroke to keystroke."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Count = Callable[[str], int]
"""How many tokens a text has."""

CHARACTERS = 4
"""Per token of code: with it a window is mostly full, and rarely measured more than twice."""
_MOST_CHARACTERS = 8
"""Per token, on the high side: no more than this is measured."""


def window(text: str, budget: int, count: Count) -> str:
    """The end of ``text`` that fits ``budget`` tokens.

    Its left edge is a line start that depends only on the lines before the last one and moves in steps of a
    quarter of the budget: while a line is typed, and mostly from line to line, it stays where it is.
    """
    if len(text.encode()) <= budget:
        return text
    line = text.rfind("\n") + 1
    if count(text[line:][-budget * _MOST_CHARACTERS :]) > budget // 2:
        line = len(text)  # one huge line: nothing but its end can be kept
    room = max(budget // 8, count(text[line:]))
    step = max(1, budget * CHARACTERS // 4)
    index = max(0, -(-(line - budget * CHARACTERS) // step))
    while True:
        start = min(_line_start(text, index * step, step), line)
        if start == line or count(text[start:line]) + room <= budget:
            return text[start:]
        index += 1


def _line_start(text: str, position: int, step: int) -> int:
    """The first line start at or after ``position``; if there is none within ``step``, ``position``."""
    if position == 0:
        return 0
    found = text.find("\n", position - 1, position + step)
    return found + 1 if found >= 0 else position


def fit_lines(text: str, budget: int, count: Count) -> str:
    """The longest beginning of ``text`` made of whole lines that fits ``budget`` tokens."""
    text = text[: budget * _MOST_CHARACTERS]
    if count(text) <= budget:
        return text
    ends = [i + 1 for i, c in enumerate(text) if c == "\n"]
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[: ends[middle - 1]]) <= budget:
            low = middle
        else:
            high = middle - 1
    return text[: ends[low - 1]] if low else ""


def fit_pieces(pieces: Sequence[str], budget: int, count: Count) -> list[str]:
    """The last of ``pieces`` that together fit ``budget`` tokens; the first of these may lose its end."""
    kept: list[str] = []
    for piece in reversed(pieces):
        whole = fit_lines(piece, budget, count)
        if whole:
            kept.insert(0, whole)
        budget -= count(whole)
        if len(whole) < len(piece):
            break
    return kept


def rounded(tokens: int, budget: int) -> int:
    """``tokens`` rounded up to an eighth of ``budget``: small changes in one part do not move the others."""
    step = max(1, budget // 8)
    return -(-tokens // step) * step
