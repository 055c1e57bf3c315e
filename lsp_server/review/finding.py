"""One thing that a review found, with its proof: the only schema, whatever the rule and whatever the output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

Side = Literal["old", "new"]
Severity = Literal["error", "warning", "note"]
Certainty = Literal["certain", "likely", "possible"]


class Grade(StrEnum):
    """How a finding is known, best first."""

    PROVED = "proved"
    """It follows from the code: a bind that fails, a name that is gone."""
    WITNESSED = "witnessed"
    """It was seen: a call that answers differently, a test that turned red."""
    MEASURED = "measured"
    """A number says so: no mutant is noticed, two of five runs failed."""
    MODEL_ONLY = "model-only"
    """The model thinks so. Not shown unless it is asked for."""

    @property
    def rank(self) -> int:
        """0 for the best grade."""
        return list(Grade).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A span of one side. Lines and columns count from 1, columns in characters; ``end_column`` is exclusive.

    ``path`` is relative to the project's root, with ``/``. ``symbol`` is the dotted name of the innermost definition
    around it, empty at the top of a file. ``cell``: of a notebook, whose lines are those of the file, where a reader
    finds the line: ``cell 3, line 2``.
    """

    path: str
    line: int
    column: int = 1
    end_line: int | None = None
    end_column: int | None = None
    symbol: str = ""
    side: Side = "new"
    cell: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" + (f" ({self.cell})" if self.cell else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Another place that belongs to a finding, and why."""

    place: Place
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Why a finding is true.

    ``kind``: a word for machines (``bind``, ``witness``, ``runs``, ``mutant``, ``tool``, ``comparison``). ``text``:
    what a person reads, plain text of at most a few lines: ``clamp(9, 0, 5): 5 → 4``. ``code``: source that shows it
    when it is run, as a test that can be pasted; empty if there is none. ``data``: the same for machines, as JSON.
    """

    kind: str
    text: str
    code: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replaces the lines ``line`` to ``end_line`` (inclusive, of the new side) by ``text``.

    With ``end_line`` before ``line`` it only inserts."""

    path: str
    line: int
    end_line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A way to put it right."""

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a review found.

    ``rule``: id of the rule, as ``call-site/unknown-keyword``. ``message``: one sentence, the consequence first.
    ``place``: where the user has to look, on the new side; ``old_place``: the same on the old side, if it was there.
    ``key``: what the finding is about in words that do not change when lines or files move (the dotted names and the
    kind of trouble); it makes the fingerprint. ``certainty``: ``possible`` is not shown unless it is asked for.
    ``reach``: how many callers or importers it concerns. ``surprise``: bits for a token of the new line that the
    model expected least; 0 if nobody asked it.
    """

    rule: str
    message: str
    grade: Grade
    place: Place
    key: str
    proof: Proof
    severity: Severity = "warning"
    certainty: Certainty = "certain"
    old_place: Place | None = None
    related: tuple[Related, ...] = ()
    suggestion: Suggestion | None = None
    reach: int = 0
    surprise: float = 0.0
    ordinal: int = 0
    """Tells findings of one key apart; set by :class:`Numbering`."""

    @property
    def fingerprint(self) -> str:
        """Stays the same from run to run, and when the code around it moves."""
        said = f"{self.rule}\0{self.key}\0{self.ordinal}"
        return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:20]

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values; empty ones are left out, ``fingerprint`` is added."""
        plain = json.loads(json.dumps(asdict(self)))
        return {"fingerprint": self.fingerprint, **{k: v for k, v in plain.items() if v not in (None, "", [], {}, 0)}}


class Numbering:
    """Tells findings of one rule and key apart in the order in which they come, so that each has its own fingerprint
    from the beginning and keeps it."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def __call__(self, finding: Finding) -> Finding:
        """The finding with its ``ordinal``."""
        name = (finding.rule, finding.key)
        ordinal = self._counts.get(name, 0)
        self._counts[name] = ordinal + 1
        return replace(finding, ordinal=ordinal)


def by_weight(finding: Finding) -> tuple[int, int, float, str, int]:
    """Sort key: grade, then reach and surprise, then place."""
    weight = {"error": 4.0, "warning": 2.0, "note": 1.0}[finding.severity]
    weight *= (1 + min(finding.reach, 50)) * (1 + min(finding.surprise, 8.0) / 8)
    return (
        finding.grade.rank,
        {"certain": 0, "likely": 1, "possible": 2}[finding.certainty],
        -weight,
        *((finding.place.path, finding.place.line)),
    )
