"""A change and what a review found in it, in one sentence that is counted and not written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.review.change import Change, FileChange
from famulus.lsp_server.review.finding import Finding

if TYPE_CHECKING:
    from famulus.lsp_server.review.statements import FunctionBody

_LARGEST = 400_000
"""Characters of a file whose functions are counted."""

_CONSEQUENCES = (
    ("call-site", "place does not fit any more", "places do not fit any more"),
    ("foreign-call", "call does not fit any more", "calls do not fit any more"),
    ("contract", "promise to callers is another one", "promises to callers are others"),
    ("witness", "function answers differently", "functions answer differently"),
    ("culprit", "part of the change makes the test fail", "parts of the change make the test fail"),
    ("weakened-test", "test checks less", "tests check less"),
    ("secrets", "secret or hidden character would be published", "secrets or hidden characters would be published"),
    ("tests/red", "new failure of tests", "new failures of tests"),
    ("tests", "change goes unnoticed by all tests", "changes go unnoticed by all tests"),
    ("flaky", "new test does not always pass", "new tests do not always pass"),
    ("linters", "new remark of a linter", "new remarks of linters"),
)  # fmt: skip
"""What the findings of a rule mean, for one and for several; in the order of their weight."""


def summary(change: Change, findings: Sequence[Finding], *, at_once: bool = False) -> str:
    """``3 functions changed in 2 files; 2 places do not fit any more.``

    ``at_once``: without the number of functions, for which all files may have to be read."""
    return f"{'; '.join([_what_changed(change, at_once=at_once), *consequences(findings)])}."


def consequences(findings: Sequence[Finding]) -> list[str]:
    """What the findings mean, counted: ``1 function answers differently``."""
    kinds = {rule for rule, _, _ in _CONSEQUENCES}
    counts = Counter(f.rule if f.rule in kinds else f.rule.partition("/")[0] for f in findings)
    told = [_counted(counts.pop(rule), one, several) for rule, one, several in _CONSEQUENCES if counts[rule]]
    rest = sum(counts.values())
    return [*told, _counted(rest, "more finding", "more findings")] if rest else told


def changed_functions(file: FileChange) -> list[str]:
    """Functions of a Python file that came, went or have another code, by their dotted names."""
    from famulus.lsp_server.review.statements import bodies_of

    if not file.path.endswith(".py") or max(len(file.old or b""), len(file.new or b"")) > _LARGEST:
        return []
    old, new = ({body.name: body for body in bodies_of(file, side)} for side in ("old", "new"))
    was, now = file.old_text.split("\n"), file.new_text.split("\n")
    came_or_changed = [name for name, body in new.items() if name not in old or _differ(old[name], was, body, now)]
    return [*came_or_changed, *(name for name in old if name not in new)]


def _differ(old: FunctionBody, was: Sequence[str], new: FunctionBody, now: Sequence[str]) -> bool:
    """Whether two functions have different code. The same lines are the same code: no need to look inside."""
    return was[old.lines.start - 1 : old.lines.stop - 1] != now[new.lines.start - 1 : new.lines.stop - 1] and (
        old.code != new.code
    )


def _what_changed(change: Change, *, at_once: bool) -> str:
    within = [names for file in change.python() if not at_once and (names := changed_functions(file))]
    files = _counted(len(change.files), "file", "files")
    if not within:
        return f"{files} changed" if change.files else "Nothing changed"
    functions = _counted(sum(map(len, within)), "function", "functions")
    if len(within) == len(change.files):
        return f"{functions} changed in {files}"
    return f"{functions} changed in {_counted(len(within), 'file', 'files')} of {len(change.files)}"


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
