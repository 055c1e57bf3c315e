"""Starts the worker, watches it, restarts it, and carries requests to it and events back. No torch.

A worker that dies ends every request that it was working on with :class:`EngineRestarted`; requests that it
has not seen yet wait for the next one. Nothing is ever replayed: a text half streamed cannot be taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from famulus.engine.channel import BrokenChannel, frame, read_frame
from famulus.engine.errors import (
    DeadlineExceeded,
    EngineRestarted,
    EngineUnavailable,
    FamulusError,
    Overloaded,
    from_wire,
)
from famulus.engine.health import Limits, Watch, activity
from famulus.engine.protocol import (
    Beat,
    Cancel,
    Fatal,
    FromWorker,
    Loading,
    ModelInfo,
    Ready,
    encode,
    worker_decoder,
)
from famulus.engine.spawn import WorkerCommand, WorkerProcess, start_worker
from famulus.engine.tickets import Ticket, Work, check, deadline, failure, unknown_model

log = logging.getLogger("famulus.supervisor")

State = Literal["loading", "ready", "frozen", "restarting", "failed"]

TICK_SECONDS = 0.2
READY_SECONDS = 60.0
MAX_OPEN = 256
MAX_QUEUED_BYTES = 64 << 20
BACK_OFF = (0.0, 0.5, 1.0, 2.0)
SLOW_RETRY_SECONDS = 30.0
CRASHES, CRASH_WINDOW = 5, 180.0
READ_AHEAD = 1 << 20
"""Bytes from the worker that are buffered before it has to wait."""


class Supervisor:
    """The one owner of the worker process. Use: ``task = create_task(supervisor.run())``, then :meth:`open`."""

    def __init__(
        self,
        command: WorkerCommand,
        first: WorkerProcess | None = None,
        *,
        limits: Limits | None = None,
        slow_retry: float = SLOW_RETRY_SECONDS,
    ) -> None:
        """``first``: a worker that was started already with this command; it still waits for its settings."""
        self.state: State = "loading"
        self.stage = "starting"
        self.model: ModelInfo | None = None
        self.plan: list[tuple[str, str, str]] = []
        self.stats: dict[str, float] = {}
        self.restarts = 0
        self.on_event: Callable[[FromWorker], None] | None = None
        self.command = command
        self._failure: FamulusError | None = None
        self._limits = limits
        self._slow_retry = slow_retry
        self._first = first
        self._process: WorkerProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._next_id = 0
        self._waiting: dict[Ticket, asyncio.TimerHandle] = {}
        self._running: dict[str, Ticket] = {}
        self._wire_ids: dict[Ticket, str] = {}
        self._opened_at: dict[Ticket, float] = {}
        self._deaths: deque[float] = deque(maxlen=CRASHES)
        self._changed = asyncio.Event()

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._process.pid if self._process is not None and self._process.alive else None

    @property
    def open_requests(self) -> int:
        """Requests that wait or run."""
        return len(self._waiting) + len(self._running)

    @property
    def reason(self) -> str:
        """Why the state is what it is: one sentence for people, empty when ready."""
        match self.state:
            case "ready":
                return ""
            case "loading":
                return f"The model is loading: {self.stage}."
            case "frozen":
                return "The worker has not reported for over a second."
            case "restarting":
                return "The worker died and is being restarted."
            case "failed":
                return str(self._failure)

    async def wait_ready(self, seconds: float = READY_SECONDS, *, over_deaths: bool = True) -> ModelInfo:
        """The model, as soon as it is served. Raises the reason if it failed, :class:`EngineUnavailable`
        after ``seconds``, and when the worker died unless one waits ``over_deaths`` as well."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.model is None or self.state not in ("ready", "frozen"):
                    if self.state == "failed" and self._failure is not None:
                        raise self._failure
                    if not over_deaths and (self.restarts or self.state == "restarting"):
                        raise EngineUnavailable("The worker died while it loaded the model; engine.log has more.")
                    self._changed.clear()
                    await self._changed.wait()
                return self.model
        raise EngineUnavailable(f"The engine is not ready after {seconds:.0f} s. {self.reason}")

    def open(self, request: Work) -> Ticket:
        """Start ``request``; its events, the error included, come from the ticket. Raises
        :class:`Overloaded`, and :class:`InvalidRequest` for fields out of the protocol's bounds."""
        check(request)
        queued = self._writer.transport.get_write_buffer_size() if self._writer is not None else 0
        if self.open_requests >= MAX_OPEN or queued > MAX_QUEUED_BYTES:
            raise Overloaded(
                f"The engine already has {self.open_requests} open requests.", fix="Try again in a moment."
            )
        ticket = Ticket(request, self._forget)
        if self.state == "failed" and self._failure is not None:
            ticket.push(failure(request.id, self._failure))
        elif self._writer is not None and self.model is not None:
            self._send(ticket)
        else:
            self._wait(ticket)
        return ticket

    # -- one request's way

    def _wait(self, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        seconds = min(READY_SECONDS, deadline(ticket.request) or READY_SECONDS)
        self._waiting[ticket] = loop.call_later(seconds, self._give_up, ticket)
        self._opened_at[ticket] = loop.time()

    def _give_up(self, ticket: Ticket) -> None:
        self._forget(ticket)
        if deadline(ticket.request) is not None:
            error: FamulusError = DeadlineExceeded(f"The deadline passed before the engine was ready. {self.reason}")
        else:
            error = EngineUnavailable(f"The engine was not ready within {READY_SECONDS:.0f} s. {self.reason}")
        ticket.push(failure(ticket.request.id, error))

    def _send(self, ticket: Ticket) -> None:
        assert self._writer is not None
        assert self.model is not None
        request = ticket.request
        wanted = getattr(request, "model", "")
        if wanted and wanted != self.model.id:
            ticket.push(failure(request.id, unknown_model(wanted, self.model.id)))
            return
        self._next_id += 1
        wire_id = str(self._next_id)
        self._running[wire_id] = ticket
        self._wire_ids[ticket] = wire_id
        self._writer.write(frame(encode(msgspec.structs.replace(request, id=wire_id, **self._remaining(ticket)))))

    def _remaining(self, ticket: Ticket) -> dict[str, int]:
        """The deadline less the time spent waiting for a worker."""
        opened, seconds = self._opened_at.pop(ticket, None), deadline(ticket.request)
        if opened is None or seconds is None:
            return {}
        left = seconds - (asyncio.get_running_loop().time() - opened)
        return {"deadline_ms": max(1, int(left * 1000))}

    def _forget(self, ticket: Ticket) -> None:
        """Drop all traces of a ticket and tell the worker, which may work on it."""
        self._opened_at.pop(ticket, None)
        timer = self._waiting.pop(ticket, None)
        if timer is not None:
            timer.cancel()
        wire_id = self._wire_ids.pop(ticket, None)
        if wire_id is not None:
            del self._running[wire_id]
            if self._writer is not None:
                self._writer.write(frame(encode(Cancel(wire_id))))

    def _deliver(self, event: Any) -> None:
        ticket = self._running.get(event.id)
        if ticket is None:
            return  # cancelled meanwhile: late events mean nothing to anybody
        ticket.push(event)
        if ticket.ended:
            self._running.pop(event.id, None)
            self._wire_ids.pop(ticket, None)

    # -- the worker's lives

    async def run(self) -> None:
        """Keep a worker alive until cancelled; then end it and fail what is open."""
        try:
            while True:
                await self._one_life()
                self.restarts += 1
                await asyncio.sleep(self._back_off())
        finally:
            await self._kill()
            for ticket in list(self._waiting):
                self._forget(ticket)
                ticket.push(failure(ticket.request.id, EngineUnavailable("The engine is shutting down.")))

    def _back_off(self) -> float:
        """Seconds until the next start; after too many deaths the state is failed and retries are slow."""
        now = time.monotonic()
        self._deaths.append(now)
        recent = [death for death in self._deaths if now - death < CRASH_WINDOW]
        if self.state == "failed" or len(recent) >= CRASHES:
            if self._failure is None:
                message = f"The engine's worker died {len(recent)} times within {CRASH_WINDOW / 60:.0f} minutes."
                self._fail(EngineUnavailable(message, fix="Run `famulus doctor`; engine.log has the reason."))
            return self._slow_retry
        return BACK_OFF[min(len(recent), len(BACK_OFF)) - 1]

    async def _one_life(self) -> None:
        """Start a worker and serve it until it ends or is ended."""
        try:
            reader, writer = await self._start()
        except OSError as error:
            self._fail(EngineUnavailable(f"The worker cannot be started with {self.command.python}: {error}."))
            return
        if self.state != "failed":
            self._become("loading")
        self.stage = "starting the worker"
        self._writer = writer
        watch = Watch(time.monotonic(), self._limits)
        watcher = asyncio.create_task(self._watch(watch))
        try:
            await self._listen(reader, watch)
        except (BrokenChannel, msgspec.MsgspecError) as error:
            log.error("the worker sent nonsense: %s", type(error).__name__)
        finally:
            watcher.cancel()
            self._writer = None
            writer.close()
            self._signal(signal.SIGKILL)
            if self.state != "failed":
                self._become("restarting")
            # Before the process is reaped: taking apart many gigabytes lasts longer than a user should wait.
            self._bury(EngineRestarted("The engine's worker ended while this request ran.", fix="Ask again."))
            await self._kill()

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start a worker, or take the one that was started for us, and send it its settings."""
        process, self._first = self._first or start_worker(self.command.python, self.command.core), None
        self._process = process
        process.channel.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=process.channel, limit=READ_AHEAD)
        writer.write(frame(json.dumps(self.command.settings).encode()))
        return reader, writer

    async def _listen(self, reader: asyncio.StreamReader, watch: Watch) -> None:
        while (payload := await read_frame(reader)) is not None:
            message = worker_decoder.decode(payload)
            now = time.monotonic()
            match message:
                case Beat():
                    watch.beat(now, message.progress, message.busy)
                    self.stats = message.stats
                case Loading():
                    watch.beat(now, -1, False)
                    self.stage = message.stage
                case Ready():
                    watch.ready(now)
                    self._greet(message)
                case Fatal():
                    self._fail(from_wire(message.code, message.message))
                case _:
                    self._deliver(message)
            if self.on_event is not None:
                self.on_event(message)

    def _greet(self, ready: Ready) -> None:
        self.model, self.plan, self._failure = ready.model, ready.plan, None
        self._become("ready")
        for ticket, timer in list(self._waiting.items()):
            timer.cancel()
            del self._waiting[ticket]
            self._send(ticket)

    async def _watch(self, watch: Watch) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, pid = time.monotonic(), self.worker_pid
            seen = activity(pid) if pid is not None and watch.wants_activity(now) else None
            verdict = watch.judge(now, TICK_SECONDS, seen)
            if verdict == "dead":
                log.error("the worker is frozen and is being killed", extra={"pid": pid})
                self._signal(signal.SIGKILL)
                return
            if verdict == "suspect" and self.state == "ready":
                self._become("frozen")
            elif verdict == "well" and self.state == "frozen":
                self._become("ready")

    def _become(self, state: State) -> None:
        if state != self.state:
            log.info("engine is %s", state, extra={"worker": self.worker_pid})
        self.state = state
        self._changed.set()

    def _fail(self, error: FamulusError) -> None:
        """Enter the failed state: every request is answered with ``error`` until a later start succeeds."""
        log.error("the engine failed: %s", error)
        self._failure = error
        self._become("failed")
        for ticket in list(self._waiting):
            self._forget(ticket)
            ticket.push(failure(ticket.request.id, error))

    def _bury(self, error: FamulusError) -> None:
        """Fail what a dead worker was working on."""
        self.model, self.stats = None, {}
        tickets = list(self._running.values())
        self._running.clear()
        self._wire_ids.clear()
        for ticket in tickets:
            ticket.push(failure(ticket.request.id, error))

    async def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.signal(number)
