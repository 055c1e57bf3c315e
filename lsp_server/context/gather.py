"""The pieces of context for one place: asked at every key, so answered from what is known already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.engine.protocol import Piece
from famulus.lsp_server.context.edits import Edits
from famulus.lsp_server.context.files import most_alike
from famulus.lsp_server.context.index import Index, Links
from famulus.lsp_server.context.nearby import Use, uses
from famulus.lsp_server.context.ranking import FRUGAL, RICH, Limits, Ranked, choose
from famulus.lsp_server.context.symbols import Definition
from famulus.lsp_server.context.words import WORD, words
from famulus.lsp_server.documents import HUGE, Document, Snapshot, Text

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

ABOVE, BELOW = 60, 20
"""Lines around the cursor that go along anyway: nothing of them is sent twice."""
ALIKE_ABOVE, ALIKE_BELOW = 20, 10
"""Lines around the cursor's own with which other files are compared."""
COMMENTS = "suffix as comment"
"""How the engine calls the infilling of a model without fill marks."""
COMPARED = 12
"""Files whose windows are compared."""
STEP = 5
"""Lines; within so many the same windows are alike enough."""
CELL = 1_200
"""Characters of a notebook's cell."""
AMBIGUOUS = 3
"""A name that more files define, none of them imported, tells nothing."""
IMPORTED = 8
"""Names of one module."""
_PACKAGES = frozenset(("go", "java", "c", "cpp", "shellscript"))
"""Languages where files of a folder see each other without an import."""
_EVERYDAY = frozenset(name for kind in (str, bytes, list, dict, set, int, float) for name in dir(kind))
"""Names of members that mostly belong to Python's own types."""
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
        self._limits = limits
        self.index = Index(session)
        self.edits = Edits(session)
        self._last: dict[str, tuple[Place, list[Ranked]]] = {}
        self._alike: dict[str, tuple[tuple[int, int], list[Ranked]]] = {}
        self._called: dict[Path, str] = {}
        session.on_close.append(self._closed)
        session.on_roots.append(self._called.clear)

    @property
    def limits(self) -> Limits:
        """What the model that answers now can make use of."""
        if self._limits is not None:
            return self._limits
        return FRUGAL if self._session.link.model.get("infill") == COMMENTS else RICH

    def pieces(self, snapshot: Snapshot, offset: int) -> list[Ranked]:
        """Pieces for the place ``offset``, in the order in which they are to be sent. Reads no file.

        For a text that the document does not have (yet), they are what was sent last: what is written ahead is to
        find the engine as it left it.
        """
        if len(snapshot.text) > HUGE:
            return []
        last = self._last.get(snapshot.uri)
        document = self._session.document(snapshot.uri)
        before = last[1] if last is not None else []
        asked: dict[Path, bool] = {}
        refused = self._refused(before, asked)
        if last is not None and (document is None or document.text is not snapshot.text):
            return [ranked for ranked in before if ranked.file not in refused] if refused else before
        place = self._place(snapshot, offset)
        if last is not None and last[0] == place and not refused:
            return before
        offered = list(self._offered(snapshot, offset, place, before))
        near = words(_lines(snapshot.text, place.line - ABOVE, place.line + BELOW))
        while True:
            # Who has been refused makes room for others, who have to be asked about as well.
            offered = [ranked for ranked in offered if ranked.file not in refused]
            chosen = choose(offered, before, near, self.limits)
            if not (refused := self._refused(chosen, asked)):
                break
        self._last[snapshot.uri] = (place, chosen)
        return chosen

    def _refused(self, chosen: list[Ranked], asked: dict[Path, bool]) -> set[Path]:
        """The files that the policy refuses now: since they were read, somebody may have written an ignore file.

        ``asked`` holds the answers of this key, so that each file is asked about once.
        """
        files = {ranked.file for ranked in chosen if ranked.file is not None}
        asked.update({file: self._session.policy.check(file).allowed for file in files - asked.keys()})
        return {file for file in files if not asked[file]}

    def _closed(self, document: Document) -> None:
        self._last.pop(document.uri, None)
        self._alike.pop(document.uri, None)

    def _place(self, snapshot: Snapshot, offset: int) -> Place:
        text = snapshot.text
        line, column = text.place(offset)
        typed = [match[0] for match in WORD.finditer(text.line(line)[:column]) if match.end() < column]
        return Place(
            snapshot.uri,
            line,
            _lines(text, line - ALIKE_ABOVE, line - 1),
            _lines(text, line + 1, line + ALIKE_BELOW),
            tuple(dict.fromkeys(name for name in typed if self.limits.mid_line and self.index.defined(name))),
            self.index.version,
            self._wanted(snapshot),
        )

    def _wanted(self, snapshot: Snapshot) -> tuple[bool, bool]:
        """Whether the user lets other files and edits go along."""
        context = self._session.settings.for_document(snapshot).context
        return context.files, context.edits

    def _offered(self, snapshot: Snapshot, offset: int, place: Place, before: list[Ranked]) -> Iterator[Ranked]:
        files, edits = place.settings
        yield from self._cells(snapshot)
        if edits:
            yield from self._edited(snapshot, place)
        if files:
            links = self.index.links.get(snapshot.uri, Links())
            yield from self._similar(snapshot, place, links)
            yield from self._imported(links)
            yield from self._definitions(snapshot, offset, place, links, before)

    def _cells(self, snapshot: Snapshot) -> Iterator[Ranked]:
        cells = self._session.notebook_cells_before(snapshot.uri)
        code = [cell for cell in cells if cell.language == snapshot.language and cell.text.value.strip()]
        for age, cell in enumerate(reversed(code)):
            if self._may(cell.path) or cell.path is None or cell.path == snapshot.path:
                text = cell.text.value.strip()[-CELL:]
                file = cell.path if cell.path != snapshot.path else None
                piece = Piece(self._named(cell.path, cell.uri), text)
                yield Ranked(piece, "cells", max(0.2, 1.0 - 0.1 * age), file)

    def _edited(self, snapshot: Snapshot, place: Place) -> Iterator[Ranked]:
        found = self.edits.recent(snapshot.uri, place.line - ABOVE, place.line + BELOW)
        for age, edited in enumerate(reversed(found)):
            document = self._session.document(edited.uri)
            mine = edited.uri == snapshot.uri or (document is not None and self._may(document.file))
            if document is not None and mine:
                piece = Piece(self._named(document.file, edited.uri), edited.text)
                file = document.file if edited.uri != snapshot.uri else None
                yield Ranked(piece, "edits", 0.8 * 0.85**age, file)

    def _may(self, path: Path | None) -> bool:
        """Whether an open document's text may help elsewhere, as far as the index knows."""
        return path is not None and path in self.index.files

    def _similar(self, snapshot: Snapshot, place: Place, links: Links) -> list[Ranked]:
        area = (place.line // STEP, place.index)
        known = self._alike.get(snapshot.uri)
        if known is not None and known[0] == area:
            return known[1]
        query = words(f"{place.above}\n{place.below}")
        paths = dict.fromkeys([*self.index.opened(), *(path for path, _ in links.imported), *links.around])
        found = []
        for path in [path for path in paths if path in self.index.files and path != snapshot.path][:COMPARED]:
            best = most_alike(query, self.index.files[path].windows)
            if best is not None:
                found.append(Ranked(Piece(self._named(path, ""), best[1].text), "files", best[0], path))
        self._alike[snapshot.uri] = area, found
        return found

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
            yield Ranked(Piece(self._named(path, ""), told), "imports", 0.4 * 0.9**number, path)

    def _definitions(
        self, snapshot: Snapshot, offset: int, place: Place, links: Links, before: list[Ranked]
    ) -> Iterator[Ranked]:
        imported = {path for path, _ in links.imported}
        document = self._session.document(snapshot.uri)
        tree = self._session.trees.tree(document) if document is not None else None
        offered: set[tuple[str, str]] = set()
        for use in uses(tree, snapshot.text, offset):
            for path, definition, worth in self._meant(use, snapshot, imported):
                if path == snapshot.path and self._visible(definition, place):
                    continue
                piece = Piece(self._named(path, ""), _told(definition))
                offered.add((piece.path, piece.text))
                yield Ranked(piece, "definitions", use.near * worth, path)
        for ranked in before:
            gone = ranked.source == "definitions" and (ranked.piece.path, ranked.piece.text) not in offered
            if gone and ranked.score * FADING >= FAINT and self._still(ranked, snapshot, place, imported):
                yield replace(ranked, score=ranked.score * FADING)

    def _meant(self, use: Use, snapshot: Snapshot, imported: set[Path]) -> Iterator[tuple[Path, Definition, float]]:
        """The definitions that a name may mean, with how likely it is.

        In the file itself and in what it imports; where a language shows names of the same folder unasked, there. A
        member's class is not known: elsewhere it counts only where no other file defines the name.
        """
        found = self.index.defined(use.name)
        near = [path for path in found if path in imported or path == snapshot.path]
        folder = snapshot.language in _PACKAGES or (use.member and len(found) == 1 and use.name not in _EVERYDAY)
        if not near and folder and len(found) <= AMBIGUOUS:
            near = [path for path in found if snapshot.path is not None and path.parent == snapshot.path.parent]
        for path in near[:AMBIGUOUS]:
            fitting = [d for d in found[path] if use.member or not d.owner]
            worth = 1.0 if path in imported or path == snapshot.path else 0.5
            yield from ((path, definition, worth) for definition in fitting[:2])

    def _still(self, ranked: Ranked, snapshot: Snapshot, place: Place, imported: set[Path]) -> bool:
        """Whether a definition that was sent is still there, and not seen in the file itself."""
        paths = imported if snapshot.path is None else {*imported, snapshot.path}
        for path in paths:
            indexed = self.index.files.get(path)
            if indexed is None or self._named(path, "") != ranked.piece.path:
                continue
            same = [d for d in indexed.definitions if _told(d) == ranked.piece.text]
            return any(path != snapshot.path or not self._visible(definition, place) for definition in same)
        return False

    def _visible(self, definition: Definition, place: Place) -> bool:
        """Whether a definition of the same file goes along with the file."""
        return place.line - ABOVE <= definition.line <= place.line + BELOW

    def _named(self, path: Path | None, uri: str) -> str:
        """How a file is called in a prompt: as seen from the workspace."""
        if path is None:
            return uri.rpartition("/")[2]
        if path not in self._called:
            root = next((root for root in self._session.roots if path.is_relative_to(root)), path.parent.parent)
            self._called[path] = path.relative_to(root).as_posix()
        return self._called[path]


def _lines(text: Text, first: int, last: int) -> str:
    """Lines ``first`` to ``last``, as far as there are such."""
    first, last = max(0, first), min(last, text.lines - 1)
    return text.value[text.starts[first] : text.line_end(last)] if first <= last else ""


def _told(definition: Definition) -> str:
    return f"class {definition.owner}:\n    {definition.text}" if definition.owner else definition.text
