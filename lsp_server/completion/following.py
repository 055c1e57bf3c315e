"""Where a piece of text went while a document was edited, and how much of it is still there. Pure.

Kept characters as in Zed's kept rate: the characters that an alignment of both texts has in common.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from famulus.lsp_server.documents import Change, Text

_TOKENS = re.compile(r"\w+|\s+|[^\w\s]")
MOST_TOKENS = 2000
"""Longer texts are compared only as far as their beginnings and ends agree."""
SLACK = 512
"""Characters that a replacement around a piece may have more than four times the piece, to be compared with it."""


@dataclass
class Piece:
    """``text`` as it was accepted (lines end with ``\\n``) and where it is now. ``lost``: nobody can tell any more."""

    text: str
    start: int
    end: int
    lost: bool = False

    def follow(self, change: Change, after: str) -> None:
        """Take over a trimmed change, after which the document's text is ``after``."""
        added = len(change.inserted)
        shift = added - (change.end - change.start)
        if change.end <= self.start and not (change.start == change.end == self.start == self.end):
            self.start, self.end = self.start + shift, self.end + shift
        elif change.start < self.end:
            around = change.start <= self.start and change.end >= self.end
            self.start = min(self.start, change.start)
            self.end = change.start + added if change.end > self.end else self.end + shift
            if around and added > 4 * len(self.text) + SLACK:
                self._find(after)

    def _find(self, after: str) -> None:
        """After a replacement of far more than this piece: it is where it stands unchanged, or nobody can tell."""
        found = after.find(self.text, self.start, self.end)
        if found < 0:
            self.lost = True
        else:
            self.start, self.end = found, found + len(self.text)

    def kept(self, document: str) -> int | None:
        """How many of its characters are still there."""
        return None if self.lost else kept_characters(self.text, plain(document[self.start : self.end]))


def kept_characters(old: str, new: str) -> int:
    """How many characters of ``old`` an alignment by words finds in ``new``."""
    if old == new:
        return len(old)
    most = min(len(old), len(new))
    head = next((i for i in range(most) if old[i] != new[i]), most)
    tail = next((i for i in range(most - head) if old[-1 - i] != new[-1 - i]), most - head)
    a = _TOKENS.findall(old[head : len(old) - tail])
    b = _TOKENS.findall(new[head : len(new) - tail])
    if not a or not b or max(len(a), len(b)) > MOST_TOKENS:
        return head + tail
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return head + tail + sum(len(token) for block in blocks for token in a[block.a : block.a + block.size])


def trimmed(before: Text, change: Change) -> Change:
    """The change without what it puts back: some clients send whole lines, or the whole document."""
    removed, inserted = before.value[change.start : change.end], change.inserted
    if not removed or not inserted:
        return change
    most = min(len(removed), len(inserted))
    head = _common(removed, inserted, most)
    tail = _common(removed[::-1], inserted[::-1], most - head)
    return Change(change.start + head, change.end - tail, inserted[head : len(inserted) - tail])


def slid(change: Change, after: str, to: int) -> Change:
    """An insertion as one at ``to``, if the text would be the same (``b`` before or behind a ``b``); else as it is."""
    at, length = change.start, len(change.inserted)
    if change.end != at or not length or at == to or to < 0 or abs(at - to) > 1 << 16:
        return change
    # The text between the two places must have the inserted text as its period.
    low, high = min(at, to), max(at, to)
    if after[low : low + high - low] != after[low + length : high + length]:
        return change
    return Change(to, to, after[to : to + length])


def plain(text: str) -> str:
    """With ``\\n`` as every line's end, as candidates have it."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _common(a: str, b: str, most: int) -> int:
    """Length of the common beginning, by halving: the texts may be long."""
    if a[:most] == b[:most]:
        return most
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
