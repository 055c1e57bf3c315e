"""What can be said of any result: that it be rounded, or saved to a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from famulus.jupyter_kernel.mentions import Read

_PLACES = frozenset(("float", "digit", "place", "places", "decim", "digits"))


@dataclass(frozen=True)
class Modifiers:
    """``digits`` to round to, ``path`` to save to (both "" for none), and the tokens that said so."""

    digits: str = ""
    path: str = ""
    taken: frozenset[int] = field(default_factory=frozenset)


def modifiers(read: Read) -> Modifiers:
    """The modifiers of an instruction. An instruction that does nothing but save or round has none."""
    digits, path = "", ""
    taken: set[int] = set()
    for index, token in enumerate(read.tokens):
        if token.key == "round" and index not in read.taken:
            span = _rounding(read, index)
            if span is not None:
                digits, tokens = span
                taken |= tokens
        if token.key == "save" and index not in read.taken and index > 0:
            goal = next(
                (i for i in range(index + 1, min(index + 8, len(read.tokens))) if read.tokens[i].kind == "path"), None
            )
            between = read.tokens[index + 1 : goal] if goal is not None else ()
            if goal is not None and all(t.weight < 0.5 or t.key in _RESULT for t in between):
                path = read.tokens[goal].value
                taken |= set(range(index, goal + 1))
    return Modifiers(digits, path, frozenset(taken))


_RESULT = frozenset(("result", "plot", "csv", "json", "file", "figure", "pictur", "imag", "chart", "list", "frame"))


def _rounding(read: Read, index: int) -> tuple[str, set[int]] | None:
    tokens = read.tokens
    near = [i for i in range(index + 1, min(index + 5, len(tokens))) if tokens[i].kind == "number"]
    if not near:
        return None
    number = near[0]
    end = number + 1
    while end < len(tokens) and (tokens[end].key in _PLACES or tokens[end].text.lower() in ("places", "place", "位")):
        end += 1
    return tokens[number].value, set(range(index, end))
