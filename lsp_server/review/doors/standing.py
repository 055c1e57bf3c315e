"""What the latest reviews of one folder say, and the texts that they read: pure values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from famulus.lsp_server.review.change import difference
from famulus.lsp_server.review.finding import Finding

CULPRIT = "culprit"
"""The rule that says why a test fails."""


def finding_of(plain: Mapping[str, Any]) -> Finding:
    """A finding as the stream writes it. Raises :class:`msgspec.ValidationError`."""
    return msgspec.convert(plain, Finding)


class Moved:
    """Where the lines of a text stand in a later one; lines count from 1 and end with ``\\n``."""

    def __init__(self, before: str, after: str) -> None:
        self._last = before.count("\n") + 1
        self._hunks = [] if before == after else list(difference(before.split("\n"), after.split("\n")))

    def line(self, number: int) -> int | None:
        """The line now; None if it is not there any more, or was changed."""
        if not 1 <= number <= self._last:
            return None
        shift = 0
        for hunk in self._hunks:
            if number < hunk.old_start:
                break
            if number < hunk.old_end:
                return None
            shift += len(hunk.new_lines) - len(hunk.old_lines)
        return number + shift

    def span(self, first: int, last: int) -> tuple[int, int] | None:
        """First and last line now; None if one of them was changed, or something came between."""
        start, end = self.line(first), self.line(last)
        if start is None or end is None or end - start != last - first:
            return None
        return start, end


def plain_lines(text: str) -> str:
    """The text with the line ends of the review."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True)
class Standing:
    """What is known of the folder ``root``: findings, the texts that they are about by path (relative to the root, as
    in findings), and the files that the latest review found changed."""

    root: Path
    findings: tuple[Finding, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    files: frozenset[str] = frozenset()

    @cached_property
    def by_path(self) -> dict[str, list[Finding]]:
        """The findings of each file of the new side."""
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            if finding.place.side == "new":
                found.setdefault(finding.place.path, []).append(finding)
        return found

    def with_one(self, finding: Finding, texts: Mapping[str, str]) -> Standing:
        """With a finding that came while a review runs, in place of the same one of an earlier review."""
        others = tuple(f for f in self.findings if f.fingerprint != finding.fingerprint)
        return replace(self, findings=(*others, finding), texts={**self.texts, **texts})

    def without(self, fingerprint: str) -> Standing:
        """Without a finding that the user has settled."""
        return replace(self, findings=tuple(f for f in self.findings if f.fingerprint != fingerprint))

    def culprit(self, test: str) -> Finding | None:
        """Why a test fails, if that is known."""
        return next((f for f in self.findings if f.rule == CULPRIT and f.proof.data.get("test") == test), None)


def concluded(
    before: Standing, findings: Sequence[Finding], rules: Mapping[str, str], texts: Mapping[str, str]
) -> tuple[Finding, ...]:
    """The findings after a review: its own, and those of rules that it did not run to their end, where no file that
    they are about has changed since. ``rules``: how each fared; ``texts``: of the files, as they are now."""
    seen = {finding.fingerprint for finding in findings}
    answered = {f.proof.data.get("test") for f in findings if f.rule == CULPRIT}
    kept = [
        finding
        for finding in before.findings
        if finding.fingerprint not in seen
        and not _answered_anew(finding, rules, answered)
        and all(path in texts and texts[path] == before.texts.get(path) for path in paths(finding))
    ]
    return (*findings, *kept)


def _answered_anew(finding: Finding, rules: Mapping[str, str], tests: Collection[Any]) -> bool:
    rule = finding.rule.partition("/")[0]
    if rule == CULPRIT:
        return finding.proof.data.get("test") in tests
    return rules.get(rule) == "done" if rule in rules else CULPRIT not in rules


def paths(finding: Finding) -> Iterator[str]:
    """The files that a finding is about, on the new side."""
    places = [finding.place, *(related.place for related in finding.related)]
    yield from dict.fromkeys(place.path for place in places if place.side == "new")


def texts_needed(findings: Iterable[Finding]) -> set[str]:
    """The files of findings and of the edits that they suggest."""
    needed: set[str] = set()
    for finding in findings:
        needed.update(paths(finding))
        if finding.suggestion is not None:
            needed.update(edit.path for edit in finding.suggestion.edits)
    return needed
