"""What can be said of any result: that it be rounded, or saved to a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from famulus.jupyter_kernel.mentions import Read

_PLACES = frozenset(("float", "digit", "place", "places", "decim", "digits"))


@dataclass(frozen=True)
class Modifiers:
    """``digits`` to round to, ``path`` to save to (both "" for none), lines that add to a
    drawing, and the tokens that said so."""

    digits: str = ""
    path: str = ""
    drawing: tuple[str, ...] = ()
    colour: str = ""
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
        if token.key == "save" and index not in read.taken:
            goal = next((i for i in range(index + 1, len(read.tokens)) if read.tokens[i].kind == "path"), None)
            if goal is not None:
                path = read.tokens[goal].value
                taken |= _saving(read, index, goal)
    drawing, told = _drawing(read)
    colour, coloured = _colour(read)
    return Modifiers(digits, path, drawing, colour, frozenset(taken | told | coloured))


_RESULT = frozenset(("result", "plot", "csv", "json", "file", "figure", "pictur", "imag", "chart", "list", "frame"))


_PLOTS = frozenset(("plot", "bar", "line", "hist", "scatter", "pie", "box", "heatmap"))
_TITLE = re.compile(
    r"(?:,|，|and|with|并|，)*\s*(?:the |a |an )?(?:titled|title|heading|标题)"
    r"(?: it| of| is| as|为|是|叫)?\s*(?::|：)?\s*"
    r"(?P<t>\"[^\"]+\"|'[^']+'|“[^”]+”|「[^」]+」|.+?)(?=$|[.;]$|,|，| and | with |并)",
    re.IGNORECASE,
)
_AXIS = re.compile(
    r"(?:,|and|with|并)*\s*(?:label|name)?\s*(?:the )?(?P<a>[xy])[- ]?(?:axis|label|轴)(?: label| "
    r"labelled| labeled|标签)?(?: with| as| is| to|为|是)?\s*"
    r"(?P<t>\"[^\"]+\"|'[^']+'|“[^”]+”|[^\W\d]\w*)",
    re.IGNORECASE,
)


def _drawing(read: Read) -> tuple[tuple[str, ...], set[int]]:
    """Title, labels of axes, legend and grid of a picture."""
    keys = {token.key for token in read.tokens}
    if not keys & _PLOTS:
        return (), set()
    lines, spans = [], []
    if match := _TITLE.search(read.text):
        lines.append(f"plt.title({_bare(match['t'])!r})")
        spans.append(match.span())
    for match in _AXIS.finditer(read.text):
        lines.append(f"plt.{match['a'].lower()}label({_bare(match['t'])!r})")
        spans.append(match.span())
    for index, token in enumerate(read.tokens):
        if token.key in ("grid", "legend"):
            lines.append("plt.grid(True)" if token.key == "grid" else "plt.legend()")
            spans.append((token.start, token.end))
            if index and read.tokens[index - 1].key in ("with", "add"):
                spans.append((read.tokens[index - 1].start, token.end))
    taken = {i for i, t in enumerate(read.tokens) for start, end in spans if start <= t.start and t.end <= end}
    return tuple(lines), taken


_COLOURS = {
    "red": "red", "blue": "blue", "green": "green", "orange": "orange", "purple": "purple", "black": "black",
    "gray": "gray", "grey": "gray", "yellow": "gold", "brown": "brown", "pink": "pink", "cyan": "cyan",
    "红色": "red", "蓝色": "blue", "绿色": "green", "橙色": "orange", "紫色": "purple", "黑色": "black", "灰色": "gray",
}  # fmt: skip


def _colour(read: Read) -> tuple[str, set[int]]:
    """The colour of a picture: *in red*, *coloured red*, *with red bars*, 用红色."""
    if not {token.key for token in read.tokens} & _PLOTS:
        return "", set()
    for index, token in enumerate(read.tokens):
        colour = _COLOURS.get(token.text.lower())
        if colour and token.kind == "word":
            around = {i for i in (index - 1, index + 1) if 0 <= i < len(read.tokens)}
            little = {
                i for i in around if read.tokens[i].key in ("in", "with", "colour", "of", "dot", "marker", "point")
            }
            return colour, {index, *little}
    return "", set()


def _bare(text: str) -> str:
    return text.strip().strip("\"'“”「」")


def _in_words(read: Read, index: int) -> tuple[str, set[int]] | None:
    """*rounded to one decimal place*, *to whole numbers*."""
    words = [token.text.lower() for token in read.tokens[index + 1 : index + 6]]
    joined = " ".join(words)
    if "一 位小数" in joined:
        return "1", {index, *range(index + 1, index + 2 + next(i for i, word in enumerate(words) if "位" in word))}
    if "one decimal" in joined or "one digit" in joined:
        last = next(i for i, word in enumerate(words) if word.startswith(("decimal", "digit")))
    elif "whole" in joined or "integer" in joined or "整数" in joined:
        last = next(i for i, word in enumerate(words) if word.startswith(("whole", "integer", "整数")))
    else:
        return None
    end = index + 2 + last
    while end < len(read.tokens) and read.tokens[end].text.lower() in ("place", "places", "number", "numbers"):
        end += 1
    return ("1" if "one" in words else "0"), set(range(index, end))


def _saving(read: Read, verb: int, goal: int) -> set[int]:
    """The tokens that say that the result is saved: verb, preposition and path, and *the result* between them."""
    tokens = read.tokens
    between = range(verb + 1, goal)
    after = [i for i in range(goal + 1, min(goal + 6, len(tokens))) if tokens[i].weight > 0.1]
    if [tokens[i].key for i in after[:2]] in (["remove", "index"], ["not", "index"], ["with", "index"]):
        return _saving(replace(read, tokens=tokens[: goal + 1]), verb, goal) | set(after[:2])
    if all(tokens[i].weight < 0.5 or tokens[i].key in _RESULT for i in between):
        return set(range(verb, goal + 1))
    little = ("to", "as", "in", "a", "file", "csv", "the", "json", "called", "name")
    before = {i for i in range(goal - 1, max(goal - 4, verb), -1) if tokens[i].key in little}
    return {verb, goal, *before}


def _rounding(read: Read, index: int) -> tuple[str, set[int]] | None:
    tokens = read.tokens
    near = [i for i in range(index + 1, min(index + 5, len(tokens))) if tokens[i].kind == "number"]
    if not near:
        return _in_words(read, index)
    number = near[0]
    end = number + 1
    while end < len(tokens) and (tokens[end].key in _PLACES or tokens[end].text.lower() in ("places", "place", "位")):
        end += 1
    return tokens[number].value, set(range(index, end))
