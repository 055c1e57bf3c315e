"""A review for GitHub: annotations of a workflow, and the comments of a pull request's review."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.finding import Finding, Place
from famulus.lsp_server.review.report import markdown
from famulus.lsp_server.review.report.source import Lines, in_the_diff, seen_places, visible
from famulus.lsp_server.review.review import Report

_MOST_RELATED = 5
_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def workflow_commands(shown: Sequence[Finding]) -> str:
    """Annotations as workflow commands, one a line; they may stand in any file, also outside the diff."""
    return "".join(_annotation(finding) for finding in shown)


def _annotation(finding: Finding) -> str:
    place = finding.place
    values: dict[str, Any] = {"file": place.path, "line": place.line}
    if place.end_line is not None and place.end_line > place.line:
        values["endLine"] = place.end_line
    elif place.end_column is not None and place.end_column > place.column:
        values |= {"col": place.column, "endColumn": place.end_column - 1}
    values["title"] = f"{finding.rule} ({finding.grade.value})"
    said = ",".join(f"{name}={_value(str(value))}" for name, value in values.items())
    parts = [finding.message, finding.proof.text]
    parts += [f"{r.place} {r.message}" for r in finding.related[:_MOST_RELATED]]
    if len(finding.related) > _MOST_RELATED:
        parts.append(f"and {len(finding.related) - _MOST_RELATED} more places")
    return f"::{_LEVELS[finding.severity]} {said}::{_data(chr(10).join(part for part in parts if part))}\n"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def review_comments(report: Report, shown: Sequence[Finding], change: Change) -> str:
    """The body of a request that creates a review of a pull request (REST API, ``POST …/pulls/N/reviews``).

    GitHub takes comments only on lines of the diff. A finding elsewhere is put on the changed line that causes it, and
    names its own place; one without such a line stands in the review's text.
    """
    lines = Lines(change)
    comments, elsewhere = [], []
    for finding in shown:
        place = next(seen_places(change, finding), None)
        if place is None:
            elsewhere.append(markdown.block(finding, lines))
        else:
            comments.append(_comment(finding, place, change, lines))
    body = "\n\n".join(
        [f"Famulus review: {report.headline(shown)}.", *map(markdown.prose, report.facts.values()), *elsewhere]
    )
    return json.dumps({"event": "COMMENT", "body": body, "comments": comments}, indent=2) + "\n"


def _comment(finding: Finding, place: Place, change: Change, lines: Lines) -> dict[str, Any]:
    side = {"new": "RIGHT", "old": "LEFT"}
    comment: dict[str, Any] = {"path": place.path, "line": place.line, "side": side[place.side]}
    last = place.end_line
    if last is not None and last > place.line and in_the_diff(change, replace(place, line=last)):
        comment |= {"start_line": place.line, "start_side": side[place.side], "line": last}
    body = markdown.block(finding, lines)
    if place == finding.place:
        suggested = _suggested(finding, comment)
        body += f"\n\n{suggested}" if suggested else ""
    return comment | {"body": f"{body}\n\n<!-- famulus:{finding.fingerprint} -->"}


def _suggested(finding: Finding, comment: dict[str, Any]) -> str:
    """A block that GitHub can apply with a click, if the edit covers just the commented lines."""
    edits = finding.suggestion.edits if finding.suggestion is not None else ()
    first = comment.get("start_line", comment["line"])
    if len(edits) != 1 or (edits[0].path, edits[0].line, edits[0].end_line) != (
        comment["path"],
        first,
        comment["line"],
    ):
        return ""
    return markdown.fenced(edits[0].text.rstrip("\n"), "suggestion")
