"""Findings as the protocol has them: diagnostics, and quick fixes for them."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from famulus.lsp_server.documents import Document, Text
from famulus.lsp_server.prediction.finding import Finding

SOURCE = "famulus"

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "hint": types.DiagnosticSeverity.Hint,
}


@dataclass(frozen=True)
class Published:
    """What is shown of a text, one diagnostic for each finding."""

    text: Text
    findings: tuple[Finding, ...]
    diagnostics: tuple[types.Diagnostic, ...]


def diagnostic(capabilities: types.ClientCapabilities, document: Document, finding: Finding) -> types.Diagnostic:
    """A finding in the client's units, with what the client understands."""
    able = capabilities.text_document.publish_diagnostics if capabilities.text_document is not None else None
    tags = able.tag_support.value_set if able is not None and able.tag_support is not None else ()
    faded = finding.unnecessary and types.DiagnosticTag.Unnecessary in tags
    linked = finding.url is not None and able is not None and able.code_description_support
    return types.Diagnostic(
        document.range_of(finding.start, finding.end),
        finding.message,
        _SEVERITIES[finding.severity],
        finding.code,
        types.CodeDescription(finding.url) if linked and finding.url is not None else None,
        SOURCE,
        [types.DiagnosticTag.Unnecessary] if faded else None,
    )


def actions(
    capabilities: types.ClientCapabilities, document: Document, shown: Published, asked: types.Range
) -> list[types.CodeAction]:
    """The fixes of all that is shown in a range; offsets belong to the text as it is."""
    first, last = document.offset_at(asked.start), document.offset_at(asked.end)
    found: list[types.CodeAction] = []
    for finding, listed in zip(shown.findings, shown.diagnostics, strict=True):
        if finding.start > last or finding.end < first:
            continue
        for fix in finding.fixes:
            edits = [types.TextEdit(document.range_of(c.start, c.end), c.inserted) for c in fix.changes]
            found.append(
                types.CodeAction(
                    fix.title,
                    types.CodeActionKind.QuickFix,
                    [listed],
                    fix.safe,
                    edit=_edit(capabilities, document, edits),
                )
            )
    return found


def _edit(
    capabilities: types.ClientCapabilities, document: Document, edits: list[types.TextEdit]
) -> types.WorkspaceEdit:
    """The edits, tied to the document's version where the client can check it."""
    able = capabilities.workspace.workspace_edit if capabilities.workspace is not None else None
    if able is None or not able.document_changes:
        return types.WorkspaceEdit({document.uri: edits})
    which = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(which, list(edits))])
