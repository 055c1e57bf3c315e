"""A review as GitLab's code quality report (the format of Code Climate), which merge requests show."""

from __future__ import annotations

import json
from collections.abc import Sequence

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.report.source import visible

_SEVERITIES = {"error": "critical", "warning": "major", "note": "minor"}


def text(shown: Sequence[Finding]) -> str:
    """One JSON document."""
    issues = [
        {
            "type": "issue",
            "check_name": finding.rule,
            "description": visible(finding.message),
            "content": {"body": visible(finding.proof.text)},
            "categories": ["Bug Risk"],
            "severity": _SEVERITIES[finding.severity],
            "fingerprint": finding.fingerprint,
            "location": {"path": finding.place.path, "lines": {"begin": finding.place.line}},
        }
        for finding in shown
    ]
    return json.dumps(issues, indent=2) + "\n"
