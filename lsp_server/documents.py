"""The mirror of what the editor shows: immutable texts, edits, and positions in the client's units.

Offsets and columns are code points, lines count from 0; only :class:`Document` knows the units that the client counts
in. Lines end with ``\\n``, ``\\r\\n`` or ``\\r`` as the protocol says: form feeds and Unicode's line separators, at
which ``str.splitlines`` also cuts, do not end a line.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import unquote

from lsprotocol import types
from pygls.uris import to_fs_path
from pygls.workspace import PositionCodec, TextDocument, Workspace

from famulus.engine.errors import InvalidRequest

HUGE = 2 << 20
"""Code points; a longer text is not parsed, and only the neighbourhood of the cursor is looked at."""

Kind = Literal["document", "code", "markup"]
"""A document of its own, or a cell of a notebook with code or with text."""

_ENDS = re.compile(r"\r\n|\n|\r")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Change:
    """``text[start:end]`` became ``inserted``; offsets belong to the text before the change."""

    start: int
    end: int
    inserted: str


@dataclass(frozen=True)
class Text:
    """A text that knows its lines."""

    value: str = ""

    @cached_property
    def starts(self) -> list[int]:
        """The offset at which each line starts; the last line may be empty."""
        return [0, *(match.end() for match in _ENDS.finditer(self.value))]

    @property
    def lines(self) -> int:
        """Number of lines; 1 for the empty text."""
        return len(self.starts)

    def __len__(self) -> int:
        return len(self.value)

    def line(self, number: int) -> str:
        """A line without its end."""
        return self.value[self.starts[number] : self.line_end(number)]

    def line_end(self, number: int) -> int:
        """The offset behind the last character of a line, before its line break."""
        if number + 1 >= len(self.starts):
            return len(self.value)
        end = self.starts[number + 1] - 1
        return end - 1 if self.value[end - 1 : end + 1] == "\r\n" and end > self.starts[number] else end

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, which is taken into the text first."""
        offset = max(0, min(offset, len(self.value)))
        line = bisect_right(self.starts, offset) - 1
        return line, offset - self.starts[line]

    def offset(self, line: int, column: int) -> int:
        """The offset of a place; beyond a line's end it is that end, beyond the text its end."""
        if line >= len(self.starts):
            return len(self.value)
        return min(self.starts[line] + column, self.line_end(line))

    def edited(self, change: Change) -> Text:
        """The text after ``change``."""
        # One copy, not two: that is what a key in a file of megabytes costs.
        new = Text("".join((self.value[: change.start], change.inserted, self.value[change.end :])))
        if "starts" in self.__dict__:
            # Lines beside the change keep their starts; one before and one behind it may join a "\r" with a "\n".
            first = max(0, bisect_right(self.starts, change.start) - 2)
            low = self.starts[first]
            shift = len(change.inserted) - (change.end - change.start)
            last = bisect_right(self.starts, change.end + 1)
            high = self.starts[last] + shift if last < len(self.starts) else len(new.value)
            between = [match.end() for match in _ENDS.finditer(new.value, low, high)]
            kept = [start + shift for start in self.starts[last:]] if shift else self.starts[last:]
            if between and kept and between[-1] == kept[0]:
                between.pop()
            new.__dict__["starts"] = [*self.starts[: first + 1], *between, *kept]
        return new


@dataclass(frozen=True)
class Snapshot:
    """A document at one version. ``path`` is None for untitled documents and foreign schemes; that of a notebook's
    cell is the notebook's."""

    uri: str
    version: int
    language: str
    text: Text
    path: Path | None = None
    kind: Kind = "document"


class Document(TextDocument):
    """An open document. Positions of the protocol go in and out in the units that were agreed on."""

    def __init__(
        self,
        uri: str,
        source: str | None,
        version: int | None,
        language_id: str | None,
        position_codec: PositionCodec,
    ) -> None:
        super().__init__(
            uri, source=None, version=version, language_id=language_id, local=False, position_codec=position_codec
        )
        self.file = _path(uri)
        self.kind: Kind = "document"
        self.text = Text(_whole(source or ""))
        self.changed: Callable[[Document, Text, Change], None] = _nobody

    @property
    def source(self) -> str:
        """The whole text."""
        return self.text.value

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines with their ends (for pygls; :attr:`text` is faster)."""
        edges = [*self.text.starts, len(self.text)]
        return tuple(self.text.value[a:b] for a, b in itertools.pairwise(edges) if b > a)

    def snapshot(self) -> Snapshot:
        """What the document is now."""
        return Snapshot(self.uri, self.version or 0, self.language_id or "", self.text, self.file, self.kind)

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Apply one change of the client and tell :attr:`changed`, with the text before it."""
        before = self.text
        if isinstance(change, types.TextDocumentContentChangePartial):
            (start, left), (end, right) = sorted((self._split(change.range.start), self._split(change.range.end)))
            # Halves of characters stay, so that later positions are still right.
            high = _halves(before.value[start])[0] if left else ""
            low = _halves(before.value[end])[1] if right else ""
            edit = Change(start, end + right, _whole(high + change.text + low))
        else:
            edit = Change(0, len(before), _whole(change.text))
        self.text = before.edited(edit)
        self.changed(self, before, edit)

    def offset_at(self, position: types.Position) -> int:
        """The offset of a position; one behind a line's end is at that end, one inside a character before it."""
        return self._split(position)[0]

    def _split(self, position: types.Position) -> tuple[int, bool]:
        """The offset of a position, and whether it stands in the middle of the surrogate pair there."""
        if position.line >= self.text.lines:
            return len(self.text), False
        line = self.text.line(position.line)
        column, inside = _column(line, position.character, self._units)
        return self.text.starts[position.line] + column, inside and self._units is _utf16

    def position_at(self, offset: int) -> types.Position:
        """The position of an offset."""
        line, column = self.text.place(offset)
        start = self.text.starts[line]
        return types.Position(line, self.units(self.text.value[start : start + column]))

    def range_of(self, start: int, end: int) -> types.Range:
        """The range between two offsets."""
        return types.Range(self.position_at(start), self.position_at(end))

    def units(self, text: str) -> int:
        """How many of the client's units ``text`` has."""
        return len(text) if text.isascii() else sum(map(self._units, text))

    @property
    def _units(self) -> Callable[[str], int]:
        return _UNITS[self.position_codec.encoding or types.PositionEncodingKind.Utf16]


