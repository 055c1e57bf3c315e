"""One way to fill a slot, what ways are made from, and the spellings that templates have of names and columns."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.schema import Column, Schema, Variable

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
        """Whether any token says it; what is only assumed has none."""
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
        """The user's variables."""
        return self.read.schema


def of_variable(variable: Variable, start: int, end: int, score: float) -> Option:
    """A variable that the tokens from ``start`` to ``end`` name."""
    return Option(variable.name, start, end, score, variable.name, attributes=named(variable.name))


def named(text: str) -> dict[str, str]:
    """The attributes of a name in a template: as text in quotes, and as an identifier."""
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
    return {**named(column.name), "series": series, "time": time}


def fraction(text: str) -> str:
    """A share as Python source: ``10%`` → ``0.1``, ``90`` → ``0.9``, ``0.25`` stays."""
    number = float(text.removesuffix("%"))
    return f"{number / 100:.10g}" if text.endswith("%") or number > 1 else text
