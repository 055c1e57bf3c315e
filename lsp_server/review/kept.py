"""What was found out once and holds as long as the bytes that it is about: kept on disk by their digest.

The folder lies in Famulus's cache and may be deleted at any time. What cannot be read there, or not be written, costs
only time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import msgspec

from famulus.engine.errors import StorageFailed
from famulus.engine.folders import folders, private

MOST_FILES = 50_000
"""Of one kind; the oldest go first."""
_KEEP_DAYS = 30
_DAY = 86_400
_DIGEST = re.compile(r"[0-9a-fA-F]{8,128}\Z")

T = TypeVar("T")


class Kept(Generic[T]):
    """Values of type ``kind`` by digest. ``name``: what they are, up to the first ``-``, and after it everything that
    they depend on besides the bytes; values of other such names are swept away. ``folder`` None: in Famulus's cache."""

    def __init__(self, name: str, kind: type[T], folder: Path | None = None) -> None:
        self._name, self._given = name, folder
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()

    @cached_property
    def folder(self) -> Path | None:
        """Where the values lie; None if there is no place for them."""
        try:
            return private(self._given or folders().cache / "review" / self._name)
        except (StorageFailed, OSError):
            return None

    def get(self, digest: str | None) -> T | None:
        """The value for this digest, if it is known and whole."""
        path = self._path(digest)
        if path is None:
            return None
        try:
            content = path.read_bytes()
            if hashlib.blake2b(content[16:], digest_size=16).digest() != content[:16]:
                return None
            return self._decoder.decode(content[16:])
        except (OSError, msgspec.DecodeError):
            return None

    def put(self, digest: str | None, value: T) -> None:
        """Keeps a value that can be written; readers never see half of it."""
        path = self._path(digest)
        if path is None:
            return
        with contextlib.suppress(OSError, ValueError, OverflowError, TypeError):  # text that is no text
            content = self._encoder.encode(value)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.blake2b(content, digest_size=16).digest() + content)
                os.replace(name, path)
            except OSError:
                os.unlink(name)
                raise

    def sweep(self) -> None:
        """Removes what was not written for a month, what is too much, and values of other names; at most daily."""
        folder = self.folder
        if folder is None:
            return
        mark, now = folder / "swept", time.time()
        with contextlib.suppress(OSError):
            if mark.exists() and now - mark.stat().st_mtime < _DAY:
                return
            mark.touch()
            kind = self._name.partition("-")[0]
            others = [f for f in folder.parent.glob(f"{kind}-*") if f != folder] if self._given is None else []
            written = sorted((path.stat().st_mtime, path) for path in _files([folder, *others]))
            for number, (when, path) in enumerate(written):
                if now - when > _KEEP_DAYS * _DAY or len(written) - number > MOST_FILES:
                    path.unlink(missing_ok=True)

    def _path(self, digest: str | None) -> Path | None:
        if digest is None or not _DIGEST.match(digest) or self.folder is None:
            return None
        return self.folder / digest[:2] / digest[2:]


def _files(below: Iterable[Path]) -> Iterable[Path]:
    return (path for folder in below for path in folder.glob("*/*"))


def python_mark() -> str:
    """Names the Python that runs: what it reads and compiles differs from version to version."""
    return f"{sys.implementation.cache_tag}-{sys.version_info[2]}"


def code_mark(modules: Iterable[ModuleType]) -> str:
    """Names the code of modules: another digest for any other source."""
    found = hashlib.blake2b(python_mark().encode(), digest_size=8)
    for module in modules:
        with contextlib.suppress(OSError):
            found.update(Path(module.__file__ or "").read_bytes())
    return found.hexdigest()


def digest_of(*parts: bytes | None) -> str:
    """A digest of several contents, in which None is another one than nothing."""
    found = hashlib.blake2b(digest_size=20)
    for part in parts:
        found.update(b"-" if part is None else b"%d:" % len(part) + part)
    return found.hexdigest()
