"""What stands around a call, as tests have it: a folder of its own, and things that are put back afterwards."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pathlib
import random
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .forms import Writer
    from .frames import Message

FOLDER = "<tmp_path>"
"""Stands for the folder of a call in what is told of it."""
_FILES, _SIZE = 20, 4000
_CLOCK = frozenset(("time", "time_ns", "now", "utcnow", "today"))
_ABSENT = object()


class Scene:
    """The names that a test's fixtures have in pytest; use it in a ``with`` block around one call.

    ``text``: the code that uses them; what it does not name is not made."""

    def __init__(self, text: str, writer: Writer) -> None:
        self.names: Message = {}
        self.writer = writer
        self.folder = ""
        self._patches = Patches()
        self._kept = (random.getstate(), os.getcwd()) if text else None
        self._before: dict[str, str] = {}
        if "tmp_path" in text:
            self.folder = os.path.realpath(tempfile.mkdtemp(prefix="famulus-call-"))
            self.names["tmp_path"] = pathlib.Path(self.folder)
            writer.own = self.folder
        if "monkeypatch" in text:
            self.names["monkeypatch"] = self._patches
        if text:
            self.names.update(io=io, random=random, sys=sys, os=os)

    def begin(self) -> None:
        """The setting is complete: what is in the folder from now on is the call's doing."""
        self._before = self._content()

    def files(self) -> Message:
        """Text of the files that the call wrote or changed, by their path in the folder."""
        after = self._content()
        return {path: text for path, text in after.items() if self._before.get(path) != text}

    def _content(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for top, _, names in os.walk(self.folder) if self.folder else ():
            for name in sorted(names):
                path = os.path.join(top, name)
                with contextlib.suppress(OSError, ValueError):
                    if len(found) < _FILES and os.path.getsize(path) <= _SIZE:
                        with open(path, encoding="utf-8", newline="") as file:
                            found[os.path.relpath(path, self.folder)] = file.read()
        return found

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.undo()
        if self._kept is not None:
            random.setstate(self._kept[0])
            with contextlib.suppress(OSError):
                os.chdir(self._kept[1])
        if self.folder:
            self.writer.own = ""
            shutil.rmtree(self.folder, ignore_errors=True)


class Patches:
    """What pytest calls ``monkeypatch``, as far as tests that we write need it."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []
        self._variables: dict[str, str | None] = {}

    def setattr(self, target: str, value: Any) -> None:
        """Give a dotted name another value."""
        holder, _, name = target.rpartition(".")
        parts = holder.split(".")
        found: Any = importlib.import_module(parts[0])
        for number, part in enumerate(parts[1:], 2):
            if not hasattr(found, part):
                importlib.import_module(".".join(parts[:number]))
            found = getattr(found, part)
        self._undo.append((found, name, getattr(found, name)))
        setattr(found, name, value)

    def setenv(self, name: str, value: str) -> None:
        """Set a variable of the environment."""
        self._variables.setdefault(name, os.environ.get(name))
        os.environ[name] = value

    def delenv(self, name: str, raising: bool = True) -> None:
        """Take a variable away."""
        self._variables.setdefault(name, os.environ.get(name))
        if os.environ.pop(name, None) is None and raising:
            raise KeyError(name)

    def chdir(self, path: Any) -> None:
        """Go to another folder."""
        os.chdir(path)

    def undo(self) -> None:
        """Put everything back, the last change first."""
        for holder, name, value in reversed(self._undo):
            setattr(holder, name, value)
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Sources:
    """Listens to the calls of functions that are written in C, and to who reads ``sys.argv``, and keeps from where a
    call has its knowledge: ``clock``, ``random`` (the generator that all share), ``entropy``, ``argv``. ``root``: the
    folder of the project."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.asked: set[str] = set()
        sys.argv = _Arguments(self, sys.argv)

    def start(self) -> None:
        """Listen to this thread."""
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Listen no more."""
        sys.setprofile(None)

    def _profile(self, frame: Any, event: str, argument: Any) -> None:
        if event != "c_call":
            return
        name, holder = getattr(argument, "__name__", ""), getattr(argument, "__self__", None)
        if name in _CLOCK and self._is_clock(argument, holder):
            if frame.f_code.co_filename.startswith(self.root):
                self.asked.add("clock")  # logging and the like ask as well, for themselves
        elif holder is getattr(random, "_inst", _ABSENT):
            if name not in ("getstate", "setstate", "seed"):
                self.asked.add("random")
        elif name == "urandom" and "tempfile" not in frame.f_code.co_filename:
            self.asked.add("entropy")

    @staticmethod
    def _is_clock(argument: Any, holder: Any) -> bool:
        if getattr(argument, "__module__", None) == "time":
            return True
        return isinstance(holder, type) and holder.__module__ == "datetime"


class _Arguments(list):  # type: ignore[type-arg]
    """The command line of this process. Whoever reads more of it than the program's name is noted: under pytest it is
    another one."""

    def __init__(self, sources: Sources, texts: Any) -> None:
        super().__init__(texts)
        self._sources = sources

    def __getitem__(self, place: Any) -> Any:
        if place != 0:
            self._sources.asked.add("argv")
        return super().__getitem__(place)

    def __iter__(self) -> Any:
        self._sources.asked.add("argv")
        return super().__iter__()

    def __len__(self) -> int:
        self._sources.asked.add("argv")
        return super().__len__()
