"""A process that is run by the project's Python, in the sandbox, and answers messages on its pipes."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from famulus import sandbox
from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.worker import frames

_TICK = 0.05  # seconds between two looks at the clock


class Peer:
    """Started at once; whoever holds it closes it.

    ``what`` it runs, for messages. ``root``: shown read-only, its working folder. ``limits``: None runs it without a
    sandbox, as the user demanded. ``check`` is called some twenty times a second while an answer is waited for; what
    it raises ends the wait and the process. Raises :class:`sandbox.SandboxError` where code cannot be run safely."""

    def __init__(
        self,
        what: str,
        argv: Sequence[str],
        root: str,
        *,
        readable: Sequence[Path],
        variables: Mapping[str, str],
        limits: sandbox.Limits | None,
        check: Callable[[], None],
    ) -> None:
        self._what, self._check, self._open = what, check, True
        self._process: sandbox.Process | subprocess.Popen[bytes]
        if limits is not None:
            self._process = sandbox.spawn(argv, project=Path(root), readable=readable, env=variables, limits=limits)
        else:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=root,
                env={**os.environ, **variables, "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
                bufsize=0,
            )
        self._into: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._out: BinaryIO = self._process.stdout  # type: ignore[assignment]

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a message; the peer keeps the time, ``seconds`` are for one that is itself lost.

        Raises :class:`ExecutionFailed` and what ``check`` raises; the peer is closed then."""
        try:
            frames.send(self._into.fileno(), dict(message))
        except OSError as error:
            raise self._gone() from error
        return self.receive(seconds)

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next message, as :meth:`ask`."""
        poller = select.poll()
        poller.register(self._out, select.POLLIN)
        try:
            for _ in range(int(seconds / _TICK) + 1):
                self._check()
                if poller.poll(_TICK * 1000):
                    message = frames.receive(self._out.fileno(), 10.0)
                    if message is not None:
                        return message
                    break
        except (OSError, ValueError, TimeoutError):
            pass
        except BaseException:
            self.close()
            raise
        raise self._gone()

    def kill(self) -> None:
        """Stop it without waiting for the end; :meth:`close` is still needed."""
        self._process.kill()

    def close(self) -> None:
        """End it and everything that it started. Safe to call twice."""
        if not self._open:
            return
        self._open = False
        self._process.kill()
        self._process.wait()
        if isinstance(self._process, sandbox.Process):
            self._process.__exit__(None, None, None)
            return
        for pipe in (self._into, self._out):
            pipe.close()

    def _gone(self) -> ExecutionFailed:
        lines = self._process.stderr.text.strip().splitlines() if isinstance(self._process, sandbox.Process) else []
        self.close()
        said = f" ({lines[-1]})" if lines else ""
        return ExecutionFailed(f"The process that runs the project's {self._what} is gone{said}.", fix="Run it again.")
