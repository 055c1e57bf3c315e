"""What can be done about a finding: apply what it suggests, ignore it with a reason, take its proof as a test."""

from __future__ import annotations

import asyncio
import io
import tokenize
from collections.abc import Iterator
from pathlib import PurePosixPath

from lsprotocol import types

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.commands.pages import Page, page
from famulus.lsp_server.review.doors.places import texts_on_disk
from famulus.lsp_server.review.doors.publishing import Locate, edit_of
from famulus.lsp_server.review.doors.service import ReviewService
from famulus.lsp_server.review.doors.standing import Standing, plain_lines, texts_needed
from famulus.lsp_server.review.finding import Edit, Finding, Grade
from famulus.lsp_server.session import Session

IGNORE, WITNESS = "famulus.review.ignore", "famulus.review.witness"

_COMMENTS = {
    **dict.fromkeys((".py", ".pyi", ".sh", ".bash", ".rb", ".yaml", ".yml", ".toml"), "#"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".go", ".rs", ".java", ".c", ".h"), "//"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".hpp", ".cs", ".kt", ".swift", ".scala", ".php"), "//"),
    **dict.fromkeys((".sql", ".lua"), "--"),
}


class Remedies:
    """The code actions of the review, and the commands behind them."""

    def __init__(self, session: Session, service: ReviewService) -> None:
        self._session, self._service = session, service

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """For the findings that stand in a range."""
        found: list[types.CodeAction] = []
        uri, asked = params.text_document.uri, params.range
        for standing, finding in self._of(uri):
            locate = self._service.places.located(standing)
            shown = self._service.diagnostic(finding, locate)
            if shown is None or not _overlap(shown.range, asked):
                continue
            if await self._still_there(standing, finding) and (fix := self._suggested(finding, shown, locate)):
                found.append(fix)
            arguments = [uri, finding.fingerprint]
            if finding.grade is Grade.WITNESSED and finding.proof.code:
                found.append(_action("Famulus: copy the witness as a test", WITNESS, arguments, shown))
            if self._ignoring(standing, finding, "") is not None:
                found.append(_action("Famulus: ignore this finding, with a reason…", IGNORE, arguments, shown))
        return found

    async def ignore(self, uri: str, fingerprint: str, reason: str) -> None:
        """Writes above the finding that it is ignored. Without a reason the comment waits for one, and is not obeyed.

        Raises :class:`InvalidRequest`.
        """
        standing, finding = self._known(uri, fingerprint)
        edit = self._ignoring(standing, finding, reason.strip())
        if edit is None:
            raise InvalidRequest("No comment can stand there.", fix="Name the file in .famulusreviewignore.")
        asked = types.ApplyWorkspaceEditParams(edit, "Ignore a finding")
        result = await self._session.server.workspace_apply_edit_async(asked)
        if not result.applied:
            return
        if reason.strip():
            root = standing.root
            self._service.standings[root] = self._service.standings[root].without(fingerprint)
            self._service.show(root)
        else:
            sentence = "Write the reason behind the brackets; an ignore without one is not obeyed."
            self._session.server.window_show_message(types.ShowMessageParams(types.MessageType.Info, sentence))

    def witness(self, uri: str, fingerprint: str) -> Page:
        """The proof of a finding as a test. Raises :class:`InvalidRequest`."""
        _, finding = self._known(uri, fingerprint)
        if not finding.proof.code:
            raise InvalidRequest("There is no test for this finding.")
        return page(self._session, "Witness", finding.proof.code.rstrip() + "\n")

    def _of(self, uri: str) -> Iterator[tuple[Standing, Finding]]:
        document = self._session.document(uri)
        if document is None:
            return
        for standing in list(self._service.standings.values()):
            path = self._service.places.path_of(document, standing.root)
            if path is not None:
                yield from ((standing, finding) for finding in standing.by_path.get(path, ()))

    def _known(self, uri: str, fingerprint: str) -> tuple[Standing, Finding]:
        for standing, finding in self._of(uri):
            if finding.fingerprint == fingerprint:
                return standing, finding
        raise InvalidRequest("This finding is not there any more.", fix="Review the changes again.")

    async def _still_there(self, standing: Standing, finding: Finding) -> bool:
        """Whether the files that a suggestion edits are on disk what was reviewed, unless they are open."""
        paths = texts_needed([finding])
        if finding.suggestion is None:
            return False
        locate = self._service.places.located(standing)
        closed = [path for path in paths if (there := locate(path)) is None or not there.open]
        now = await asyncio.to_thread(texts_on_disk, standing.root, closed)
        return all(now.get(path) == standing.texts.get(path) for path in closed)

    def _suggested(self, finding: Finding, shown: types.Diagnostic, locate: Locate) -> types.CodeAction | None:
        if finding.suggestion is None:
            return None
        edit = edit_of(self._session.server.client_capabilities, finding.suggestion.edits, locate)
        if edit is None:
            return None
        sure = finding.grade is Grade.PROVED and finding.certainty == "certain"
        title = f"Famulus: {finding.suggestion.title[:1].lower()}{finding.suggestion.title[1:]}"
        return types.CodeAction(title, types.CodeActionKind.QuickFix, [shown], sure, edit=edit)

    def _ignoring(self, standing: Standing, finding: Finding, reason: str) -> types.WorkspaceEdit | None:
        """The comment above the line of a finding; None where none can stand."""
        place = finding.place
        mark = _COMMENTS.get(PurePosixPath(place.path).suffix)
        there = self._service.places.located(standing)(place.path)
        line = there.moved.line(place.line) if there is not None else None
        if mark is None or there is None or line is None:
            return None
        text = there.document.text
        if place.path.endswith((".py", ".pyi")) and not _takes_a_comment(plain_lines(text.value), line):
            return None
        source = text.line(line - 1)
        indentation = source[: len(source) - len(source.lstrip())]
        comment = f"{indentation}{mark} famulus: ignore[{finding.rule}] {reason}"
        insert = Edit(path=place.path, line=place.line, end_line=place.line - 1, text=comment)
        return edit_of(self._session.server.client_capabilities, [insert], self._service.places.located(standing))


def _action(title: str, command: str, arguments: list[str], shown: types.Diagnostic) -> types.CodeAction:
    called = types.Command(title, command, arguments=list(arguments))
    return types.CodeAction(title, types.CodeActionKind.QuickFix, [shown], command=called)


def _overlap(one: types.Range, other: types.Range) -> bool:
    """Whether they share a line: editors ask for the cursor, which may stand beside what is marked."""
    return one.start.line <= other.end.line and other.start.line <= one.end.line


def _takes_a_comment(text: str, line: int) -> bool:
    """Whether a comment may come before ``line`` (from 1) of Python: not inside a string, not behind a backslash."""
    lines = text.split("\n")
    if line > 1 and lines[line - 2].endswith("\\"):
        return False
    begun: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            name = tokenize.tok_name[token.type]
            if name.endswith("STRING_START"):
                begun.append(token.start[0])
            elif name.endswith("STRING_END"):
                if begun.pop() < line <= token.end[0]:
                    return False
            elif token.type == tokenize.STRING and token.start[0] < line <= token.end[0]:
                return False
    except (tokenize.TokenError, SyntaxError, IndexError):
        return True  # it does not parse now; most lines are in no string
    return True
