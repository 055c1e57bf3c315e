"""Two steps in one instruction: *drop rows without a price, then show the mean per city*, 按价格排序并重置索引."""

from __future__ import annotations

import ast
import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from famulus.jupyter_kernel import follow
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.continued import Propose, imports_of, shown, using
from famulus.jupyter_kernel.options import free_name
from famulus.jupyter_kernel.schema import Column, Schema, Variable

CLEAR = 0.9
"""From this match on an instruction is one step."""
LEAST = 0.7
"""The match that either half needs."""
BOTH = 0.95
"""What is left of the lower match of the two: one recipe that knows both steps comes first."""
MOST_SPLITS = 3
PEEKED = 200
"""Rows of a file that are read to know its columns."""
_BETWEEN = re.compile(
    r"\s*[,;，；。]?\s*(?:\b(?:and then|and afterwards|then|and|afterwards)\b|然后再?|接着|之后|并且|并|再)[,，]?\s*"
    r"|\s*[,;，；]\s*",
    re.IGNORECASE,
)
# Methods and functions that give rows of the table, or items of the list, that they are given.
_KEEPING = frozenset(
    ("sort_values", "dropna", "drop_duplicates", "head", "tail", "reset_index", "nlargest", "nsmallest", "fillna",
     "sample", "query", "assign", "drop", "copy", "round", "sort_index", "filter", "sort", "unique", "limit")
)  # fmt: skip


def in_steps(words: str, schema: Schema, alone: list[Candidate], propose: Propose) -> list[Candidate]:
    """``alone`` and, where no recipe is clear about the whole, what its two halves come to one after the other."""
    if alone and alone[0].match >= CLEAR:
        return alone
    found = {candidate.code: candidate for candidate in alone}
    for gap in itertools.islice(_BETWEEN.finditer(words.strip()), MOST_SPLITS):
        first, second = words.strip()[: gap.start()], words.strip()[gap.end() :]
        if len(first) < 3 or len(second) < 2:
            continue
        for candidate in _steps(first, second, schema, propose):
            known = found.get(candidate.code)
            if known is None or known.match < candidate.match:
                found[candidate.code] = candidate
    return sorted(found.values(), key=lambda c: -(c.match + 0.25 * c.coverage))


def _steps(first: str, second: str, schema: Schema, propose: Propose) -> Iterator[Candidate]:
    for one in propose(first, schema)[:2]:
        if one.match < LEAST:
            return
        made = _made(one.code, schema)
        if made is None:
            continue
        name, value, expression, hidden = made
        others = [v for v in schema.variables if v.name not in (name, hidden)]
        there = Schema((value, *others), schema.imports)
        for two in propose(follow.about(second, name), there)[:3]:
            if two.match < LEAST or name not in _names(two.code):
                continue
            code = using(_valued(two.code, name), name, expression) if expression else two.code
            head = one.code if not expression else "\n".join(imports_of(one.code)[0])
            match = BOTH * min(one.match, two.match)
            recipe = f"{one.recipe}, {two.recipe}"
            yield replace(one, code=_joined(head, code), recipe=recipe, match=match, coverage=two.coverage)


def _made(code: str, schema: Schema) -> tuple[str, Variable, str, str] | None:
    """What the first step leaves to the second: a name, what it will be, the expression that stands for the name ("" if
    the code binds it), and the user's variable that it takes the place of. None where that cannot be told."""
    last = ast.parse(code).body[-1]
    if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
        name = last.targets[0].id
        value = schema.variable(name) or _read(code) or _like(last.value, schema)
        return (name, replace(value, name=name), "", "") if value else None
    expression = shown(code)
    if not isinstance(last, ast.Expr) or not expression:
        return None
    name = free_name("result", schema)
    value = _read(code) or _like(last.value, schema)
    return (name, replace(value, name=name), expression, value.name) if value else None


def _like(node: ast.expr, schema: Schema) -> Variable | None:
    """The user's table or list of which an expression keeps rows or items."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _KEEPING:
            node = node.func.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("sorted", "list") and node.args:
            node = node.args[0]
        elif _filters(node):
            node = node.value  # type: ignore[attr-defined]
        else:
            return None
    value = schema.variable(node.id)
    return value if value and value.kind in ("frame", "list") else None


def _filters(node: ast.expr) -> bool:
    """Whether an expression is rows that fulfil a condition, ``df[df.a > 1]`` or the ``df.loc`` of it."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Compare | ast.BinOp | ast.UnaryOp | ast.Call)
    return isinstance(node, ast.Attribute) and node.attr == "loc"


def _valued(code: str, name: str) -> str:
    """``code`` with its last statement, if it binds ``name`` anew, as an expression: the words name no result."""
    last = ast.parse(code).body[-1]
    if not isinstance(last, ast.Assign) or ast.unparse(last.targets[0]) != name:
        return code
    lines = code.splitlines()[: last.lineno - 1]
    return "\n".join([*lines, ast.get_source_segment(code, last.value) or ""])


def _read(code: str) -> Variable | None:
    """The table that code reads from a file, with the columns that the file has now."""
    loads = re.search(r"\.(read_(?:csv|excel|json|parquet|table))\(\s*(['\"])(?P<path>[^'\"]+)\2", code)
    if loads is None:
        return None
    library = "polars" if re.search(r"\bpl\.read_|polars", code) else "pandas"
    columns = _columns(Path(loads["path"])) if loads[1] in ("read_csv", "read_table") else ()
    return Variable("result", "frame", f"{library}.DataFrame", None, columns)


def _columns(path: Path) -> tuple[Column, ...]:
    """The columns of a file of comma- or tab-separated values; none where it cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(itertools.islice(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","), PEEKED))
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()
    return tuple(
        _column(name, [row[at] for row in rows[1:] if at < len(row) and row[at]])
        for at, name in enumerate(rows[0] if rows else ())
        if name
    )


def _column(name: str, values: list[str]) -> Column:
    try:
        [float(value) for value in values]
    except ValueError:
        different = list(dict.fromkeys(values))
        return Column(name, "text", "str", tuple(map(repr, different[:20])), distinct=len(different))
    return Column(name, "number", "float64")


def _joined(head: str, code: str) -> str:
    """Two pieces of code, the imports of both first and once."""
    imports, rest = zip(imports_of(head), imports_of(code), strict=True)
    lines = [*dict.fromkeys([*imports[0], *imports[1]]), *rest[0], *rest[1]]
    return "\n".join(lines).strip("\n")


def _names(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
