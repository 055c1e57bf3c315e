"""The reviews of one session: after a save, or when the user asks; one at a time, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from famulus.engine.errors import FamulusError
from famulus.lsp_server.documents import Change, Document, Text
from famulus.lsp_server.review.doors.places import Places, repository_of, texts_in_index, texts_on_disk
from famulus.lsp_server.review.doors.process import Processes
from famulus.lsp_server.review.doors.publishing import Locate, diagnostic
from famulus.lsp_server.review.doors.standing import Standing, concluded, finding_of, texts_needed
from famulus.lsp_server.review.finding import Finding

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

log = logging.getLogger("famulus.lsp")

PART = "review"
"""The name under which diagnostics of the review are shown."""
PAUSE = 0.3
"""Seconds after a save in which others may follow; and after a change, before places are looked for anew."""
SOON = 0.1
"""Seconds in which findings of a review that runs are gathered before they are shown."""
STATIC = ("--no-run", "--budget", "0.001")
"""Rules that only read code take no part of the budget, and always run to their end."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """A review to run: where, with which options of the command, and whether it reads the index."""

    folder: Path
    arguments: Sequence[str]
    staged: bool = False


@dataclass(frozen=True)
class Ended:
    """How a review went: its report as JSON, the same as Markdown, and the folder that it was of."""

    root: Path
    report: dict[str, Any]
    markdown: str


class ReviewService:
    """Runs reviews and shows what they find."""

    def __init__(self, session: Session, pause: float = PAUSE) -> None:
        self._session = session
        self._pause = pause
        self.places = Places(session)
        self._processes = Processes()
        self.standings: dict[Path, Standing] = {}
        """By root: what is known of each repository."""
        self.listeners: list[Callable[[], None]] = []
        """Called after each review that came to its end."""
        self._shown: dict[Path, dict[str, list[types.Diagnostic]]] = {}
        self._saved: dict[Path, Path] = {}
        """Repositories with files that were saved since their last review, with a folder in each."""
        self._after_save: asyncio.Task[None] | None = None
        self._asked: asyncio.Task[Ended | None] | None = None
        self._replacing: asyncio.TimerHandle | None = None
        self._showing: asyncio.TimerHandle | None = None

    # -- what the editor tells

    def saved(self, document: Document) -> None:
        """Review the working tree that a saved document lies in, if that is wanted."""
        wanted = self._session.settings.for_document(document.snapshot()).review
        if not wanted.enabled or wanted.on_save == "off" or document.kind != "document" or document.file is None:
            return
        if not self._session.policy.check_uri(document.uri, "context"):
            return
        root = repository_of(document.file.parent)
        if root is not None:
            self._saved[root] = document.file.parent
            self._later()

    def moved(self, document: Document, before: Text, change: Change) -> None:
        """A document was changed: what is shown of it moves, or goes with its line."""
        self._again()

    def opened_or_closed(self, document: Document) -> None:
        """What is shown of a file follows its buffer while it is open, else the disk."""
        self._again()

    async def close(self) -> None:
        """The session ends."""
        for timer in (self._replacing, self._showing):
            if timer is not None:
                timer.cancel()
        if self._asked is not None:
            self._asked.cancel()
        await self._processes.close()

    # -- reviews

    async def asked(self, wanted: Asked, report: Report) -> Ended | None:
        """A review that the user asked for, in place of any that runs; None if another took its place.

        Raises :class:`FamulusError`.
        """
        for task in (self._asked, self._after_save):
            if task is not None:
                task.cancel()
        task = self._asked = asyncio.ensure_future(self._run(wanted, report))
        try:
            await asyncio.wait({task})
            return None if task.cancelled() else task.result()
        finally:
            task.cancel()
            if self._asked is task:
                self._asked = None
                if self._saved:
                    self._later()

    def _later(self) -> None:
        """Review what was saved; what runs already for that starts again, and what the user asked for goes first."""
        if self._asked is not None:
            return
        if self._after_save is not None:
            self._after_save.cancel()
        self._after_save = self._session.spawn(self._review_saved())

    async def _review_saved(self) -> None:
        await asyncio.sleep(self._pause)
        while self._saved:
            root, folder = next(iter(self._saved.items()))
            wanted = self._session.settings.general.review
            run_code = wanted.on_save == "all" and self._session.options.trusted
            arguments = ("--budget", str(wanted.budget)) if run_code else STATIC
            try:
                await self._run(Asked(folder, arguments), _unheard)
            except (FamulusError, OSError) as error:
                log.warning("the review after a save failed: %s", error)
            del self._saved[root]

    async def _run(self, wanted: Asked, report: Report) -> Ended | None:
        run = _Run(self, wanted)
        with self._session.status.busy():
            stream = self._processes.events(wanted.folder, wanted.arguments)
            async with contextlib.aclosing(stream):
                async for event in stream:
                    match event["event"]:
                        case "progress":
                            report(event["text"])
                        case "start" if event["root"] is not None:
                            run.begin(Path(event["root"]), frozenset(event["files"]))
                        case "finding":
                            await run.found(finding_of(event["finding"]))
                        case "end":
                            await run.end(event["report"])
                            for listener in self.listeners:
                                listener()
                            return Ended(run.root, event["report"], event["markdown"])
        return None

    # -- what is shown

    def show_all(self) -> None:
        """Show what is wanted now, where it stands now."""
        for root in list(self.standings):
            self.show(root)

    def show_soon(self) -> None:
        """The same for findings that come one after the other."""
        if self._showing is None:
            self._showing = asyncio.get_running_loop().call_later(SOON, self._show_now)

    def _show_now(self) -> None:
        self._showing = None
        self.show_all()

    def show(self, root: Path) -> None:
        """Show the findings of a root where they stand now."""
        standing = self.standings.get(root, Standing(root))
        wanted = self._session.settings.general.review
        now: dict[str, tuple[int | None, list[types.Diagnostic]]] = {}
        locate = self.places.located(standing)
        for finding in standing.findings:
            made = self.diagnostic(finding, locate) if finding.grade in wanted.grades else None
            here = locate(finding.place.path)
            if made is not None and here is not None:
                version = here.document.version if here.open else None
                now.setdefault(here.document.uri, (version, []))[1].append(made)
        before = self._shown.get(root, {})
        self._shown[root] = {uri: listed for uri, (_, listed) in now.items()}
        for uri in before.keys() | now.keys():
            version, listed = now.get(uri, (None, []))
            if listed != before.get(uri, []):
                self._session.diagnostics.show(PART, uri, version, listed)

    def diagnostic(self, finding: Finding, locate: Locate) -> types.Diagnostic | None:
        """A finding as it is shown; None if it is not."""
        if finding.certainty == "possible" or finding.place.side != "new":
            return None
        return diagnostic(self._session.server.client_capabilities, finding, locate)

    def _again(self) -> None:
        """Look soon where findings stand now."""
        if not any(self._shown.values()) and not any(s.findings for s in self.standings.values()):
            return
        if self._replacing is not None:
            self._replacing.cancel()
        self._replacing = asyncio.get_running_loop().call_later(self._pause, self.show_all)


class _Run:
    """One review while it runs: its findings join those that stand, and replace them at its end."""

    def __init__(self, service: ReviewService, wanted: Asked) -> None:
        self._service, self._wanted = service, wanted
        self.root = wanted.folder
        self._files: frozenset[str] = frozenset()
        self._texts: dict[str, str] = {}

    def begin(self, root: Path, files: frozenset[str]) -> None:
        self.root, self._files = root, files

    async def found(self, finding: Finding) -> None:
        texts = await self._read(texts_needed([finding]) - self._texts.keys())
        self._texts |= texts
        before = self._service.standings.get(self.root, Standing(self.root))
        self._service.standings[self.root] = before.with_one(finding, self._texts)
        self._service.show_soon()

    async def end(self, report: dict[str, Any]) -> None:
        findings = tuple(finding_of(plain) for plain in report["findings"])
        before = self._service.standings.get(self.root, Standing(self.root))
        texts = await self._read(texts_needed((*findings, *before.findings)))
        rules = {run["rule"]: run["state"] for run in report["rules"]}
        standing = concluded(before, findings, rules, texts)
        self._service.standings[self.root] = Standing(self.root, standing, texts, self._files)
        self._service.show(self.root)

    async def _read(self, paths: set[str]) -> dict[str, str]:
        read = texts_in_index if self._wanted.staged else texts_on_disk
        return await asyncio.to_thread(read, self.root, paths) if paths else {}


def _unheard(text: str) -> None:
    """Nobody watches the progress of a review after a save."""