class Watcher(Protocol):
    """Is told what happens to the documents of a mirror, in order."""

    def opened(self, document: Document) -> None:
        """It is in the mirror now."""

    def changed(self, document: Document, before: Text, change: Change) -> None:
        """One change was applied."""

    def closed(self, document: Document) -> None:
        """It leaves the mirror after this."""


class Mirror(Workspace):
    """pygls's workspace with our documents."""

    def __init__(self, like: Workspace, encoding: types.PositionEncodingKind | str, watcher: Watcher) -> None:
        super().__init__(like.root_uri, types.TextDocumentSyncKind.Incremental, [*like.folders.values()], encoding)
        self._watcher = watcher

    @property
    def documents(self) -> list[Document]:
        """All open documents."""
        return [found for found in self._text_documents.values() if isinstance(found, Document)]

    def document(self, uri: str) -> Document | None:
        """An open document."""
        found = self._text_documents.get(unquote(uri))
        return found if isinstance(found, Document) else None

    def folder_of(self, uri: str) -> str | None:
        """The key of the innermost workspace folder that holds ``uri``."""
        plain = unquote(uri)
        holding = [key for key in self._folders if plain == key or plain.startswith(key.rstrip("/") + "/")]
        return max(holding, key=len, default=None)

    def put_text_document(self, text_document: types.TextDocumentItem, notebook_uri: str | None = None) -> None:
        """Open a document, or a cell of a notebook. One that is open already is closed first."""
        self.remove_text_document(text_document.uri)
        super().put_text_document(text_document, notebook_uri)
        document = self.document(text_document.uri)
        assert document is not None
        document.changed = self._watcher.changed
        if notebook_uri is not None:
            document.file = _path(notebook_uri)
            self._mark_cells(notebook_uri)
        self._watcher.opened(document)

    def remove_text_document(self, doc_uri: str) -> None:
        """Close a document; one that is not open is no error."""
        document = self.document(doc_uri)
        if document is not None:
            self._watcher.closed(document)
        super().remove_text_document(doc_uri)

    def update_text_document(
        self, text_doc: types.VersionedTextDocumentIdentifier, change: types.TextDocumentContentChangeEvent
    ) -> None:
        """Apply a change. Raises :class:`InvalidRequest` for a document that is not open."""
        document = self.document(text_doc.uri)
        if document is None:
            raise InvalidRequest("A document was changed that is not open.")
        document.version = text_doc.version
        document.apply_change(change)

    def update_notebook_document(self, params: types.DidChangeNotebookDocumentParams) -> None:
        """Apply a change of a notebook's cells. Raises :class:`InvalidRequest` for one that is not open."""
        if self.get_notebook_document(notebook_uri=params.notebook_document.uri) is None:
            raise InvalidRequest("A notebook was changed that is not open.")
        super().update_notebook_document(params)
        self._mark_cells(params.notebook_document.uri)

    def _mark_cells(self, notebook_uri: str) -> None:
        notebook = self._notebook_documents[unquote(notebook_uri)]
        for cell in notebook.cells:
            document = self.document(cell.document)
            if document is not None:
                document.kind = "markup" if cell.kind == types.NotebookCellKind.Markup else "code"

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> Document:
        # A document that is not open is never read from the disk here: whether it may be read is the policy's question.
        return Document(doc_uri, source, version, language_id, self.position_codec)


def _nobody(document: Document, before: Text, change: Change) -> None:
    """Who listens to a document that belongs to no mirror."""


def _path(uri: str) -> Path | None:
    found = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(found) if found else None


def _whole(text: str) -> str:
    """Halves of surrogate pairs are joined, or else, since nothing can encode them, become replacement characters,
    which have the same size."""
    if text.isascii() or _LONE_SURROGATE.search(text) is None:
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _LONE_SURROGATE.sub("\ufffd", joined)


def _halves(character: str) -> tuple[str, str]:
    """The surrogates of a character beyond the basic plane."""
    above = ord(character) - 0x10000
    return chr(0xD800 + (above >> 10)), chr(0xDC00 + (above & 0x3FF))


def _column(line: str, units: int, size: Callable[[str], int]) -> tuple[int, bool]:
    """The column that lies ``units`` into ``line``; in the middle of a character it is the one before it, and true."""
    if line.isascii():
        return min(units, len(line)), False
    seen = 0
    for column, character in enumerate(line):
        if seen >= units:
            return column, False
        seen += size(character)
        if seen > units:
            return column, True
    return len(line), False


def _utf8(character: str) -> int:
    return len(character.encode("utf-8", "surrogatepass"))


def _utf16(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1


def _utf32(character: str) -> int:
    return 1


_UNITS: dict[types.PositionEncodingKind | str, Callable[[str], int]] = {
    types.PositionEncodingKind.Utf8: _utf8,
    types.PositionEncodingKind.Utf16: _utf16,
    types.PositionEncodingKind.Utf32: _utf32,
}
