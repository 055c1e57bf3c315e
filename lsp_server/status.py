"""What the editor's status line shows: is the engine there, is something being done, and if not, why and what helps.

Clients that opted in are sent ``famulus/status``; the others are told once, with a message, what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from lsprotocol import types
from msgspec import Struct, to_builtins

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer
    from famulus.lsp_server.session import Session

METHOD = "famulus/status"
RESTART = "famulus.restartEngine"

BUSY_SECONDS = 0.25
"""Work that is done sooner is not shown: the line must not flicker at every key."""
SETTLE_SECONDS = 0.1

Level = Literal["Normal", "Warning", "Error", "Inactive"]


class Button(Struct, frozen=True):
    """A command that helps."""

    title: str
    command: str
    arguments: list[Any] = []


class Shown(Struct, frozen=True, omit_defaults=True):
    """The parameters of ``famulus/status``."""

    kind: Level
    busy: bool
    message: str
    command: Button | None = None

    def wire(self) -> dict[str, Any]:
        """As JSON; only the command may be missing."""
        plain = {"kind": self.kind, "busy": self.busy, "message": self.message}
        return plain if self.command is None else {**plain, "command": to_builtins(self.command)}


class Status:
    """The session's status. ``with status.busy():`` around what works for the user."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._working = 0
        self._turned = 0.0
        """When work began, or ended."""
        self._busy = False
        self._warnings: dict[str, tuple[str, Button | None]] = {}
        self._sent: Shown | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._told: set[str] = set()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Something is being worked on."""
        if self._working == 0:
            self._turned = asyncio.get_running_loop().time()
            self._plan(BUSY_SECONDS)
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            if self._working == 0:
                self._turned = asyncio.get_running_loop().time()
                self._plan(SETTLE_SECONDS)

    def warn(self, key: str, message: str, command: Button | None = None) -> None:
        """Show a warning until ``clear(key)``; the latest one is shown. The engine's own state goes first."""
        self._warnings.pop(key, None)
        self._warnings[key] = (message, command)
        self._plan(0)

    def clear(self, key: str) -> None:
        """The reason for a warning is gone."""
        if self._warnings.pop(key, None) is not None:
            self._plan(0)

    @property
    def current(self) -> Shown:
        """What is so right now."""
        link = self._session.link
        if link.state == "failed":
            return Shown("Error", False, link.reason, Button("Restart the engine", RESTART))
        if link.state == "away":
            return Shown("Warning", False, link.reason, Button("Restart the engine", RESTART))
        if link.state == "starting":
            return Shown("Normal", True, link.reason)
        if self._warnings:
            message, command = list(self._warnings.values())[-1]
            return Shown("Warning", self._busy, message, command)
        if not self._session.settings.general.completion.enabled:
            return Shown("Inactive", self._busy, "Completion is turned off in the settings.")
        return Shown("Normal", self._busy, link.reason)

    def start(self) -> None:
        """The client listens now."""
        stop = self._session.link.listen(lambda: self._plan(SETTLE_SECONDS))
        self._session.at_end.append(stop)
        self._session.at_end.append(self._end)
        self._session.settings.on_change.append(lambda: self._plan(0))
        self._show()

    def _plan(self, seconds: float) -> None:
        """Show what is then so, ``seconds`` from now at the latest."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_at(due, self._show)

    def _show(self) -> None:
        self._timer = None
        self._settle()
        shown = self.current
        if shown == self._sent:
            return
        self._sent = shown
        if self._session.options.status:
            self._session.server.protocol.notify(METHOD, shown.wire())
        elif shown.kind in ("Warning", "Error") and shown.message not in self._told:
            self._told.add(shown.message)
            kind = types.MessageType.Error if shown.kind == "Error" else types.MessageType.Warning
            self._session.server.window_show_message(types.ShowMessageParams(kind, f"Famulus: {shown.message}"))

    def _settle(self) -> None:
        """Show work only when it has gone on for a while, and its end only when nothing follows at once."""
        patience = BUSY_SECONDS if self._working else SETTLE_SECONDS
        left = self._turned + patience - asyncio.get_running_loop().time()
        if self._busy == bool(self._working):
            return
        if left <= 0.001:
            self._busy = bool(self._working)
        else:
            self._plan(left)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def bind(server: FamulusServer) -> None:
    """Registers the command that restarts the engine, and starts to tell the status."""
    session = server.session
    session.status = Status(session)
    session.on_start.append(session.status.start)

    @server.command(RESTART)
    async def restart_engine(*arguments: Any) -> None:
        with session.status.busy():
            await session.link.restart()
