"""What may stand in a slot: every reading of the instruction, and what the namespace offers, that fits its type."""

from __future__ import annotations

import ast
import datetime
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from famulus.jupyter_kernel.formula import FORMULA, formula_code
from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.patterns import CHARACTERS, patterns
from famulus.jupyter_kernel.recipe import VARIABLES, Slot
from famulus.jupyter_kernel.schema import Column, Schema, Variable
from famulus.jupyter_kernel.words import lexicon

COMPARE = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "is": "==", "ne": "!=", "before": "<", "after": ">"}
AGG = {
    "pandas": {"mean": "mean", "sum": "sum", "median": "median", "max": "max", "min": "min", "count": "count",
               "std": "std", "var": "var", "unique": "nunique", "first": "first", "last": "last"},
    "polars": {"mean": "mean", "sum": "sum", "median": "median", "max": "max", "min": "min", "count": "count",
               "std": "std", "var": "var", "unique": "n_unique", "first": "first", "last": "last"},
    "numpy": {"mean": "mean", "sum": "sum", "median": "median", "max": "max", "min": "min", "std": "std",
              "var": "var"},
}  # fmt: skip
UNITS = {"year": "Y", "quarter": "Q", "month": "M", "week": "W", "day": "D", "hour": "h", "minute": "min"}
_SEQUENCES = frozenset(("list", "tuple", "array", "series", "set"))
_FRAMES = frozenset(("pandas", "polars", "pyarrow"))
_COLLECTIONS = frozenset(("frame", "series", "dict", "list", "database"))


@dataclass(frozen=True)
class Option:
    """One way to fill a slot. ``start`` equals ``end`` where no word says it; ``owner`` is the variable that a column
    belongs to, and for a variable it is the variable itself."""

    code: str
    start: int = 0
    end: int = 0
    score: float = 0.0
    owner: str = ""
    columns: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> bool:
        return self.end > self.start


@dataclass(frozen=True)
class Context:
    """What options are made from. ``name``: the result's name if the words give one. ``conditions`` and
    ``expressions`` read parts of the instruction as code over one variable."""

    read: Read
    name: str
    library: str
    conditions: Callable[[Read, Variable], list[Option]]
    expressions: Callable[[Read, Variable], list[Option]]

    @property
    def schema(self) -> Schema:
        return self.read.schema


def options(slot: Slot, context: Context) -> list[Option]:
    """Every option for a slot, the best first; a default, if there is one, comes last."""
    if slot.type in VARIABLES:
        found = _variables(slot, context)
    elif slot.type in ("column", "columns"):
        found = _columns(slot, context)
    elif slot.type in ("condition", "expr"):
        make = context.conditions if slot.type == "condition" else context.expressions
        found = [option for v in context.schema.variables[:20] if v.columns for option in make(context.read, v)]
    else:
        found = [
            option for option in _LITERALS[slot.type](slot, context) if context.read.free(option.start, option.end)
        ]
    if slot.default is not None:
        found = [*found, _default(slot, context)]
    return sorted(found, key=lambda option: -option.score)


def fits(variable: Variable, slot: Slot, library: str) -> float:
    """How well a variable fits a slot that wants one, 0 to 1."""
    kind, want = variable.kind, slot.type
    if want == "object":
        return 0.8
    if want == "sequence":
        good = 1.0 if kind in _SEQUENCES and kind != "set" else 0.0
    elif want == "list":
        good = 1.0 if kind == "list" else 0.8 if kind == "tuple" else 0.0
    elif want == "frame":
        named = slot.kind or library
        return 1.0 if kind == "frame" and (named not in _FRAMES or variable.library == named) else 0.0
    elif want == "array":
        good = 1.0 if kind == "array" else 0.6 if kind in ("list", "series") and library == "numpy" else 0.0
    elif want == "series":
        good = 1.0 if kind == "series" and (library not in ("pandas", "polars") or variable.library == library) else 0.0
    else:
        good = float(kind == want or (want == "text" and kind == "path"))
    if good and slot.kind and variable.element and variable.element != slot.kind:
        return 0.2 * good if variable.element == "other" else 0.0
    return good


