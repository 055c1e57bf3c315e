"""Kernelspecs: the small folders that tell Jupyter how to start the notebook kernel, and in which interpreter.

This runs in Famulus's own environment, which needs no Jupyter; what must be known about the interpreter of the
notebooks, that interpreter is asked.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel.launch import OLDEST_IPYKERNEL, OLDEST_PYTHON

NAME = "famulus"
DISPLAY_NAME = "Python 3 · Famulus"
SANDBOXED = "famulus-sandbox"
LAUNCHER = Path(__file__).with_name("launch.py")
ICONS = Path(__file__).with_name("icons")
PROBE_SECONDS = 60

# What an interpreter tells about itself. Any Python can run it; a module in the current folder is not asked.
PROBE = """
import json, sys
sys.path = [folder for folder in sys.path if folder]
found = {"python": sys.executable, "version": list(sys.version_info[:3]), "prefix": sys.prefix}
if sys.version_info >= (3, 8):
    import importlib.util
    found["pip"] = importlib.util.find_spec("pip") is not None
    if importlib.util.find_spec("ipykernel") is not None:
        import ipykernel
        found["ipykernel"] = list(ipykernel.version_info[:2])
        from ipykernel.kernelspec import get_kernel_dict
        from jupyter_core.paths import jupyter_data_dir
        found["stock"] = get_kernel_dict()
        found["data"] = jupyter_data_dir()
sys.stdout.write("\\n" + json.dumps(found))
"""


class KernelNotInstalled(FamulusError):
    """A kernelspec that could not be written, found or removed."""

    code = "kernel_not_installed"


@dataclass(frozen=True)
class Interpreter:
    """An interpreter that can run the kernel. ``stock`` is ipykernel's own kernelspec there, ``data`` the user's
    Jupyter folder as it sees it."""

    python: Path
    version: tuple[int, ...]
    prefix: Path
    stock: Mapping[str, Any]
    data: Path


@dataclass(frozen=True)
class Installed:
    """A kernelspec of ours that Jupyter may find. ``problem`` says why it cannot start, empty if it can."""

    name: str
    display_name: str
    folder: Path
    python: Path
    launcher: Path
    famulus_python: Path
    problem: str


def examine(python: str | os.PathLike[str]) -> Interpreter:
    """Asks ``python`` (a path, a command, or the folder of an environment) what it is.

    Raises :class:`KernelNotInstalled` where it cannot run the kernel, with the command that changes that.
    """
    return _able(_asked(python))


def environment(python: str | os.PathLike[str]) -> Path:
    """The prefix of an interpreter, whether or not it can run the kernel. Raises :class:`KernelNotInstalled`."""
    return Path(_asked(python)["prefix"])


def _asked(python: str | os.PathLike[str]) -> dict[str, Any]:
    path = _executable(python)
    repair = "Repair that environment, or name another with --python."
    command = [str(path), "-c", PROBE]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS)
        found: dict[str, Any] = json.loads(done.stdout.decode(errors="replace").strip().rpartition("\n")[2])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelNotInstalled(f"{path} cannot be run ({error}).", fix="Name another with --python.") from error
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        raise KernelNotInstalled(f"{path} does not answer as Python does ({last}).", fix=repair) from None
    return found


def _executable(python: str | os.PathLike[str]) -> Path:
    named = os.fspath(python)
    path = Path(named).expanduser()
    if path.is_dir():
        inside = [path / "bin/python", path / "Scripts/python.exe", path / "python.exe"]
        for candidate in inside:
            if candidate.is_file():
                return Path(os.path.abspath(candidate))
        raise KernelNotInstalled(f"The folder {path} holds no Python.", fix="Name an interpreter with --python.")
    command = shutil.which(path)
    if command is None:
        raise KernelNotInstalled(f"There is no interpreter {named}.", fix="Name an existing one with --python.")
    return Path(os.path.abspath(command))


def _able(found: Mapping[str, Any]) -> Interpreter:
    """The interpreter, if it can run the kernel."""
    python, version = Path(found["python"]), tuple(found["version"])
    if version[:2] < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        text = f"The notebook kernel needs Python {needed} or newer, and {python} is {'.'.join(map(str, version))}."
        raise KernelNotInstalled(text, fix="Name a newer one with --python.")
    ipykernel = tuple(found.get("ipykernel", ()))
    if ipykernel < OLDEST_IPYKERNEL:
        needed = f"ipykernel>={'.'.join(map(str, OLDEST_IPYKERNEL))}"
        has = f"ipykernel {'.'.join(map(str, ipykernel))}" if ipykernel else "no ipykernel"
        pip = f'"{python}" -m pip install' if found["pip"] else f'uv pip install --python "{python}"'
        text = f"The notebook kernel needs {needed}, and {python} has {has}."
        raise KernelNotInstalled(text, fix=f'Run: {pip} "{needed}", or name another interpreter with --python.')
    return Interpreter(python, version, Path(found["prefix"]), found["stock"], Path(found["data"]))


def kernelspec(
    interpreter: Interpreter,
    *,
    display_name: str = DISPLAY_NAME,
    famulus_python: Path | None = None,
    home: Path | None = None,
    before: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of ``kernel.json``.

    ``famulus_python`` starts the engine (default: the interpreter that runs this). ``home`` fixes the folder of the
    engine, which otherwise follows the environment of Jupyter. ``before`` is put before the command line, ``changes``
    replace keys.
    """
    argv = [*before, str(interpreter.python), "-P", str(LAUNCHER), "-f", "{connection_file}"]
    argv += ["--famulus-python", str(famulus_python or sys.executable)]
    argv += ["--home", str(home)] if home else []
    from famulus import __version__

    # What ipykernel says of itself there (encryption, debugger, protocol) is true of us too.
    metadata = {**interpreter.stock.get("metadata", {}), "debugger": True, NAME: {"version": __version__}}
    own = {"argv": argv, "display_name": display_name, "interrupt_mode": "signal", "metadata": metadata}
    return {**interpreter.stock, "language": "python", **own, **(changes or {})}


