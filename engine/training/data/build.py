"""Packages → a corpus: fetched as wheels, read without running anything, cleaned, without doubles, split by package.

The corpus is three files of compressed JSON lines, and ``sources.json``, which says of every package its version, its
licence and how much of it was taken and left out.
"""

from __future__ import annotations

import contextlib
import email
import json
import lzma
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError, InvalidRequest
from famulus.engine.training.data.cleaning import reason
from famulus.engine.training.data.duplicates import Seen
from famulus.engine.training.data.licences import licence_of

SPLITS = ("train", "validation", "held-out")
MOST = 6_000_000
"""Characters of one package; a larger one is thinned evenly, so that none sets the tone."""

FETCH = 600
"""Seconds for one package."""

Say = Callable[[str], None]


class FetchFailed(FamulusError):
    """A package could not be fetched."""

    code, status = "fetch_failed", 502


@dataclass(frozen=True)
class Package:
    """One of ``packages.toml``; "python" is the standard library of the interpreter that builds."""

    name: str
    version: str
    split: str = "train"


@dataclass
class Source:
    """What became of a package. ``left_out``: files by reason."""

    package: str
    version: str
    licence: str
    split: str
    files: int = 0
    characters: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def packages() -> list[Package]:
    """The list in ``packages.toml``."""
    text = Path(__file__).with_name("packages.toml").read_text(encoding="utf-8")
    said = tomllib.loads(text)
    found = [Package("python", "", "train")]
    for split in SPLITS:
        found += [Package(name, version, split) for name, version in said[split].items()]
    return found


def build(into: Path, wheels: Path, say: Say, wanted: list[Package] | None = None) -> list[Source]:
    """Writes the corpus into ``into``; ``wheels`` keeps what was fetched, so that a cut build goes on.

    Held-out and validation packages are read first: what is like them is left out of the rest. Raises
    :class:`FetchFailed`, and :class:`InvalidRequest` for a package whose licence is not permissive.
    """
    into.mkdir(parents=True, exist_ok=True)
    order = {split: place for place, split in enumerate(reversed(SPLITS))}
    chosen = sorted(packages() if wanted is None else wanted, key=lambda p: order[p.split])
    seen, sources = Seen(), []
    with contextlib.ExitStack() as stack:
        files = {}
        for split in SPLITS:
            path = into / f"{split}.jsonl.xz"
            files[split] = stack.enter_context(lzma.open(path, "wt", encoding="utf-8", preset=6))
        for package in chosen:
            source, found = _opened(package, wheels)
            for name, text in _scattered(found):
                why = reason(name, text)
                if not why and source.characters + len(text) > MOST:
                    why = "the package is large"
                if not why and seen.double(text):
                    why = "like another"
                if why:
                    source.left_out[why] += 1
                    continue
                source.files += 1
                source.characters += len(text)
                line = {"package": package.name, "path": name, "licence": source.licence, "text": text}
                files[package.split].write(json.dumps(line, ensure_ascii=False) + "\n")
            sources.append(source)
            say(f"{package.name} {source.version}: {source.files} files, {source.characters / 1e6:.1f} MB")
    text = json.dumps([vars(s) for s in sources], indent=1)
    (into / "sources.json").write_text(text + "\n", encoding="utf-8")
    return sources


def documents(corpus: Path, split: str) -> Iterator[dict[str, str]]:
    """The files of a split: package, path, licence, text."""
    with lzma.open(corpus / f"{split}.jsonl.xz", "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _opened(package: Package, wheels: Path) -> tuple[Source, Iterator[tuple[str, str]]]:
    if package.name == "python":
        folder = Path(sysconfig.get_paths()["stdlib"])
        return Source("python", sys.version.split()[0], "PSF", package.split), _of_folder(folder)
    path = fetched(package, wheels)
    with zipfile.ZipFile(path) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_string(wheel.read(name).decode("utf-8", "replace"))
    licence = licence_of(metadata)
    if not licence:
        raise InvalidRequest(f"{package.name} is not published under a licence that we learn from.")
    return Source(package.name, package.version, licence, package.split), _of_wheel(path)


def fetched(package: Package, wheels: Path) -> Path:
    """The wheel of a package in the folder ``wheels``, fetched if it is not there. Raises :class:`FetchFailed`."""
    wheels.mkdir(parents=True, exist_ok=True)
    stem = f"{package.name}-{package.version}-"

    def there() -> Path | None:
        named = (p for p in sorted(wheels.glob("*.whl")) if _plain(p.name).startswith(_plain(stem)))
        return next(named, None)

    path = there()
    if path is None:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--dest", str(wheels), f"{package.name}=={package.version}"],
            capture_output=True, text=True, timeout=FETCH, check=False,
        )  # fmt: skip
        path = there()
        if path is None:
            said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise FetchFailed(f"{package.name} {package.version} cannot be fetched: {said}")
    return path


def _plain(name: str) -> str:
    return name.lower().replace(".", "_").replace("-", "_")


def _scattered(files: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """In an order that has nothing to do with their names: a package that is thinned keeps some of all its parts."""
    return sorted(files, key=lambda pair: zlib.crc32(pair[0].encode()))


def _of_wheel(path: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith(".py") and ".data/" not in name:
                text = _text(wheel.read(name))
                if text:
                    yield name, text


def _of_folder(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(("site-packages/", "dist-packages/", "lib2to3/tests/data", "test/")):
            text = _text(path.read_bytes())
            if text:
                yield name, text


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return ""


def summary(sources: list[Source]) -> dict[str, Any]:
    """Packages, files and characters of each split, and the licences."""
    found: dict[str, Any] = {}
    for split in SPLITS:
        mine = [s for s in sources if s.split == split]
        found[split] = {
            "packages": len(mine),
            "files": sum(s.files for s in mine),
            "characters": sum(s.characters for s in mine),
        }
    found["licences"] = dict(Counter(s.licence for s in sources))
    return found
