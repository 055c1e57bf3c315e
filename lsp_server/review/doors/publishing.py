"""Findings as the protocol has them, at the places where their lines stand now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lsprotocol import types

from famulus.lsp_server.documents import Document
from famulus.lsp_server.review.doors.standing import Moved, plain_lines
from famulus.lsp_server.review.finding import Edit, Finding, Grade, Place

SOURCE = "famulus"
_MOST_RELATED = 20
_PROOF_LINES = 3


@dataclass(frozen=True)
class Located:
    """A file: the text that was reviewed, and the document that it is now, open or as it lies on the disk."""

    reviewed: str
    document: Document
    open: bool

    @cached_property
    def moved(self) -> Moved:
        """Where the reviewed lines stand now."""
        return Moved(self.reviewed, plain_lines(self.document.text.value))

    @property
    def unchanged(self) -> bool:
        """Whether it is still what was reviewed."""
        return self.reviewed == plain_lines(self.document.text.value)


Locate = Callable[[str], Located | None]
"""A file of the review by its path; None if it cannot be read or shown."""


def diagnostic(capabilities: types.ClientCapabilities, finding: Finding, locate: Locate) -> types.Diagnostic | None:
    """A finding in the client's units; None if its line was changed since it was found."""
    here = locate(finding.place.path)
    place = _range(here, finding.place) if here is not None else None
    if place is None:
        return None
    able = capabilities.text_document.publish_diagnostics if capabilities.text_document is not None else None
    linked = able is not None and bool(able.related_information)
    return types.Diagnostic(
        place,
        _message(finding, linked=linked),
        _severity(finding),
        finding.rule,
        source=SOURCE,
        related_information=(_related(finding, locate) or None) if linked else None,
        data={"fingerprint": finding.fingerprint},
    )


def _message(finding: Finding, *, linked: bool) -> str:
    """The sentence; below it what was seen, and for clients without links the other places."""
    lines = [finding.message]
    if finding.grade in (Grade.WITNESSED, Grade.MEASURED):
        proof = [line for line in finding.proof.text.splitlines() if line.strip() and line not in finding.message]
        lines += proof[:_PROOF_LINES]
    if not linked:
        lines += [f"{related.place}: {related.message}" for related in finding.related[:_PROOF_LINES]]
    return "\n".join(lines)


def _severity(finding: Finding) -> types.DiagnosticSeverity:
    if finding.grade is Grade.MODEL_ONLY:
        return types.DiagnosticSeverity.Hint
    if finding.grade is Grade.MEASURED or finding.severity == "note":
        return types.DiagnosticSeverity.Information
    sure = finding.severity == "error" and finding.certainty == "certain"
    return types.DiagnosticSeverity.Error if sure else types.DiagnosticSeverity.Warning


def _related(finding: Finding, locate: Locate) -> list[types.DiagnosticRelatedInformation]:
    found = []
    for related in finding.related[:_MOST_RELATED]:
        there = locate(related.place.path) if related.place.side == "new" else None
        place = _range(there, related.place) if there is not None else None
        if there is not None and place is not None:
            location = types.Location(there.document.uri, place)
            found.append(types.DiagnosticRelatedInformation(location, related.message))
    return found


def _range(here: Located, place: Place) -> types.Range | None:
    last = max(place.line, place.end_line or place.line)
    span = here.moved.span(place.line, last)
    if span is None:
        return None
    text = here.document.text
    first, final = (min(line, text.lines) - 1 for line in span)
    if place.end_column is None:  # whole lines, without what they are indented by
        line = text.line(first)
        start = text.offset(first, max(place.column - 1, len(line) - len(line.lstrip())))
        return here.document.range_of(start, text.line_end(final))
    start, end = text.offset(first, place.column - 1), text.offset(final, place.end_column - 1)
    return here.document.range_of(start, max(start, end))


# -- edits


def edit_of(
    capabilities: types.ClientCapabilities, edits: Sequence[Edit], locate: Locate
) -> types.WorkspaceEdit | None:
    """The edits where their lines stand now, tied to the versions of open documents; None if one does not fit."""
    changes: dict[str, tuple[Located, list[types.TextEdit]]] = {}
    for edit in edits:
        there = locate(edit.path)
        if there is None or not (there.open or there.unchanged):
            return None
        made = text_edit(there, edit)
        if made is None:
            return None
        changes.setdefault(there.document.uri, (there, []))[1].append(made)
    able = capabilities.workspace.workspace_edit if capabilities.workspace is not None else None
    if able is None or not able.document_changes:
        return types.WorkspaceEdit({uri: made for uri, (_, made) in changes.items()})
    documents: list[types.TextDocumentEdit | types.CreateFile | types.RenameFile | types.DeleteFile] = []
    for uri, (there, wanted) in changes.items():
        version = there.document.version if there.open else None
        documents.append(types.TextDocumentEdit(types.OptionalVersionedTextDocumentIdentifier(uri, version), [*wanted]))
    return types.WorkspaceEdit(document_changes=documents)


def text_edit(there: Located, edit: Edit) -> types.TextEdit | None:
    """One edit of whole lines; None if they were changed since."""
    moved, document, text = there.moved, there.document, there.document.text
    whole = edit.text.removesuffix("\n")
    if edit.end_line < edit.line:
        before = moved.line(edit.line)
        if before is None:
            after = moved.line(edit.line - 1)
            if after is None:
                return None
            before = after + 1
        if before > text.lines:
            return types.TextEdit(document.range_of(len(text), len(text)), "\n" + whole)
        start = text.starts[before - 1]
        return types.TextEdit(document.range_of(start, start), whole + "\n")
    span = moved.span(edit.line, edit.end_line)
    if span is None or span[1] > text.lines:
        return None
    start, end = text.starts[span[0] - 1], text.line_end(span[1] - 1)
    if not edit.text:  # the lines go, with their ends
        end = text.starts[span[1]] if span[1] < text.lines else end
    return types.TextEdit(document.range_of(start, end), whole)
