"""The commands of a session: each takes places of a document, shows progress, and returns a page or offers an edit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.uris import to_fs_path

from famulus.engine.errors import InvalidRequest
from famulus.engine.policy import Policy
from famulus.lsp_server.commands import commit, doc_comment, docstring, explain, fix, rewrite
from famulus.lsp_server.commands.apply import offer
from famulus.lsp_server.commands.pages import Page, page
from famulus.lsp_server.commands.preview import Preview
from famulus.lsp_server.commands.progress import Report, shown
from famulus.lsp_server.commands.proposal import Proposal
from famulus.lsp_server.commands.rename import renamed
from famulus.lsp_server.commands.staged import staged
from famulus.lsp_server.documents import Document, Snapshot, Text
from famulus.lsp_server.prediction import ruff
from famulus.lsp_server.session import Session
from famulus.lsp_server.syntax import parse

T = TypeVar("T")


class Commands:
    """What a user asks for by name. Everything raises :class:`FamulusError` with a sentence for the user."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._previews: dict[str, Preview] = {}

    async def explain(self, uri: str, place: types.Range) -> Page | None:
        """What the code at ``place`` does."""
        document, seen = self._open(uri)
        start, end = document.offset_at(place.start), document.offset_at(place.end)
        if start == end:
            line = seen.text.place(start)[0]
            start, end = seen.text.starts[line], seen.text.line_end(line)
        if not seen.text.value[start:end].strip():
            raise InvalidRequest("There is nothing to explain.", fix="Select some code.")
        text = await self._shown(
            "Famulus: explaining", lambda report: explain.explain(self._session.link, seen, start, end, report)
        )
        return None if text is None else page(self._session, "Explanation", text)

    async def docstring(self, uri: str, position: types.Position) -> None:
        """A docstring, or a doc comment, for the definition around ``position``."""
        document, seen = self._open(uri)
        offset = document.offset_at(position)
        kind, written = "Docstring", docstring.write
        if seen.language == "python":
            place = docstring.place_for(seen.text, offset)
        else:
            kind, written = "Doc comment", doc_comment.write
            tree = await asyncio.to_thread(parse, seen.language, seen.text)
            if tree is None or seen.language not in doc_comment.FORMS:
                raise InvalidRequest(
                    f"Doc comments are written for {doc_comment.LANGUAGES}, not for {seen.language or 'this language'}."
                )
            place = doc_comment.place_for(tree, offset)
        text = await self._shown(
            f"Famulus: writing a {kind.lower()}",
            lambda report: written(self._session.link, seen, place, report),
            nothing=f"No sentence about {place.name} held: each named what is not there, or said nothing.",
        )
        if text is not None:
            note = "the code around it is unchanged; the sentence is the model's"
            title = f"{kind} for {place.name}"
            await self._offer(Proposal(title, note, seen, place.offset, place.offset, text))

    async def rewrite(self, uri: str, place: types.Range, instruction: str) -> None:
        """The selection, changed as the instruction says."""
        document, seen = self._open(uri)
        start, end = rewrite.whole_lines(seen, document.offset_at(place.start), document.offset_at(place.end))
        title, note = f"Rewrite: {instruction.strip()[:60]}", "it parses; the code is the model's"
        if (text := renamed(seen, start, end, instruction)) is not None:
            note = "every use in the selection; no model was asked"
            await self._offer(Proposal(title, note, seen, start, end, text))
            return
        empty = Proposal(title, "", seen, start, end, "")
        with self._previewed(empty) as preview:

            async def write(report: Report) -> str | None:
                preview.written_here()
                return await rewrite.rewrite(
                    self._session.link, seen, start, end, instruction, report=report, grow=preview.grow
                )

            text = await self._shown(
                "Famulus: rewriting",
                write,
                nothing="No rewriting held: each did not parse, lost most of the code, or called itself for ever.",
            )
            if text is not None:
                await self._ask(replace(empty, note=note, text=text), preview)

    async def fix(self, uri: str, diagnostic: types.Diagnostic) -> None:
        """Mend what a diagnostic says, and check that it is mended."""
        document, seen = self._open(uri)
        start, end = document.offset_at(diagnostic.range.start), document.offset_at(diagnostic.range.end)
        tree = parse(seen.language, seen.text)
        scope = tree.names_at(start) if tree is not None else []

        async def check(text: Text) -> list[str]:
            return await problems_of(replace(seen, text=text), trusted=self._session.options.trusted)

        mended = await self._shown(
            "Famulus: looking for a fix",
            lambda report: fix.fix(self._session.link, seen, start, end, diagnostic.message, scope, check, report),
            nothing="Nothing mended it: every candidate kept the problem, brought another, or did not parse.",
        )
        if mended is not None:
            note = "checked: the problem is gone and there is no new one"
            if not mended.proved:
                note = f"no new problem; whether {diagnostic.source or 'the editor'} agrees is not known"
            change = mended.candidate.change
            await self._offer(Proposal(mended.candidate.title, note, seen, change.start, change.end, change.inserted))

    async def commit_message(self, root: str | None = None) -> Page | None:
        """A message for what is staged in a workspace folder, by default the first."""
        if not self._session.options.trusted:
            raise InvalidRequest("git is not run in a workspace that is not trusted.", fix="Trust the workspace.")
        folder = Path(to_fs_path(root) or "") if root else next(iter(self._session.roots), None)
        if folder is None or not folder.is_dir():
            raise InvalidRequest("No folder is open.", fix="Open the folder of the repository.")

        changes = await staged(folder, within(self._session.policy))
        link = self._session.link
        subject = None
        if link.state == "ready":
            subject = await self._shown(
                "Famulus: naming the commit", lambda report: commit.subject(link, changes, report)
            )
        text = subject or commit.plain_subject(changes)
        below = commit.body(changes)
        return {"title": "Commit message", "text": f"{text}\n\n{below}" if below else text}

    def discard(self, id: str) -> None:
        """The user does not want a proposal, which may still be written. One that is not known is ignored."""
        if (preview := self._previews.get(id)) is not None:
            preview.discard()

    @contextlib.contextmanager
    def _previewed(self, empty: Proposal) -> Iterator[Preview]:
        """A preview that is withdrawn at the end, unless the user has answered."""
        preview = self._previews[empty.id] = Preview(self._session, empty)
        try:
            yield preview
        finally:
            del self._previews[empty.id]
            preview.withdraw()

    async def _offer(self, proposal: Proposal) -> None:
        with self._previewed(proposal) as preview:
            await self._ask(proposal, preview)

    async def _ask(self, proposal: Proposal, preview: Preview) -> None:
        problem = await offer(self._session, proposal, preview)
        if problem:
            self._say(problem)

    async def _shown(
        self, title: str, work: Callable[[Report], Coroutine[Any, Any, T | None]], nothing: str = ""
    ) -> T | None:
        """The result of ``work`` under a progress; ``nothing`` is said where it ends with none."""
        cancelled = True

        async def watched(report: Report) -> T | None:
            nonlocal cancelled
            result = await work(report)
            cancelled = False
            return result

        result = await shown(self._session.server, title, watched)
        if result is None and nothing and not cancelled:
            self._say(nothing)
        return result

    def _say(self, sentence: str) -> None:
        self._session.server.window_show_message(types.ShowMessageParams(types.MessageType.Info, sentence))

    def _open(self, uri: str) -> tuple[Document, Snapshot]:
        document = self._session.document(uri)
        if document is None:
            raise InvalidRequest("The document is not open.", fix="Open it first.")
        verdict = self._session.policy.check_uri(uri)
        if not verdict.allowed:
            raise InvalidRequest(f"Famulus does not read this file: {verdict.reason.rstrip('.')}.")
        return document, document.snapshot()


def within(policy: Policy) -> Callable[[Path], bool]:
    """Whether the lines of a file of a repository may be used. A repository may reach beyond the folders that are open;
    of these the innermost judges."""

    def allowed(path: Path) -> bool:
        holding = [root for root in policy.roots if path.is_relative_to(root)]
        if not holding:
            return False
        root = max(holding, key=lambda root: len(root.parts))
        return policy.check_name(str(path.relative_to(root)), root).allowed

    return allowed


async def problems_of(seen: Snapshot, *, trusted: bool) -> list[str]:
    """The messages of what analysis finds in a text: ruff's facts for Python, else syntax errors."""
    if seen.language == "python":
        return [found.message for found in await ruff.findings(seen, trusted=trusted)]
    tree = parse(seen.language, seen.text)
    return [error.message for error in tree.errors()] if tree is not None else []
