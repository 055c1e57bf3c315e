"""The fixed items that models are compared on: pieces of packages that no model of ours learns from.

``items.json`` holds them with their origin and licence; :mod:`famulus.engine.training.evaluation.build` makes it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.engine.errors import InvalidRequest

FILE = Path(__file__).with_name("items.json")


@dataclass(frozen=True)
class Origin:
    """A package that items are from. ``notice``: its copyright notice, as its licence wants."""

    package: str
    version: str
    licence: str
    notice: str


@dataclass(frozen=True)
class Excerpt:
    """Whole statements of a file, which can be parsed alone. ``line``: where they begin in the file."""

    package: str
    path: str
    line: int
    text: str


@dataclass(frozen=True)
class Hole:
    """``text[start:end]`` of an excerpt is hidden."""

    excerpt: int
    start: int
    end: int


@dataclass(frozen=True)
class Function:
    """A function of which everything behind its docstring is hidden. ``calls``: expressions and the texts of their
    values, none where it cannot be run by itself."""

    package: str
    path: str
    line: int
    text: str
    start: int
    calls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pair:
    """What is asked (a text to continue, or messages) and what is to be answered. ``kind``: of which objective.

    Of a notebook's cell also how it is judged: ``setup`` makes the data, ``check`` has expressions that must be true
    afterwards with the imports that they need, ``plot`` whether they look at axes. ``answer_prefix``: how the answer to
    messages begins without being written.
    """

    kind: str
    answer: str
    text: str = ""
    messages: tuple[dict[str, str], ...] = ()
    setup: str = ""
    check: tuple[tuple[str, str], ...] = ()
    plot: bool = False
    answer_prefix: str = ""


@dataclass(frozen=True)
class HeldOut:
    """All items. ``checked``: what they were compared with when they were made."""

    origins: tuple[Origin, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    lines: tuple[Hole, ...] = ()
    spans: tuple[Hole, ...] = ()
    functions: tuple[Function, ...] = ()
    pairs: tuple[Pair, ...] = ()
    checked: dict[str, Any] = field(default_factory=dict)

    def document(self, hole: Hole) -> tuple[Excerpt, str, str, str]:
        """(the excerpt, what stands before the hole, what stood in it, what stands behind it)."""
        found = self.excerpts[hole.excerpt]
        return found, found.text[: hole.start], found.text[hole.start : hole.end], found.text[hole.end :]


_KINDS: dict[str, type[Any]] = {
    "origins": Origin,
    "excerpts": Excerpt,
    "lines": Hole,
    "spans": Hole,
    "functions": Function,
    "pairs": Pair,
}


def write(items: HeldOut, path: Path) -> None:
    """One item a line, so that a change can be read."""
    parts = [f'"checked": {json.dumps(items.checked)}']
    for name in _KINDS:
        rows = ",\n".join(json.dumps(_values(item), ensure_ascii=False) for item in getattr(items, name))
        parts.append(f'"{name}": [\n{rows}\n]')
    path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def _values(item: Any) -> list[Any]:
    return [getattr(item, f.name) for f in dataclasses.fields(item)]


@functools.cache
def read(path: Path = FILE) -> HeldOut:
    """The items of a file. Raises :class:`InvalidRequest` for one that is none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        found = {name: tuple(kind(*map(_frozen, row)) for row in said[name]) for name, kind in _KINDS.items()}
    except OSError as error:
        raise InvalidRequest(f"The items {path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"The file {path} holds no items to measure on ({error}).") from error
    return HeldOut(**found, checked=said["checked"])


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