def _variables(slot: Slot, context: Context) -> list[Option]:
    found = []
    for mention in context.read.variables():
        good = fits(mention.variable, slot, context.library)
        if good and context.read.free(mention.start, mention.end):
            found.append(_of_variable(mention.variable, mention.start, mention.end, mention.score * good))
        elif slot.type == "time" and _ISO.fullmatch(mention.variable.preview):
            code = f"datetime.date.fromisoformat({mention.variable.name})"
            option = _of_variable(mention.variable, mention.start, mention.end, mention.score)
            found.append(replace(option, code=code))
    said = {option.owner for option in found if option.score >= 0.9}
    unsaid = [v for v in context.schema.variables if v.name not in said]
    if slot.type == "object":
        # Anything fits: unsaid, only what was made last can be meant.
        unsaid = unsaid[:1]
    rank = 0
    for variable in unsaid:
        good = fits(variable, slot, context.library)
        if good:
            # What was made last is what people speak of next; each older one is less likely meant.
            found.append(_of_variable(variable, 0, 0, good * max(0.5 - 0.1 * rank, 0.1)))
            rank += 1
    for index, token in enumerate(context.read.tokens):
        if slot.type == "text" and token.kind == "quoted":
            found.append(Option(repr(token.value), index, index + 1, 0.9, attributes=_named(token.value)))
        elif slot.type == "text" and token.text.lower() in CHARACTERS:
            found.append(Option(repr(CHARACTERS[token.text.lower()]), index, index + 1, 0.8, attributes=_named("")))
        if slot.type == "time" and (code := _moment(token)):
            found.append(Option(code, index, index + 1, 0.9, attributes=_named(token.value or token.text)))
        if token.kind == "literal" and slot.type in ("list", "sequence", "dict", "array"):
            code = _literal(token.text, slot)
            if code:
                found.append(Option(code, index, index + 1, 0.95))
    return found


# A text that holds a date, as a variable is shown.
_ISO = re.compile(r"'\d{4}-\d\d-\d\d'")


def _moment(token: Token) -> str:
    """A date or time that a token says, as an expression with ``datetime``; "" where it says none."""
    if token.kind != "date":
        return {"today": "datetime.date.today()", "now_": "datetime.datetime.now()"}.get(token.key, "")
    parts = [int(part) for part in re.findall(r"\d+", token.text)]
    if "-" not in token.text and "/" not in token.text:
        return f"datetime.time({', '.join(map(str, parts))})"
    if len(parts) == 2:
        parts.append(1)
    kind = datetime.datetime if len(parts) > 3 else datetime.date
    try:
        kind(*parts)
    except ValueError:
        return ""
    return f"datetime.{kind.__name__}({', '.join(map(str, parts))})"


def _literal(text: str, slot: Slot) -> str:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ""
    if isinstance(value, dict) != (slot.type == "dict"):
        return ""
    return f"np.array({text})" if slot.type == "array" else text


def _of_variable(variable: Variable, start: int, end: int, score: float) -> Option:
    return Option(variable.name, start, end, score, variable.name, attributes=_named(variable.name))


def _named(text: str) -> dict[str, str]:
    return {"name": text.replace("{", "").replace("}", ""), "id": identifier(text)}


def identifier(text: str) -> str:
    """An identifier made of any text: *Unit price (€)* → ``unit_price``."""
    name = re.sub(r"\W+", "_", text.lower()).strip("_") or "value"
    name = f"_{name}" if name[0].isdigit() else name
    return f"{name}_" if keyword.iskeyword(name) else name


def column_fits(column: Column, kind: str) -> float:
    """How well a column fits a wanted kind: dates are often stored as text, categories are few values of any kind."""
    if not kind or not column.kind or column.kind == kind:
        return 1.0
    if kind == "time" and column.kind == "text":
        return 0.95 if any(re.search(r"\d{2,4}[-/.]\d{1,2}", s) for s in column.samples) else 0.0
    if kind == "category":
        return 0.95 if column.kind in ("text", "bool") else 0.5
    if kind == "text" and column.kind == "category":
        return 1.0
    return 0.5 if column.kind == "other" else 0.0


def column_code(variable: Variable, column: Column) -> dict[str, str]:
    """The attributes of a column in templates."""
    series = f"{variable.name}[{column.key}]"
    if column.kind == "text" and variable.library == "pandas":
        time = f"pd.to_datetime({series})"
    elif column.kind == "text" and variable.library == "polars":
        time = f"{series}.str.to_datetime(strict=False)"
    else:
        time = series
    return {**_named(column.name), "series": series, "time": time}


