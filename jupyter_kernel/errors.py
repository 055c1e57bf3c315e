"""What a words cell can end with instead of a result. Each is shown as one sentence, without a traceback."""

from __future__ import annotations

from famulus.engine.errors import FamulusError


class CellError(FamulusError):
    """Base of the errors that a cell shows; IPython asks it how to be shown."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class NotUnderstood(CellError):
    """No code was found that does what the words ask."""


class NotRecorded(CellError):
    """A run from recordings met words without one."""


class NotRun(CellError):
    """Code was found and shown, and the user has to allow it first."""


class NotMine(NotRun):
    """Somebody else recorded the code, and the user has to accept it first."""


class Unsure(CellError):
    """The cell can be read as words and as Python."""


class Stopped(CellError):
    """The user interrupted the cell before anything was run."""


# Front ends and nbclient know an interrupted cell by this name.
Stopped.__name__ = "KeyboardInterrupt"
