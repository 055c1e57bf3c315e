"""What the rule ``witness`` knows of each changed function: from reviews before, and from this one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.lsp_server.review.finding import Finding, Place
from famulus.lsp_server.review.rules.witness_kept import Late, Result, Results
from famulus.lsp_server.review.rules.witness_wording import broken_import, placed

if TYPE_CHECKING:
    from famulus.lsp_server.execution.errors import ImportFailed
    from famulus.lsp_server.review.rule import Context
    from famulus.lsp_server.review.rules.witness_changes import Changed

_NAMED = 5


class Known:
    """``python``: what runs the code; None if nothing is to be kept. ``given_up``: how many functions in a row showed
    nothing through others, before these were not called for the rest."""

    def __init__(self, context: Context, python: Path | None, given_up: int) -> None:
        self._context, self._given_up = context, given_up
        self._results = Results(context, python) if python is not None else None
        self._told: set[str] = set()
        self._telling = threading.Lock()
        self._not_around: list[str] = []
        self._late: list[str] = []
        self.unusable: dict[int, Changed] = {}
        """Functions, by identity, for which no arguments were found."""
        self.settled: set[int] = set()
        """Those of which all is known from before."""

    def findings(self, items: Sequence[Changed]) -> Iterator[Finding]:
        """Those of reviews before that still hold."""
        for item in items if self._results is not None else ():
            self._context.clock.check()
            known = self._results.of(item) if self._results is not None else None
            if known is None:
                continue
            self.settled.add(id(item))
            if known.failed is not None:
                yield from self._broken(item, known.error(), new_only=known.new_only)
            if not known.usable:
                self.unusable[id(item)] = item
            if known.given_up:
                self._not_around.append(item.name)
            if known.late == "around":
                self._late.append(item.name)
            if known.finding is not None:
                yield placed(known.finding, item, self.callers(item))

    def shown(self, item: Changed, found: Finding) -> None:
        """It answers differently."""
        self._keep(item, Result(found, True))

    def nothing(self, item: Changed, around: Sequence[str], *, given_up: bool = False, late: Late = "") -> None:
        """It shows nothing. ``around``: the files of functions that were called in its stead; ``given_up``: none were,
        since others showed nothing so; ``late``: there would have been more to try."""
        if given_up:
            self._not_around.append(item.name)
        if late == "around":
            self._late.append(item.name)
        usable = id(item) not in self.unusable
        self._keep(item, Result(None, usable, around=tuple(sorted(set(around))), given_up=given_up, late=late))

    def not_imported(self, item: Changed, error: ImportFailed, *, new_only: bool) -> Iterator[Finding]:
        """A version cannot be imported: that is a finding if only the new one cannot."""
        path, line = error.at if error.at else ("", 0)
        failed = (error.module, error.reason, error.kind, str(path), int(line))
        self._keep(item, Result(None, True, failed=failed, new_only=new_only))
        yield from self._broken(item, error, new_only=new_only)

    def callers(self, item: Changed) -> list[Place]:
        """Who calls the function, in the new version."""
        project = self._context.new
        module = project.module(item.file.new_path or "")
        symbol = module.by_qualname.get(item.name) if module is not None else None
        uses = project.callers(symbol) if symbol is not None else []
        return [project.place(use.module, use.reference) for use in uses]

    def end(self) -> None:
        """Tells of which functions nothing can be said."""
        if self._results is not None:
            self._results.end()
        if self._late:
            late = named(self._late)
            self._context.left_out.append(f"Not called through the functions around them: {late}: no time was left.")
        if self._not_around:
            why = f", since {self._given_up} others showed nothing so"
            self._context.left_out.append(
                f"Not called through the functions around them: {named(self._not_around)}{why}."
            )
        if self.unusable:
            names = named([item.name for item in self.unusable.values()])
            self._context.left_out.append(f"No arguments were found that {names} can be compared with.")

    def _keep(self, item: Changed, result: Result) -> None:
        if self._results is not None:
            self._results.put(item, result)

    def _broken(self, item: Changed, error: ImportFailed, *, new_only: bool) -> Iterator[Finding]:
        if not self._first_time(item.file.path):
            return
        if new_only:
            if self._first_time(f"{error.at} {error.reason}"):  # one broken module takes those that import it with it
                yield broken_import(item, error)
        else:
            reason = error.reason.strip().splitlines()[-1]
            self._context.left_out.append(f"Nothing in {item.file.path} was run: it cannot be imported ({reason}).")

    def _first_time(self, what: str) -> bool:
        """Whether a path or a cause was not told of before."""
        with self._telling:
            known = what in self._told
            self._told.add(what)
            return not known


def named(names: Sequence[str]) -> str:
    """``a(), b() and 3 more``."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"{name}()" for name in names[:_NAMED]) + more
