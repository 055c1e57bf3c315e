"""What may stand in a slot: every reading of the instruction, and what the namespace offers, that fits its type."""

from __future__ import annotations

import ast
import datetime
import re
from dataclasses import replace

from famulus.jupyter_kernel.lexeme import Token
from famulus.jupyter_kernel.literals import READERS, agg_option, order_option, unit_option
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.option import Context, Option, column_code, column_fits, named, of_variable
from famulus.jupyter_kernel.patterns import CHARACTERS
from famulus.jupyter_kernel.recipe import VARIABLES, Slot
from famulus.jupyter_kernel.schema import Column, Schema, Variable

_SEQUENCES = frozenset(("list", "tuple", "array", "series", "set"))
_FRAMES = frozenset(("pandas", "polars", "pyarrow"))
_COLLECTIONS = frozenset(("frame", "series", "dict", "list", "database"))


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
        found = [option for option in READERS[slot.type](slot, context) if context.read.free(option.start, option.end)]
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
            found.append(of_variable(mention.variable, mention.start, mention.end, mention.score * good))
        elif slot.type == "time" and _ISO.fullmatch(mention.variable.preview):
            code = f"datetime.date.fromisoformat({mention.variable.name})"
            option = of_variable(mention.variable, mention.start, mention.end, mention.score)
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
            found.append(of_variable(variable, 0, 0, good * max(0.5 - 0.1 * rank, 0.1)))
            rank += 1
    for index, token in enumerate(context.read.tokens):
        if slot.type == "text" and token.kind == "quoted":
            found.append(Option(repr(token.value), index, index + 1, 0.9, attributes=named(token.value)))
        elif slot.type == "text" and token.text.lower() in CHARACTERS:
            found.append(Option(repr(CHARACTERS[token.text.lower()]), index, index + 1, 0.8, attributes=named("")))
        if slot.type == "time" and (code := _moment(token)):
            found.append(Option(code, index, index + 1, 0.9, attributes=named(token.value or token.text)))
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
    parts = [int(part) for part in re.findall(r"\d+", token.value)]
    if "-" not in token.value and "/" not in token.value:
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
        text = named(", ".join(names))
        found.append(Option(code, run[0][0].start, run[-1][0].end, score, variable.name, names, text))
    return found


def _default(slot: Slot, context: Context) -> Option:
    default = slot.default or ""
    if slot.type == "new":
        return Option(context.name or free_name(default, context.schema), score=0.5, attributes=named(default))
    if slot.type == "order":
        return order_option(default == "ascending", 0, 0, 0.3)
    if slot.type == "agg":
        return agg_option(default, 0, 0, 0.3, context.library)
    if slot.type == "unit":
        return unit_option(default, 0, 0, 0.3)
    if slot.type in ("word", "path", "folder"):
        return Option(repr(default), score=0.3, attributes=named(default))
    return Option(default, score=0.3, attributes={**named(default), "fraction": default})


def free_name(wanted: str, schema: Schema) -> str:
    """``wanted``, or with the first number that makes it a name of nothing."""
    taken = {variable.name for variable in schema.variables} | set(schema.imports)
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    return name
