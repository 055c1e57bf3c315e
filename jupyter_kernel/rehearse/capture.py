"""What code shows, collected in place of being sent: printed text, displays, figures, questions."""

from __future__ import annotations

import builtins
import getpass
import io
import os
import sys
from typing import Any, NoReturn

from famulus.jupyter_kernel.rehearse.effects import Refused, Watcher

MOST_TEXT = 64 << 10
"""Characters of output that are kept."""


class Output(io.TextIOBase):
    """A standard stream that writes to a descriptor up to a limit and drops the rest."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._room = MOST_TEXT

    encoding = "utf-8"

    def writable(self) -> bool:
        """As of any stream for output."""
        return True

    def fileno(self) -> int:
        """The descriptor, for programs that write by themselves."""
        return self._fd

    def write(self, text: str) -> int:
        """Writes at once, as long as there is room; the length of ``text``, as of any stream."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._room > 0:
            os.write(self._fd, text[: self._room].encode(errors="replace"))
            self._room -= len(text)
        return len(text)


class Shown:
    """Counts displays and figures; ``errors`` are those of figures that cannot be drawn."""

    def __init__(self, shell: Any) -> None:
        self.displays = 0
        self._shown = 0
        self._shell = shell
        self._before = {number: _content(figure) for number, figure in _open_figures()}
        self._errors: list[Exception] = []

    def publish(self, data: Any, *rest: Any, **options: Any) -> None:
        """In place of the display publisher's own."""
        self.displays += 1
        if "matplotlib" in sys.modules and any(str(kind).startswith("image/") for kind in data):
            self._shown += 1

    def finish(self) -> int:
        """The number of figures that got something drawn. Raises what drawing them raises."""
        if self._errors:
            raise self._errors[0]
        changed = [
            figure
            for number, figure in _open_figures()
            if _content(figure) and _content(figure) != self._before.get(number)
        ]
        for figure in changed:
            figure.draw_without_rendering()
        return self._shown + len(changed)

    def look_only(self) -> None:
        """Figures that are shown are laid out, not rendered: seconds become milliseconds."""
        figures = sys.modules.get("matplotlib.figure")
        if figures is None:
            return
        for formatter in self._shell.display_formatter.formatters.values():
            if figures.Figure in formatter.type_printers:
                formatter.type_printers[figures.Figure] = self._lay_out

    def _lay_out(self, figure: Any) -> bytes | None:
        if not _content(figure):
            return None
        try:
            figure.draw_without_rendering()
        except Exception as error:  # a formatter's error would only be printed, and the figure be missing
            self._errors.append(error)
        return b"laid out"


def _open_figures() -> list[tuple[int, Any]]:
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return []
    return [(number, manager.canvas.figure) for number, manager in helpers.Gcf.figs.items()]


def _content(figure: Any) -> int:
    """How many things are drawn in a figure."""
    drawn = ("lines", "patches", "collections", "images", "texts", "tables", "artists")
    return sum(len(getattr(axes, kind, ())) for axes in figure.axes for kind in drawn)


def redirect(shell: Any, stdout: int, stderr: int, watcher: Watcher) -> Shown:
    """Take the place of everything that would talk to a front end, in this process and for ever."""
    for old, new in ((sys.stdout, Output(stdout)), (sys.stderr, Output(stderr))):
        for name in ("write", "flush"):  # handlers of logging hold on to the old stream
            if hasattr(old, "__dict__"):
                setattr(old, name, getattr(new, name))
    sys.stdout = sys.__stdout__ = Output(stdout)  # type: ignore[assignment,misc]
    sys.stderr = sys.__stderr__ = Output(stderr)  # type: ignore[assignment,misc]
    sys.stdin = sys.__stdin__ = open(os.devnull)  # type: ignore[misc]  # noqa: SIM115
    shown = Shown(shell)
    shown.look_only()
    shell.display_pub.publish = shown.publish
    shell.display_pub.clear_output = lambda *rest, **options: None
    sys.displayhook = lambda value: None

    kernel = getattr(shell, "kernel", None)
    if kernel is not None:  # comms of widgets and all else that goes through zmq
        kernel.session.send = lambda *rest, **options: None

    def start(command: str, *rest: object, **options: object) -> NoReturn:
        watcher.add("process", command)
        raise Refused(f"{command} cannot be started while the code is tried on a copy")

    shell.system = shell.system_raw = shell.system_piped = shell.getoutput = start

    def ask(*rest: object, **options: object) -> NoReturn:
        watcher.add("other", "asks for input")
        raise Refused("input() cannot be answered while the code is tried on a copy")

    builtins.input = ask
    getpass.getpass = ask
    return shown
