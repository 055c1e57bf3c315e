"""The way to the engine: one stream for all sessions of this process, opened in the background, opened again when lost.

Everything that is not a model's work goes on while the engine is away; what needs it asks :attr:`EngineLink.state`
first and says why nothing comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from famulus.engine import launch
from famulus.engine.client import Client, connect
from famulus.engine.errors import EngineUnavailable, FamulusError

if TYPE_CHECKING:
    from famulus.engine.protocol import Prompt, Scored, Tokenized
    from famulus.engine.stream import Call, Stream

log = logging.getLogger("famulus.lsp")

State = Literal["starting", "ready", "asleep", "away", "failed"]
"""``asleep``: it left after a time without use, and starts again when somebody types. ``failed``: its model cannot be
loaded. ``away``: it cannot be started, or stopped answering."""

RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0)
STARTING_SECONDS = 0.2
WATCH_SECONDS = 30.0
STOP_SECONDS = 10.0


class EngineLink:
    """The engine as the services see it. One per process; use it on one event loop."""

    def __init__(self, home: Path | None = None, *, watch_seconds: float = WATCH_SECONDS) -> None:
        self._home, self._watch_seconds = home, watch_seconds
        self.home = home
        """The folder that takes the place of the user's own ones, if there is one."""
        self._stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._look_now = asyncio.Event()
        self._may_start = True
        self.state: State = "starting"
        self.reason = "The engine is starting."
        self.model: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to look for the engine, which is started if none runs. Idempotent; returns at once."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def wake(self) -> None:
        """Somebody types: an engine that left for want of use is started again. Returns at once."""
        if self.state == "asleep":
            self._may_start = True
            self._become("starting", "The engine is starting.")
            self._look_now.set()

    async def restart(self) -> None:
        """End the engine, whatever its state, and start it again. Returns when it answers, perhaps still loading.

        Raises :class:`FamulusError` where it does not leave or cannot be started."""
        self._become("starting", "The engine is being restarted.")
        try:
            await asyncio.to_thread(self._stop)
            self._may_start = True
            await asyncio.to_thread(self._look)
        except FamulusError as error:
            self._become("away", str(error))
            raise
        finally:
            self._look_now.set()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` whenever :attr:`state` or :attr:`reason` changes; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def generate(self, prompt: Prompt, **fields: Any) -> Call:
        """Write on from ``prompt``; fields as in :class:`famulus.engine.protocol.Generate`. Never waits."""
        return self._opened().generate(prompt, **fields)

    async def score(self, prompt: Prompt, continuation: str, **fields: Any) -> Scored:
        """How likely is ``continuation``? Raises typed errors."""
        return await self._opened().score(prompt, continuation, **fields)

    async def tokenize(self, text: str) -> Tokenized:
        """The model's tokens of ``text``. Raises typed errors."""
        return await self._opened().tokenize(text)

    def lost(self, error: FamulusError) -> None:
        """A request ended with ``error``: look whether the engine is still there."""
        log.info("the engine did not answer: %s", error)
        self._may_start = True
        self._look_now.set()

    async def close(self) -> None:
        """Let go of the engine, which goes on for others."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._stream is not None:
            await self._stream.close()

    def _opened(self) -> Stream:
        if self._stream is None:
            # The import takes a tenth of a second: not before `initialize` is answered.
            from famulus.engine import stream

            self._stream = stream.connect(self._home)
        return self._stream

    async def _watch(self) -> None:
        failures = 0
        await asyncio.to_thread(_load)
        while True:
            self._look_now.clear()
            try:
                status = await asyncio.to_thread(self._look)
            except FamulusError as error:
                self._become("away", str(error))
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
            else:
                failures = 0
                pause = self._judge(status)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):  # wait_for may lose a cancellation that comes with the timeout
                    await self._look_now.wait()

    def _judge(self, status: dict[str, Any] | None) -> float:
        """Take over what the engine says about itself; returns when to look again, in seconds."""
        if status is None:
            self._become("asleep", "The engine has left after a time without use. It starts again when you type.")
            return self._watch_seconds
        # From now on nobody but a user who types brings it back, or it would never be allowed to leave.
        self._may_start = False
        if status["state"] == "ready":
            self.model = status["model"] or {}
            self._become("ready", "")
            return self._watch_seconds
        if status["state"] == "failed":
            self._become("failed", status["reason"])
            return RETRY_SECONDS[-1]
        self._become("starting", status["reason"] or "The engine is starting.")
        return STARTING_SECONDS

    def _look(self) -> dict[str, Any] | None:
        """The engine's status; None where none runs and none may be started. Raises :class:`FamulusError`."""
        if not self._may_start and launch.find(self._home) is None:
            return None
        with connect(self._home, start=self._may_start) as client:
            found: dict[str, Any] = client.status()
            return found

    def _stop(self) -> None:
        """Ask the engine to leave, and wait until it has. Raises :class:`FamulusError`."""
        address = launch.find(self._home)
        if address is None:
            return
        Client(address).shutdown()
        deadline = time.monotonic() + STOP_SECONDS
        while launch.find(self._home) is not None:
            if time.monotonic() > deadline:
                raise EngineUnavailable("The engine did not leave.", fix="Run `famulus stop` in a terminal.")
            time.sleep(0.05)

    def _become(self, state: State, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        if state != self.state:
            log.info("the engine is %s %s", state, reason)
        self.state, self.reason = state, reason
        for listener in list(self._listeners):
            listener()


def _load() -> None:
    """Import what the stream needs, in a thread of its own while the first look goes on."""
    import famulus.engine.stream  # noqa: F401
