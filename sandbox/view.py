"""What untrusted code sees of the machine: an allow-list of paths, and an environment made from scratch."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import LaunchFailed, UnsafeEnvironment, UnsafeView

# Programs and libraries. Of /etc only what programs need to start; no passwords, keys or service settings.
SYSTEM = tuple(
    str.split(
        """
    /usr /bin /sbin /lib /lib32 /lib64 /libx32 /nix/store /gnu/store
    """
    )
)
ETC = tuple(
    f"/etc/{name}"
    for name in str.split(
        """
    ld.so.cache ld.so.conf ld.so.conf.d passwd group nsswitch.conf hosts localtime timezone
    alternatives ssl/certs pki/tls/certs mime.types magic os-release debian_version fonts terminfo
    protocols services locale.alias
    """
    )
)
PROC = tuple(
    f"/proc/{name}"
    for name in str.split(
        """
    cpuinfo meminfo stat loadavg uptime version filesystems sys/kernel/osrelease sys/kernel/ostype
    sys/kernel/version sys/kernel/pid_max sys/vm/overcommit_memory sys/fs/file-max
    """
    )
)
DEVICES = tuple(f"/dev/{name}" for name in ["null", "zero", "full", "random", "urandom"])

_SECRET_NAMES = str.split(
    """
    *KEY* *TOKEN* *SECRET* *PASSW* *CREDENTIAL* *_AUTH* *COOKIE* SSH_* GPG_* DBUS_* LD_* DYLD_*
    GIT_ASKPASS DOCKER_HOST KUBECONFIG BASH_ENV ENV
    """
)
_INHERITED = ("LANG", "LANGUAGE", "TZ", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_NUMERIC", "LC_TIME")


@dataclass(frozen=True, slots=True)
class View:
    """Absolute paths. ``read`` and ``write`` have parents before children."""

    program: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    cwd: str | None


def view(
    program: str,
    *,
    search: str,
    project: Path | None,
    workspace: Path | None,
    readable: Iterable[Path],
    cwd: Path | None,
) -> View:
    """The view for running ``program`` in ``project`` (read-only) or ``workspace`` (writable).

    ``search`` is the PATH on which a bare program name is looked up. Raises :class:`LaunchFailed` for a
    program or folder that does not exist and :class:`UnsafeView` for one that must not be shown.
    """
    found = shutil.which(program, path=search) if os.sep not in program else os.path.abspath(program)
    if found is None or not os.access(found, os.X_OK) or os.path.isdir(found):
        raise LaunchFailed(f"The program {program!r} cannot be run.", fix="Check its name and permissions.")
    shown = [*program_paths(Path(found)), *readable]
    tree = workspace or project
    if tree is not None and not tree.is_dir():
        raise LaunchFailed(f"The project folder {tree} does not exist.", fix="Check the path.")
    if project is not None:
        shown.append(project)
    named = {name for path in shown for name in _names(path)}
    read = sorted((name for name in named if not any(_beneath(name, top) for top in SYSTEM)), key=_depth)
    write = sorted(_names(workspace), key=_depth) if workspace else []
    wanted = cwd or tree
    folder = os.path.realpath(wanted) if wanted else None
    if folder is not None and not any(_beneath(folder, top) for top in (*read, *write, *SYSTEM)):
        raise UnsafeView(f"The working folder {folder} lies outside the project.", fix="Start inside it.")
    return View(found, tuple(name for name in read if name not in write), tuple(write), folder)


def program_paths(program: Path) -> Iterator[Path]:
    """What a program needs beside the system: for a Python, or a script of one, its environment and the
    installation that the environment stands on, wherever they live; else the program's file alone."""
    for link in _links(program):
        prefix = link.parent.parent
        if link.parent.name in ("bin", "Scripts") and _is_python(prefix):
            yield from _environment(prefix)
        else:
            yield link


def _links(path: Path) -> Iterator[Path]:
    """``path`` and what each symbolic link on the way to the real file points to."""
    for _ in range(40):  # the kernel's own bound
        yield path
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent / os.readlink(path)))


def _is_python(prefix: Path) -> bool:
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*"))


def _environment(prefix: Path) -> Iterator[Path]:
    if _is_private(prefix):  # such as ~/.local: its libraries, never what else is kept there
        yield from (prefix / name for name in ("bin", "lib", "lib64") if (prefix / name).exists())
    else:
        yield prefix
    config = prefix / "pyvenv.cfg"
    if not config.is_file():
        return
    for line in config.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home":
            base = Path(value.strip())
            yield from (path for path in program_paths(base / "python3") if path.exists())


def _homes() -> set[str]:
    homes = {os.path.realpath(os.path.expanduser("~"))}
    if sys.platform != "win32":
        import pwd

        with contextlib.suppress(KeyError):  # a user id without an entry, as in many containers
            homes.add(os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir))
    return homes


def _is_private(path: Path) -> bool:
    real = os.path.realpath(path)
    homes = _homes()
    return real in {os.path.join(home, ".local") for home in homes} or any(_beneath(home, real) for home in homes)


def _names(path: Path) -> set[str]:
    """The path as it was given and as it really is; programs use either."""
    refuse_private(path)
    real = os.path.realpath(path)
    return {os.path.abspath(path), real} if os.path.exists(real) else set()


def refuse_private(path: Path) -> None:
    """Raise :class:`UnsafeView` for what must never be shown: the home folder, what contains it, and the folders
    where the machine keeps keys and processes."""
    real = os.path.realpath(path)
    if any(_beneath(home, real) for home in _homes()):
        raise UnsafeView(
            f"{path} is or contains your home folder, which untrusted code must not see.",
            fix="Open a project folder inside it.",
        )
    if any(_beneath(inner, real) for inner in ("/etc/ssh", "/proc/self", "/sys/kernel", "/run/user")):
        raise UnsafeView(f"{path} must not be shown to untrusted code.", fix="Choose a project folder.")


def _beneath(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _depth(path: str) -> tuple[int, str]:
    return path.count("/"), path


def environment(extra: Mapping[str, str], *, program_folder: str | None = None) -> dict[str, str]:
    """The whole environment of sandboxed code, but for HOME and TMPDIR, which the backend adds.

    Of this process's own variables only locale and time zone are taken over. Raises
    :class:`UnsafeEnvironment` if ``extra`` names a secret or a loader variable.
    """
    for name, value in extra.items():
        if is_secret(name):
            raise UnsafeEnvironment(f"The variable {name} is not given to untrusted code.", fix="Leave it out.")
        if not name or "=" in name or "\0" in name + value:
            raise UnsafeEnvironment(f"{name!r} is no valid variable.", fix="Use a plain name and value.")
    path = "/usr/local/bin:/usr/bin:/bin"
    made = {
        "PATH": f"{program_folder}:{path}" if program_folder else path,
        "USER": "famulus",
        "LOGNAME": "famulus",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        # Numeric libraries start a thread per core, which on a large machine alone fills the process limit.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    made |= {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return made | dict(extra)


def is_secret(name: str) -> bool:
    """Whether a variable of this name is kept away from untrusted code."""
    return any(fnmatch.fnmatchcase(name.upper(), pattern) for pattern in _SECRET_NAMES)
