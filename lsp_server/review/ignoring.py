"""Findings that the user has settled: in the code, in a file of the project, or in a baseline.

In the code, on the line of the finding or alone on the line above it; the reason is demanded::

    price(3, rate=0.1)  # famulus: ignore[call-site] the old shop is still called like this

In ``.famulusreviewignore`` at the top of the project, one line each: a path (``*`` stands for anything, also across
folders), rules, a reason::

    tests/legacy/*  [call-site, contract]  the old interface is tested on purpose

A baseline is a file of fingerprints that :func:`write_baseline` makes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from famulus.engine.errors import InvalidRequest, StorageFailed
from famulus.lsp_server.review.change import Change, decoded
from famulus.lsp_server.review.finding import Finding, Place
from famulus.lsp_server.review.folders import plain_bytes
from famulus.lsp_server.review.registry import matches

FILE = ".famulusreviewignore"
BASELINE = ".famulus-review-baseline.json"
"""Read, if it is there, unless another one is named."""
_SCHEMA = "famulus-review-baseline/1"

_COMMENT = re.compile(
    r"(?P<before>.*?)(?:#|//|--|/\*|<!--|;|%)\s*famulus:\s*ignore\b(?:\[(?P<rules>[^\]]*)\])?(?P<reason>.*)"
)
_LINE = re.compile(r"(?P<path>\S.*?)\s+\[(?P<rules>[^\]]*)\](?P<reason>.*)")
_WORD = re.compile(r"\w")


@dataclass
class Sifted:
    """The findings that count, how many do not by reason, and sentences on ignores that are not obeyed."""

    kept: list[Finding]
    suppressed: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Settled:
    """One line of the ignore file."""

    path: str
    rules: tuple[str, ...]

    def covers(self, finding: Finding) -> bool:
        path = finding.place.path
        here = fnmatchcase(path, self.path) or path.startswith(self.path.rstrip("/") + "/")
        return here and any(matches(finding.rule, rule) for rule in self.rules)


def sift(findings: Sequence[Finding], change: Change, root: Path | None, known: Collection[str] = ()) -> Sifted:
    """The findings without those that are settled. ``known``: fingerprints of a baseline."""
    sifted = Sifted([])
    settled = list(_ignore_file(root, sifted.complaints))
    lines: dict[str, list[str]] = {}
    for finding in findings:
        if finding.fingerprint in known:
            sifted.suppressed["in the baseline"] += 1
        elif any(line.covers(finding) for line in settled):
            sifted.suppressed[f"ignored by {FILE}"] += 1
        elif _ignored_in_code(finding, change, lines, sifted.complaints):
            sifted.suppressed["ignored in the code"] += 1
        else:
            sifted.kept.append(finding)
    return sifted


# -- in the code


def _ignored_in_code(finding: Finding, change: Change, lines: dict[str, list[str]], complaints: list[str]) -> bool:
    place = finding.place
    if place.side == "old":
        return False
    if place.path not in lines:
        content = change.new.read(place.path)
        lines[place.path] = decoded(content).split("\n") if content and b"\0" not in content[:8000] else []
    for said in _comments(lines[place.path], place):
        rules = _names(said["rules"] or "")
        if rules and not any(matches(finding.rule, rule) for rule in rules):
            continue
        if not rules:
            complaints.append(f"{place}: an ignore names the rule in brackets, as ignore[{finding.rule}].")
        elif not _reason(said["reason"]):
            complaints.append(f"{place}: an ignore gives a reason behind the brackets; this one is not obeyed.")
        else:
            return True
    return False


def _comments(lines: Sequence[str], place: Place) -> Iterator[re.Match[str]]:
    """What is said to be ignored at a place: on its first and last line, and alone on the line above."""
    last = place.end_line if place.end_line is not None and place.end_line >= place.line else place.line
    for number in dict.fromkeys((place.line, last)):
        if 0 < number <= len(lines) and (found := _COMMENT.search(lines[number - 1])):
            yield found
    above = _COMMENT.match(lines[place.line - 2]) if 1 < place.line <= len(lines) + 1 else None
    if above is not None and not above["before"].strip():
        yield above


# -- in a file


def _ignore_file(root: Path | None, complaints: list[str]) -> Iterator[_Settled]:
    content = plain_bytes(root / FILE) if root is not None else None
    for number, line in enumerate(decoded(content or b"").split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None or not _names(found["rules"]):
            complaints.append(f"{FILE} line {number} is not obeyed: write PATH [RULE] REASON.")
        elif not _reason(found["reason"]):
            complaints.append(f"{FILE} line {number} is not obeyed: it gives no reason.")
        else:
            yield _Settled(found["path"], _names(found["rules"]))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _reason(text: str) -> bool:
    return _WORD.search(text.replace("*/", "").replace("-->", "")) is not None


# -- the baseline


def read_baseline(root: Path | None, named: Path | None = None) -> frozenset[str]:
    """The fingerprints of the project's baseline, or of another one.

    Raises :class:`InvalidRequest` if it is none, or if the one that was named is not there.
    """
    file = named if named is not None else root / BASELINE if root is not None else None
    content = plain_bytes(file) if file is not None else None
    if content is None:
        if named is not None:
            raise InvalidRequest(f"There is no baseline {named}.", fix="Make one: famulus review --baseline write.")
        return frozenset()
    try:
        return frozenset(known["fingerprint"] for known in json.loads(content)["findings"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{file} is no baseline.", fix="Make it anew: famulus review --baseline write.") from error


def write_baseline(findings: Sequence[Finding], file: Path) -> None:
    """Writes a file from which :func:`read_baseline` knows these findings again. Raises :class:`StorageFailed`."""
    known = [
        {"fingerprint": f.fingerprint, "rule": f.rule, "path": f.place.path, "message": f.message} for f in findings
    ]
    document = {"schema": _SCHEMA, "findings": sorted(known, key=lambda one: (one["path"], one["fingerprint"]))}
    try:
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"The baseline {file} cannot be written ({error.strerror}).") from error
