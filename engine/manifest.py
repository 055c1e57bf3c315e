"""The list of a model's files with their digests, kept beside them.

A model folder that Famulus wrote holds ``famulus-manifest.json``. It is written last, so that a folder
without it was never finished. Before a model is loaded each file is compared with it; a *stamp* in the cache
folder remembers (size, times, inode) of files whose digest was right: an unchanged file is read only once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from famulus.engine.errors import BadWeights, StorageFailed
from famulus.engine.folders import private, storage_failed

NAME = "famulus-manifest.json"
CARD = "README.md"
"""The model card, where a model has one."""
_BLOCK = 1 << 20

Progress = Callable[[str, int, int], None]
"""Called with (file, bytes done, bytes in all)."""


@dataclass(frozen=True)
class FileDigest:
    """``size`` in bytes and the SHA-256 of the whole content in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What was fetched: catalog id, where from, which revision, under which licence, and every file."""

    id: str
    source: str
    revision: str
    licence: str
    files: Mapping[str, FileDigest]

    @property
    def digest(self) -> str:
        """One SHA-256 over all files; names what is derived from them (packed weights)."""
        lines = "".join(f"{name}\0{self.files[name].sha256}\n" for name in sorted(self.files))
        return hashlib.sha256(lines.encode()).hexdigest()


def read(folder: Path) -> Manifest | None:
    """The manifest of ``folder``, None where there is none. Raises :class:`BadWeights` for a broken one."""
    path = folder / NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadWeights(f"The manifest {path} cannot be read ({error.strerror}).") from error
    try:
        fields = json.loads(text)
        files = {name: FileDigest(int(f["size"]), str(f["sha256"])) for name, f in fields["files"].items()}
        if not all(map(_inside, files)):
            raise ValueError("a file outside the folder")
        return Manifest(
            str(fields["id"]), str(fields["source"]), str(fields["revision"]), str(fields["licence"]), files
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadWeights(f"The manifest {path} is corrupt.", fix="Remove the model and pull it again.") from error


def _inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and not {"..", "\\"} & set(parts) and "\0" not in name


def write(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest of a finished folder, durably. Raises :class:`StorageFailed`."""
    fields = {
        "id": manifest.id,
        "source": manifest.source,
        "revision": manifest.revision,
        "licence": manifest.licence,
        "files": {n: {"size": f.size, "sha256": f.sha256} for n, f in sorted(manifest.files.items())},
    }
    write_json(folder / NAME, fields)


def write_json(path: Path, value: Any) -> None:
    """Replaces ``path`` as a whole or not at all, whatever interrupts it. Raises :class:`StorageFailed`."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary:
                os.unlink(temporary)
        raise storage_failed(path, error) from error


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in ``folder`` durable (where the system can)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file's content, hexadecimal; ``progress`` gets the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done)
    return digest.hexdigest()


def verify(folder: Path, progress: Progress | None = None) -> Manifest:
    """Reads every file of ``folder`` and compares it with the manifest.

    Raises :class:`BadWeights` naming the first file that is missing, has another size or another content, or
    where the folder has no manifest.
    """
    manifest = read(folder)
    if manifest is None:
        raise BadWeights(f"The model folder {folder} has no manifest to verify it against.")
    total, before = sum(f.size for f in manifest.files.values()), 0
    for name, expected in manifest.files.items():

        def report(done: int, name: str = name, before: int = before) -> None:
            if progress is not None:
                progress(name, before + done, total)

        path = folder / name
        _stat(manifest, path, expected)
        try:
            found = sha256_of(path, report)
        except OSError as error:
            raise BadWeights(f"The model file {path} cannot be read ({error.strerror}).") from error
        if found != expected.sha256:
            raise _damaged(manifest, path, "its content changed since it was fetched")
        before += expected.size
    return manifest


def check(folder: Path, stamps: Path) -> Manifest | None:
    """What a load does: nothing but a few ``stat`` calls for files already verified and unchanged since, else
    :func:`verify`. None for a folder without a manifest. ``stamps``: the folder of the stamps."""
    manifest = read(folder)
    if manifest is None:
        return None
    now = _state(folder, manifest)
    try:
        if json.loads(_stamp_file(folder, stamps).read_bytes()) == now:
            return manifest
    except (OSError, ValueError, RecursionError):
        pass  # no stamp yet, or a torn one: the digest decides
    verify(folder)
    if _state(folder, manifest) == now:
        stamp(folder, manifest, stamps)
    return manifest


def stamp(folder: Path, manifest: Manifest, stamps: Path) -> None:
    """Remembers that the files of ``folder`` had the right digests just now.

    Without room for the stamp there is none, and the next load reads the files again.
    """
    with contextlib.suppress(StorageFailed, BadWeights):
        private(stamps)
        write_json(_stamp_file(folder, stamps), _state(folder, manifest))


def _stamp_file(folder: Path, stamps: Path) -> Path:
    return stamps / (hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32] + ".json")


def _state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    files = {}
    for name in sorted(manifest.files):
        found = _stat(manifest, folder / name, manifest.files[name])
        files[name] = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    return {"digest": manifest.digest, "files": files}


def _stat(manifest: Manifest, path: Path, expected: FileDigest) -> os.stat_result:
    try:
        found = path.stat()
    except OSError:
        raise _damaged(manifest, path, "it is missing") from None
    if found.st_size != expected.size:
        raise _damaged(manifest, path, f"it has {found.st_size} bytes instead of {expected.size}")
    return found


def _damaged(manifest: Manifest, path: Path, what: str) -> BadWeights:
    return BadWeights(f"The model file {path} is damaged: {what}.", fix=f"Run: famulus models pull {manifest.id}")
