"""A place in a file: ``FILE:LINE:COLUMN``, counted from 1, columns in code points."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.errors import InvalidRequest, StorageFailed

MAX_BYTES = 64 << 20
"""A larger file is no source text."""
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Place:
    """A cursor. ``line`` and ``column`` count from 1."""

    file: Path
    line: int
    column: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """``FILE:LINE:COLUMN``, read from the right, because file names may hold colons. Raises ValueError."""
        file, *numbers = text.rsplit(":", 2)
        if not file or len(numbers) != 2 or not all(re.fullmatch("[0-9]{1,9}", n) and int(n) for n in numbers):
            raise ValueError(f"{text!r} is not FILE:LINE:COLUMN with numbers from 1.")
        return cls(Path(file), int(numbers[0]), int(numbers[1]))


@dataclass(frozen=True)
class Hole:
    """The text around a cursor, with ``"\\n"`` as line end, and the line end that the file itself uses."""

    prefix: str
    suffix: str
    line_end: str

    def in_file(self, text: str) -> str:
        """``text`` with the file's own line ends."""
        return text.replace("\n", self.line_end)


def open_hole(place: Place) -> Hole:
    """Reads the file and splits it at the cursor. Raises :class:`StorageFailed` and :class:`InvalidRequest`."""
    return split(read_source(place.file), place)


def read_source(file: Path) -> str:
    """The text of a source file, without a byte order mark.

    Raises :class:`StorageFailed` where it cannot be read, :class:`InvalidRequest` where it is not text.
    """
    try:
        if file.is_dir():
            raise InvalidRequest(f"{file} is a folder, not a file.")
        if not file.exists():
            raise InvalidRequest(f"There is no file {file}.")
        if not file.is_file():
            raise InvalidRequest(f"{file} is not an ordinary file.")
        if file.stat().st_size > MAX_BYTES:
            raise InvalidRequest(f"{file} is larger than {MAX_BYTES >> 20} MB and can hardly be source text.")
        content = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise StorageFailed(f"{file} cannot be read ({reason}).") from error
    if b"\0" in content:
        raise InvalidRequest(f"{file} is a binary file, not source text.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidRequest(f"{file} is not UTF-8 text (line {line}).", fix="Convert it to UTF-8.") from error


def split(text: str, place: Place) -> Hole:
    """The text before and after the cursor. Raises :class:`InvalidRequest` for a place outside the text.

    A line ends with LF, CRLF or CR as editors see it; other separators (form feed, U+2028) are characters.
    """
    ends = [match.span() for match in _LINE_END.finditer(text)]
    if place.line > len(ends) + 1:
        raise InvalidRequest(f"{place.file} has {_count(len(ends) + 1, 'line')}; there is no line {place.line}.")
    start = ends[place.line - 2][1] if place.line > 1 else 0
    stop = ends[place.line - 1][0] if place.line <= len(ends) else len(text)
    if place.column > stop - start + 1:
        raise InvalidRequest(
            f"Line {place.line} of {place.file} has {_count(stop - start, 'character')}; "
            f"the cursor cannot stand in column {place.column}.",
            fix=f"The last column is {stop - start + 1}.",
        )
    cursor = start + place.column - 1
    found = [text[a:b] for a, b in ends]
    line_end = max(set(found), key=found.count, default="\n")
    return Hole(_LINE_END.sub("\n", text[:cursor]), _LINE_END.sub("\n", text[cursor:]), line_end)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
