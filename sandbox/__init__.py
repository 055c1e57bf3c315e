"""The one launcher for code that nobody has read yet. Standard library only.

:func:`run` runs a program to its end, :func:`spawn` starts one with pipes, :func:`level` says what protects
the user on this machine. Code sees the system, its interpreter and the project read-only; it writes to a
temporary folder and to a :class:`Workspace`; it has no network, and nothing of it survives its end.
:func:`confine` is for a forked copy of a process that needs the objects in its memory, :func:`only_look` for one
that also reads whatever its user may read.
"""

from .confine import can_confine, confine, only_look
from .errors import (
    LaunchFailed,
    SandboxError,
    SandboxUnavailable,
    UnsafeEnvironment,
    UnsafeView,
    WorkspaceError,
)
from .launch import run, spawn
from .limits import Limits
from .output import Output
from .process import Process, Result
from .selftest import Level, level
from .workspace import Change, Workspace

__all__ = [
    "Change",
    "LaunchFailed",
    "Level",
    "Limits",
    "Output",
    "Process",
    "Result",
    "SandboxError",
    "SandboxUnavailable",
    "UnsafeEnvironment",
    "UnsafeView",
    "Workspace",
    "WorkspaceError",
    "can_confine",
    "confine",
    "level",
    "only_look",
    "run",
    "spawn",
]
