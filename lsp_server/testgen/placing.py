"""Puts tests into a file of the user's: lines come in, and not a byte of the others changes."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import re
import tempfile
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.errors import StorageFailed
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.review.change import Tree
from famulus.lsp_server.testgen.errors import CannotPlace

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Insertion:
    """``text`` to stand before ``column`` (from 0) of ``line`` (from 0) of what is there: whole lines with ``\\n``, or
    a part of a line."""

    line: int
    text: str
    column: int = 0


def insertions(before: str, after: str) -> list[Insertion]:
    """What makes ``after`` of ``before``: lines that come in, and names within lines that import.

    Both have ``\\n`` as line ends. Raises :class:`CannotPlace` where a line of ``before`` would change."""
    old, new = _rows(before), _rows(after)
    found: list[Insertion] = []
    at = number = 0
    while number < len(new):
        row = new[number]
        number += 1
        if at < len(old) and row == old[at]:
            at += 1
        elif at < len(old) and (inside := list(_within(old[at], row))):
            found += [Insertion(at, text, column) for column, text in inside]
            at += 1
        elif at < len(old) and row.endswith(" import (") and (inside := list(_unfolded(old[at], new[number - 1 :]))):
            found += [Insertion(at, text, column) for column, text in inside]
            at, number = at + 1, new.index(")", number) + 1
        elif found and found[-1].line == at and found[-1].column == 0:
            found[-1] = Insertion(at, found[-1].text + f"{row}\n")
        else:
            found.append(Insertion(at, f"{row}\n"))
    if at < len(old):
        raise CannotPlace("The tests do not fit into the file without a change to its lines.", fix="Test another file.")
    return found


def _within(old: str, new: str) -> Iterator[tuple[int, str]]:
    """Columns at which names come into an import on one line, and their texts; nothing if ``new`` is no such line."""
    start, found, names = old.partition(" import ")
    if not found or not start.startswith("from ") or not new.startswith(start + found):
        return
    known, wanted = names.split(", "), new.removeprefix(start + found).split(", ")
    column = len(start + found)
    rest = iter(known)
    here = next(rest, None)
    inside = []
    for name in wanted:
        if name == here:
            column += len(name) + 2
            here = next(rest, None)
        else:
            inside.append((column, f"{name}, ") if here is not None else (len(old), f", {name}"))
    if here is None:
        yield from inside


def _unfolded(old: str, new: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The same for an import that becomes the first of the ``new`` lines, up to the bracket, with a name on each: the
    space between two names becomes the last one of an indent."""
    start, found, names = old.partition(" import ")
    if new[0] != f"{start}{found}(" or ")" not in new:
        return
    known, coming = names.split(", "), [[""]]
    for name in (row.strip(" ,") for row in new[1 : new.index(")")]):
        if known[len(coming) - 1 : len(coming)] == [name]:
            coming.append([""])
        else:
            coming[-1].append(f"    {name},")
    if len(coming) != len(known) + 1:
        return
    column = len(start + found)
    for number, rows in enumerate(coming):
        if number == 0:
            yield column, "(" + "\n".join([*rows, "    "])
        elif number < len(known):
            yield column - 1, "\n".join([*rows, "   "])
        else:
            yield len(old), "," + "\n".join([*rows, ")"])
        column += len(known[min(number, len(known) - 1)]) + 2


def placed(content: bytes, inserted: Sequence[Insertion]) -> bytes:
    """The file with the texts in place, in its own encoding and with its own kind of line end.

    Raises :class:`CannotPlace` where it has no such form."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
        if text.encode(encoding) != content:
            raise CannotPlace(f"The file cannot be kept as it is in {encoding}.", fix="Save it as UTF-8.")
        ends = _LINE_END.findall(text)
        end = max(("\n", "\r\n", "\r"), key=ends.count)  # the first of those that are as frequent
        rows = _with_ends(text)
        for one in sorted(inserted, key=lambda i: (i.line, i.column))[::-1]:  # of equal places the last one first
            lines = one.text.replace("\n", end)
            if one.column:
                rows[one.line] = rows[one.line][: one.column] + lines + rows[one.line][one.column :]
                continue
            if 0 < one.line == len(rows) and not rows[-1].endswith(("\n", "\r")):
                lines = end + lines
            rows.insert(one.line, lines)
        return "".join(rows).encode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise CannotPlace("The file is in no encoding that Python reads.", fix="Save it as UTF-8.") from error


def save(file: Path, root: Path, content: bytes, expected: bytes | None) -> None:
    """Write a file all at once, unless it is not ``expected`` (None: not there) any more.

    Raises :class:`CannotPlace`, also for a file that a link leads out of ``root`` to, and :class:`StorageFailed`."""
    try:
        real = file.resolve()
        if not real.is_relative_to(root.resolve()):
            raise CannotPlace(f"{file} leads out of the project.", fix="Write the tests elsewhere.")
        if (real.read_bytes() if real.exists() else None) != expected:
            raise _changed(file)
        real.parent.mkdir(parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o7777 if expected is not None else 0o666 & ~_umask()
        number, name = tempfile.mkstemp(prefix=".famulus-", dir=real.parent)
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, mode)
            if expected is None:
                _come_first(name, real, file)
            elif real.read_bytes() != expected:
                raise _changed(file)
            else:
                os.replace(name, real)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    except OSError as error:
        raise StorageFailed(f"{file} cannot be written ({error.strerror}).") from error


def _come_first(name: str, real: Path, file: Path) -> None:
    """Give a file its name, which nobody may have taken. Raises :class:`CannotPlace`."""
    try:
        try:
            os.link(name, real)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            with open(real, "xb") as stream:
                stream.write(Path(name).read_bytes())
    except FileExistsError as error:
        raise _changed(file) from error


def _changed(file: Path) -> CannotPlace:
    return CannotPlace(f"{file} changed meanwhile and was left as it is.", fix="Run it again.")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _rows(text: str) -> list[str]:
    rows = text.split("\n")
    return rows[:-1] if rows[-1] == "" else rows


def _with_ends(text: str) -> list[str]:
    """Lines with their ends, as Python counts lines: a form feed ends none."""
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    return [row for row in (text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)) if row]


def test_path(layout: Layout, tree: Tree, path: str) -> str:
    """Where the tests of the module at ``path`` stand, or would: beside other tests of it, in ``tests``, beside it."""
    name = f"test_{posixpath.basename(path)}"
    package = posixpath.basename(posixpath.dirname(path)).encode()
    named = [p for p in layout.tests() if posixpath.basename(p) in (name, name[5:-3] + "_test.py")]
    here = posixpath.dirname(path)
    # Others have modules of this name as well.
    named = [p for p in named if posixpath.dirname(p) == here or package in (tree.read(p) or b"")]
    if named:
        folder = here.split("/")
        return max(named, key=lambda p: (len(set(p.split("/")) & set(folder)), -len(p), p))
    module = layout.module(path)
    apart = module is not None and module[1] not in ("", *layout.declared)  # a file in tests/ could not import it
    if not apart and any(p.startswith("tests/") for p in tree.paths()):
        return f"tests/{name}"
    return posixpath.join(here, name)
