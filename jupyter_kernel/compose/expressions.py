"""Reads arithmetic over columns: *price times quantity*, *the ratio of a to b*, *price plus 10%*, 价格乘以数量."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.jupyter_kernel.compose.conditions import conditions
from famulus.jupyter_kernel.compose.pandas_code import condition_code
from famulus.jupyter_kernel.compose.units import Unit, units
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.option import Option
from famulus.jupyter_kernel.schema import Variable

OPERATORS = {
    "+": "+", "-": "-", "*": "*", "/": "/", "×": "*", "÷": "/", "plus": "+", "subtract": "-", "multiply": "*",
    "divide": "/", "times": "*", "add": "+",
}  # fmt: skip
_NAMED = {"product": "*", "sum": "+", "difference": "-", "percent": "/", "multiply": "*", "divide": "/"}
_CHAIN = re.compile(r"\(*[CQN]\)*(?:[x&]?x[2Yi]?\(*[CQN]\)*)+")
_PAIR = re.compile(r"(?P<o>[dA%x])(?:B|i|f)*(?P<a>C)[&2Y](?P<b>[CN])")
_TURNED = re.compile(r"(?P<a>C)[&w](?P<b>[CN])(?P<o>[dA])")


def spans(tags: str, found: list[Unit], subject: Variable) -> Iterator[tuple[int, int, str]]:
    """Where expressions stand among tagged units, and their code over the subject's columns, the longest first."""
    for match in _CHAIN.finditer(tags):
        code = _chain(found[match.start() : match.end()], subject)
        if code is not None:
            yield match.start(), match.end(), code
    for pattern in (_PAIR, _TURNED):
        for match in pattern.finditer(tags):
            sign = _NAMED.get(found[match.start("o")].key)
            if sign is not None:
                first, second = found[match.start("a")], found[match.start("b")]
                if found[match.start("o")].key == "sum" and re.search("[EGY]", tags[match.end() :]):
                    continue  # "total price and quantity by city" are two totals
                if any(unit.column is not None and unit.column.kind in ("text", "time") for unit in (first, second)):
                    continue  # "percentage of revenue by city" groups
                yield match.start(), match.end(), f"{_operand(first, subject)} {sign} {_operand(second, subject)}"


def _chain(run: list[Unit], subject: Variable) -> str | None:
    pieces: list[str] = []
    for unit in run:
        if unit.tag in "CQN":
            percent = unit.tag == "N" and unit.text.endswith("%") and len(pieces) >= 2 and pieces[-1] in "+-"
            if percent:
                # "price plus 10%" is a tenth more of the price.
                pieces = ["(", *pieces[:-1], ")", "*", f"(1 {pieces[-1]} {unit.code})"] if len(pieces) > 2 else [
                    pieces[0], "*", f"(1 {pieces[-1]} {unit.code})"]  # fmt: skip
            else:
                pieces.append(_operand(unit, subject))
        elif unit.tag in "()":
            pieces.append(unit.tag)
        elif unit.key in OPERATORS:
            pieces.append(OPERATORS[unit.key])
        elif unit.tag == "x":
            return None
    code = " ".join(pieces).replace("( ", "(").replace(" )", ")")
    try:
        compile(code, "<expression>", "eval")
    except SyntaxError:
        return None
    return code if any(unit.tag in "CQ" for unit in run) else None


def _operand(unit: Unit, subject: Variable) -> str:
    if unit.tag == "N":
        return unit.code
    key = unit.column.key if unit.column is not None else "''"
    return f"pl.col({key})" if subject.library == "polars" else f"{subject.name}[{key}]"


def _across(tags: str, found: list[Unit], subject: Variable) -> Iterator[tuple[int, int, str]]:
    """*the average of math and physics* for each row."""
    for match in re.finditer(r"[AM][i]?C(?:&C)+|C(?:&C)+[AM]", tags):
        run = found[match.start() : match.end()]
        key = next(unit.key for unit in run if unit.tag in "AM")
        columns = ", ".join(unit.column.key for unit in run if unit.column is not None)
        if key not in ("mean", "sum", "max", "min", "median", "std"):
            continue
        if subject.library == "polars":
            if key in ("mean", "sum", "max", "min"):
                yield match.start(), match.end(), f"pl.{key}_horizontal({columns})"
        else:
            yield match.start(), match.end(), f"{subject.name}[[{columns}]].{key}(axis=1)"


def expressions(read: Read, subject: Variable) -> list[Option]:
    """Every arithmetic expression of an instruction, as options for a slot."""
    found = units(read, subject)
    tags = "".join(unit.tag for unit in found)
    made = []
    for start, end, code in (*spans(tags, found, subject), *_across(tags, found, subject)):
        names = tuple(u.column.name for u in found[start:end] if u.column is not None)
        attributes = {"name": " ".join(u.text for u in found[start:end] if u.text), "id": "_".join(names)}
        made.append(Option(f"({code})", found[start].start, found[end - 1].end, 1.0, subject.name, names, attributes))
    return made


def conditions_as_options(read: Read, subject: Variable) -> list[Option]:
    """All conditions of an instruction together, as one option for a slot."""
    found = units(read, subject)
    tags = "".join(unit.tag for unit in found)
    made, left = conditions(tags, found, subject)
    if not made:
        return []
    places = [i for i, tag in enumerate(left) if tag == "·"]
    start, end = found[places[0]].start, found[places[-1]].end
    names = tuple(condition.column.name for condition in made)
    code = condition_code(subject, made)
    return [Option(f"({code})", start, end, 1.0, subject.name, names, {"name": code, "id": "_".join(names)})]
