"""A review as JSON: one document, or one object a line while it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.review import Report

SCHEMA = "famulus-review/1"
"""Changes when a field changes its meaning or goes."""


def document(report: Report, shown: Sequence[Finding]) -> dict[str, Any]:
    """The whole report; ``findings`` holds ``shown``, ``hidden`` counts the others by reason."""
    return {
        "schema": SCHEMA,
        "title": report.title,
        "complete": report.complete,
        "files": report.files,
        "changed_lines": report.changed_lines,
        "seconds": round(report.seconds, 3),
        "summary": report.summary,
        "words": list(report.words),
        "findings": [finding.as_json() for finding in shown],
        "hidden": report.hidden(shown),
        "suppressed": dict(report.suppressed),
        "facts": dict(report.facts),
        "left_out": list(report.left_out),
        "unread": dict(report.unread),
        "rules": [{**asdict(run), "seconds": round(run.seconds, 3)} for run in report.runs],
    }


def text(report: Report, shown: Sequence[Finding]) -> str:
    """The document for a file. Names that are no text keep their bytes as lone surrogates, escaped."""
    return json.dumps(document(report, shown), indent=2) + "\n"


def line(event: str, **values: Any) -> str:
    """One line of the stream: ``event`` is ``start``, ``progress``, ``finding`` or ``end``."""
    return json.dumps({"event": event, **values}, separators=(",", ":")) + "\n"
