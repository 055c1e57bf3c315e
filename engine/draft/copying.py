"""Drafts that copy: what followed the same words earlier, and the old text of what is being rewritten.

The text (earlier answers, prompt, answer) is held as a string of one character a token, so that the longest end of it
that stands somewhere before is found by :meth:`str.rfind`: about a microsecond, whether it stands there or not. A
thousand tokens are ready to be searched after some 50 microseconds. (A suffix automaton needs no search, but building
one in Python takes 0.6 ms a thousand tokens, at every keystroke.)

While a copy is right, its cursor moves on through the old text. Where the answer leaves it, as in a function that is
rewritten, the cursor stays near: behind the token that was replaced, or where the next written token stands among the
next few old ones. What was replaced by what is remembered, and replaced in the rest of the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from famulus.engine.draft.budget import Acceptance, Evidence

NEAR = 12
"""Old tokens among which a text that is rewritten is looked for, and new ones after which it is given up."""
FOLLOWED = 4
"""Tokens that must have been copied before leaving the old text is taken for a rewriting."""
SPAN, REPLACED = 6, 32
"""Tokens of the longest replacement that is remembered, and how many are."""
LONGEST = 32
"""Tokens of a match beyond which it says nothing more."""
FAINT = 0.04
"""The chance of a token behind which a draft ends: no step is so cheap that more would pay."""
BREAK = "\U0010ffff"
"""Stands between texts; no vocabulary has so many tokens."""


def spelled(tokens: Sequence[int]) -> str:
    """One character a token."""
    return "".join(map(chr, tokens))


@dataclass(frozen=True, slots=True)
class _Expected:
    """A token that a copy goes on with: instead of the one at ``at``; the next one stands at ``after``."""

    token: str
    at: int
    after: int


class Copier:
    """The drafts of one sequence. ``earlier``: texts to copy from besides its own, as :func:`spelled` gives them."""

    def __init__(self, tokens: Sequence[int], prompt: int, earlier: str, acceptance: Acceptance) -> None:
        self._text = earlier + BREAK + spelled(tokens)
        self._start = len(self._text) - len(tokens)
        self._answer = self._start + prompt
        self._acceptance = acceptance
        self._cursor: int | None = None  # what stands there is expected next
        self._length = 0  # tokens before the cursor that were the same
        self._near = False  # the copy has left the old text and goes on near that place
        self._ahead: list[_Expected] = []
        self._left: int | None = None  # where in the old text the answer left it, while it has not been found again
        self._wrote = ""  # since then
        self._replaced: dict[str, str] = {}
        self._search()

    def follow(self, tokens: Sequence[int]) -> None:
        """Take what was generated since the last call; ``tokens``: the whole sequence."""
        for token in tokens[len(self._text) - self._start :]:
            self._push(chr(token))

    def draft(self, most: int) -> tuple[list[int], list[float]]:
        """Up to ``most`` tokens that may come next, and for each the chance that it is right if those before it are."""
        rates: list[float] = []
        chance = 1.0
        while len(rates) < most and chance > FAINT and len(self._plan(len(rates) + 1)) > len(rates):
            rates.append(self._acceptance.rate(self._evidence(len(rates))))
            chance *= rates[-1]
        return [ord(e.token) for e in self._ahead[: len(rates)]], rates

    def tail(self, before: int) -> str:
        """The answer and the last ``before`` tokens of the prompt, for sequences that come later."""
        return self._text[max(self._start, self._answer - before) :]

    def _evidence(self, further: int) -> Evidence:
        return Evidence.of("near" if self._near else "same", self._length + further)

    def _push(self, token: str) -> None:
        expected = self._plan(1)
        self._text += token
        if not expected:
            self._search()
            return
        first = self._ahead.pop(0)
        right = first.token == token
        self._acceptance.observe(self._evidence(0), right)
        if right:
            self._length += 1
            self._cursor = first.after
            if self._left is not None:
                self._found_again(first.at)
            self._near = self._near and self._length < FOLLOWED
            return
        self._ahead = []
        self._replaced = {s: new for s, new in self._replaced.items() if not self._text.startswith(s, first.at)}
        if self._left is None and (self._near or self._length >= FOLLOWED):
            self._left, self._wrote = first.at, ""
        if self._left is not None:
            self._rejoin(token)
        else:
            self._search()

    def _rejoin(self, token: str) -> None:
        """The answer has left the old text and wrote one more ``token``: where does it go on?"""
        assert self._left is not None
        self._wrote += token
        at = self._text.find(token, self._left, min(self._left + NEAR, len(self._text) - 1))
        if at >= 0:
            self._cursor, self._length, self._near = at + 1, 1, True
            self._found_again(at, rejoined=1)
        elif len(self._wrote) > NEAR:
            self._left = None
            self._search()
        else:
            # One old token was replaced by whatever was written.
            self._cursor, self._length, self._near = self._left + 1, 0, True
            self._search(beyond=FOLLOWED)

    def _found_again(self, at: int, rejoined: int = 0) -> None:
        """The old token at ``at`` was written again: what stands between there and where it was left is replaced."""
        assert self._left is not None
        old = self._text[self._left : at]
        new = self._wrote[: len(self._wrote) - rejoined]
        if 0 < len(old) <= SPAN and 0 < len(new) <= SPAN and len(self._replaced) < REPLACED:
            self._replaced[old] = new
        self._left, self._wrote = None, ""

    def _search(self, beyond: int = 0) -> None:
        """Look for the longest end of the text that stands before, if it has more than ``beyond`` tokens."""
        text, end = self._text, len(self._text)
        length, found = beyond, None
        while length < LONGEST and (at := text.rfind(text[end - length - 1 :], 0, end - 1)) >= 0:
            found, length = at + length + 1, length + 1
            while length < min(found, LONGEST) and text[found - length - 1] == text[end - length - 1] != BREAK:
                length += 1
        if found is not None:
            self._left, self._wrote = None, ""
            self._cursor, self._length, self._near = found, length, False
        elif not beyond:
            self._left, self._cursor, self._length = None, None, 0
        self._ahead = []

    def _plan(self, count: int) -> list[_Expected]:
        """What the copy goes on with: at least ``count`` tokens if there are so many."""
        ahead = self._ahead
        at = ahead[-1].after if ahead else self._cursor
        while at is not None and len(ahead) < count:
            beyond = at - len(self._text)  # a copy of the draft itself: what repeats goes on repeating
            if beyond >= len(ahead):
                break
            old = self._text[at] if beyond < 0 else ahead[beyond].token
            if old == BREAK:
                break
            span = next((s for s in self._replaced if self._text.startswith(s, at)), None)
            if span is None:
                ahead.append(_Expected(old, at, at + 1))
                at += 1
                continue
            after = at + len(span)
            new = self._replaced[span]
            ahead += [_Expected(t, at, at) for t in new[:-1]] + [_Expected(new[-1], at, after)]
            at = after
        return ahead
