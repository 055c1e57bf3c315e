"""Facts on disk, by the digest of the file that they are about: nothing is read twice.

The folder lies in Famulus's cache and may be deleted at any time. What cannot be read there, or not be written, costs
only time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from functools import cached_property
from pathlib import Path

import msgspec

from famulus.engine.errors import StorageFailed
from famulus.engine.folders import folders, private
from famulus.lsp_server.review.index.facts import ModuleFacts

VERSION = 5
"""Raised whenever the reader says something else about the same bytes."""
_KEEP_DAYS = 30
_DIGEST = re.compile(r"[0-9a-fA-F]{8,128}\Z")


class Store:
    """Facts by digest. ``folder`` None: in Famulus's cache."""

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder
        self._decoder = msgspec.msgpack.Decoder(ModuleFacts)
        self._encoder = msgspec.msgpack.Encoder()

    @cached_property
    def folder(self) -> Path | None:
        """Where the facts lie; None if there is no place for them."""
        try:
            return private(self._given or folders().cache / "review" / f"facts-{VERSION}-{_reader_mark()}")
        except (StorageFailed, OSError):
            return None

    def get(self, digest: str | None) -> ModuleFacts | None:
        """The facts of the bytes with this digest, if they are known and whole."""
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

    def put(self, digest: str | None, facts: ModuleFacts) -> None:
        """Keeps facts; readers never see half of them."""
        path = self._path(digest)
        if path is None:
            return
        content = self._encoder.encode(facts)
        with contextlib.suppress(OSError):
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
        """Removes what was not written for a month, and the facts of other versions of the reader; at most daily."""
        folder = self.folder
        if folder is None:
            return
        mark, now = folder / "swept", time.time()
        with contextlib.suppress(OSError):
            if mark.exists() and now - mark.stat().st_mtime < 86_400:
                return
            mark.touch()
            others = [f for f in folder.parent.glob("facts-*") if f != folder] if self._given is None else []
            for path in [*folder.glob("*/*"), *(p for other in others for p in other.glob("*/*"))]:
                if now - path.stat().st_mtime > _KEEP_DAYS * 86_400:
                    path.unlink(missing_ok=True)

    def _path(self, digest: str | None) -> Path | None:
        if digest is None or not _DIGEST.match(digest) or self.folder is None:
            return None
        return self.folder / digest[:2] / digest[2:]


def _reader_mark() -> str:
    """Facts depend on the Python that parsed: a newer one reads newer syntax."""
    import sys

    return f"{sys.version_info[0]}{sys.version_info[1]}"
