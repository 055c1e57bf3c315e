"""The kernel's side of a rehearsal: forks, waits on the event loop, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel.candidate import Effect, Rehearsal
from famulus.jupyter_kernel.rehearse import forkable
from famulus.jupyter_kernel.rehearse.copy import Copy

MEMORY = 2 << 30
SECONDS = 10.0


class CannotRehearse(FamulusError):
    """The code cannot be tried on a copy of this kernel."""

    code = "cannot_rehearse"


class Rehearser:
    """Tries code on copies of the kernel that owns ``shell``."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._never = ""

    def why_not(self) -> str:
        """Why no copy can be made now, as a clause for people; "" if it can."""
        return self._never or forkable.why_not()

    async def rehearse(
        self, code: str, *, seconds: float = SECONDS, memory: int = MEMORY, allowed: Sequence[Effect] = ()
    ) -> Rehearsal:
        """What ``code`` would do, as a cell of the notebook.

        Main thread only. ``seconds`` of wall time; ``memory`` in bytes beyond what the kernel has now. Nothing can be
        done outside the copy; what was tried is in ``effects``, and effects in ``allowed`` do not make a rehearsal
        that ran to its end ``refused``. Cancelling the task kills the copy at once. Raises :class:`CannotRehearse`.
        """
        reason = self.why_not()
        if reason:
            raise CannotRehearse(
                f"The code cannot be tried on a copy: {reason}.", fix="Look at it, then run it yourself."
            )
        return await self._forked(code, seconds, memory, tuple(allowed))

    async def _forked(self, code: str, seconds: float, memory: int, allowed: tuple[Effect, ...]) -> Rehearsal:
        copy = Copy.make(self._shell, code, seconds, memory, allowed)
        try:
            await copy.wait(seconds)
        finally:
            copy.end()
        if copy.unsafe:
            self._never = copy.unsafe
            raise CannotRehearse(f"The code cannot be tried on a copy: {copy.unsafe}.", fix="Look at it, then run it.")
        if copy.hung:
            self._never = "an earlier copy hung"
        return copy.result()
