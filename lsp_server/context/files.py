"""Files around a file: its siblings, its tests, and the windows of code in them that are most like the cursor's own."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.languages import language_of
from famulus.lsp_server.context.words import similarity, words
from famulus.lsp_server.documents import Text

WINDOW = 20
"""Lines of a window; each begins in the middle of the one before."""
WIDEST = 1_000
"""Characters of a window."""
MOST_WINDOWS = 50
"""Of one file: its first 500 lines."""
ALIKE = 0.12
"""A window less like the cursor's neighbourhood than this is not worth its place."""
SIBLINGS = 30
ENTRIES = 2_000
"""Names in a folder that are looked at."""

_TESTS = ("tests", "test", "__tests__")
_TEST = re.compile(r"^test_(?P<a>.+)$|^(?P<b>.+?)(?:_test|\.test|\.spec|Test)$")
_FAMILY: Mapping[str, str] = {
    **dict.fromkeys(("typescript", "typescriptreact", "javascript", "javascriptreact"), "script"),
    "cpp": "c",
}
"""Languages whose files use each other."""


@dataclass(frozen=True)
class Window:
    """Some lines of a file, the first of them with the number ``line``, from 0."""

    line: int
    text: str
    words: frozenset[str]


def windows(text: Text) -> list[Window]:
    """The windows of a file, in order; those with hardly a word are left out."""
    found = []
    for line in range(0, max(1, min(text.lines, MOST_WINDOWS * WINDOW // 2)), WINDOW // 2):
        end = text.starts[min(line + WINDOW, text.lines) - 1]
        content = text.value[text.starts[line] : text.line_end(text.place(end)[0])][:WIDEST].strip("\r\n")
        inside = words(content)
        if len(inside) >= WINDOW // 4:
            found.append(Window(line, content, inside))
    return found


def most_alike(query: frozenset[str], offered: Sequence[Window]) -> tuple[float, Window] | None:
    """The window most like ``query``; None if none is alike enough."""
    best = max(((similarity(query, window.words), -window.line, window) for window in offered), default=None)
    return (best[0], best[2]) if best is not None and best[0] >= ALIKE else None


def around(path: Path, roots: Sequence[Path]) -> list[Path]:
    """Files that likely matter to ``path``, best first: its test or what it tests, then its siblings. Reads folders."""
    siblings = [other for other in _listed(path.parent) if other != path and _kin(path, other)]
    siblings.sort(key=lambda other: (-_shared(path.stem, other.stem), other.name))
    pairs = [other for other in counterparts(path, roots) if other != path and other.is_file()]
    return list(dict.fromkeys((*pairs[:3], *siblings[:SIBLINGS])))


def _listed(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in itertools.islice(entries, ENTRIES) if e.is_file(follow_symlinks=False)]
    except OSError:
        return []


def _shared(one: str, other: str) -> int:
    """How many characters two names begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _kin(path: Path, other: Path) -> bool:
    mine, its = (_FAMILY.get(found, found) for found in (language_of(path.name), language_of(other.name)))
    return bool(mine) and mine == its


def counterparts(path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Where the test of an implementation may lie, and the implementation of a test."""
    stem, ending, folder = path.stem, path.suffix, path.parent
    root = max((r for r in roots if folder.is_relative_to(r)), key=lambda r: len(r.parts), default=folder)
    inner = folder.relative_to(root)
    match = _TEST.match(stem)
    if match is None:
        names = [form.format(stem) + ending for form in ("test_{}", "{}_test", "{}.test", "{}.spec", "{}Test")]
        bases = [folder, *(folder / name for name in _TESTS), root / "tests" / inner, root / "test" / inner]
        bases += [root / "tests", root / "tests" / Path(*inner.parts[1:])]
        bases += [Path(str(folder).replace("/main/", "/test/", 1))]
    else:
        names = [(match["a"] or match["b"]) + ending]
        bare = Path(*(part for part in inner.parts if part not in _TESTS))
        bases = [folder, folder.parent, root / bare, root / "src" / bare]
        bases += [Path(str(folder).replace("/test/", "/main/", 1))]
        bases += [other / bare for other in _folders(root)]
    yield from (base / name for base in dict.fromkeys(bases) for name in names)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            listed = [Path(e.path) for e in itertools.islice(entries, 60) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder for folder in listed if not folder.name.startswith(".")]
