"""What a test says about one value, in the form that a person would choose."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from famulus.lsp_server.execution.rendering import Form, expression
from famulus.lsp_server.execution.worker.forms import DRAWN
from famulus.lsp_server.testgen.case import Aim

MOST = 6
"""Assertions in one test."""
_FIRST = 5
"""Items of an endless iterator that are looked at."""
_NOTHING = frozenset(("None", "0", "''", "[]", "{}", "False", "()", "set()"))
_VAGUE = ("assert isinstance(", "assert callable(")
_LOOKS = 3
"""Assertions about what an object tells to others."""
_WRITTEN = 160
"""Characters of a value that a reader still takes in."""
_DIGITS = 9
"""Digits of a float from which on it is the result of inexact arithmetic."""


def said(aim: Aim, made: str, form: Form, imports: set[str], looks: Sequence[tuple[str, Form]] = ()) -> Iterator[str]:
    """Assertions about a value; those about its parts speak of ``result``. ``looks``: what it tells to others."""
    form = plain(form)
    if form and form[0] in ("iterator", "dict_keys", "dict_values", "dict_items") and len(form) == 2:
        if len(form[1]) >= DRAWN and not short(expression(["list", form[1]])):
            first = expression(["list", form[1][:_FIRST]])
            if short(first):
                imports.add("import itertools")
                yield compared(f"list(itertools.islice({made}, {_FIRST}))", first)
                return
        made, form = f"list({made})", ["list", form[1]]
    value = expression(form)
    if value and short(value):
        yield compared(made, value)
        return
    if form and form[0] == "array":
        yield from _array(made, form, imports)
        return
    if form and form[0] == "frame":
        yield from _frame(made, form, imports)
        return
    if form and form[0] == "enum" and str(form[1]) in aim.names:
        imports.add(f"from {aim.module} import {form[1]}")
        yield f"assert {made} is {form[1]}.{form[2]}"
        return
    parts = [(text, value) for text, value in _parts(form, "{}", 0) if short(value)]
    if len(parts) > MOST:
        parts.sort(key=lambda part: part[1] in _NOTHING)  # most attributes of a large object are as they always are
    if not parts or _hides(form):
        seen = told(looks)
        parts = [*parts[: MOST - len(seen)], *seen]
    if len(parts) == 1:
        yield compared(parts[0][0].replace("{}", made, 1), parts[0][1])
    else:
        yield from (compared(text.replace("{}", "result", 1), value) for text, value in parts[:MOST])
    if not parts and form and form[0] == "object" and str(form[1]) in aim.names:
        imports.add(f"from {aim.module} import {form[1]}")
        yield f"assert isinstance({made}, {form[1]})"
    elif form == ["function", ""]:
        yield f"assert callable({made})"


def plain(form: Form) -> Form:
    """The form with plain dictionaries for those that have a default: they are equal."""
    if form[:1] == ["defaultdict"]:
        form = ["dict", *form[1:]]
    return [plain(part) if isinstance(part, list) else part for part in form]


def told(looks: Sequence[tuple[str, Form]]) -> list[tuple[str, str]]:
    """What an object tells to others, as expressions with ``{}`` for it, and their values: as few as say it."""
    found = [(text, value) for text, form in looks if (value := expression(form)) and short(value) and _plain(value)]
    content = {text for text, _ in found} & {"list({})", "dict({})"}
    return [(text, value) for text, value in found if not (content and text in ("len({})", "repr({})"))][:_LOOKS]


def is_vague(lines: Sequence[str]) -> bool:
    """Whether a test says no more than what kind of thing comes out."""
    return len(lines) == 1 and lines[0].startswith(_VAGUE)


def _plain(value: str) -> bool:
    """Whether it has no address and no place of this machine in it."""
    return not any(mark in value for mark in ("0x…", "<project>", "<tmp_path>"))


def _hides(form: Form) -> bool:
    """Whether an object has state that its public attributes do not show."""
    return bool(form) and form[0] == "object" and any(not name or name.startswith("_") for name, _ in form[2])


def _parts(form: Form, at: str, depth: int) -> Iterator[tuple[str, str]]:
    """The parts of a value that has no expression itself and is reached by ``at``: how many items there are, the items
    and public attributes, each with its expression."""
    if depth > 2 or not form:
        return
    if form[0] in ("list", "dict"):
        yield f"len({at})", str(len(form[1]))
    inside: list[tuple[str, Form]] = []
    if form[0] in ("tuple", "list") and len(form[1]) <= MOST:
        inside = [(f"[{n}]", item) for n, item in enumerate(form[1])]
    elif form[0] == "dict" and len(form[1]) <= MOST:
        inside = [(f"[{expression(key)}]", item) for key, item in form[1] if expression(key)]
    elif form[0] == "object" and form[1] == "Result" and form[2][:1] == [["exit_code", ["int", "2"]]]:
        inside = [(".exit_code", form[2][0][1])]  # what click says of a wrong usage is its own affair
    elif form[0] == "object" and len(form) == 3:
        inside = [(f".{name}", item) for name, item in form[2] if name.isidentifier() and not name.startswith("_")]
    for path, item in inside:
        value = expression(item)
        if value:
            yield at + path, value
        else:
            yield from _parts(item, at + path, depth + 1)


def compared(made: str, value: str) -> str:
    if value in ("None", "True", "False"):
        return f"assert {made} is {value}"
    if value == "nan":
        return f"assert math.isnan({made})"
    return f"assert {made} == {_approximate(value)}"


def accepts(line: str, other: str) -> bool:
    """Whether what an assertion wants equals what ``other`` wants, so that both hold: 0.0 is 0, and -0.0 as well."""
    if line == other:
        return True
    match [*_parsed(line), *_parsed(other)]:
        case [
            ast.Assert(test=ast.Compare(left=one, ops=[ast.Eq()], comparators=[wanted])),
            ast.Assert(test=ast.Compare(left=two, ops=[ast.Eq()], comparators=[given])),
        ]:
            try:
                return ast.dump(one) == ast.dump(two) and bool(ast.literal_eval(wanted) == ast.literal_eval(given))
            except (ValueError, TypeError, RecursionError, MemoryError):
                return False
    return False


def _parsed(line: str) -> list[ast.stmt]:
    try:
        return ast.parse(line.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _approximate(value: str) -> str:
    """The expected value; floats that no arithmetic gives exactly stand in ``pytest.approx``."""
    try:
        tree = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError):
        return value
    floats = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    inexact = [n for n in floats if len(re.sub(r"e.*|\W", "", repr(n.value)).strip("0")) > _DIGITS]
    if not inexact or not _approximable(tree):
        return value
    for node in inexact:
        if isinstance(node.value, float):
            node.value = float(f"{node.value:.{_DIGITS}g}")
    return f"pytest.approx({ast.unparse(tree)})"


def _approximable(tree: ast.expr) -> bool:
    """Whether approx takes it: a number, or a flat list, tuple or dict of numbers."""
    items = (
        tree.elts if isinstance(tree, (ast.List, ast.Tuple)) else tree.values if isinstance(tree, ast.Dict) else [tree]
    )
    plain = (item.operand if isinstance(item, ast.UnaryOp) else item for item in items)
    return all(isinstance(i, ast.Constant) and type(i.value) in (int, float) for i in plain)


def _array(made: str, form: Form, imports: set[str]) -> Iterator[str]:
    values = expression(form[3])
    if not values or not short(values):
        return
    imports.add("import numpy as np")
    if str(form[1]).startswith(("float", "complex")):
        yield f"np.testing.assert_allclose({made}, {values})"
    else:
        yield f"np.testing.assert_array_equal({made}, {values})"


def _frame(made: str, form: Form, imports: set[str]) -> Iterator[str]:
    _, kind, dtypes, index, pairs = form
    rows, columns = expression(index), expression(["dict", pairs])
    if kind not in ("DataFrame", "Series") or not dtypes or not rows or not columns or not short(columns):
        return
    imports.add("import pandas as pd")
    if kind == "DataFrame":
        yield f"pd.testing.assert_frame_equal({made}, pd.DataFrame({columns}, index={rows}))"
        return
    name, values = expression(pairs[0][0]), expression(pairs[0][1])
    named = "" if name == "None" else f", name={name}"
    yield f"pd.testing.assert_series_equal({made}, pd.Series({values}, index={rows}, dtype={dtypes[0]!r}{named}))"


def short(text: str) -> bool:
    return 0 < len(text) <= _WRITTEN
