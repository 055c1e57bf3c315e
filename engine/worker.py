"""The worker process: owns the model, runs the step loop, and reports to the server.

Started by :mod:`famulus.engine.supervisor` as ``python -P -m famulus.engine.worker --fd N --core
MODULE:CLASS``. The first frame on the channel is the settings as JSON (never argv, which every user can
read). It exits when the channel closes."""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from famulus.engine.channel import MAX_FRAME, BrokenChannel, WorkerEnd
from famulus.engine.errors import FamulusError, InvalidRequest
from famulus.engine.logs import configure
from famulus.engine.protocol import (
    Beat,
    Cancel,
    Event,
    Failed,
    Fatal,
    Loading,
    ModelInfo,
    Ready,
    Request,
    encode,
    request_decoder,
)

log = logging.getLogger("famulus.worker")

BEAT_SECONDS = 0.25
EXIT_FATAL = 3


class Core(Protocol):
    """What the worker needs of :class:`famulus.engine.core.Core`; tests of process failures bring their
    own."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def plan(self) -> list[tuple[str, str, str]]: ...
    @property
    def busy(self) -> bool: ...
    @property
    def progress(self) -> int: ...
    def submit(self, request: Any) -> None: ...
    def cancel(self, id: str) -> None: ...
    def step(self, poll: Callable[[], None]) -> list[Event]: ...
    def stats(self) -> dict[str, float]: ...
    def close(self) -> None: ...


class Heart:
    """Sends a :class:`Beat` every quarter second from its own thread, so that a long step is not taken for
    death."""

    def __init__(self, channel: WorkerEnd) -> None:
        self._channel = channel
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self.progress: Callable[[], int] = lambda: 0
        self.busy = True
        self.stats: dict[str, float] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self._channel.send(encode(Beat(self.progress(), self.busy, self.stats)))
            except OSError:
                # The server is gone. Loading weights does not look at the channel, so only this thread
                # notices.
                os._exit(0)


class Worker:
    """The loop between the channel and the core."""

    def __init__(self, channel: WorkerEnd, core: Core, heart: Heart) -> None:
        self._channel = channel
        self._core = core
        self._heart = heart
        self._stats_due = 0.0

    def run(self) -> None:
        """Serve until the channel closes (:class:`BrokenChannel`)."""
        while True:
            self._heart.busy = self._core.busy
            self._publish_stats(idle=not self._core.busy)
            self._drain(0 if self._core.busy else None)
            self._heart.busy = self._core.busy
            if self._core.busy:
                for event in self._core.step(self._poll):
                    self._send(event)

    def _poll(self) -> None:
        self._drain(0)

    def _drain(self, timeout: float | None) -> None:
        for payload in self._channel.receive(timeout):
            self._dispatch(request_decoder.decode(payload))

    def _dispatch(self, request: Request) -> None:
        if isinstance(request, Cancel):
            self._core.cancel(request.id)
            return
        try:
            self._core.submit(request)
        except FamulusError as error:
            self._send(Failed(request.id, error.code, str(error)))
        except Exception:
            # A fault of ours in taking one request ends that request, not everybody's.
            log.exception("a request could not be taken")
            self._core.cancel(request.id)
            self._send(Failed(request.id, FamulusError.code, "The engine failed on this request; engine.log says why."))

    def _publish_stats(self, *, idle: bool) -> None:
        # A snapshot by this thread: the heart never looks into structures that a step is changing.
        now = time.monotonic()
        if idle or now >= self._stats_due:
            self._heart.stats = self._core.stats()
            self._stats_due = now + BEAT_SECONDS

    def _send(self, event: Event) -> None:
        payload = encode(event)
        if len(payload) > MAX_FRAME:
            # One request that asked for too much must not take the channel, and with it all others, down.
            self._core.cancel(event.id)
            size = f"{len(payload) >> 20} MiB"
            error = InvalidRequest(f"The answer has {size}, which is too much.", fix="Ask for fewer log-probabilities.")
            payload = encode(Failed(event.id, error.code, str(error)))
        self._channel.send(payload)


def import_core(target: str) -> type[Any]:
    """The class that ``module:Class`` or ``file.py:Class`` names."""
    source, _, name = target.rpartition(":")
    if source.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(source).stem, source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(source)
    core: type[Any] = getattr(module, name)
    return core


def serve(channel: WorkerEnd, target: str) -> int:
    """Load the core, announce it, run it. Returns the exit status."""
    heart = Heart(channel)
    stages = 0

    def progress(stage: str) -> None:
        nonlocal stages
        stages += 1
        channel.send(encode(Loading(stage)))

    heart.progress = lambda: stages
    heart.start()
    try:
        # The long import first: whoever started this process may still be getting ready itself.
        loader = import_core(target)
        core: Core = loader.load(first_frame(channel), progress)
    except BrokenChannel:
        raise
    except FamulusError as error:
        channel.send(encode(Fatal(error.code, str(error))))
        return EXIT_FATAL
    except MemoryError:
        channel.send(encode(Fatal("bad_weights", "The model does not fit into memory. Choose a smaller model.")))
        return EXIT_FATAL
    except Exception as error:
        log.exception("loading failed")
        reason = f"The worker failed while it loaded ({type(error).__name__}). engine.log has the place."
        channel.send(encode(Fatal("engine_unavailable", reason)))
        return EXIT_FATAL
    heart.progress = lambda: core.progress
    gc.freeze()
    gc.enable()
    channel.send(encode(Ready(core.info, core.plan)))
    try:
        Worker(channel, core, heart).run()
    finally:
        heart.stop()
        core.close()
    return 0


def first_frame(channel: WorkerEnd) -> dict[str, Any]:
    """The settings."""
    frames = channel.receive(None)
    while not frames:
        frames = channel.receive(None)
    settings: dict[str, Any] = json.loads(frames[0])
    return settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the worker process."""
    parser = argparse.ArgumentParser(prog="famulus.engine.worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--core", default="famulus.engine.core:Core")
    options = parser.parse_args(arguments)
    # Importing makes hundreds of thousands of objects that stay: looking for garbage among them costs half a second.
    gc.disable()
    configure(sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the server, which then ends us
    prefer_as_victim()
    channel = WorkerEnd(socket.socket(fileno=options.fd))
    try:
        return serve(channel, options.core)
    except BrokenChannel:
        return 0
    except msgspec.MsgspecError:
        log.exception("the server sent a message of another protocol")
        return 1
    except OSError as error:
        log.error("lost the server: %s", error)
        return 1
    except Exception:
        log.exception("the worker failed")
        return 1


def prefer_as_victim() -> None:
    """When memory runs out, the kernel should end this process before an editor (Linux; elsewhere
    nothing)."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")
    except OSError:
        log.debug("no oom_score_adj on this system")


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Not sys.exit: taking torch apart costs over a second, in which a restart would wait.
    os._exit(status)
