"""Whether new tests are flaky, kept as long as nothing that they can come to has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.kept import Kept
from famulus.lsp_server.review.rules.unnoticed_kept import Tests
from famulus.lsp_server.review.states import named

if TYPE_CHECKING:
    from famulus.lsp_server.review.rule import Context
    from famulus.lsp_server.review.rules.flaky import NewTest


@dataclass(frozen=True)
class _Found:
    findings: tuple[Finding, ...]
    state: str


class Outcomes:
    """What all runs of new tests have shown. ``python``: what runs them."""

    def __init__(self, context: Context, python: Path, tests: Sequence[NewTest]) -> None:
        self._tests = Tests(context, python, list(dict.fromkeys(test.path for test in tests)))
        self._store: Kept[_Found] = Kept(f"flaky-{self._tests.mark}", _Found)
        self._lines = {(test.path, test.name.replace("::", ".")): test.line for test in tests}
        said = [f"{test.path} {test.name} {test.new} {test.source}" for test in tests]
        self._name = named([self._tests.name, *said])

    def known(self) -> list[Finding] | None:
        """The findings of an earlier review, where the tests are now."""
        known = self._store.get(self._name)
        if known is None or self._tests.differences(known.state) is None:
            return None
        return [self._placed(found) for found in known.findings]

    def keep(self, findings: Sequence[Finding]) -> None:
        """Keeps what was found."""
        self._store.put(self._name, _Found(tuple(findings), self._tests.state))
        self._tests.end()
        self._store.sweep()

    def _placed(self, found: Finding) -> Finding:
        place = found.place
        return replace(found, place=replace(place, line=self._lines.get((place.path, place.symbol), place.line)))
