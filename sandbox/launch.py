"""The one way in which Famulus runs code that nobody has read yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .errors import SandboxUnavailable
from .limits import Limits
from .process import Backend, Process, Result, start
from .selftest import level
from .workspace import Workspace

_PIPE = -1  # subprocess.PIPE


def run(
    argv: Sequence[str],
    *,
    project: Path | Workspace | None = None,
    readable: Iterable[Path] = (),
    cwd: Path | None = None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    backend: Backend | None = None,
) -> Result:
    """Run a program to its end; the arguments are those of :func:`spawn`.

    ``stdin`` is what the program reads, None for nothing. Whatever the program does is told by the
    :class:`Result`; only trouble around it raises, as :func:`spawn` does. An exception in this thread
    (Ctrl-C) kills the program.
    """
    with start(
        backend or _strongest(),
        argv,
        project=project,
        readable=readable,
        cwd=cwd,
        stdin=stdin,
        keep_stdout=True,
        env=env,
        limits=limits or Limits(),
        pass_fds=(),
    ) as process:
        return process.wait()


def spawn(
    argv: Sequence[str],
    *,
    project: Path | Workspace | None = None,
    readable: Iterable[Path] = (),
    cwd: Path | None = None,
    stdin: bool = True,
    stdout: bool = True,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    pass_fds: Sequence[int] = (),
    backend: Backend | None = None,
) -> Process:
    """Start a program that keeps running, with pipes to it.

    - ``project``: a folder is shown read-only, always; a :class:`Workspace` may be written. It is the working
      folder unless ``cwd`` names one inside.
    - ``readable``: more files and folders to show read-only. The program's own environment is found by
      itself;
      an editable install elsewhere is not.
    - ``stdin``, ``stdout``: whether the caller wants these pipes. Without ``stdin`` the program reads
      nothing; without ``stdout`` the output is kept for the :class:`Result`. A caller that takes ``stdout``
      must read it.
    - ``env``: variables beyond the fixed few; nothing of this process's environment but locale and time zone
      is
      passed on.
    - ``limits``: give a long-lived worker ``wall_seconds=None, cpu_seconds=None``.
    - ``pass_fds``: descriptors that the program gets under the same numbers, the only ones but 0 to 2.
    - ``backend``: force one, for tests and diagnosis; it is then not self-tested.

    Raises :class:`SandboxUnavailable` where nothing protects the user, :class:`LaunchFailed`,
    :class:`UnsafeView`, :class:`UnsafeEnvironment`, all of them :class:`SandboxError`.
    """
    return start(
        backend or _strongest(),
        argv,
        project=project,
        readable=readable,
        cwd=cwd,
        stdin=_PIPE if stdin else None,
        keep_stdout=not stdout,
        env=env,
        limits=limits or Limits(),
        pass_fds=pass_fds,
    )


def _strongest() -> Backend:
    found = level()
    if found.backend is None:
        raise SandboxUnavailable(f"Untrusted code is not run on this machine: {found.reason}", fix=found.fix)
    return found.backend
