"""What can go wrong around a run of the project's code."""

from __future__ import annotations

from typing import Any

from famulus.engine.errors import FamulusError


class ExecutionFailed(FamulusError):
    """Code of the project could not be run, for a reason that is not in the code."""

    code, status = "execution_failed", 500


class ImportFailed(ExecutionFailed):
    """A module of the project cannot be imported. ``kind``: the exception's name; ``at``: path and line, if known."""

    code, status = "import_failed", 422

    def __init__(self, module: str, reason: str, *, kind: str = "", at: tuple[Any, ...] = ()) -> None:
        super().__init__(f"{module} cannot be imported: {reason}.", fix="Name the project's Python with --python.")
        self.module, self.reason, self.kind, self.at = module, reason, kind, at


class NoInterpreter(ExecutionFailed):
    """The Python that was named cannot be used."""

    code, status = "no_interpreter", 422
