"""Another model without a gap: a second worker loads beside the first and takes over when it is ready. No torch.

New requests go to the new worker from that moment; those that run end on the old one, which then leaves. A model that
cannot be loaded changes nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from famulus.engine.errors import Overloaded
from famulus.engine.protocol import ModelInfo
from famulus.engine.supervisor import TICK_SECONDS, Supervisor

log = logging.getLogger("famulus.switching")

LOADING_SECONDS = 600.0
"""A model that is packed for the first time takes a while."""

DRAIN_SECONDS = 600.0
"""The longest that the old worker stays for requests that it is still answering."""


class Switching:
    """The supervisor that gets new requests, and those before it that end their last ones. Use:
    ``task = create_task(switching.run())``."""

    def __init__(
        self, first: Supervisor, took_over: Callable[[Supervisor], None], *, drain: float = DRAIN_SECONDS
    ) -> None:
        """``took_over`` is called with every later supervisor when it gets the requests from now on."""
        self.current = first
        self._took_over, self._drain = took_over, drain
        self._tasks: dict[Supervisor, asyncio.Task[None]] = {}
        self._loading = False
        self._stopped = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    @property
    def open_requests(self) -> int:
        """Requests that wait or run, those on workers before included."""
        return sum(supervisor.open_requests for supervisor in self._tasks)

    async def run(self) -> None:
        """Keep workers alive until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._tasks[self.current] = group.create_task(self.current.run())
            await self._stopped.wait()

    async def switch(self, model: str) -> ModelInfo:
        """Serve ``model`` (as in the settings) instead, as soon as it is loaded.

        Raises :class:`ModelNotFound`, :class:`BadWeights`, :class:`InvalidRequest` where it cannot be, and
        :class:`Overloaded` while another one is being loaded; the old one is then served on.
        """
        if self._loading or self._group is None:
            raise Overloaded("The engine is loading another model already.", fix="Try again when it is ready.")
        self._loading = True
        try:
            old = self.current
            command = dataclasses.replace(old.command, settings=old.command.settings | {"model": model})
            new = Supervisor(command)
            task = self._tasks[new] = self._group.create_task(new.run())
            try:
                found = await new.wait_ready(LOADING_SECONDS, over_deaths=False)
            except BaseException:
                await self._end(new, task)
                raise
            log.info("another model takes over", extra={"worker": new.worker_pid})
            self.current = new
            self._took_over(new)
            self._group.create_task(self._retire(old))
            return found
        finally:
            self._loading = False

    async def _retire(self, old: Supervisor) -> None:
        """End a worker that gets no new requests when its last one has ended."""
        try:
            async with asyncio.timeout(self._drain):
                while old.open_requests and old.state != "failed":  # noqa: ASYNC110 (requests end in many ways)
                    await asyncio.sleep(TICK_SECONDS)
        except TimeoutError:
            log.warning("requests that did not end were cut", extra={"seconds": self._drain})
        await self._end(old, self._tasks[old])

    async def _end(self, supervisor: Supervisor, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait({task})
        del self._tasks[supervisor]
