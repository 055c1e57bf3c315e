"""Names what code tries to do outside its process. It refuses nothing: the system does, see :mod:`isolate`."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

from famulus.jupyter_kernel.candidate import Effect

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOST = 50
_REFUSALS = (errno.EPERM, errno.EACCES, errno.EROFS, errno.EBADF, errno.ENETUNREACH)
_REFUSED = re.compile(
    r"permission denied|operation not permitted|(readonly|read-only) (database|file system)|database is locked|"
    r"unable to open database|disk i/o error|bad file descriptor|cannot open file",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""['"]([^'"\n]+)['"]""")


class Watcher:
    """An audit hook that collects :class:`Effect`. It stays for ever, so install it in a child only."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.databases: list[str] = []
        self.armed = False

    def install(self) -> None:
        """From now on, for good."""
        sys.addaudithook(self._hear)

    def add(self, kind: Any, what: str) -> None:
        """Notes an effect once."""
        effect = Effect(kind, what[:500])
        if effect not in self.effects and len(self.effects) < _MOST:
            self.effects.append(effect)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        hear = _HEARD.get(event)
        if hear is None:
            return
        self.armed = False  # naming an effect may raise events of its own
        try:
            hear(self, *arguments)
        except Exception:  # arguments of another shape: the system refuses it all the same, unnamed
            self.add("other", event)
        finally:
            self.armed = True


def path_of(path: object) -> str:
    """An absolute path for people; "" for a descriptor."""
    if isinstance(path, int):
        return ""
    return os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]  # TypeError: `_hear` names the event


def _opened(watcher: Watcher, path: object, mode: str | None, flags: int) -> None:
    if flags & _WRITING and (name := path_of(path)) and not name.startswith("/dev/"):
        watcher.add("write", name)


def _removed(watcher: Watcher, path: object, *rest: object) -> None:
    if (name := path_of(path)) and os.path.lexists(name):
        watcher.add("delete", name)


def _changed(watcher: Watcher, path: object, *rest: object) -> None:
    if (name := path_of(path)) and os.path.lexists(name):
        watcher.add("write", name)


def _made(watcher: Watcher, path: object, *rest: object) -> None:
    if (name := path_of(path)) and not os.path.lexists(name):
        watcher.add("write", name)


def _renamed(watcher: Watcher, source: object, target: object, *rest: object) -> None:
    _removed(watcher, source)
    watcher.add("write", path_of(target))


def _linked(watcher: Watcher, source: object, target: object, *rest: object) -> None:
    watcher.add("write", path_of(target))


def _connected(watcher: Watcher, socket: object, address: object, *rest: object) -> None:
    watcher.add("network", _address(address))


def _looked_up(watcher: Watcher, host: object, port: object = None, *rest: object) -> None:
    watcher.add("network", _address((host, port)))


def _address(address: object) -> str:
    if isinstance(address, tuple):
        parts = [os.fsdecode(part) if isinstance(part, bytes) else str(part) for part in address[:2]]
        return ":".join(part for part in parts if part not in ("None", ""))
    return os.fsdecode(address) if isinstance(address, bytes) else str(address)


def _requested(watcher: Watcher, url: object, *rest: object) -> None:
    watcher.add("network", str(url))


def _started(watcher: Watcher, program: object, arguments: object = None, *rest: object) -> None:
    """``subprocess.Popen`` and its like: the arguments tell more than the program's path."""
    shown = arguments or program
    if isinstance(shown, str | bytes | os.PathLike):
        watcher.add("process", os.fsdecode(shown))
    elif isinstance(shown, Sequence):
        words = [os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else str(word) for word in shown]
        watcher.add("process", " ".join(words[2:] if words[1:2] == ["-c"] and len(words) == 3 else words))
    else:
        watcher.add("process", str(shown))


def _copied(watcher: Watcher, *rest: object) -> None:
    watcher.add("process", "a copy of this process")


def _spawned(watcher: Watcher, mode: object, program: object, arguments: object = None, *rest: object) -> None:
    _started(watcher, program, arguments)


def _signalled(watcher: Watcher, process: object, number: object, *rest: object) -> None:
    if process not in (0, os.getpid()):
        watcher.add("other", f"signal {number} to process {process}")


def _database(watcher: Watcher, path: object, *rest: object) -> None:
    watcher.databases.append(os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path))


