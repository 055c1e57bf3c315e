"""What is shown of a document: each part of the server shows its own, and clients are sent all of them together.

The protocol knows one list for each document and server; whoever sent one alone would take back those of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session


class Diagnostics:
    """The diagnostics of one session, by document and part."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: dict[str, dict[str, list[types.Diagnostic]]] = {}

    def show(self, part: str, uri: str, version: int | None, listed: list[types.Diagnostic]) -> None:
        """Replace what ``part`` shows of a document. ``version``: of the text that was looked at, if it is open."""
        parts = self._shown.setdefault(uri, {})
        if listed:
            parts[part] = listed
        else:
            parts.pop(part, None)
            if not parts:
                del self._shown[uri]
        able = self._session.server.client_capabilities.text_document
        publish = able.publish_diagnostics if able is not None else None
        told = version if publish is not None and publish.version_support else None
        together = _once([one for name in sorted(parts) for one in parts[name]])
        self._session.server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, together, told))


def _once(listed: list[types.Diagnostic]) -> list[types.Diagnostic]:
    """Without what two parts say: ``F821`` of a text and ``linters/ruff/F821`` of a review, in the same place."""
    plain = {(str(one.code), one.range.start.line) for one in listed}

    def said(one: types.Diagnostic) -> bool:
        group, _, code = str(one.code).rpartition("/")
        return bool(group) and (code, one.range.start.line) in plain

    return [one for one in listed if not said(one)]
