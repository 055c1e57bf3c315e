"""An instruction as a string of tags about one variable, so that queries can be read with regular expressions."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.option import COMPARE
from famulus.jupyter_kernel.schema import Column, Variable
from famulus.jupyter_kernel.spelt_dates import MONTHS
from famulus.jupyter_kernel.words import lexicon, name_parts, stem

# Concept → tag. Tags for literals and names: F subject, V other variable, C column, N number, T text, D date, P path,
# X any other word. What has no tag and little weight is left out.
TAGS = {
    "mean": "A", "sum": "A", "median": "A", "max": "M", "min": "M", "std": "A", "var": "A", "latest": "M",
    "earliest": "M", "oldest": "M", "youngest": "M", "longest": "M", "shortest": "M", "count": "#", "unique": "u",
    "gt": ">", "ge": ">", "lt": ">", "le": ">", "ne": ">", "before": ">", "after": ">", "is": "=", "ascending": "O",
    "descending": "O", "year": "U", "quarter": "U", "month": "U", "week": "U", "day": "U", "weekday": "U", "hour": "U",
    "where": "W", "only": "W", "filter": "W", "each": "E", "by": "Y", "and": "&", "or": "|", "not": "!", "missing": "m",
    "contain": "c", "start": "s", "end": "e", "between": "B", "sort": "S", "group": "G", "top": "t", "bottom": "z",
    "first": "1", "last": "L", "row": "R", "column": "k", "remove": "K", "in": "i", "from": "f", "to": "2", "with": "w",
    "for": "r", "percent": "%", "plot": "p", "bar": "p", "line": "p", "hist": "p", "scatter": "p", "pie": "p",
    "box": "p", "frequency": "q", "all": "*", "list": "l", "index": "X", "element": "R", "change": "X",
    "horizontal": "p", "stacked": "p",
    "over": "Y", "compare_": "&", "times": "x", "multiply": "x", "plus": "x", "subtract": "x",
    "divide": "x", "difference": "d", "product": "d", "cumulative": "X", "rolling": "X", "even": "v", "odd": "v",
    "prime": "v", "positive": "v", "negative": "v", "divisible": "V", "long": "g", "short": "g", "frame": "R",
}  # fmt: skip
_COMMAS = frozenset(",，、;；&")
_OPERATORS = frozenset("+-*/×÷")
_LIGHT = frozenset(
    ("of", "show", "make", "as", "frame", "value", "number", "dict", "series", "any", "name", "same", "new")
)
# A word that compares or ranks says which column it means: *older than 30*, *the cheapest product*.
IMPLIED = {
    "expensive": "price", "cheap": "price", "cheaper": "price", "cheapest": "price", "costly": "price", "old": "age",
    "older": "age", "young": "age", "younger": "age", "oldest": "age", "youngest": "age", "latest": "date",
    "newest": "date", "recent": "date", "earliest": "date", "taller": "height", "tallest": "height",
    "heavier": "weight",
    "heaviest": "weight", "lighter": "weight", "faster": "speed", "fastest": "speed", "longest": "length",
    "shortest": "length",
    "longer": "length", "hottest": "temperature", "warmer": "temperature", "warmest": "temperature",
    "colder": "temperature", "coldest": "temperature", "costs": "price", "cost": "price", "最贵": "price",
    "最便宜": "price",
    "最老": "age", "最年长": "age", "最年轻": "age", "最新": "date", "最近": "date", "最早": "date", "最晚": "date",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """One tagged piece. ``key``: its concept. ``code``: Python source of a literal. ``column``: what is named, or the
    column that a text value stands in."""

    tag: str
    start: int
    end: int
    key: str = ""
    code: str = ""
    text: str = ""
    column: Column | None = None


def units(read: Read, subject: Variable) -> list[Unit]:
    """The pieces of an instruction, as one who speaks of ``subject`` means them."""
    found: list[Unit] = []
    position = 0
    while position < len(read.tokens):
        if position in read.taken:
            position += 1
            continue
        found += _negated(read, subject, position)
        unit = found.pop() if found and found[-1].tag == "Q" and found[-1].start == position else None
        unit = unit or _unit(read, subject, position)
        if unit is None:
            position += 1
            continue
        found.append(unit)
        position = unit.end
    return found


# How often something is there: *more than once*.
_OFTEN = {"once": "1", "twice": "2", "thrice": "3"}


def _negated(read: Read, subject: Variable, at: int) -> list[Unit]:
    """*Unpaid*, *inactive* and *non-smoker* as *not* and the flag that the rest of the word names."""
    token = read.tokens[at]
    for prefix in ("un", "in", "non", "not_"):
        rest = token.text.lower().removeprefix(prefix)
        if token.kind != "word" or rest == token.text.lower():
            continue
        for column in subject.columns:
            if column.kind == "bool" and "".join(name_parts(column.name)).removeprefix("is") == "".join(
                name_parts(rest)
            ):
                flag = Unit("Q", at, at + 1, "", column.key, column.name, column)
                return [Unit("!", at, at + 1, "not"), flag]
    return []


def _unit(read: Read, subject: Variable, at: int) -> Unit | None:
    token = read.tokens[at]
    named = _named(read, subject, at, token)
    if named is not None:
        return named
    if token.text.lower() in _OFTEN and at and read.tokens[at - 1].key in COMPARE:
        return Unit("N", at, at + 1, "#", _OFTEN[token.text.lower()], token.text)
    if token.kind == "number":
        return Unit("N", at, at + 1, "#", _number(token.value), token.text)
    if token.kind in ("quoted", "path", "date", "literal"):
        tag = {"quoted": "T", "path": "P", "date": "D", "literal": "I"}[token.kind]
        column = _telling(subject) if tag == "T" else None
        return Unit(tag, at, at + 1, "", token.value if tag == "I" else repr(token.value), token.value, column)
    if token.text in _COMMAS:
        return Unit("&", at, at + 1, "and")
    if token.text in _OPERATORS or token.text in ("(", ")"):
        return Unit("x" if token.text in _OPERATORS else token.text, at, at + 1, token.text)
    if token.text.lower() in MONTHS and (token.text[0].isupper() or token.text.lower() not in ("may", "mar")):
        return Unit("H", at, at + 1, "month", str(MONTHS[token.text.lower()]), token.text)
    if token.key in TAGS:
        return Unit(TAGS[token.key], at, at + 1, token.key, "", token.text.lower())
    if token.key == "show" and token.text.lower() in ("which", "who", "哪个", "哪些", "谁", "哪"):
        return Unit("h", at, at + 1, token.text.lower())
    if token.key in _LIGHT or token.weight <= NOISE or token.kind == "symbol":
        return None
    if at and token.text[0].isupper() and not token.text.isupper() and token.key not in lexicon().single.values():
        return Unit("T", at, at + 1, "", repr(token.text), token.text, _telling(subject))
    return Unit("X", at, at + 1, token.key, repr(token.text), token.text)


def _telling(subject: Variable) -> Column | None:
    """The column that a proper name most likely stands in: one of texts that are private or not all known."""
    texts = [c for c in (*subject.columns, *subject.index) if c.kind in ("text", "category")]
    unknown = [c for c in texts if c.private or c.distinct is None or c.distinct > len(c.samples)]
    return next(iter(unknown), None)


def _number(value: str) -> str:
    return f"{float(value[:-1]) / 100:.10g}" if value.endswith("%") else value


def _named(read: Read, subject: Variable, at: int, token: Token) -> Unit | None:
    """The column, variable or known value that begins at a token, if that is what it most likely means."""
    here = [m for m in read.mentions if m.start == at and read.free(m.start, m.end)]
    columns = [m for m in here if m.kind == "column" and m.variable.name == subject.name]
    own = [m for m in here if m.kind == "variable"]
    samples = [m for m in here if m.kind == "sample" and m.variable.name == subject.name]
    best = max(columns, key=lambda m: (round(m.score, 1), m.end, m.score), default=None)
    name = max(own, key=lambda m: m.score, default=None)
    sample = max(samples, key=lambda m: m.score, default=None)
    if name is not None and name.score >= 0.95 and (best is None or best.score < name.score):
        tag = "F" if name.variable.name == subject.name else "V"
        if name.variable.kind == "number" and _counts(read, at):
            return Unit("N", at, name.end, "#", name.variable.name, name.variable.name)
        if tag == "F" and subject.kind == "series":
            return Unit("C", at, name.end, "", subject.columns[0].key, subject.name, subject.columns[0])
        return Unit(tag, at, name.end, "", name.variable.name, name.variable.name)
    if name is not None and tag_of_rows(name, best, subject):
        return Unit("F", at, name.end, "", subject.name, subject.name)
    if best is not None and best.column is not None and _means_column(read, subject, best, token):
        if _means_rows(read, subject, best, token):
            return Unit("F", at, best.end, "", subject.name, subject.name)
        return Unit(
            "Q" if best.column.kind == "bool" else "C", at, best.end, "", best.column.key, best.column.name, best.column
        )
    if (
        sample is not None
        and sample.column is not None
        and (token.kind == "quoted" or TAGS.get(token.key, "X") in "RkXlgv" or _is_code(token, sample))
    ):
        return Unit("T", at, sample.end, "", sample.value, ast.literal_eval(sample.value), sample.column)
    return None


def _counts(read: Read, at: int) -> bool:
    """Whether what comes next is compared with or counts: *below limit*, *at least the limit*, *the first k*."""
    before = [token for token in read.tokens[:at] if token.weight > NOISE]
    return bool(before) and before[-1].key in ("gt", "ge", "lt", "le", "ne", "first", "last", "top", "bottom")


def _is_code(token: Token, sample: Mention) -> bool:
    """Whether a value that looks like a little word (*NO*, *IN*, *IS*) is written as the column has it."""
    return token.text.isupper() and len(token.text) > 1 and sample.value == repr(token.text)


def tag_of_rows(name: Mention, best: Mention | None, subject: Variable) -> bool:
    """Whether a word is the name of the table, spelt out: *employees* for ``emp``."""
    spelt = name.score >= 0.75 and name.variable.name == subject.name and subject.kind != "series"
    return spelt and (best is None or best.score < name.score)


_MOMENTS = frozenset(("month", "year", "dai", "day", "week", "quarter", "dat", "hour", "weekdai", "weekday"))
_PERSONS = frozenset(("people", "persons", "人", "人员", "人们", "everyone", "everybody"))
_IDENTIFYING = frozenset(("id", "identifi", "no", "nr", "number", "cod", "key", "uuid", "编号", "号", "号码", "代码"))


def _means_rows(read: Read, subject: Variable, mention: Mention, token: Token) -> bool:
    """Whether *houses* are the rows of a table that holds one ``house`` in each, not the column of that name."""
    column = mention.column
    if column is None or not subject.length:
        return False
    if token.text.lower() in _PERSONS and column.name.lower() != token.text.lower():
        return True
    if column.distinct == subject.length and set(name_parts(column.name)) & _IDENTIFYING:
        # In a table of orders each row is the order that its order_id stands for.
        return not {stem(token.text), token.text} & _IDENTIFYING and mention.end == mention.start + 1
    if column.kind != "text" or column.distinct != subject.length:
        return False
    following = read.tokens[mention.end].key if mention.end < len(read.tokens) else ""
    if name_parts(column.name)[-1:] and name_parts(column.name)[-1] in _MOMENTS:
        return False  # "over the months" speaks of the column
    plural = token.text.lower() != column.name.lower() and token.text.lower().rstrip("s") == column.name.lower()
    naming = column_groups("name") | column_groups("title") | column_groups("id")
    return plural and following not in ("of", "and", ",") and not column_groups(column.name) & naming


def _means_column(read: Read, subject: Variable, mention: Mention, token: Token) -> bool:
    concept = token.key in TAGS and mention.end == mention.start + 1
    if not concept:
        return mention.score >= 0.62
    if mention.score < (0.74 if token.text in ("数量", "amount") else 0.94):
        return False
    if TAGS[token.key] not in ("A", "M", "#", "U"):
        return True
    # "total price" asks for a sum, even where there is a column "total".
    following = [m for m in read.columns(subject) if m.start == mention.end and m.score >= 0.74]
    return not following or TAGS[token.key] == "U"


def column_groups(name: str) -> frozenset[int]:
    """The groups of synonyms that a column's name stands in."""
    return lexicon().columns.get(" ".join(name_parts(name)), frozenset())


def implied(unit: Unit, subject: Variable) -> Column | None:
    """The column that a comparing or ranking word means without naming it."""
    for word in re.findall(r"\w+", unit.text):
        meant = IMPLIED.get(word)
        if meant:
            groups = column_groups(meant)
            for column in subject.columns:
                if groups & (
                    column_groups(column.name) | frozenset().union(*map(column_groups, name_parts(column.name)))
                ):
                    return column
            if meant == "length":
                others = column_groups("duration") | column_groups("distance")
                return next(
                    (
                        c
                        for c in subject.columns
                        if c.kind == "number"
                        and others
                        & (column_groups(c.name) | frozenset().union(*map(column_groups, name_parts(c.name))))
                    ),
                    None,
                )
            if meant in ("date", "age"):
                return next((c for c in subject.columns if c.kind == "time"), None)
    return None