_HEARD: dict[str, Any] = {
    "open": _opened,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "shutil.rmtree": _removed,
    "os.rename": _renamed,
    "os.mkdir": _made,
    "os.truncate": _changed,
    "os.chmod": _changed,
    "os.chown": _changed,
    "os.lchown": _changed,
    "os.utime": _changed,
    "os.setxattr": _changed,
    "os.removexattr": _changed,
    "os.link": _linked,
    "os.symlink": _linked,
    "socket.connect": _connected,
    "socket.sendto": _connected,
    "socket.sendmsg": _connected,
    "socket.bind": _connected,
    "socket.getaddrinfo": _looked_up,
    "socket.gethostbyname": _looked_up,
    "urllib.Request": _requested,
    "subprocess.Popen": _started,
    "os.exec": _started,
    "os.posix_spawn": _started,
    "os.spawn": _spawned,
    "os.system": _started,
    "os.startfile": _started,
    "pty.spawn": _started,
    "os.fork": _copied,
    "os.forkpty": _copied,
    "webbrowser.open": _requested,
    "os.kill": _signalled,
    "os.killpg": _signalled,
    "sqlite3.connect": _database,
}


def chain(error: BaseException | None) -> Iterable[BaseException]:
    """An error and what led to it, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_refusal(error: BaseException, effects: Sequence[Effect]) -> bool:
    """Whether the code failed because of the isolation, not by its own fault."""
    offline = any(effect.kind == "network" for effect in effects)
    return any(_refused(one) or (offline and isinstance(one, OSError)) for one in chain(error))


def _refused(error: BaseException) -> bool:
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes) and not _would_work(error.filename):
        return False
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _REFUSALS):
        return True
    return _REFUSED.search(str(error)) is not None


def _would_work(path: str | bytes) -> bool:
    """Whether the user may write there. Root was told to give up that right, and has it outside."""
    if os.geteuid() == 0:
        return True
    return os.access(path if os.path.lexists(path) else os.path.dirname(os.path.abspath(path)), os.W_OK)


def named_by(error: BaseException, databases: Sequence[str]) -> list[Effect]:
    """The effect that native code tried, which only its error tells. ``databases`` are SQLite's files, the last one
    the likeliest."""
    for one in chain(error):
        if not _refused(one):
            continue
        if type(one).__module__.partition(".")[0] in ("sqlite3", "sqlalchemy"):
            files = [os.path.abspath(path) for path in databases if path not in ("", ":memory:")]
            return [Effect("write", files[-1] if files else "a database")]
        frames = list(_frames(one))
        if any(f"{os.sep}multiprocessing{os.sep}" in frame.f_code.co_filename for frame in frames):
            return [Effect("process", "other processes")]
        if any(frame.f_code.co_filename.endswith("socket.py") for frame in frames):
            return [Effect("network", _aim(frames))]
        return [Effect("write", _file_of(one))]
    return []


def _file_of(error: BaseException) -> str:
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        return os.path.abspath(os.fsdecode(error.filename))
    text = str(error)
    quoted = _QUOTED.search(text)
    name = quoted[1] if quoted else text.rpartition(": ")[2] if "os error" in text else ""
    return os.path.abspath(name) if name else "a file"


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _aim(frames: Sequence[FrameType]) -> str:
    """Where a connection would have gone, if the functions that make it know: the socket itself was refused before."""
    for frame in reversed(frames):
        for name in ("address", "addr", "addr_info"):
            value = frame.f_locals.get(name)
            if isinstance(value, tuple) and len(value) == 5:  # what getaddrinfo gives
                value = value[4]
            if isinstance(value, tuple | str) and value:
                return _address(value)
    return "a network connection"


def for_its_own_sake(effect: Effect) -> bool:
    """Whether a library only wanted to keep a cache, which the code can do without."""
    if effect.kind not in ("write", "delete"):
        return False
    home, config = os.path.expanduser("~"), os.path.join(os.path.expanduser("~"), ".config")
    caches = [
        os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"),
        os.environ.get("MPLCONFIGDIR") or os.path.join(config, "matplotlib"),
        os.path.join(home, ".matplotlib"),
    ]
    # Where Matplotlib may not write to its own folder, it makes one of a new name each time.
    made_up = os.path.join(tempfile.gettempdir(), "matplotlib-")
    return (
        "__pycache__" in effect.what
        or effect.what in (*caches, *([config] if not os.path.exists(config) else []))
        or effect.what.startswith((*(folder + os.sep for folder in caches), made_up))
    )


class Refused(PermissionError):
    """What cannot be had in a rehearsal and that no system call stands for."""