def _columns(slot: Slot, context: Context) -> list[Option]:
    found = []
    for variable in context.schema.variables:
        if variable.kind not in _COLLECTIONS or not variable.columns or variable.kind == "series":
            continue
        singles = [
            (m, m.score * column_fits(m.column, slot.kind))
            for m in context.read.columns(variable)
            if m.column and column_fits(m.column, slot.kind) and context.read.free(m.start, m.end)
        ]
        if slot.type == "columns":
            found += _runs(singles, variable, context.read)
            continue
        for mention, score in singles:
            assert mention.column is not None
            found.append(_of_column(variable, mention.column, mention.start, mention.end, score))
        fitting = [c for c in variable.columns if column_fits(c, slot.kind) >= 0.9]
        if len(fitting) == 1 and slot.kind and not singles:
            found.append(_of_column(variable, fitting[0], 0, 0, 0.35))
    return found


def _of_column(variable: Variable, column: Column, start: int, end: int, score: float) -> Option:
    return Option(column.key, start, end, score, variable.name, (column.name,), column_code(variable, column))


def _runs(singles: list[tuple[Mention, float]], variable: Variable, read: Read) -> list[Option]:
    """Neighbouring columns (*price, quantity and tax*) as one list."""
    chosen: list[tuple[Mention, float]] = []
    for mention, score in sorted(singles, key=lambda pair: (pair[0].start, -pair[1])):
        if not chosen or mention.start >= chosen[-1][0].end:
            chosen.append((mention, score))
    runs: list[list[tuple[Mention, float]]] = []
    for pair in chosen:
        between = read.tokens[runs[-1][-1][0].end : pair[0].start] if runs else ()
        if runs and all(t.key in ("and", ",", "，", "、", "the", "by", "of", "+") for t in between):
            runs[-1].append(pair)
        else:
            runs.append([pair])
    found = []
    for run in runs:
        columns = [m.column for m, _ in run if m.column is not None]
        code = f"[{', '.join(dict.fromkeys(c.key for c in columns))}]"
        score = sum(score for _, score in run) / len(run) + 0.02 * len(run)
        names = tuple(c.name for c in columns)
        text = _named(", ".join(names))
        found.append(Option(code, run[0][0].start, run[-1][0].end, score, variable.name, names, text))
    return found


def _default(slot: Slot, context: Context) -> Option:
    default = slot.default or ""
    if slot.type == "new":
        return Option(context.name or free_name(default, context.schema), score=0.5, attributes=_named(default))
    if slot.type == "order":
        return _order(default == "ascending", 0, 0, 0.3)
    if slot.type == "agg":
        return _agg(default, 0, 0, 0.3, context.library)
    if slot.type == "unit":
        return _unit(default, 0, 0, 0.3)
    if slot.type in ("word", "path", "folder"):
        return Option(repr(default), score=0.3, attributes=_named(default))
    return Option(default, score=0.3, attributes={**_named(default), "fraction": default})


def free_name(wanted: str, schema: Schema) -> str:
    """``wanted``, or with the first number that makes it a name of nothing."""
    taken = {variable.name for variable in schema.variables} | set(schema.imports)
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    return name


def fraction(text: str) -> str:
    """A share as Python source: ``10%`` → ``0.1``, ``90`` → ``0.9``, ``0.25`` stays."""
    number = float(text.removesuffix("%"))
    return f"{number / 100:.10g}" if text.endswith("%") or number > 1 else text


def _numbers(slot: Slot, context: Context) -> list[Option]:
    found = []
    for index, token in enumerate(context.read.tokens):
        if token.kind != "number":
            continue
        score = 1.0 if token.weight >= 1 else 0.6
        code = fraction(token.value) if token.value.endswith("%") else token.value
        if slot.type == "int" and not re.fullmatch(r"-?\d+", code):
            continue
        found.append(
            Option(code, index, index + 1, score, attributes={"fraction": fraction(token.value), "name": token.value})
        )
    for mention in context.read.variables():
        if mention.variable.kind == "number":
            found.append(_of_variable(mention.variable, mention.start, mention.end, 0.85 * mention.score))
    return found


def _word(token: Token, index: int, score: float) -> Option:
    return Option(repr(token.value), index, index + 1, score, attributes=_named(token.value))


# Prepositions and such are never what is to be written somewhere.
_LITTLE = frozenset(
    ("is", "to", "from", "of", "with", "as", "and", "or", "in", "for", "by", "each", "all", "show", "make")
)


