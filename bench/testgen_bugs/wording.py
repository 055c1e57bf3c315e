"""Texts for people."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SMALL = ("a", "an", "and", "of", "the", "to")


def headline(text: str) -> str:
    """Words with a capital, but for small ones that are not the first."""
    words = text.lower().split()
    return " ".join(w if w in _SMALL and place else w.capitalize() for place, w in enumerate(words))


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters, unless a word is longer."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


def slug(title: str) -> str:
    """Small letters and digits, with one hyphen where anything else stood between them."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def shortened(text: str, most: int) -> str:
    """At most ``most`` characters, the last of which is … if something is left out."""
    if len(text) <= most:
        return text
    return text[: most - 1].rstrip() + "…"


def is_palindrome(text: str) -> bool:
    """Whether the letters and digits are the same from behind, in any case."""
    signs = [sign for sign in text.lower() if sign.isalnum()]
    return signs == signs[::-1]


def initials(name: str) -> str:
    """``Ann-Marie van Dam`` → ``A.-M. v. D.``"""
    parts = []
    for word in name.split():
        parts.append("-".join(f"{half[0]}." for half in word.split("-") if half))
    return " ".join(parts)


def shifted(text: str, by: int) -> str:
    """Each letter so many places further in the alphabet, which begins again after its end."""
    found = []
    for sign in text:
        if sign.isascii() and sign.isalpha():
            first = ord("A") if sign.isupper() else ord("a")
            sign = chr((ord(sign) - first + by) % 26 + first)
        found.append(sign)
    return "".join(found)


def common_start(words: Sequence[str]) -> str:
    """The longest text that all words begin with."""
    if not words:
        return ""
    start = words[0]
    for word in words[1:]:
        while not word.startswith(start):
            start = start[:-1]
    return start


def plural(word: str) -> str:
    """The plural of an English noun that has no form of its own."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def masked(number: str) -> str:
    """A card number of which the last four digits are shown; spaces stay."""
    left = sum(sign.isdigit() for sign in number)
    found = ""
    for sign in number:
        if sign.isdigit():
            found += sign if left <= 4 else "*"
            left -= 1
        else:
            found += sign
    return found
