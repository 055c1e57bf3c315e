"""An instruction of which clause after clause is understood and set aside."""

from __future__ import annotations

import re
from collections.abc import Iterable

from famulus.jupyter_kernel.compose.query import Query
from famulus.jupyter_kernel.compose.units import Unit, units
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.schema import Column, Variable


class Reading:
    """One pass over one instruction. ``tags`` loses what has been understood; ``query`` gains it."""

    def __init__(self, read: Read, subject: Variable) -> None:
        self.subject = subject
        self.spoken = read.tokens
        self.units = units(read, subject)
        self.tags = "".join(unit.tag for unit in self.units)
        self.query = Query(subject)

    def take(self, pattern: str) -> re.Match[str] | None:
        """The first match of a pattern over tags, blotted out."""
        match = re.search(pattern, self.tags)
        if match:
            self.blot(match)
        return match

    def blot(self, match: re.Match[str]) -> None:
        """Counts what a pattern matched as understood."""
        self.blot_all(range(match.start(), match.end()))

    def columns(self, match: re.Match[str], group: str) -> list[Column]:
        span = range(*match.span(group))
        return [c for i in span if (c := self.units[i].column) is not None and self.units[i].tag in "CQ"]

    def unit(self, match: re.Match[str], group: str) -> Unit:
        return self.units[match.start(group)]

    def blot_all(self, places: Iterable[int]) -> None:
        """Counts the units at these places as understood."""
        chosen = set(places)
        self.tags = "".join("·" if i in chosen else tag for i, tag in enumerate(self.tags))