def _words(slot: Slot, context: Context) -> list[Option]:
    found = []
    exact = [m for m in context.read.mentions if m.kind != "sample" and m.score >= 0.98 and m.end == m.start + 1]
    named = {m.start for m in exact if m.kind == "variable"}
    known = {m.start for m in exact}
    for index, token in enumerate(context.read.tokens):
        if token.kind == "word" and token.text.lower() in CHARACTERS and index not in known:
            character = CHARACTERS[token.text.lower()]
            found.append(Option(repr(character), index, index + 1, 0.8, attributes=_named(character)))
        if token.kind == "quoted":
            found.append(_word(token, index, 1.0))
        elif token.kind in ("word", "date") and token.weight > 0.1 and token.key not in _LITTLE:
            unlikely = index in named or token.key in lexicon().single.values()
            before = context.read.tokens[index - 1] if index else token
            announced = index not in known and (
                before.text.lower() in ("called", "named", "名为", "叫") or _listed(context.read.tokens, index)
            )
            found.append(_word(token, index, (0.1 if unlikely else 0.5) + (0.4 if announced else 0.0)))
        elif token.kind == "word" and index and context.read.tokens[index - 1].key in ("replace", "word", "letter"):
            found.append(_word(token, index, 0.4))  # a little word may be what is replaced: "replace be with is"
        elif token.kind == "symbol" and token.text not in ",.?!。？！=()，、：:*/":
            # A sign that no sentence needs is what is spoken of.
            score = 0.7 if token.text in "#$@&€£¥%~|_" else 0.15
            found.append(Option(repr(token.text), index, index + 1, score, attributes=_named(token.text)))
    found += _unknown_runs(context.read)
    for mention in context.read.mentions:
        if mention.kind == "sample":
            text = ast.literal_eval(mention.value)
            found.append(Option(mention.value, mention.start, mention.end, mention.score, attributes=_named(text)))
    return found


def _listed(tokens: Sequence[Token], index: int) -> bool:
    """Whether a word stands behind *column* or in the list that follows *columns*: *with columns a, b and c*."""
    place = index - 1
    while place > 0 and place > index - 9 and (
        tokens[place].key in (",", "，", "、", "and") or tokens[place - 1].key in (",", "，", "、", "and", "column")
    ):  # fmt: skip
        place -= 1
    return place >= 0 and tokens[place].key == "column"


def _unknown_runs(read: Read) -> list[Option]:
    """Chinese words that are not known come character by character: neighbours make one word."""
    found = []
    index = 0
    while index < len(read.tokens):
        end = index
        while (
            end < len(read.tokens)
            and _unknown(read.tokens[end])
            and (end == index or read.tokens[end - 1].end == read.tokens[end].start)
        ):
            end += 1
        if end - index > 1:
            text = "".join(token.text for token in read.tokens[index:end])
            found.append(Option(repr(text), index, end, 0.65, attributes=_named(text)))
        index = max(end, index + 1)
    return found


def _unknown(token: Token) -> bool:
    return token.kind == "word" and token.text > "\u3400" and token.key == token.text and token.weight > NOISE


def _values(slot: Slot, context: Context) -> list[Option]:
    truths = {"true": "True", "false": "False", "none": "None", "真": "True", "假": "False"}
    found = _numbers(slot, context)
    for option in _words(slot, context):
        text = context.read.tokens[option.start].text.lower()
        found.append(option if text not in truths else Option(truths[text], option.start, option.end, 0.9))
    for index, token in enumerate(context.read.tokens):
        if token.kind == "literal":
            found.append(Option(token.text, index, index + 1, 0.9))
    return found


def _paths(slot: Slot, context: Context) -> list[Option]:
    found = []
    for index, token in enumerate(context.read.tokens):
        if token.kind == "path":
            found.append(Option(repr(token.value), index, index + 1, 1.0, attributes=_named(token.value)))
        elif token.kind == "quoted":
            found.append(_word(token, index, 0.7 if slot.type == "folder" or "." in token.value else 0.4))
        elif slot.type == "folder" and (score := _as_folder(context.read, index)):
            found.append(_word(token, index, score))
    for mention in context.read.variables():
        if mention.variable.kind in ("path", "text"):
            found.append(_of_variable(mention.variable, mention.start, mention.end, 0.9 * mention.score))
    return found


_NO_FOLDERS = frozenset(("current", "same", "whole", "entire", "local", "parent", "bytes", "kb", "mb"))


def _as_folder(read: Read, index: int) -> float:
    """How likely a bare word is the name of a folder: *the folder data* and *the data folder* are, *in old* may be."""
    token = read.tokens[index]
    plain = (token.weight >= 1 and token.key not in lexicon().single.values()) or token.text == "data"
    # *create the folder plots*: at the end any word is its name.
    plain = plain or (index == len(read.tokens) - 1 and index > 0 and read.tokens[index - 1].key == "folder")
    if token.kind != "word" or not plain or not token.text.isascii() or token.text in _NO_FOLDERS:
        return 0.0
    before = [t for t in read.tokens[:index] if t.weight > NOISE][-1:]
    after = read.tokens[index + 1 : index + 2]
    if any(t.key == "folder" for t in (*before, *after)):
        return 0.9
    return 0.2 if before and before[0].key in ("in", "to", "from", "of") else 0.0


