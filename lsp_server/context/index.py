"""What the files around the open ones define, kept up in the background.

Files are read and parsed in a thread, one at a time, while nobody types; the policy is asked before every read. What
is looked up later is only what lies here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.engine.errors import PolicyRefused
from famulus.engine.languages import language_of
from famulus.lsp_server.context.files import Window, around, windows
from famulus.lsp_server.context.imports import Import, imports
from famulus.lsp_server.context.symbols import Definition, definitions
from famulus.lsp_server.documents import Change, Document, Snapshot, Text
from famulus.lsp_server.syntax import parse

if TYPE_CHECKING:
    from famulus.engine.policy import Policy
    from famulus.lsp_server.session import Session

MOST_FILES = 200
MOST_BYTES = 512 << 10
"""Of a file that is read."""
OPEN_BYTES = 512 << 10
"""Code points of an open document that is indexed."""
IGNORE_FILES = (".gitignore", ".famulusignore")
"""When one is saved, all is read anew."""
PASSING = ("__init__.py", "index.ts", "index.tsx", "index.js", "mod.rs")
"""Files that mostly pass on what others define."""
MOST_PASSED = 10
"""Of them, how many are looked into for one document."""
QUIET = 0.3
"""Seconds without an edit before a file is read."""

Stamp = tuple[int, int]
"""Of a file on disk its time of change and size; of an open document its version and length, negative."""


@dataclass(frozen=True)
class Indexed:
    """What is known of a file."""

    path: Path
    stamp: Stamp
    definitions: tuple[Definition, ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True)
class Links:
    """What an open file is connected to: the files that it imports with what it takes, and the files around it."""

    imported: tuple[tuple[Path, Import], ...] = ()
    around: tuple[Path, ...] = ()


class Index:
    """Definitions and windows by file. Use it on the event loop; ``version`` counts its changes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.files: OrderedDict[Path, Indexed] = OrderedDict()
        self.names: dict[str, dict[Path, list[Definition]]] = {}
        self.links: dict[str, Links] = {}
        self.version = 0
        self._open: dict[Path, str] = {}
        self._queue: dict[Path, None] = {}
        self._documents: dict[str, None] = {}
        self._last_edit = 0.0
        self._worker: asyncio.Task[None] | None = None
        session.on_open.append(self._wanted)
        session.on_save.append(self._saved)
        session.on_change.append(self._changed)
        session.on_close.append(self._closed)
        session.on_roots.append(self._anew)

    def defined(self, name: str) -> dict[Path, list[Definition]]:
        """Where ``name`` is defined."""
        return self.names.get(name, {})

    def opened(self) -> list[Path]:
        """Open documents, the one that was edited or opened last first."""
        return [path for path in reversed(self.files) if path in self._open]

    async def settled(self) -> None:
        """Until there is nothing more to read."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    def put(self, found: Indexed) -> None:
        """Takes over what is known of a file now; the one that was put longest ago gives way."""
        self.remove(found.path)
        self.files[found.path] = found
        for definition in found.definitions:
            self.names.setdefault(definition.name, {}).setdefault(found.path, []).append(definition)
        while len(self.files) > MOST_FILES:
            self.remove(next(iter(self.files)))
        self.version += 1

    def remove(self, path: Path) -> None:
        """Forgets a file."""
        old = self.files.pop(path, None)
        for definition in old.definitions if old is not None else ():
            places = self.names.get(definition.name, {})
            places.pop(path, None)
            if not places:
                self.names.pop(definition.name, None)
        self.version += old is not None

    def _wanted(self, document: Document) -> None:
        if document.file is not None:
            self._documents[document.uri] = None
            self._work()

    def _saved(self, document: Document) -> None:
        if document.file is not None and document.file.name in IGNORE_FILES:
            self._anew()
        self._wanted(document)

    def _anew(self) -> None:
        """What may be read has changed: forget everything, and begin again with what is open."""
        for path in list(self.files):
            self._forget(path)
        self.links.clear()
        for document in self._session.documents:
            self._wanted(document)

    def _changed(self, document: Document, before: Text, change: Change) -> None:
        self._last_edit = time.monotonic()
        self._wanted(document)

    def _closed(self, document: Document) -> None:
        self._documents.pop(document.uri, None)
        self.links.pop(document.uri, None)
        if document.file is not None and self._open.pop(document.file, None) is not None:
            self._queue[document.file] = None
            self._work()

    def _work(self) -> None:
        if self._worker is None or self._worker.done():
            # An edit may come where no loop runs: before the session starts there is nobody to read for.
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop()
                self._worker = self._session.spawn(self._run())

    async def _run(self) -> None:
        while self._documents or self._queue:
            await self._quiet()
            if self._documents:
                uri = next(iter(self._documents))
                del self._documents[uri]
                await self._document(uri)
            else:
                path = next(iter(self._queue))
                del self._queue[path]
                await self._file(path)

    async def _quiet(self) -> None:
        """Until nobody has typed for a while."""
        while (left := self._last_edit + QUIET - time.monotonic()) > 0:  # noqa: ASYNC110 (an edit only moves the end)
            await asyncio.sleep(left)

    async def _document(self, uri: str) -> None:
        """Index an open document from memory, and find what it is connected to."""
        document, policy = self._session.document(uri), self._session.policy
        if document is None or document.file is None or len(document.text) > OPEN_BYTES:
            return
        seen = document.snapshot()
        cells = self._session.notebook_cells_before(uri)
        found = await asyncio.to_thread(_connected, seen, cells, policy, self._session.roots)
        if found is None or self._session.document(uri) is None:
            self._forget(document.file)
            return
        indexed, links = found
        self._open[indexed.path] = uri
        self.put(indexed)
        if links != self.links.get(uri):
            self.links[uri] = links
            self.version += 1
        for path in dict.fromkeys([*(path for path, _ in links.imported), *links.around]):
            if path not in self._open:
                self._queue[path] = None

    def _forget(self, path: Path) -> None:
        self._open.pop(path, None)
        self.remove(path)

    async def _file(self, path: Path) -> None:
        policy, known = self._session.policy, self.files.get(path)
        if path in self._open:
            return
        found = await asyncio.to_thread(_read, path, policy, known.stamp if known is not None else None)
        if path in self._open or found is known:
            return
        if found is None:
            self.remove(path)
        elif known is None or found.stamp != known.stamp:
            self.put(found)


def _connected(
    seen: Snapshot, cells: list[Snapshot], policy: Policy, roots: list[Path]
) -> tuple[Indexed, Links] | None:
    """What an open document defines and is connected to; None if it must not be used.

    A cell imports what the cells before it import, and defines nothing here: they are context as they stand.
    """
    assert seen.path is not None
    if not policy.check(seen.path).allowed:
        return None
    stamp = (-seen.version, -len(seen.text))
    whole = seen.kind == "document"
    indexed = _indexed(seen.path, stamp, seen.language, seen.text) if whole else Indexed(seen.path, stamp)
    text = "\n".join(s.text.value for s in (*cells, seen) if s.language == seen.language)
    imported = _resolved(imports(seen.language, text, seen.path, roots), seen.path)
    for path, wanted in [(p, w) for p, w in imported if p.name in PASSING and w.names][:MOST_PASSED]:
        imported += _passed_on(path, wanted, seen.language, policy, roots)
    return indexed, Links(tuple(imported), tuple(around(seen.path, roots)))


def _resolved(wanted: list[Import], path: Path) -> list[tuple[Path, Import]]:
    """Imports with the files that are there."""
    found = []
    for one in wanted:
        place = next((place for place in one.paths if place.is_file()), None)
        if place is not None and place != path:
            found.append((Path(os.path.normpath(place)), one))
    return found


def _passed_on(
    path: Path, wanted: Import, language: str, policy: Policy, roots: list[Path]
) -> list[tuple[Path, Import]]:
    """Where a file has those names from that it only passes on."""
    try:
        text = policy.read(path, MOST_BYTES)
    except PolicyRefused:
        return []
    inner = [one for one in imports(language, text, path, roots) if set(one.names) & set(wanted.names)]
    return _resolved(inner, path)


def _read(path: Path, policy: Policy, known: Stamp | None) -> Indexed | None:
    """What a file on disk defines; None if it may not or cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    stamp = (found.st_mtime_ns, found.st_size)
    if not policy.check(path).allowed:
        return None
    if stamp == known:
        return Indexed(path, stamp)
    try:
        text = policy.read(path, MOST_BYTES)
    except PolicyRefused:
        return None
    return _indexed(path, stamp, language_of(path.name), Text(text))


def _indexed(path: Path, stamp: Stamp, language: str, text: Text) -> Indexed:
    tree = parse(language, text)
    defined = tuple(definitions(tree)) if tree is not None else ()
    return Indexed(path, stamp, defined, tuple(windows(text)))
