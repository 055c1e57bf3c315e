"""The sandbox's exception family. Standard library only.

``str(error)`` is one sentence that says what failed and on what; ``fix`` says what to do about it.
"""

from __future__ import annotations


class SandboxError(Exception):
    """Base of everything that can go wrong around (not inside) sandboxed code."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class SandboxUnavailable(SandboxError):
    """No backend of this machine passes the self-test, so untrusted code is not run at all."""


class LaunchFailed(SandboxError):
    """The backend works, but this program could not be started in it (not found, not executable)."""


class UnsafeView(SandboxError):
    """A path that must never be shown to untrusted code: the home folder, ``/`` or an ancestor of them."""


class UnsafeEnvironment(SandboxError):
    """An environment variable that carries a secret or steers the dynamic loader."""


class WorkspaceError(SandboxError):
    """A project that cannot be copied, or a path in a copy that leads out of it."""
