"""Values that travel through the translation of a words cell: what is wanted, what is proposed, what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["recipe", "model", "mutation", "repair", "recording"]


@dataclass(frozen=True)
class Want:
    """What an instruction asks for, read from its words alone.

    ``kind``: a value to look at, a name to bind, a plot, a file to write, or anything. ``name``: the name that the
    result must get (*call it squares*). The literals are what the instruction says and the code must use; ``equated``:
    the names that it says to equal something (*spread = high - low*). ``changes``: the words may mean that something
    that exists is changed.
    """

    kind: Literal["value", "bind", "plot", "file", "any"] = "any"
    name: str = ""
    numbers: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    equated: tuple[str, ...] = ()
    changes: bool = False


@dataclass(frozen=True)
class Candidate:
    """Code that may be what the instruction means.

    ``coverage``: share of the instruction's literals and names that the code uses, less what it invents, 0–1.
    ``match``: how near the recipe behind it is to the instruction, 0–1. ``likelihood``: mean natural-log probability
    of its tokens after the instruction, None where no model scored it; ``relevance``: how much the instruction adds to
    that. ``votes``: how often a model wrote just this.
    ``meant``: the whole instruction where the words went on from the one before, else "".
    """

    code: str
    source: Source
    recipe: str = ""
    coverage: float = 0.0
    match: float = 0.0
    likelihood: float | None = None
    relevance: float | None = None
    votes: int = 1
    meant: str = ""


@dataclass(frozen=True)
class Effect:
    """Something outside the process that the code tried and the rehearsal refused: ``what`` is a path or an
    address."""

    kind: Literal["write", "delete", "network", "process", "other"]
    what: str


@dataclass(frozen=True)
class Rehearsal:
    """What happened when code ran in a copy of the kernel. Names are those of the user's namespace; ``changed`` are
    objects altered in place, ``unchecked`` those that the code could reach and that were too large or too strange to
    be compared wholly. ``value`` is the shortened ``repr`` of the last expression, None if there is none."""

    status: Literal["ok", "error", "refused", "timeout", "memory", "died"]
    seconds: float = 0.0
    bound: tuple[str, ...] = ()
    rebound: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    value: str | None = None
    value_type: str = ""
    stdout: str = ""
    displays: int = 0
    figures: int = 0
    effects: tuple[Effect, ...] = ()
    error: str = ""
    message: str = ""
    traceback: str = ""
    unchecked: tuple[str, ...] = ()
