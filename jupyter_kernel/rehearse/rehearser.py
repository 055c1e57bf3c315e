"""The kernel's side of a rehearsal: forks, waits on the event loop, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel import preload
from famulus.jupyter_kernel.candidate import Effect, Rehearsal
from famulus.jupyter_kernel.interrupt import in_thread

if TYPE_CHECKING:
    from famulus.jupyter_kernel.rehearse.copy import Copy
    from famulus.jupyter_kernel.rehearse.fresh import Twin

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
        self._twin: Twin | None = None

    def why_not(self) -> str:
        """Why the kernel cannot be forked now, as a clause for people; "" if it can. Code is then tried in a fresh
        process, which gets what it needs where that can travel."""
        from famulus.jupyter_kernel.rehearse import forkable

        return self._never or forkable.why_not()

    async def rehearse(
        self, code: str, *, seconds: float = SECONDS, memory: int = MEMORY, allowed: Sequence[Effect] = ()
    ) -> Rehearsal:
        """What ``code`` would do, as a cell of the notebook.

        Main thread only. ``seconds`` of wall time; ``memory`` in bytes beyond what the kernel has now. Nothing can be
        done outside the copy; what was tried is in ``effects``, and effects in ``allowed`` do not make a rehearsal
        that ran to its end ``refused``. Cancelling the task kills the copy at once. Raises :class:`CannotRehearse`.
        """
        missing = preload.wanted(code)
        if missing:
            await in_thread(lambda: preload.load(missing))
        reason = self.why_not()
        copy = await self._begin(reason, code, seconds, memory, tuple(allowed))
        try:
            await copy.wait(seconds)
        finally:
            copy.end()
        if reason:
            if copy.unsafe:
                raise _refusal(f"{reason}, and {copy.unsafe}")
            return self._as_here(copy.result())
        self._never = copy.unsafe or (
            "an earlier copy hung" if copy.hung else "an earlier copy broke" if copy.broken else ""
        )
        if not self._never:
            return copy.result()
        try:
            return await self.rehearse(code, seconds=seconds, memory=memory, allowed=allowed)
        except CannotRehearse:
            if copy.unsafe:
                raise
            return copy.result()

    async def _begin(self, reason: str, code: str, seconds: float, memory: int, allowed: tuple[Effect, ...]) -> Copy:
        """A copy that runs; ``reason`` is why it cannot be one of this process."""
        from famulus.jupyter_kernel.rehearse import forkable  # what follows exists on Linux only

        if not forkable.can_cut_off():
            raise _refusal(reason)
        from famulus.jupyter_kernel.rehearse.copy import Copy
        from famulus.jupyter_kernel.rehearse.fresh import Twin
        from famulus.jupyter_kernel.rehearse.travel import CannotTravel

        try:
            if not reason:
                return Copy.fork(self._shell, code, seconds, memory, allowed)
            self._twin = self._twin or Twin(self._shell)
            return await self._twin.copy(code, seconds, memory, allowed)
        except CannotTravel as error:
            raise _refusal(f"{reason}, and {error}") from None
        except OSError as error:
            raise _refusal(f"no process can be started ({error})") from error

    def close(self) -> None:
        """End the second process, if there is one."""
        if self._twin is not None:
            self._twin.close()

    def _as_here(self, seen: Rehearsal) -> Rehearsal:
        """The second process knows only the names that the code reads."""
        rebound = tuple(name for name in seen.bound if name in self._shell.user_ns)
        bound = tuple(name for name in seen.bound if name not in rebound)
        return replace(seen, bound=bound, rebound=(*seen.rebound, *rebound))


def _refusal(reason: str) -> CannotRehearse:
    return CannotRehearse(f"The code cannot be tried on a copy: {reason}.", fix="Look at it, then run it yourself.")
