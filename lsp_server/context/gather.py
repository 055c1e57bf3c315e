"""The pieces of context for one place: asked at every key, so answered from what is known already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.engine.protocol import Piece
from famulus.lsp_server.context.edits import Edits
from famulus.lsp_server.context.files import most_alike
from famulus.lsp_server.context.index import Index, Links
from famulus.lsp_server.context.ranking import Limits, Ranked, choose
from famulus.lsp_server.context.symbols import Definition
from famulus.lsp_server.context.words import WORD, words
from famulus.lsp_server.documents import HUGE, Document, Snapshot, Text

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

ABOVE, BELOW = 60, 20
"""Lines around the cursor that go along anyway: nothing of them is sent twice."""
ALIKE_ABOVE, ALIKE_BELOW = 20, 10
"""Lines around the cursor's own with which other files are compared."""
BODY = 120
"""Lines of a function, above the cursor, whose names are looked up."""
CELL = 1_200
"""Characters of a notebook's cell."""
AMBIGUOUS = 3
"""A name that more files define, none of them imported, tells nothing."""
IMPORTED = 8
"""Names of one module."""
FADING = 0.8
"""What a definition keeps of its score when its name is no longer near; below :data:`FAINT` it goes."""
FAINT = 0.15


@dataclass(frozen=True)
class Place:
    """Where the cursor stands, in what decides about context: not the characters of the word being typed."""

    uri: str
    line: int
    above: str
    below: str
    typed: tuple[str, ...]
    """Finished words of the cursor's line that are defined somewhere."""
    index: int
    settings: tuple[bool, bool]


