"""What of the namespace the words of an instruction mean: variables, columns, and values that occur in columns."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from famulus.jupyter_kernel.lexeme import FULL, NOISE, Token
from famulus.jupyter_kernel.schema import Column, Schema, Variable
from famulus.jupyter_kernel.words import lexicon, name_parts, stem, tokens

MAX_VARIABLES, MAX_COLUMNS = 80, 80
MEANT = 0.6
"""From this score on, words are taken for a name where they could be something to do."""
# Words of these concepts name a column only if they are its whole name: "total" alone is not total_revenue.
_ASKING = frozenset(
    ("mean", "sum", "median", "max", "min", "count", "std", "number", "first", "last", "unique", "sort", "show", "make",
     "by", "each", "name", "value", "in", "of", "to", "from", "with", "and", "or", "not", "is", "all", "top", "where",
     "row", "column", "list", "frame", "new", "by", "plot", "bar", "rank", "save")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mention:
    """The tokens ``start`` to ``end`` (exclusive) mean a variable, one of its columns, or a value in one of them.

    ``score``: 1 for an exact name, less for inflections, synonyms, abbreviations and misspellings. ``value``: Python
    source of the value, for ``"sample"`` alone.
    """

    kind: Literal["variable", "column", "sample"]
    start: int
    end: int
    score: float
    variable: Variable
    column: Column | None = None
    value: str = ""


@dataclass(frozen=True)
class Read:
    """An instruction as tokens, with what they mean in a schema. ``taken``: indices of tokens that modifiers (the
    result's name) have used up."""

    text: str
    schema: Schema
    tokens: tuple[Token, ...]
    mentions: tuple[Mention, ...]
    taken: frozenset[int] = field(default_factory=frozenset)

    def variables(self) -> list[Mention]:
        """The mentions of variables."""
        return [m for m in self.mentions if m.kind == "variable"]

    def columns(self, variable: Variable) -> list[Mention]:
        """The mentions of columns of ``variable``."""
        return [m for m in self.mentions if m.kind == "column" and m.variable.name == variable.name]

    def free(self, start: int, end: int) -> bool:
        """Whether none of these tokens is taken."""
        return not any(index in self.taken for index in range(start, end))


@dataclass(frozen=True)
class _Name:
    """A name to be recognised. ``groups``: the groups of synonyms of the whole name, or of its parts."""

    text: str
    parts: tuple[str, ...]
    whole: frozenset[int]
    some: frozenset[int]
    variable: Variable
    column: Column | None


def read(text: str, schema: Schema) -> Read:
    """The tokens of an instruction and every reading of them as names; overlapping readings are all kept."""
    names = _names(schema)
    samples = _samples(schema)
    own = {name.text for name in names} | {sample for sample in samples if sample > "\u3400"}
    its_tokens = tokens(text, own)
    found = _Finder(names).mentions(its_tokens) + _sample_mentions(its_tokens, samples)
    return Read(text, schema, its_tokens, tuple(found))


_POLITE = frozenset(
    ("please", "now", "then", "and", "also", "just", "can", "could", "you", "let", "me", "us", "i", "want", "to",
     "请", "帮", "我", "帮我", "请帮我", "把", "将", ",")
)  # fmt: skip

_DOING = frozenset(
    ("remove", "save", "download", "read", "add", "replace", "rename", "fill", "convert", "merge", "concat", "split",
     "swap", "extract", "copy", "apply", "check", "filter", "plot", "sort", "group", "pivot", "reverse", "round",
     "flatten", "transpose", "describe")
)  # fmt: skip


def command(found: Read) -> int | None:
    """The token by which an instruction begins with something to do that is no name of the user's: *delete* all
    files; None where it begins otherwise."""
    for index, token in enumerate(found.tokens):
        if index in found.taken or token.text.lower() in _POLITE:
            continue
        named = any(mention.start <= index < mention.end and mention.score > MEANT for mention in found.mentions)
        # Other concepts (*oldest* employee, *mean* price) are what is asked for.
        does = token.key in _DOING or token.key not in lexicon().single.values()
        return index if token.kind == "word" and token.weight >= FULL and does and not named else None
    return None


_DEFINES = re.compile(
    r"\b(?:write|define|make|create|implement|build|code|add|need|want|give me|def)\b[^,.;]{0,40}\bfunctions?\b"
    r"|^\s*(?:an? |the )?(?:\w+ ){0,2}function\b(?! of\b)"
    r"|(?:写|定义|编写|实现|创建|做|建).{0,8}函数|函数.{0,12}(?:计算|返回|判断)",
    re.IGNORECASE,
)


def defines(found: Read) -> bool:
    """Whether the words ask for a function, not for a value."""
    return bool(_DEFINES.search(found.text))


# What may follow a variable, but no article: *sort a descending*.
_NO_NOUNS = frozenset(
    ("descending", "ascending", "gt", "ge", "lt", "le", "ne", "is", "with", "to", "by", "from", "where", "in", "and",
     "as", "into", "greater", "between", "over", "not", "or",
     "round", "for", "at", "plus", "multiply", "subtract", "divide")
)  # fmt: skip


def _is_article(following: Sequence[Token]) -> bool:
    """Whether *a* stands before a noun; in *a sorted descending* it stands before none."""
    if following and following[0].text.lower().endswith("ed"):
        following = following[1:]
    return bool(following) and _is_noun(following[0])


def _is_noun(token: Token) -> bool:
    return token.kind == "word" and token.weight > NOISE and token.key not in _NO_NOUNS


def _names(schema: Schema) -> list[_Name]:
    found = []
    for variable in schema.variables[:MAX_VARIABLES]:
        found.append(_name(variable.name, variable, None))
        found += [
            _name(column.name, variable, column)
            for column in (*variable.columns[:MAX_COLUMNS], *variable.index)
            if column.name
        ]
    return found


def _name(text: str, variable: Variable, column: Column | None) -> _Name:
    parts = name_parts(text)
    return _Name(text, parts, _groups(" ".join(parts)), frozenset().union(*map(_groups, parts)), variable, column)


@functools.lru_cache(maxsize=5000)
def _groups(words: str) -> frozenset[int]:
    return lexicon().columns.get(words, frozenset())


# What a name tells of its kind is left out where it is spoken of: *requests* for ``requests_df``.
_KINDS = frozenset(("df", "frame", "tabl", "tbl", "data", "list", "dict", "arr", "arrai", "series", "seri", "raw"))


class _Finder:
    """Looks names up by spelling, by parts and by synonyms."""

    def __init__(self, names: Sequence[_Name]) -> None:
        self.names = names
        self.exact: dict[str, list[_Name]] = {}
        self.joined: dict[str, list[_Name]] = {}
        self.part: dict[str, list[_Name]] = {}
        self.group: dict[int, list[_Name]] = {}
        for name in names:
            self.exact.setdefault(name.text.lower(), []).append(name)
            self.joined.setdefault("".join(name.parts), []).append(name)
            bare = [part for part in name.parts if part not in _KINDS]
            if name.column is None and bare and len(bare) < len(name.parts):
                self.joined.setdefault("".join(bare), []).append(name)
            for part in set(name.parts):
                self.part.setdefault(part, []).append(name)
            for group in name.whole | name.some:
                self.group.setdefault(group, []).append(name)

    def mentions(self, its_tokens: Sequence[Token]) -> list[Mention]:
        best: dict[tuple[int, int, str, str], Mention] = {}
        for start in range(len(its_tokens)):
            for end in range(start + 1, min(start + 4, len(its_tokens)) + 1):
                run = its_tokens[start:end]
                if any(t.kind not in ("word", "number") and t.text not in "_-" for t in run):
                    break
                for name, score in self._matches(run, its_tokens[end : end + 2]):
                    kind: Literal["variable", "column"] = "column" if name.column else "variable"
                    label = name.column.name if name.column else ""
                    old = best.get((start, end, name.variable.name, label))
                    if old is None or old.score < score:
                        best[start, end, name.variable.name, label] = Mention(
                            kind, start, end, score, name.variable, name.column
                        )
        return _longest(best.values())

    def _matches(self, run: Sequence[Token], following: Sequence[Token]) -> Iterable[tuple[_Name, float]]:
        text = "".join(t.text if i == 0 or t.text[0] > "\u3400" else f" {t.text}" for i, t in enumerate(run))
        if len(run) == 1 and run[0].kind == "word":
            text = text.strip("`")
        lower = text.lower()
        for spelling in {lower, lower.replace(" ", "_")}:
            for name in self.exact.get(spelling, ()):
                if lower in ("a", "i") and _is_article(following):
                    yield name, 0.4
                else:
                    yield name, 1.0 if text in (name.text, name.text.replace("_", " ")) else 0.98
        if all(t.weight <= NOISE for t in run) or run[0].kind == "number":
            return
        parts = name_parts(text)
        for name in self.joined.get("".join(parts), ()):
            yield name, 0.95
        if len(run) == 1 and run[0].key in _ASKING and run[0].text not in ("数量", "amount"):
            return
        yield from self._by_parts(parts)
        if len(parts) <= 2:
            yield from self._by_meaning(parts)
        if len(run) == 1 and run[0].key not in lexicon().single.values():
            yield from self._by_spelling(stem(lower))

    def _by_parts(self, parts: tuple[str, ...]) -> Iterable[tuple[_Name, float]]:
        for name in self.part.get(parts[0], ()) if parts else ():
            if len(parts) < len(name.parts) and all(part in name.parts for part in parts):
                head = 0.08 if name.parts[-1] in parts else 0.0
                yield name, 0.68 + 0.12 * len(parts) / len(name.parts) + head

    def _by_meaning(self, parts: tuple[str, ...]) -> Iterable[tuple[_Name, float]]:
        for group in _groups(" ".join(parts)):
            for name in self.group.get(group, ()):
                # A variable is named by what it holds; only a column is meant by a synonym.
                if name.column is not None or len(name.text) > 3:
                    weight = 0.86 if group in name.whole else 0.74
                    yield name, weight if name.column is not None else weight - 0.2

    def _by_spelling(self, word: str) -> Iterable[tuple[_Name, float]]:
        if len(word) < 3 or word in lexicon().noise:
            return
        for part, names in self.part.items():
            score = _likeness(word, part)
            if score:
                for name in names:
                    yield name, score - (0.12 if len(name.parts) > 1 else 0.0)


@functools.lru_cache(maxsize=50000)
def _likeness(word: str, part: str) -> float:
    """How well ``word`` can be ``part`` abbreviated, spelt out or misspelt by one letter; 0 where it cannot."""
    short, long = sorted((word, part), key=len)
    if word == part or word[0] != part[0] or len(short) < 2:
        return 0.0
    if len(short) >= 3 and long.startswith(short) and len(short) * 3 >= len(long):
        return 0.78
    if len(short) >= 4 and len(long) - len(short) <= 1 and _one_edit(short, long):
        return 0.8
    if len(short) <= 4 and len(long) >= 5 and not set(short[1:]) & set("aeiou") and _subsequence(short, long):
        return 0.66
    return 0.0


def _one_edit(short: str, long: str) -> bool:
    if len(short) == len(long):
        wrong = [i for i, (a, b) in enumerate(zip(short, long, strict=True)) if a != b]
        swapped = len(wrong) == 2 and wrong[1] == wrong[0] + 1
        return len(wrong) == 1 or (swapped and short[wrong[0]] == long[wrong[1]] and short[wrong[1]] == long[wrong[0]])
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def _subsequence(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


def _longest(found: Iterable[Mention]) -> list[Mention]:
    """Of readings of one name, those that lie within a longer and at least as good one go."""
    kept: list[Mention] = []
    for mention in sorted(found, key=lambda m: (-m.score, m.start - m.end)):
        label = mention.column.name if mention.column else ""
        inside = any(
            other.start <= mention.start and mention.end <= other.end
            and other.variable.name == mention.variable.name and (other.column.name if other.column else "") == label
            for other in kept
        )  # fmt: skip
        if not inside:
            kept.append(mention)
    return sorted(kept, key=lambda m: (m.start, -m.end, -m.score))


def _samples(schema: Schema) -> dict[str, list[tuple[str, Variable, Column]]]:
    """Text values that columns are known to hold, lower case → the value as it is, and where."""
    found: dict[str, list[tuple[str, Variable, Column]]] = {}
    for variable in schema.variables[:MAX_VARIABLES]:
        for column in (*variable.columns[:MAX_COLUMNS], *variable.index):
            for sample in column.samples:
                if sample[:1] in "'\"" and len(sample) < 60:
                    try:
                        value = ast.literal_eval(sample)
                    except (ValueError, SyntaxError):
                        continue
                    if isinstance(value, str) and value.strip():
                        found.setdefault(value.lower(), []).append((value, variable, column))
    return found


def _sample_mentions(
    its_tokens: Sequence[Token], samples: dict[str, list[tuple[str, Variable, Column]]]
) -> list[Mention]:
    found = []
    for start in range(len(its_tokens) if samples else 0):
        for end in range(start + 1, min(start + 3, len(its_tokens)) + 1):
            run = its_tokens[start:end]
            if run[0].kind == "quoted" and end == start + 1:
                text = run[0].value
            elif any(t.kind not in ("word", "number") for t in run):
                continue
            else:
                text = "".join(t.text if i == 0 or t.text[0] > "\u3400" else f" {t.text}" for i, t in enumerate(run))
            for spelling, score in ((text.lower(), 0.95), (re.sub("s$", "", text.lower()), 0.8)):
                for value, variable, column in samples.get(spelling, ()):
                    if run[0].weight <= NOISE and (value != text or text.islower()):
                        continue
                    found.append(Mention("sample", start, end, score, variable, column, repr(value)))
                if spelling in samples:
                    break
    return found
