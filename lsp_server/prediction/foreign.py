"""What other servers show in the same document: a server learns of it only when an editor asks for code actions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lsprotocol import types

from famulus.lsp_server.documents import Document, Text
from famulus.lsp_server.prediction.finding import Finding
from famulus.lsp_server.prediction.publishing import SOURCE

_CHECKERS = ("ruff", "pyflakes", "flake8")
"""Servers that report all that we take from ruff."""
_QUOTED = re.compile(r"[`'\"‘“]([^`'\"’”]+)[`'\"’”]")


class Foreign:
    """The diagnostics of others that were seen, by the text of their line: it stays when lines move."""

    def __init__(self) -> None:
        self._checked = False
        self._seen: set[tuple[str, str]] = set()

    def learn(self, document: Document, diagnostics: Sequence[types.Diagnostic]) -> bool:
        """Take in what an editor shows; true if there was something new."""
        before = self._checked, len(self._seen)
        for found in diagnostics:
            source = (found.source or "").lower()
            if source == SOURCE:
                continue
            self._checked = self._checked or source in _CHECKERS
            if found.range.start.line < document.text.lines:
                line = document.text.line(found.range.start.line).strip()
                start, end = document.offset_at(found.range.start), document.offset_at(found.range.end)
                words = [str(found.code or ""), document.text.value[start:end], *_QUOTED.findall(found.message)]
                self._seen |= {(line, word) for word in words if word.strip()}
                if found.severity == types.DiagnosticSeverity.Error:
                    self._seen.add((line, "syntax"))  # one error is enough for a line that does not parse
        return (self._checked, len(self._seen)) != before

    def shows(self, finding: Finding, text: Text) -> bool:
        """Whether somebody else shows the same."""
        if finding.source == "surprise":
            return False
        if finding.source == "ruff" and self._checked:
            return True
        line = text.line(text.place(finding.start)[0]).strip()
        about = {finding.code, text.value[finding.start : finding.end]}
        if finding.source == "ruff":
            about |= set(_QUOTED.findall(finding.message))
        return any((line, word) in self._seen for word in about if word.strip())
