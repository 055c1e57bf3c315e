"""What an instruction asks for, read from its words: the name of the result, its kind, the literals to be used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from famulus.jupyter_kernel.candidate import Want
from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.words import lexicon, tokens

_NAME = r"(?P<name>[^\W\d]\w*)"
_THING = (
    r"(?:a |an |the |my )?(?:new |python )*(?:variable|name|list|dict|dictionary|set|frame|"
    r"dataframe|data frame|table|array|series|string|number|result|object)?"
)
_RESULT = (
    r"(?:it|them|this|that|these|those|the (?:\w+ ){0,2}(?:result|results|output|list|table|frame|"
    r"dataframe|series|dict|dictionary|array|values?|numbers?|answer|figure|plot|function|set|"
    r"string|text|lines?|words?|rows?|names?|mean|sum|total|average|count))"
)
# What names the result. Each pattern's span is taken out of the instruction before the rest is read.
_NAMING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:,|;|\band\b|\bthen\b|\s)*\b(?:call|name|label)\s+{_RESULT}\s+(?:as )?[`'\"]?{_NAME}[`'\"]?(?![\w.(])",
        (
            rf"(?:,|;|\band\b|\bthen\b|\s)*\b(?:save|store|put|keep|assign|bind|remember|hold|write|return|"
            rf"collect)\s+(?:{_RESULT}\s+)?(?:as|in|into|to|under|with)\s+{_THING}\s*(?:called |named |"
            rf"with the name |by the name )?[`'\"]?{_NAME}[`'\"]?(?=\s*(?:[,;.!?]?\s*$|[,;]|\band\b|"
            rf"\bthen\b))"
        ),
        (
            rf"(?:,|;|\s)*\b(?:in|into|to|as|under)\s+{_THING}\s*\b(?:called|named|variable)"
            rf"\s+[`'\"]?{_NAME}[`'\"]?(?![\w.(])"
        ),
        (
            rf"(?:,|;|\s)*(?<!column )(?<!field )(?<!key )(?<!file )(?<!folder )(?<!directory )(?<!columns "
            rf")(?<!sheet )(?<!table )(?<!attribute )\b(?:called|named|with the name|by the name(?: of)?|"
            rf"under the name)\s+[`'\"]?{_NAME}[`'\"]?(?![\w.])(?:\([^()]*\))?"
        ),
        rf"^\s*(?:let |set )?{_NAME}\s*(?:=|:=|:)(?!=)\s*(?=\S)",
        rf"^\s*let\s+{_NAME}\s+be\b",
        (
            r"(?:，|,|。|；|\s)*(?:并|并且|然后|再|把结果|将结果|结果|把它|将其|将它|把其)*(?:叫做|叫作|叫|(?<!重)命名为|(?<!重)命名成|称为|取名为|取名|起名为|起名|(?<![命改])名为|"
            r"记为|记作|变量名为|名字叫|保存为变量|保存到变量|存为变量|存到变量|存入变量|赋值给变量|赋值给|赋给|保存为|保存到|存为|存到|存入|存进|存成|放到|放进|放入|写入变量)"
            r"\s*(?:变量|列表|字典|(?<![命改])名为|叫做)?\s*[`'\"“]?(?P<name>[A-Za-z_]\w*)[`'\"”]?(?![\w./])(?:\s*(?:里面|里|中|变量|"
            r"当中))?"
        ),
    )
)
# Weak signs, used only where the name is new or cannot be an ordinary word: "as totals", "into means".
_TRAILING = re.compile(
    rf"(?:,|;|\s)+(?:as|into|in)\s+(?:a |an |the )?"
    rf"(?:variable |dataframe |data frame |frame |table |list |dict |dictionary |array |string )?[`]?{_NAME}[`]?"
    r"\s*[.!]?\s*$",
    re.IGNORECASE,
)
# What is read or made is named in passing: "load x.csv as runs and ...", "make a table parts with ...".
_NEW = (
    re.compile(
        rf"\b(?:load|read|open|import)\b[^,;]*?\.\w+\s+(?P<out>as|into)\s+{_NAME}"
        r"(?=\s*(?:$|[,;.]|\band\b|\bwith\b))",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:make|create|build)\s+(?:a|an|the)\s+(?:new\s+)?(?:data ?frame|table|dict|dictionary|list|series|set)"
        rf"\s+(?P<out>){_NAME}(?=\s+(?:with|from|of|out|by|holding|that|which|mapping)\b)",
        re.IGNORECASE,
    ),
)
# Where the words begin by telling to keep something, what stands last behind *as* is its name, whatever it means else.
_KEPT = re.compile(
    r"^\s*(?:please\s+)?(?:store|save|keep|put|assign|remember|get|take)\b.*?(?P<out>\b(?:as|into|in)\s+"
    r"(?:one |a |an |a single )?(?:new )?(?:data ?frame |table |list |dict |array |series |variable )?)"
    r"(?P<name>[A-Za-z_]\w*)\s*[.!]?$|(?P<out2>\b(?:in|into|as)\s+(?:one|a|an|a single)\s+(?:new )?"
    r"(?:data ?frame|table|list|dict|array|series)\s+)(?P<name2>[A-Za-z_]\w*)\s*[.!]?$",
    re.IGNORECASE,
)
# What is defined stands behind its kind: "a function area that ...", "函数area把...".
_DEFINED = re.compile(
    rf"\b(?:function|class|dataclass|generator|decorator|enum|named ?tuple)\s+[`'\"]?{_NAME}[`'\"]?"
    r"(?=\s*\([^()]*\)|\s+(?:that|which|to|for|with|of|has|having|holding|returning|giving)\b)"
    r"|(?:函数|数据类|类)\s*[`]?(?P<chinese>[A-Za-z_][A-Za-z0-9_]*)",
    re.IGNORECASE,
)
_NO_NAMES = frozenset(
    [
        "it",
        "them",
        "this",
        "that",
        "the",
        "a",
        "an",
        "and",
        "or",
        "to",
        "in",
        "of",
        "by",
        "with",
        "which",
        "for",
        "from",
        "as",
        "is",
        "are",
        "variable",
        "file",
        "list",
        "column",
        "order",
        "ascending",
        "descending",
        "alphabetically",
        "percent",
        "percentages",
        "string",
        "strings",
        "number",
        "numbers",
        "int",
        "integer",
        "float",
        "bar",
        "bars",
        "barplot",
        "boxplot",
        "graph",
        "heatmap",
        "points",
        "line",
        "pie",
        "scatter",
        "histogram",
        "plot",
        "chart",
        "csv",
        "json",
        "pandas",
        "numpy",
        "polars",
        "place",
        "text",
        "table",
        "dataframe",
        "frame",
        "dict",
        "dictionary",
        "tuple",
        "array",
        "set",
    ]
)
_PLOTS = frozenset(["plot", "bar", "line", "hist", "scatter", "pie", "box", "heatmap"])


# Alone these speak of other things too: sales figures, chocolate bars, pictures in a folder.
_AMBIGUOUS = frozenset(
    ("bar", "bars", "box", "boxes", "pie", "pies", "figure", "figures", "picture", "pictures", "diagram", "curve",
     "drawing", "whisker", "line")
)  # fmt: skip
_DOING = frozenset(("add", "remove", "rename", "replace", "fill", "convert", "save", "make"))


@dataclass(frozen=True)
class Naming:
    """The name that the result must get, and the characters of the instruction that say so."""

    name: str
    start: int
    end: int


def naming(words: str, schema: Schema) -> Naming | None:
    """How the words name the result, or None. Names of files, columns and of what is already there do not count,
    unless the words store something in it."""
    for pattern in _NAMING:
        for match in pattern.finditer(words):
            name = match["name"]
            if name.lower() in _NO_NAMES or not name.isidentifier() or _is_file(words, match.end("name")):
                continue
            return Naming(name, _behind_kind(match), match.end())
    defined = _DEFINED.search(words)
    if defined:
        group = "name" if defined["name"] else "chinese"
        if defined[group].lower() not in _NO_NAMES and schema.variable(defined[group]) is None:
            return Naming(defined[group], defined.start(group), defined.end(group))
    for pattern in _NEW:
        found = pattern.search(words)
        if found and found["name"].lower() not in _NO_NAMES and schema.variable(found["name"]) is None:
            return Naming(found["name"], found.start("out"), found.end("name"))
    kept = _KEPT.search(words)
    if kept:
        group = "name" if kept["name"] else "name2"
        out = kept["out"] or kept["out2"]
        # "keep the rows in order": without *as* the name must be no word of everyday.
        clear = re.search(r"\bas\b|frame|table|list|dict|array|series|variable", out, re.IGNORECASE) is not None
        if clear and kept[group].lower() not in _NO_NAMES and not _is_column(kept[group], schema):
            tabular = re.search(r"frame|table|list|dict|array|series", out, re.IGNORECASE) is not None
            start = kept.start(group) if tabular else kept.start("out")
            return Naming(kept[group], start, kept.end())
    trailing = _TRAILING.search(words)
    if trailing and trailing["name"].lower() not in _NO_NAMES and trailing["name"].isidentifier():
        name = trailing["name"]
        taken = schema.variable(name) is not None
        keys = {t.key for t in tokens(name)}
        ordinary = bool(keys & set(lexicon().single.values())) and not keys & _RESULTS
        columns = {column.name.lower() for variable in schema.variables for column in variable.columns}
        preposition = trailing.group().strip(" ,;").split()[0].lower()
        fresh = not taken and name.lower() not in columns and not (ordinary and "_" not in name)
        if fresh and (preposition != "in" or "_" in name):
            return Naming(name, _behind_kind(trailing), trailing.end())
    return None


def _is_column(name: str, schema: Schema) -> bool:
    return any(name.lower() == column.name.lower() for variable in schema.variables for column in variable.columns)


# Words for what is computed are names, too: *as avg*.
_RESULTS = frozenset(("mean", "sum", "median", "max", "min", "count", "std"))
_KIND = re.compile(r"[\s,;]*(?:in|into|to|as)\s+(?:a |an |the |my )?(?:new )?(?:data ?frame|table)\b", re.IGNORECASE)


def _behind_kind(match: re.Match[str]) -> int:
    """Where the naming begins: that the result is to be a table (*into a dataframe x*) stays to be read."""
    kind = _KIND.match(match.group())
    return match.start() + kind.end() if kind else match.start()


def _is_file(words: str, end: int) -> bool:
    return words[end : end + 1] in (".", "/") and words[end + 1 : end + 2].isalnum()


def read(words: str, schema: Schema) -> Want:
    """What the words want: the kind of outcome, the name, and every literal and name that the code must use."""
    named = naming(words, schema)
    rest = words if named is None else words[: named.start] + " " + words[named.end :]
    own = [variable.name for variable in schema.variables]
    its_tokens = tokens(rest, own)
    names = {t.text for t in its_tokens if t.kind == "word" and schema.variable(t.text) and len(t.text) > 1}
    columns = {column.name for variable in schema.variables for column in variable.columns}
    names |= {t.text for t in its_tokens if t.kind == "word" and t.text in columns and len(t.text) > 1}
    return Want(
        _kind(its_tokens, named),
        named.name if named else "",
        tuple(dict.fromkeys(t.value for t in its_tokens if t.kind == "number")),
        tuple(dict.fromkeys(t.value for t in its_tokens if t.kind == "quoted")),
        tuple(dict.fromkeys(t.value for t in its_tokens if t.kind == "path")),
        tuple(sorted(names)),
        tuple(dict.fromkeys(_EQUATED.findall(words))),
    )


_EQUATED = re.compile(r"(?<![\w.=<>!'\"])([A-Za-z_]\w*)\s*=(?!=)")


def _over_time(its_tokens: tuple[Token, ...]) -> bool:
    """*Pulse over time*, *revenue over the months*, and nothing else said: that is to be seen."""
    heavy = [token for token in its_tokens if token.weight > NOISE and token.key != "show"]
    return (
        2 < len(heavy) < 7
        and heavy[-2].key == "over"
        and heavy[-1].key in _TIMES
        and not ({token.key for token in heavy} & _COMPUTED)
    )


_TIMES = frozenset(("time", "month", "year", "day", "week", "quarter", "date", "hour"))
_COMPUTED = frozenset(("mean", "sum", "median", "max", "min", "count", "cumulative", "rolling", "difference", "change"))


def _kind(its_tokens: tuple[Token, ...], named: Naming | None) -> Literal["value", "bind", "plot", "file", "any"]:
    keys = {t.key for t in its_tokens if t.kind == "word"}
    if "save" in keys and any(t.kind == "path" for t in its_tokens):
        return "file"
    if _over_time(its_tokens):
        return "plot"
    if any(token.key in _PLOTS and token.text.lower() not in _AMBIGUOUS for token in its_tokens):
        return "plot"
    if named is not None:
        return "bind"
    if any(t.text in ("?", "？") for t in its_tokens) or (
        its_tokens and its_tokens[0].key == "show" and not keys & _DOING
    ):
        return "value"
    return "any"
