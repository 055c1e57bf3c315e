"""How a rule of the review is written, and what it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from famulus.engine.errors import FamulusError
from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.finding import Finding

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.project import Project
    from famulus.lsp_server.review.index.store import Store
    from famulus.lsp_server.review.states import States


NOTHING_RUN = "No code was run: changed functions were not called, and no tests were run."
"""Said once, whichever rules would have run some."""


class Stage(IntEnum):
    """When a rule runs; within a stage in the order of the registry."""

    STATIC = 0
    """Reads code only. Always runs to its end, before all others."""
    RUN = 1
    """Runs code of the project in the sandbox, and shares what is left of the time."""
    MODEL = 2
    """Asks the engine."""


class TimeUp(FamulusError):
    """The time of the review is used up. A rule lets it pass; what it did not reach is named by its caller."""

    code, status = "review_time_up", 504


@dataclass
class Clock:
    """The time that a review, or one rule of it, may still take. ``seconds`` None: as long as it takes."""

    seconds: float | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, never less than 0."""
        return float("inf") if self.seconds is None else max(0.0, self.seconds - (time.monotonic() - self.started))

    def check(self) -> None:
        """Raises :class:`TimeUp` if nothing is left."""
        if self.left <= 0:
            raise TimeUp("The time of the review is used up.", fix="Give it more with --budget.")

    def share(self, part: float) -> Clock:
        """A clock for ``part`` of what is left."""
        return Clock(None if self.seconds is None else self.left * part)


@dataclass
class Context:
    """What a rule may use.

    ``root``: the user's folder, None if there is none (two trees only). ``clock``: this rule's time. ``old`` and
    ``new``: all definitions and references of the two versions, read when first used. ``neutral``: lines of the new
    side, by path, that are proven not to change what the program does (filled by the rule ``neutral``, empty before).
    ``interpreter``: the project's Python; None: found by :mod:`famulus.lsp_server.execution`. ``run_code``: code of the
    project may be run (``sandboxed``; ``unsafe``: without a sandbox, as the user demanded; ``no``: not at all).
    """

    change: Change
    root: Path | None = None
    clock: Clock = field(default_factory=Clock)
    interpreter: Path | None = None
    run_code: Literal["sandboxed", "unsafe", "no"] = "sandboxed"
    seconds: float | None = None
    """The time of the whole review; None: as long as it takes."""
    neutral: dict[str, frozenset[int]] = field(default_factory=dict)
    fresh: bool = False
    """Run again what earlier reviews have run."""
    progress: Callable[[str], None] = lambda text: None
    """Told what is being looked at, in a few words."""
    left_out: list[str] = field(default_factory=list)
    """Sentences on what was not looked at and why; part of the report."""
    found: list[Finding] = field(default_factory=list)
    """What the rules before have found; for the rule ``surprise``, which ranks it."""
    surprise: dict[str, dict[int, float]] = field(default_factory=dict)
    """How little the model expected new lines, in bits for a token, by path and line; from the rule ``surprise``."""
    facts: dict[str, str] = field(default_factory=dict)
    """Numbers for the head of the report, as ``neutral`` → ``214 of 230 changed lines proven neutral``."""
    sarif_old: tuple[Path, ...] = ()
    """Reports of other tools on the old side, read by the rule ``linters``."""
    sarif_new: tuple[Path, ...] = ()
    """Reports of other tools on the new side. With none of the old side, only remarks on changed lines count."""
    _projects: dict[str, Project] = field(default_factory=dict)
    _facts: Store | None = None
    _states: dict[Path, States] = field(default_factory=dict)

    @property
    def old(self) -> Project:
        """The old version's definitions and references."""
        return self._project("old")

    @property
    def new(self) -> Project:
        """The new version's definitions and references."""
        return self._project("new")

    def states(self, python: Path) -> States:
        """The new versions of earlier reviews beside this one, for results of code that ``python`` runs."""
        from famulus.lsp_server.review.states import States

        if python not in self._states:
            self._states[python] = States(self, python)
        return self._states[python]

    def _project(self, side: str) -> Project:
        from famulus.lsp_server.review.index.project import Project
        from famulus.lsp_server.review.index.store import Store

        if side not in self._projects:
            self._facts = self._facts or Store()
            self._projects[side] = Project(self.change.old if side == "old" else self.change.new, self._facts)
        return self._projects[side]


class Rule(Protocol):
    """One rule. Its findings come as it finds them; it calls ``context.clock.check()`` now and then, so that a review
    keeps its time, and leaves nothing of what it has started when the generator is closed.

    A rule may have a method ``idle`` that takes the context and says whether there is nothing to do for it in this
    change: then the rules before it need not leave it any time."""

    @property
    def name(self) -> str:
        """Its id; the findings' ids are this, or begin with this and a ``/``."""
        ...

    @property
    def title(self) -> str:
        """What it looks for, in a few words."""
        ...

    @property
    def stage(self) -> Stage:
        """When it runs."""
        ...

    def check(self, context: Context) -> Iterator[Finding]:
        """What it finds."""
        ...
