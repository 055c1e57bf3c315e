"""The engine's server process: opens the doors, supervises the worker, leaves when nobody needs it. No torch.

Front ends start it detached (:mod:`famulus.engine.__main__`); ``famulus serve`` calls :func:`serve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from famulus import __version__
from famulus.engine.api.app import application
from famulus.engine.api.services import Services
from famulus.engine.connections import Listener
from famulus.engine.errors import AddressInUse, FamulusError
from famulus.engine.folders import Folders, folders, private, storage_failed
from famulus.engine.gate import Access
from famulus.engine.launch import EXIT_ALREADY_RUNNING
from famulus.engine.listen import UnixDoor, bind_tcp, bind_unix, new_token
from famulus.engine.metrics import Metrics
from famulus.engine.protocol import VERSION, Status
from famulus.engine.runtime import FileLock, Notice, RuntimeFiles
from famulus.engine.settings import Settings, load_settings
from famulus.engine.spawn import WorkerCommand, WorkerProcess
from famulus.engine.supervisor import Supervisor
from famulus.engine.switching import Switching

log = logging.getLogger("famulus.server")

GRACE_SECONDS = 5


@dataclass(frozen=True)
class Options:
    """How to serve. ``port`` None: Unix socket only; 0: any free port. ``idle_exit``: seconds without
    connections, None: never."""

    worker: WorkerCommand = field(default_factory=WorkerCommand)
    port: int | None = None
    idle_exit: float | None = 1800.0
    folders: Folders = field(default_factory=folders)


class Engine:
    """One server's life, from the lock to the last closed socket."""

    def __init__(self, options: Options, first: WorkerProcess | None = None) -> None:
        self._options = options
        self._started = time.monotonic()
        self.generation = secrets.token_hex(8)
        self.files = RuntimeFiles(private(options.folders.runtime))
        self.port: int | None = None
        self._door: UnixDoor | None = None
        self._switching = Switching(Supervisor(options.worker, first), self._take_over)
        self._services: Services | None = None
        self._stopping = asyncio.Event()

    async def run(self, on_listening: Callable[[Engine], None] | None = None) -> None:
        """Serve until stopped. Raises :class:`AddressInUse` when an engine already runs,
        :class:`StorageFailed`."""
        lock = FileLock(self.files.lock)
        if not lock.acquire():
            raise AddressInUse("An engine already runs for this user.", fix="`famulus status` shows it.")
        try:
            with contextlib.ExitStack() as cleanup:
                try:
                    listener, sockets = self._open_doors(cleanup)
                except OSError as error:
                    raise storage_failed(self.files.folder, error) from error
                if on_listening is not None:
                    on_listening(self)
                await self._serve(listener, sockets)
        finally:
            lock.release()

    def stop(self) -> None:
        """Leave soon: no new connections, running requests get some seconds."""
        self._stopping.set()

    def status(self) -> Status:
        """What ``/v1/status`` answers."""
        supervisor = self._switching.current
        return Status(
            state=supervisor.state,
            reason=supervisor.reason,
            version=__version__,
            protocol=VERSION,
            generation=self.generation,
            pid=os.getpid(),
            worker_pid=supervisor.worker_pid,
            uptime=time.monotonic() - self._started,
            idle_exit=self._options.idle_exit,
            socket=str(self._door.path) if self._door is not None else None,
            port=self.port,
            model=supervisor.model,
            plan=supervisor.plan,
            open_requests=self._switching.open_requests,
            restarts=supervisor.restarts,
            stats=supervisor.stats,
        )

    def _take_over(self, supervisor: Supervisor) -> None:
        """Requests go to ``supervisor`` from now on."""
        assert self._services is not None
        self._services.metrics.follow(supervisor)
        self._services.supervisor = supervisor

    def _open_doors(self, cleanup: contextlib.ExitStack) -> tuple[Listener, list[Any]]:
        """Bind everything and say so in ``engine.json``; ``cleanup`` undoes it in reverse."""
        files, port = self.files, self._options.port
        sockets = []
        token = None
        files.token.unlink(missing_ok=True)
        if port is not None or os.name == "nt":
            tcp = cleanup.enter_context(contextlib.closing(bind_tcp(port or 0)))
            self.port = tcp.getsockname()[1]
            sockets.append(tcp)
        if os.name != "nt":
            self._door = bind_unix(files.socket)
            cleanup.callback(self._door.sock.close)
            cleanup.callback(self._door.remove)
            sockets.append(self._door.sock)
        if self.port is not None:
            token = new_token(files.token)
            cleanup.callback(files.token.unlink, missing_ok=True)
        Notice(
            generation=self.generation,
            pid=os.getpid(),
            protocol=VERSION,
            version=__version__,
            socket=str(files.socket) if self._door is not None else None,
            port=self.port,
        ).write(files.notice)
        cleanup.callback(files.notice.unlink, missing_ok=True)
        first = self._switching.current
        self._services = Services(first, Metrics(first), self.status, self.stop, self._switching.switch)
        return Listener(application(self._services, Access(self.port, token)), grace_seconds=GRACE_SECONDS), sockets

    async def _serve(self, listener: Listener, sockets: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.stop)
        supervising = asyncio.create_task(self._switching.run())
        serving = asyncio.create_task(listener.serve(sockets))
        idle = asyncio.create_task(self._leave_when_idle(listener))
        stopping = asyncio.create_task(self._stopping.wait())
        log.info("engine listens", extra={"generation": self.generation, "port": self.port})
        try:
            await asyncio.wait({supervising, serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._door is not None:
                # First nobody finds the door any more, then it closes.
                self._door.remove()
            listener.should_exit = True
            await serving
        finally:
            for task in (idle, stopping, supervising):
                task.cancel()
            ended = await asyncio.gather(idle, stopping, supervising, return_exceptions=True)
            log.info("engine leaves")
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _leave_when_idle(self, listener: Listener) -> None:
        limit = self._options.idle_exit
        if limit is None:
            return
        loop = asyncio.get_running_loop()
        quiet_since = loop.time()
        while loop.time() - quiet_since < limit:
            await asyncio.sleep(min(1.0, limit / 4))
            if listener.connection_count or self._switching.open_requests:
                quiet_since = loop.time()
        log.info("nobody asked for a while", extra={"seconds": limit})
        self.stop()


async def serve(
    settings: Settings,
    first: WorkerProcess | None = None,
    *,
    port: int | None = None,
    on_listening: Callable[[Engine], None] | None = None,
) -> None:
    """Serve until a signal, ``/v1/shutdown`` or idleness. ``port``: also on 127.0.0.1 (0: a free one), with a
    token.

    ``first``: a worker that was started already. ``on_listening`` is called once the doors are open, before the model
    is loaded. Raises :class:`AddressInUse`, :class:`StorageFailed`.
    """
    await Engine(options_from(settings, port), first).run(on_listening)


def options_from(settings: Settings, port: int | None = None) -> Options:
    """How these settings want to be served."""
    worker = WorkerCommand(settings.model_dump(mode="json"))
    return Options(worker, port, settings.idle_exit_seconds or None)


def run_detached(asked: argparse.Namespace, first: WorkerProcess | None) -> int:
    """Serve as :mod:`famulus.engine.__main__` was asked to, with the worker that it started; the exit status."""
    try:
        settings = load_settings(model=asked.model, idle_exit_seconds=asked.idle_exit)
        options = options_from(settings, asked.port)
        if asked.core is not None:
            command = WorkerCommand(json.loads(asked.core_settings or "{}"), asked.core)
            options = dataclasses.replace(options, worker=command)
        asyncio.run(Engine(options, first).run())
    except AddressInUse as error:
        log.error("%s", error)
        return EXIT_ALREADY_RUNNING
    except FamulusError as error:
        log.error("%s", error)
        return 1
    return 0