def _new(slot: Slot, context: Context) -> list[Option]:
    if context.name:
        return [Option(context.name, score=1.0, attributes=_named(context.name))]
    if slot.default is not None:
        return []
    found = []
    for index, token in enumerate(context.read.tokens):
        name = token.text
        fresh = name.isidentifier() and not keyword.iskeyword(name) and context.schema.variable(name) is None
        if token.kind == "word" and fresh and token.weight >= 1 and name.isascii():
            found.append(Option(name, index, index + 1, 0.5, attributes=_named(name)))
    return found


def _compares(slot: Slot, context: Context) -> list[Option]:
    return [
        Option(COMPARE[t.key], i, i + 1, 0.3 if t.key == "is" else 1.0)
        for i, t in enumerate(context.read.tokens)
        if t.key in COMPARE
    ]


def _agg(key: str, start: int, end: int, score: float, library: str) -> Option:
    names = AGG.get(library, AGG["pandas"])
    return Option(names.get(key, key), start, end, score, attributes={"name": key, "id": key})


def _aggs(slot: Slot, context: Context) -> list[Option]:
    names = AGG.get(context.library, AGG["pandas"])
    return [
        _agg(t.key, i, i + 1, 1.0 if t.key not in ("first", "last") else 0.4, context.library)
        for i, t in enumerate(context.read.tokens)
        if t.key in names and t.kind == "word"
    ]


def _order(ascending: bool, start: int, end: int, score: float) -> Option:
    attributes = {"descending": str(not ascending), "name": "ascending" if ascending else "descending"}
    return Option(str(ascending), start, end, score, attributes=attributes)


def _orders(slot: Slot, context: Context) -> list[Option]:
    return [
        _order(t.key == "ascending", i, i + 1, 1.0)
        for i, t in enumerate(context.read.tokens)
        if t.key in ("ascending", "descending")
    ]


def _unit(key: str, start: int, end: int, score: float) -> Option:
    return Option(key, start, end, score, attributes={"freq": UNITS.get(key, "D"), "name": key, "id": key})


def _units(slot: Slot, context: Context) -> list[Option]:
    known = {*UNITS, "weekday", "second_", "date"}
    return [_unit(t.key.removesuffix("_"), i, i + 1, 1.0) for i, t in enumerate(context.read.tokens) if t.key in known]


def _formulas(slot: Slot, context: Context) -> list[Option]:
    found = []
    text = context.read.text
    spans = [(m.start(), m.end()) for m in FORMULA.finditer(text.replace("²", "^2").replace("³", "^3"))]
    for begin, finish in spans:
        code = formula_code(text.replace("²", "^2").replace("³", "^3")[begin:finish])
        if code is None:
            continue
        inside = [i for i, t in enumerate(context.read.tokens) if begin <= t.start < finish]
        if inside:
            score = 1.0 if len(inside) > 1 else 0.4
            found.append(Option(code, inside[0], inside[-1] + 1, score, attributes=_named(text[begin:finish].strip())))
    names = {"sine": "sin", "cosine": "cos", "sin": "sin", "cos": "cos", "tangent": "tan", "正弦": "sin", "余弦": "cos"}
    for index, token in enumerate(context.read.tokens):
        if token.text.lower() in names and not any(o.start <= index < o.end for o in found):
            function = names[token.text.lower()]
            found.append(Option(f"np.{function}(x)", index, index + 1, 0.9, attributes=_named(f"{function}(x)")))
    return found


def _patterns(slot: Slot, context: Context) -> list[Option]:
    return [
        Option(_raw(found.regex), found.start, found.end, 1.0, attributes=_named(found.regex))
        for found in patterns(context.read.tokens)
    ]


def _raw(regex: str) -> str:
    return f'r"{regex}"' if '"' not in regex else repr(regex)


_LITERALS: Mapping[str, Callable[[Slot, Context], list[Option]]] = {
    "number": _numbers, "int": _numbers, "word": _words, "value": _values, "path": _paths, "folder": _paths,
    "new": _new, "compare": _compares, "agg": _aggs, "order": _orders, "unit": _units, "formula": _formulas,
    "pattern": _patterns,
}  # fmt: skip
