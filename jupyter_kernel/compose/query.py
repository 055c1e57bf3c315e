"""A query over one table, as the words ask for it; independent of the library that answers it."""

from __future__ import annotations

from dataclasses import dataclass, field

from famulus.jupyter_kernel.schema import Column, Variable


@dataclass(frozen=True)
class Value:
    """What a column is compared with: a literal, another column, or (``statistic``) an aggregate of the column."""

    code: str = ""
    column: Column | None = None
    statistic: str = ""
    is_time: bool = False


@dataclass(frozen=True)
class Condition:
    """``operator``: a comparison, ``between``, ``in``, ``contains``, ``starts``, ``ends``, ``missing`` or ``true``.
    ``unit``: the part of a time that is compared (year, month). ``either``: joined to the one before by *or*."""

    column: Column
    operator: str
    values: tuple[Value, ...] = ()
    unit: str = ""
    negated: bool = False
    either: bool = False


@dataclass(frozen=True)
class Key:
    """What rows are grouped by: a column, or a unit of a column of times."""

    column: Column
    unit: str = ""


@dataclass(frozen=True)
class Aggregate:
    """``function``: mean, sum, median, max, min, std, var, count, unique; ``column`` None counts rows."""

    function: str
    column: Column | None = None


@dataclass
class Query:
    """A query. ``pick``: ask where the extreme is, not what it is; ``share``: of the total. ``having``: what a
    group's aggregate is compared with, operator and number. ``each``: the limit counts rows of
    each group. ``used``: token indices."""

    subject: Variable
    conditions: list[Condition] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    order: list[tuple[Column | None, bool]] = field(default_factory=list)
    limit: str = ""
    tail: bool = False
    select: list[Column] = field(default_factory=list)
    having: tuple[str, str] = ("", "")
    each: bool = False
    pick: str = ""
    by: Column | None = None
    label: Column | None = None
    distinct: bool = False
    share: bool = False
    as_list: bool = False
    removes: bool = False
    chart: str = ""
    stacked: bool = False
    computed: tuple[str, str] = ("", "")
    bins: str = ""
    used: set[int] = field(default_factory=set)

    def columns(self) -> list[Column]:
        """Every column that the query speaks of."""
        found = [condition.column for condition in self.conditions] + [key.column for key in self.keys] + self.select
        found += [a.column for a in self.aggregates if a.column] + [column for column, _ in self.order if column]
        return found + [column for column in (self.by, self.label) if column]