def sandboxed(interpreter: Interpreter, *, readable: Iterable[Path] = (), **options: Any) -> dict[str, Any]:
    """The content of ``kernel.json`` for a kernel in a sandbox, where code may read ``readable`` too; ``options`` are
    those of :func:`kernelspec`. Raises :class:`KernelNotInstalled` where this machine cannot give a sandbox."""
    from famulus.jupyter_kernel import sandboxed

    shown = [Path(os.path.abspath(path.expanduser())) for path in readable]
    if problem := sandboxed.check(interpreter.python, shown):
        raise KernelNotInstalled("The kernel cannot be kept in a sandbox here.", fix=problem)
    python = str(options.get("famulus_python") or sys.executable)
    before = [python, "-P", "-m", sandboxed.__name__, *(part for path in shown for part in ("--read", str(path))), "--"]
    # A signal would end the process outside; the kernel has its own process numbers.
    return kernelspec(interpreter, before=before, changes={"interrupt_mode": "message"}, **options)


def write(folder: Path, spec: Mapping[str, Any]) -> None:
    """Writes a kernelspec into ``folder``; at no time does Jupyter see half of one.

    Raises :class:`KernelNotInstalled` where the folder cannot be written or holds a kernel of somebody else.
    """
    if (folder / "kernel.json").exists() and read(folder) is None:
        text = f"{folder} holds a kernel that is not from Famulus."
        raise KernelNotInstalled(text, fix="Give this one another name with --name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for icon in sorted(ICONS.iterdir()):
            _put(folder / icon.name, icon.read_bytes())
        _put(folder / "kernel.json", (json.dumps(spec, indent=1) + "\n").encode())
    except OSError as error:
        raise _unwritable(folder, error) from error


def _put(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def remove(folder: Path) -> None:
    """Removes a kernelspec of ours. Raises :class:`KernelNotInstalled`."""
    if read(folder) is None:
        raise KernelNotInstalled(f"{folder} holds no kernel of Famulus.", fix="See: famulus kernel list")
    try:
        if folder.is_symlink():
            folder.unlink()
            return
        (folder / "kernel.json").unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> KernelNotInstalled:
    reason = error.strerror or str(error)
    fix = "Choose another place with --user, --sys-prefix or --prefix."
    return KernelNotInstalled(f"{folder} cannot be written ({reason}).", fix=fix)


def read(folder: Path) -> Installed | None:
    """The kernelspec in ``folder`` if it is one of ours."""
    try:
        spec = json.loads((folder / "kernel.json").read_bytes())
        argv, own = spec["argv"], spec["metadata"][NAME]
        name = str(spec["display_name"])
        launcher = argv.index("-f") - 1
        python, famulus_python = argv[launcher - 2], argv[argv.index("--famulus-python") + 1]
        paths = (Path(python), Path(argv[launcher]), Path(famulus_python))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if not isinstance(own, dict):
        return None
    missing = next((path for path in paths if not path.exists()), None)
    return Installed(folder.name, name, folder, *paths, f"{missing} is gone" if missing else "")


def installed(folders: Iterable[Path]) -> Iterator[Installed]:
    """Our kernelspecs below ``folders``, which hold one folder for each kernel."""
    for folder in dict.fromkeys(folders):
        with contextlib.suppress(OSError):
            for found in map(read, sorted(folder.iterdir())):
                if found is not None:
                    yield found


def kernel_folders() -> list[Path]:
    """Where Jupyter looks for kernels, as seen from Famulus's environment, the first found counting most."""
    if importlib.util.find_spec("jupyter_core") is not None:
        from jupyter_core.paths import jupyter_path

        return [Path(path) for path in jupyter_path("kernels")]
    named = [Path(path) for path in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if path]
    shared = [] if sys.platform == "win32" else [Path("/usr/local/share/jupyter"), Path("/usr/share/jupyter")]
    return [path / "kernels" for path in [*named, data_folder(), Path(sys.prefix, "share", "jupyter"), *shared]]


def data_folder() -> Path:
    """The user's Jupyter folder by Jupyter's rules."""
    if importlib.util.find_spec("jupyter_core") is not None:
        from jupyter_core.paths import jupyter_data_dir

        return Path(jupyter_data_dir())
    if named := os.environ.get("JUPYTER_DATA_DIR"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library/Jupyter"
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA")
        return Path(roaming, "jupyter") if roaming else Path.home() / ".jupyter/data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "jupyter"


def below_prefix(prefix: Path) -> Path:
    """The folder of the kernels of an environment."""
    return Path(os.path.abspath(prefix.expanduser())) / "share" / "jupyter" / "kernels"


def valid_name(name: str) -> bool:
    """May a kernel be called so? Jupyter takes ASCII letters, digits and ``. _ -``."""
    return re.fullmatch(r"[A-Za-z0-9._-]+", name) is not None and name.strip(".") != ""
