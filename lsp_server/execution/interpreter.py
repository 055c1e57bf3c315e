"""Which Python runs the project's code, and what it has."""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from famulus import sandbox
from famulus.lsp_server.execution.errors import NoInterpreter

Origin = Literal["named", "VIRTUAL_ENV", "folder", "conda", "own"]
PACKAGES = ("pytest", "hypothesis", "numpy", "pandas")
OLDEST = (3, 8)
_FOLDERS = (".venv", "venv", "env", ".env")
_ASK = (
    "import importlib.util as u, json, sys; "
    "print(json.dumps([list(sys.version_info[:3]), [n for n in sys.argv[1:] if u.find_spec(n)]]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python. ``origin``: how it was found; ``own`` is Famulus's, for a project that has none.

    ``has``: which of :data:`PACKAGES` it can import."""

    path: Path
    origin: Origin
    version: tuple[int, ...]
    has: frozenset[str]

    @property
    def note(self) -> str:
        """A sentence for the user if it may be the wrong one; else empty."""
        if self.origin != "own":
            return ""
        return "The project has no environment, so its code ran with Famulus's own Python; --python names another."


def find(
    root: Path | None, named: Path | None = None, *, run: Literal["sandboxed", "unsafe"] = "sandboxed"
) -> Interpreter:
    """The project's Python: the one that is named, that of ``VIRTUAL_ENV``, of a ``.venv``, ``venv`` or ``env`` in the
    project or beside its nearest pyproject.toml, conda's, else our own.

    It is asked for its version and packages once, in the sandbox. Raises :class:`NoInterpreter` if it cannot be used,
    and :class:`sandbox.SandboxError`.
    """
    path, origin = located(root, named)
    version, has = _asked(str(path), path.stat().st_mtime_ns, run)
    if version < OLDEST:
        raise NoInterpreter(
            f"{path} is Python {'.'.join(map(str, version))}; 3.8 or newer is needed.", fix="Use --python."
        )
    return Interpreter(path, origin, version, has)


def located(root: Path | None, named: Path | None) -> tuple[Path, Origin]:
    """What :func:`find` finds, without asking it anything. Raises :class:`NoInterpreter`."""
    if named is not None:
        path = _python(named) or named
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise NoInterpreter(f"{named} is no Python.", fix="Name an interpreter or the folder of an environment.")
        return path.absolute(), "named"
    folders: list[tuple[str | Path, Origin]] = [(os.environ.get("VIRTUAL_ENV", ""), "VIRTUAL_ENV")]
    for top in _tops(root):
        folders += [(top / name, "folder") for name in _FOLDERS]
    if os.environ.get("CONDA_DEFAULT_ENV", "base") != "base":
        folders.append((os.environ.get("CONDA_PREFIX", ""), "conda"))
    for folder, origin in folders:
        path_or_none = _python(Path(folder)) if folder else None
        if path_or_none:
            return path_or_none.absolute(), origin
    return Path(sys.executable), "own"


def _tops(root: Path | None) -> list[Path]:
    if root is None:
        return []
    tops = [root]
    for folder in (root, *root.parents):
        if (folder / "pyproject.toml").is_file() or (folder / "setup.py").is_file():
            tops.append(folder)
        if (folder / ".git").exists():
            tops.append(folder)
            break
    return list(dict.fromkeys(tops))


def _python(folder: Path) -> Path | None:
    """The interpreter of an environment's folder."""
    for name in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


@functools.lru_cache(maxsize=32)
def _asked(path: str, changed: int, run: str) -> tuple[tuple[int, ...], frozenset[str]]:
    """Version and packages of the Python at ``path``; ``changed`` makes a new one a new question."""
    command = [path, "-I", "-c", _ASK, *PACKAGES]
    if run == "unsafe":
        import subprocess

        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        output = done.stdout.decode(errors="replace")
        reason = f"exit code {done.returncode}" if done.returncode else ""
    else:
        result = sandbox.run(command, limits=sandbox.Limits(wall_seconds=60))
        output, reason = result.stdout.text, result.reason
    try:
        version, has = json.loads(output)
    except ValueError as error:
        raise NoInterpreter(
            f"{path} does not run as a Python ({reason or 'it prints something else'}).",
            fix="Name another with --python.",
        ) from error
    return tuple(version), frozenset(has)
