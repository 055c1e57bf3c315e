"""A chain over a plain collection: what it starts from, what stays, what becomes of each item, and of all."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """What a chain starts from. ``item``: the name of an item in code; ``holds``: number, text, pair or other."""

    code: str
    item: str
    holds: str
    variable: str = ""


@dataclass
class Chain:
    """A source, the conditions on its items, what becomes of each, and what becomes of all."""

    source: Source
    conditions: list[str] = field(default_factory=list)
    each: str = ""
    total: str = ""
    totals: tuple[str, ...] = ()
    join: str | None = None
    order: str = ""
    descending: bool = False
    limit: str = ""
    tail: bool = False
    container: str = ""
    value: str = ""
    used: set[int] = field(default_factory=set)
