"""A review as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), for code scanning services."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from famulus import __version__
from famulus.lsp_server.review.finding import Finding, Place, Suggestion
from famulus.lsp_server.review.report.source import visible
from famulus.lsp_server.review.review import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_RESULTS = 25_000
"""More, and GitHub refuses the file; of these it shows 5,000."""
MOST_RELATED = 100
"""Related places of a result that GitHub shows."""
_BASE = "%SRCROOT%"
_FINGERPRINT = "famulusReview/v1"


def text(report: Report, shown: Sequence[Finding]) -> str:
    """One log file with one run."""
    shown = shown[:MOST_RESULTS]
    rules = sorted({finding.rule for finding in shown})
    notifications = [_notification(sentence) for sentence in report.left_out]
    run = {
        "tool": {"driver": _driver(rules, shown)},
        "originalUriBaseIds": {_BASE: {"description": {"text": "The top of the project."}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": report.complete, "toolExecutionNotifications": notifications}],
        "results": [_result(finding, rules.index(finding.rule)) for finding in shown],
        "properties": {"title": visible(report.title), "facts": dict(report.facts)},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _driver(rules: Iterable[str], shown: Sequence[Finding]) -> dict[str, Any]:
    descriptors = [
        {"id": rule, "name": _pascal(rule), "shortDescription": {"text": rule.replace("/", ": ").replace("-", " ")}}
        for rule in rules
    ]
    return {"name": "Famulus review", "version": __version__, "rules": descriptors}


def _result(finding: Finding, index: int) -> dict[str, Any]:
    said = [visible(part) for part in (finding.message, finding.proof.text) if part]
    related = finding.related[:MOST_RELATED]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": "\n".join(said)},
        "locations": [_location(finding.place)],
        "partialFingerprints": {_FINGERPRINT: finding.fingerprint},
        "properties": {
            "grade": finding.grade.value,
            "certainty": finding.certainty,
            "reach": finding.reach,
            "proof": {"kind": finding.proof.kind, "code": finding.proof.code, "data": dict(finding.proof.data)},
        },
    }
    if related:
        places = [{"id": number, **_location(r.place, r.message)} for number, r in enumerate(related, start=1)]
        result["relatedLocations"] = places
    if finding.suggestion is not None:
        result["fixes"] = [_fix(finding.suggestion)]
    return result


def _location(place: Place, message: str = "") -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": place.line, "startColumn": place.column}
    if place.end_line is not None:
        region["endLine"] = max(place.end_line, place.line)
    if place.end_column is not None and (
        region.get("endLine", place.line) > place.line or place.end_column > place.column
    ):
        region["endColumn"] = place.end_column
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(place.path), "region": region}}
    if place.symbol:
        location["logicalLocations"] = [{"fullyQualifiedName": place.symbol}]
    if message:
        location["message"] = {"text": visible(message)}
    return location


def _artifact(path: str) -> dict[str, Any]:
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        name = visible(path).encode()
    return {"uri": quote(name, safe="/"), "uriBaseId": _BASE}


def _fix(suggestion: Suggestion) -> dict[str, Any]:
    """The edits, file by file. A region that ends at its start inserts."""
    files: dict[str, list[dict[str, Any]]] = {}
    for edit in suggestion.edits:
        region = {
            "startLine": edit.line,
            "startColumn": 1,
            "endLine": max(edit.line, edit.end_line + 1),
            "endColumn": 1,
        }
        text = edit.text if edit.text.endswith("\n") or not edit.text else edit.text + "\n"
        files.setdefault(edit.path, []).append({"deletedRegion": region, "insertedContent": {"text": text}})
    changes = [{"artifactLocation": _artifact(path), "replacements": parts} for path, parts in files.items()]
    return {"description": {"text": visible(suggestion.title)}, "artifactChanges": changes}


def _notification(sentence: str) -> dict[str, Any]:
    return {"level": "note", "message": {"text": visible(sentence)}}


def _pascal(rule: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", rule))
