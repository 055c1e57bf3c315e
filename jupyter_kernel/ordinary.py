"""The user's variables whose names are ordinary words of instructions (``total``, ``rows``): when words mean them."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace

from famulus.jupyter_kernel import finish, mentions
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.schema import Schema, Variable
from famulus.jupyter_kernel.words import lexicon, stem

READS = 0.55
"""From this match on, words have a reading without a number, a text or a function of such a name."""
READS_WELL = 0.85
"""The same for lists, frames and the like, which words often call by their bare name: *sort words by length*."""
NEAR, CLOSER = 0.1, -0.05
"""How much less a reading with a variable of such a name may match than one without it that works on nothing that the
words name: on another variable, or (where the name is that of a number, a text and the like) on none at all."""
IGNORES = 0.54
"""The most that code matches which leaves out a variable that the words name, and works on another."""
_SCALARS = frozenset(("number", "text", "bool", "time", "path", "callable", "class", "other", "figure", "file"))
# Nobody says these but of what they have: *the mean price in data*.
_THINGS = frozenset(("data", "frame", "table"))
_KINDS = (
    r"(?:variable|list|dict|dictionary|frame|data ?frame|table|series|array|set|tuple|column|number|string|text|"
    r"function|变量|列表|字典|表|数组|集合|列)s?"
)


# What rows are compared with by such a word is that of the column: *sales above average*.
_OF_COLUMNS = frozenset(
    ("mean", "median", "max", "min", "std", "var", "mode", "quantile", "quartile", "missing", "empty")
)

# In the presence of a table these are parts of it: *number of rows*.
_PARTS = frozenset(("row", "column", "value", "index", "element", "header"))


def _concept(name: str) -> str:
    return lexicon().single.get(stem(name), name)


def is_ordinary(name: str) -> bool:
    """Whether a name is, up to its ending, a word that instructions are made of."""
    known = lexicon()
    if name > "\u3400":
        return known.chinese.get(name, name) != name or name in known.noise
    return stem(name) in known.single or stem(name) in known.noise or name.lower() in known.weak


def hidden(words: str, schema: Schema) -> frozenset[str]:
    """Names of variables that are ordinary words, and that these words seem to say but do not mark as variables."""
    # A text is often called by such a bare name (*letters in word*), and hardly ever in the way.
    names = {v.name for v in schema.variables if is_ordinary(v.name) and v.kind != "text" and not _is_thing(v)}
    if not names:
        return frozenset()
    read = mentions.read(words, schema)
    said = {m.variable.name: m for m in read.variables() if m.variable.name in names}
    return frozenset(name for name, mention in said.items() if not _marked(name, mention.variable, words, read))


def spelt_out(words: str, schema: Schema) -> str:
    """The words with *the variable min* as its name in backticks, which nothing takes for another word."""
    for variable in schema.variables:
        if is_ordinary(variable.name):
            called = rf"\b(?:the )?variable (?:called |named )?{re.escape(variable.name)}(?![\w.])"
            words = re.sub(called, f"`{variable.name}`", words)
    return words


def _is_thing(variable: Variable) -> bool:
    return variable.kind not in _SCALARS and variable.name.lower() in _THINGS


def _marked(name: str, variable: Variable, words: str, read: Read) -> bool:
    exact = rf"(?<![\w.]){re.escape(name)}(?![\w])"
    quoted = rf"[`'\"“‘「]{re.escape(name)}[`'\"”’」]"
    called = rf"(?:\b|(?<=[\u3400-\u9fff])){_KINDS}\s*(?:called |named )?{exact}(?!\s+(?:of|by|where|in)\b)"
    calculated = rf"{exact}\s*(?:[-+*/%^<>\[(]|==|!=)|(?:[-+*/%^<>=]\s*){exact}"
    changed = (
        rf"\b(?:add|subtract|append|assign)\b.*\b(?:to|from)\s+{exact}\s*[.?!]?\s*$"
        rf"|^\s*(?:please )?(?:increment|decrement|increase|decrease|double|halve|set)\s+{exact}"
    )
    if re.search(f"{quoted}|{calculated}", words) or re.search(called, words):
        return True
    compared = (
        rf"\b(?:above|below|over|under|than|exceeds?|exceeding|at least|at most|equals?|until)\s+{exact}\s*[.?!]?\s*$"
    )
    if _concept(name) not in _OF_COLUMNS and re.search(compared, words):
        return True
    if re.search(changed, words) and not _others(name, read):
        return True
    counted = re.search(rf"\b(?:number|count|how many)\b.*\bof (?:the )?{exact}\s*[.?!]?\s*$", words, re.IGNORECASE)
    last = re.search(rf"\bof (?:the )?{exact}\s*[.?!]?\s*$", words, re.IGNORECASE)
    holds = variable.kind not in _SCALARS or variable.kind == "text"
    return bool(last and holds and not counted and not _others(name, read))


def _others(name: str, read: Read) -> bool:
    """Whether the words name a column, or a variable other than this one."""
    return any(
        m.score >= mentions.MEANT and m.variable.name != name and m.kind in ("variable", "column")
        for m in read.mentions
    )  # fmt: skip


def without(schema: Schema, names: frozenset[str]) -> Schema:
    """The schema as if these variables were not there."""
    return Schema(tuple(v for v in schema.variables if v.name not in names), schema.imports)


def suffices(
    plain: Sequence[Candidate], whole: Sequence[Candidate], words: str, schema: Schema, names: frozenset[str]
) -> bool:
    """Whether the candidates found without these variables say what the words mean, better than those with them."""
    if not plain:
        return False
    scalar = all(v.kind in _SCALARS for v in schema.variables if v.name in names)
    guessed = not scalar or _uses(plain[0], {v.name for v in schema.variables} - names)
    if whole and whole[0].match >= plain[0].match - (NEAR if guessed else CLOSER) and _uses(whole[0], names):
        read = mentions.read(words, schema)
        tables = any(v.kind == "frame" for v in schema.variables)
        parts = tables and all(_concept(name) in _PARTS for name in names)
        if whole[0].match >= READS and not parts and not _founded(plain[0], read, names):
            return False
    return plain[0].match >= (READS if scalar else READS_WELL)


def _uses(candidate: Candidate, names: Set[str]) -> bool:
    return not names.isdisjoint(re.findall(r"\w+", candidate.code))


def _founded(candidate: Candidate, read: Read, hidden: frozenset[str]) -> bool:
    """Whether code works on something that the words name: a variable other than the hidden ones, or its column."""
    used = set(re.findall(r"\w+", candidate.code))
    return any(
        m.score >= mentions.MEANT
        and m.variable.kind not in ("number", "bool")
        and m.variable.name in used - hidden
        and (m.column is None or m.column.key in candidate.code)
        for m in read.mentions
    )


def keep(candidates: Sequence[Candidate], schema: Schema, names: frozenset[str]) -> list[Candidate]:
    """The candidates with what they bind under one of these names moved out of its way."""
    others = {v.name for v in schema.variables if v.name not in names}
    return [replace(c, code=finish.keep_names(c.code, schema, others)) for c in candidates]


def exactly_named(read: Read) -> frozenset[str]:
    """Variables that the words name by their very name, where that is no ordinary word and no column's name too."""
    columns = {(m.start, m.end) for m in read.mentions if m.kind != "variable" and m.score >= mentions.MEANT}
    return frozenset(m.variable.name for m in read.variables() if _is_exact(m, read, columns))


def _is_exact(mention: Mention, read: Read, columns: set[tuple[int, int]]) -> bool:
    return (
        mention.score >= 1.0
        and (mention.start, mention.end) not in columns
        and not is_ordinary(mention.variable.name)
        and read.free(mention.start, mention.end)
    )


def ignores(code: str, named: frozenset[str], schema: Schema) -> bool:
    """Whether code uses none of the variables that the words name, but another one of the user's."""
    used = set(re.findall(r"\w+", code))
    return bool(named) and used.isdisjoint(named) and any(v.name in used for v in schema.variables)
