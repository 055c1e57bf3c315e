"""What words cells came to, kept beside the notebook, so that it runs again without a model and with the same code.

``.famulus/recordings.jsonl`` in the folder of the notebook holds one JSON object a line: the words, the code, what the
variables that the code uses looked like, and the effects that the user allowed. Each line is signed with a key of this
user; a line that somebody else wrote, or changed, is never run unasked. nbclient sends only the source of a cell, so
this file, and not the notebook, is what a run without an editor can look into.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from famulus.engine.errors import StorageFailed
from famulus.engine.folders import folders, private, storage_failed
from famulus.engine.runtime import write_private
from famulus.jupyter_kernel.candidate import Effect
from famulus.jupyter_kernel.follow import follows
from famulus.jupyter_kernel.schema import Schema

FILE = Path(".famulus/recordings.jsonl")
KEY_BYTES = 32
MOST_BYTES = 16 << 20
"""A longer file is not read: somebody else must have made it."""
_ITSELF = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Opens no link, and waits for nobody at the other end of a pipe."""


@dataclass(frozen=True)
class Recording:
    """``uses``: a digest of the shape of each variable that the code uses; ``earlier``: one of all code before it;
    ``before``: one of the code of the last cell before it, which words such as *the same for price* refer to. Paths
    among the ``effects`` are absolute; in the file those in the folder of the notebook are relative to it.
    ``undone``: the user took the cell back, so that this code is not what the words meant. ``mine``: the signature is
    that of this user."""

    words: str
    code: str
    uses: Mapping[str, str]
    schema: str
    earlier: str
    effects: tuple[Effect, ...] = ()
    recipe: str = ""
    model: str = ""
    undone: bool = False
    before: str = ""
    mine: bool = True

    def fits(self, schema: Schema, before: str) -> bool:
        """Everything that the code uses looks as it did, and what the words go on from is the same."""
        return (before == self.before or not follows(self.words, schema)) and all(
            shape(schema, name) == digest for name, digest in self.uses.items()
        )


class Recordings:
    """The recordings of the notebooks in one folder."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._home = home

    def find(self, words: str, schema: Schema, earlier: str, before: str = "") -> Recording | None:
        """The newest recording of these words that fits and was not undone; this user's own, and one after the same
        code, come first. ``earlier`` and ``before`` are digests as in :class:`Recording`."""
        known = self.of(words)
        last = {one.code: one for one in reversed(known) if one.mine}
        wrong = {code for code, one in last.items() if one.undone}
        fitting = [one for one in known if one.code not in wrong and not one.undone and one.fits(schema, before)]
        return max(fitting, key=lambda one: (one.mine, one.earlier == earlier, one.before == before), default=None)

    def of(self, words: str) -> list[Recording]:
        """All recordings of these words, the newest first. A damaged line is passed over."""
        said, key = normal(words), self._key()
        found = []
        for line in reversed(self._lines()):
            recording = _read(line, key, self.folder)
            if recording is not None and normal(recording.words) == said:
                found.append(recording)
        return found

    def add(self, recording: Recording) -> None:
        """Appends a line, unless the newest one for these words and this code says the same. Raises
        :class:`StorageFailed`."""
        known = (one for one in self.of(recording.words) if one.mine and one.code == recording.code)
        if next(known, None) == recording:
            return
        body = asdict(recording)
        del body["mine"]
        for effect in body["effects"]:
            effect["what"] = _relative(effect["what"], self.folder)
        line = json.dumps(body | {"signature": _sign(body, self._key())}, ensure_ascii=False) + "\n"
        try:
            self._path.parent.mkdir(exist_ok=True)
            # One write to a file opened for appending: two kernels in one folder do not mix their lines.
            # A link that came with the folder must not lead to a file elsewhere.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _ITSELF, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_failed(self._path, error) from error

    def _lines(self) -> list[str]:
        try:
            found = self._path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                return []
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def _key(self) -> bytes:
        """This user's key, made when first needed."""
        path = folders(self._home).data / "recordings.key"
        if key := _key_in(path):
            return key
        private(path.parent)
        with contextlib.suppress(StorageFailed):
            write_private(path, secrets.token_hex(KEY_BYTES))
        return _key_in(path) or secrets.token_bytes(KEY_BYTES)


def _key_in(path: Path) -> bytes | None:
    with contextlib.suppress(OSError, ValueError):
        key = bytes.fromhex(path.read_text())
        return key if len(key) == KEY_BYTES else None
    return None


def normal(words: str) -> str:
    """Words as they are compared: without the spaces at their ends and in between."""
    return " ".join(words.split())


def shape(schema: Schema, name: str) -> str:
    """A digest of what a variable is, without any value of it; "" where there is none."""
    variable = schema.variable(name)
    if variable is None:
        return "module:" + schema.imports[name] if name in schema.imports else ""
    columns = [(column.name, column.kind, column.dtype) for column in variable.columns]
    parts = (variable.kind, variable.type, variable.element, variable.signature, columns)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def digest_of(cells: Sequence[str]) -> str:
    """One digest of all code that ran before a cell."""
    return hashlib.sha256("\0".join(cell.strip() for cell in cells if cell.strip()).encode()).hexdigest()[:16]


def _sign(body: Mapping[str, Any], key: bytes) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _relative(path: str, folder: Path) -> str:
    """A path in ``folder`` as it is there, so that a copy of the folder elsewhere means the same file."""
    inside = os.path.isabs(path) and Path(path).is_relative_to(folder)
    return "./" + Path(path).relative_to(folder).as_posix() if inside else path


def _absolute(path: str, folder: Path) -> str:
    return str(folder / path) if path.startswith("./") else path


def _read(line: str, key: bytes, folder: Path) -> Recording | None:
    try:
        body = json.loads(line)
        signature = body.pop("signature")
        mine = hmac.compare_digest(str(signature), _sign(body, key))
        body["effects"] = tuple(Effect(effect["kind"], _absolute(effect["what"], folder)) for effect in body["effects"])
        recording = Recording(**body, mine=mine)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    texts = (
        recording.before,
        recording.words,
        recording.code,
        recording.schema,
        recording.earlier,
        recording.recipe,
        recording.model,
    )
    known = isinstance(recording.uses, dict) and all(
        isinstance(text, str) for text in (*texts, *recording.uses.values())
    )
    return recording if known else None
