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
from typing import Any, Literal

from famulus.engine import stream
from famulus.engine.client import connect
from famulus.engine.errors import FamulusError
from famulus.engine.protocol import Prompt, Scored

log = logging.getLogger("famulus.lsp")

State = Literal["starting", "ready", "away"]

RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0)


class EngineLink:
    """The engine as the services see it. One per process; use it on one event loop."""

    def __init__(self, home: Path | None = None) -> None:
        self._home = home
        self._stream = stream.connect(home)
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._wanted = asyncio.Event()
        self.state: State = "starting"
        self.reason = "The engine is starting."
        self.model: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to look for the engine, which is started if none runs. Idempotent; returns at once."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` whenever :attr:`state` or :attr:`reason` changes; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def generate(self, prompt: Prompt, **fields: Any) -> stream.Call:
        """Write on from ``prompt``; fields as in :class:`famulus.engine.protocol.Generate`. Never waits."""
        return self._stream.generate(prompt, **fields)

    async def score(self, prompt: Prompt, continuation: str, **fields: Any) -> Scored:
        """How likely is ``continuation``? Raises typed errors."""
        return await self._stream.score(prompt, continuation, **fields)

    def lost(self, error: FamulusError) -> None:
        """A request ended with ``error``: look whether the engine is still there."""
        log.info("the engine did not answer: %s", error)
        self._wanted.set()

    async def close(self) -> None:
        """Let go of the engine, which goes on for others."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.close()

    async def _watch(self) -> None:
        failures = 0
        while True:
            try:
                status = await asyncio.to_thread(self._look)
            except FamulusError as error:
                self._become("away", str(error))
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
            else:
                failures = 0
                if status["state"] == "ready":
                    self.model = status["model"] or {}
                    self._become("ready", "")
                    pause = 30.0
                else:
                    self._become("away" if status["state"] == "failed" else "starting", status["reason"])
                    pause = 0.2
            self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)

    def _look(self) -> dict[str, Any]:
        with connect(self._home) as client:
            found: dict[str, Any] = client.status()
            return found

    def _become(self, state: State, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        if state != self.state:
            log.info("engine is %s %s", state, reason, extra={"at": time.monotonic()})
        self.state, self.reason = state, reason
        for listener in list(self._listeners):
            listener()