class Context:
    """What a model should see beside a document. Use it on the event loop."""

    def __init__(self, session: Session, limits: Limits | None = None) -> None:
        self._session = session
        self._limits = limits or Limits()
        self.index = Index(session)
        self.edits = Edits(session)
        self._last: dict[str, tuple[Place, list[Ranked]]] = {}
        session.on_close.append(self._closed)

    def pieces(self, snapshot: Snapshot, offset: int) -> list[Ranked]:
        """Pieces for the place ``offset``, in the order in which they are to be sent. Reads no file."""
        if len(snapshot.text) > HUGE:
            return []
        place = self._place(snapshot, offset)
        last = self._last.get(snapshot.uri)
        if last is not None and last[0] == place:
            return last[1]
        before = last[1] if last is not None else []
        offered = list(self._offered(snapshot, place, before))
        near = words(_lines(snapshot.text, place.line - ABOVE, place.line + BELOW))
        chosen = choose(offered, before, near, self._limits)
        self._last[snapshot.uri] = (place, chosen)
        return chosen

    def _closed(self, document: Document) -> None:
        self._last.pop(document.uri, None)

    def _place(self, snapshot: Snapshot, offset: int) -> Place:
        text = snapshot.text
        line, column = text.place(offset)
        typed = [match[0] for match in WORD.finditer(text.line(line)[:column]) if match.end() < column]
        return Place(
            snapshot.uri,
            line,
            _lines(text, line - ALIKE_ABOVE, line - 1),
            _lines(text, line + 1, line + ALIKE_BELOW),
            tuple(dict.fromkeys(name for name in typed if self.index.defined(name))),
            self.index.version,
            self._wanted(snapshot),
        )

    def _wanted(self, snapshot: Snapshot) -> tuple[bool, bool]:
        """Whether the user lets other files and edits go along."""
        context = self._session.settings.for_document(snapshot).context
        return context.files, context.edits

    def _offered(self, snapshot: Snapshot, place: Place, before: list[Ranked]) -> Iterator[Ranked]:
        files, edits = place.settings
        yield from self._cells(snapshot)
        if edits:
            yield from self._edited(snapshot, place)
        if files:
            links = self.index.links.get(snapshot.uri, Links())
            yield from self._similar(snapshot, place, links, before)
            yield from self._imported(links)
            yield from self._definitions(snapshot, place, links, before)

    def _cells(self, snapshot: Snapshot) -> Iterator[Ranked]:
        cells = self._session.notebook_cells_before(snapshot.uri)
        code = [cell for cell in cells if cell.language == snapshot.language and cell.text.value.strip()]
        for age, cell in enumerate(reversed(code)):
            if self._may(cell.path) or cell.path is None or cell.path == snapshot.path:
                text = cell.text.value.strip()[-CELL:]
                yield Ranked(Piece(self._named(cell.path, cell.uri), text), "cells", max(0.2, 1.0 - 0.1 * age))

    def _edited(self, snapshot: Snapshot, place: Place) -> Iterator[Ranked]:
        found = self.edits.recent(snapshot.uri, place.line - ABOVE, place.line + BELOW)
        for age, edited in enumerate(reversed(found)):
            document = self._session.document(edited.uri)
            mine = edited.uri == snapshot.uri or (document is not None and self._may(document.file))
            if document is not None and mine:
                piece = Piece(self._named(document.file, edited.uri), edited.text)
                yield Ranked(piece, "edits", 0.8 * 0.85**age)

    def _may(self, path: Path | None) -> bool:
        """Whether an open document's text may help elsewhere: the index has asked the policy."""
        return path is not None and path in self.index.files

    def _similar(self, snapshot: Snapshot, place: Place, links: Links, before: list[Ranked]) -> Iterator[Ranked]:
        query = words(f"{place.above}\n{place.below}")
        paths = dict.fromkeys([*self.index.opened(), *links.around, *(path for path, _ in links.imported)])
        for path in paths:
            indexed = self.index.files.get(path) if path != snapshot.path else None
            best = most_alike(query, indexed.windows) if indexed is not None else None
            if best is not None:
                yield Ranked(Piece(self._named(path, ""), best[1].text), "files", best[0])

    def _imported(self, links: Links) -> Iterator[Ranked]:
        """What the file takes from modules of the workspace."""
        taken: dict[Path, dict[str, None]] = {}
        for path, wanted in links.imported:
            indexed = self.index.files.get(path)
            for definition in indexed.definitions if indexed is not None else ():
                if definition.name in wanted.names and not definition.owner:
                    taken.setdefault(path, {})[definition.text] = None
        for number, (path, texts) in enumerate(taken.items()):
            told = "\n".join(list(texts)[:IMPORTED])
            yield Ranked(Piece(self._named(path, ""), told), "imports", 0.4 * 0.9**number)

    def _definitions(self, snapshot: Snapshot, place: Place, links: Links, before: list[Ranked]) -> Iterator[Ranked]:
        imported = {path: number for number, (path, _) in enumerate(links.imported)}
        offered: set[tuple[str, str]] = set()
        for name, near in self._names(snapshot, place).items():
            found = self.index.defined(name)
            places = [path for path in found if path in imported] or list(found)
            if len(places) > AMBIGUOUS:
                continue
            for path in places:
                for definition in found[path][:2]:
                    if path == snapshot.path and self._visible(definition, place):
                        continue
                    piece = Piece(self._named(path, ""), _told(definition))
                    offered.add((piece.path, piece.text))
                    yield Ranked(piece, "definitions", near * _worth(path, snapshot, imported))
        for ranked in before:
            gone = ranked.source == "definitions" and (ranked.piece.path, ranked.piece.text) not in offered
            if gone and ranked.score * FADING >= FAINT and self._still(ranked):
                yield Ranked(ranked.piece, "definitions", ranked.score * FADING)

    def _still(self, ranked: Ranked) -> bool:
        return any(ranked.piece.path == self._named(path, "") for path in self.index.files)

    def _visible(self, definition: Definition, place: Place) -> bool:
        """Whether a definition of the same file goes along with the file."""
        return place.line - ABOVE <= definition.line <= place.line + BELOW

    def _names(self, snapshot: Snapshot, place: Place) -> dict[str, float]:
        """Words around the cursor that are defined somewhere, with how near they are."""
        found: dict[str, float] = dict.fromkeys(place.typed, 1.0)
        text = snapshot.text
        for distance in range(1, BODY):
            above = place.line - distance
            lines = [above] if above >= 0 else []
            if distance <= 3 and place.line + distance < text.lines:
                lines.append(place.line + distance)
            near = 0.9 if distance <= 3 else 0.5 * 0.99**distance
            for line in lines:
                content = text.line(line)
                for word in WORD.findall(content):
                    if word not in found and self.index.defined(word):
                        found[word] = near
            if distance > 3 and above >= 0 and _outermost(text.line(above)):
                break
        return found

    def _named(self, path: Path | None, uri: str) -> str:
        """How a file is called in a prompt: as seen from the workspace."""
        if path is None:
            return uri.rpartition("/")[2]
        for root in self._session.roots:
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return os.path.join(path.parent.name, path.name)


def _lines(text: Text, first: int, last: int) -> str:
    """Lines ``first`` to ``last``, as far as there are such."""
    first, last = max(0, first), min(last, text.lines - 1)
    return text.value[text.starts[first] : text.line_end(last)] if first <= last else ""


def _outermost(line: str) -> bool:
    """Whether a line begins something at the outermost level."""
    return bool(line) and (line[0].isalpha() or line[0] in "_@")


def _told(definition: Definition) -> str:
    return f"class {definition.owner}:\n    {definition.text}" if definition.owner else definition.text


def _worth(path: Path, snapshot: Snapshot, imported: dict[Path, int]) -> float:
    """How likely it is this definition that is meant."""
    if path in imported or path == snapshot.path:
        return 1.0
    return 0.7 if snapshot.path is not None and path.parent == snapshot.path.parent else 0.4
