"""What a cell in words came to: before it runs, and after."""

from __future__ import annotations

from dataclasses import dataclass

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.panel import Panel
from famulus.jupyter_kernel.recordings import Recording
from famulus.jupyter_kernel.translate import Translation
from famulus.jupyter_kernel.undo import Snapshot


@dataclass
class Answer:
    """``run``: the code that stands for the cell, or why there is none."""

    run: str | FamulusError
    panel: Panel
    mode: str = "auto"
    translation: Translation | None = None
    snapshot: Snapshot | None = None
    recording: Recording | None = None
    next_input: str = ""


@dataclass(frozen=True)
class Done:
    """A words cell that has run as the cell number ``count``. ``previous`` is what it went on from, ``said`` the whole
    instruction that it came to."""

    count: int
    translation: Translation
    snapshot: Snapshot
    recording: Recording | None
    previous: Previous
    said: str

    @property
    def words(self) -> str:
        """What was typed."""
        return self.translation.words

    @property
    def code(self) -> str:
        """What ran for it."""
        return self.translation.best.candidate.code
