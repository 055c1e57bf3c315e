"""What was found out about changed functions by running them, kept as long as all that they could come to is the same.

A result is kept with the code that it came from: the old version, and the files of the new one that the function's
module imports, over however many modules. A function that is added to one of them counts only if one of them names it.
That nothing was found also holds only as long as all places that name the function are the same, since arguments are
taken from there. What time cut short holds for reviews that have no more time. Nothing is kept of code that runs
without the sandbox, which may see other files and variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.kept import Kept
from famulus.lsp_server.review.outline import Piece
from famulus.lsp_server.review.states import named

if TYPE_CHECKING:
    from famulus.lsp_server.review.rule import Context
    from famulus.lsp_server.review.rules.witness_changes import Changed

Late = Literal["", "itself", "around"]


@dataclass(frozen=True)
class Result:
    """Of one changed function. ``usable``: calls of it were answered. ``failed``: why a version could not be imported
    (module, reason, kind, path, line), and ``new_only``. ``around``: paths of functions that were called in its stead.
    ``given_up``: functions around it were not called, since others showed nothing so; ``late``: there was no time for
    all calls of the function itself, or of those around it. ``state``: names the files of the new version at that time;
    ``budget``: the seconds of the review, None for as long as it took."""

    finding: Finding | None
    usable: bool
    state: str = ""
    around: tuple[str, ...] = ()
    failed: tuple[str, str, str, str, int] | None = None
    new_only: bool = False
    given_up: bool = False
    late: Late = ""
    budget: float | None = None

    def error(self) -> ImportFailed:
        """What was raised."""
        assert self.failed is not None
        module, reason, kind, path, line = self.failed
        return ImportFailed(module, reason, kind=kind, at=(path, line) if path else ())


class Results:
    """Those of one review. ``python``: what runs the code."""

    def __init__(self, context: Context, python: Path) -> None:
        self._states, self._seconds, self._fresh = context.states(python), context.seconds, context.fresh
        self._store: Kept[Result] = Kept(f"witnesses-{self._states.mark}", Result)

    def of(self, item: Changed) -> Result | None:
        """What is known of a function, if all of it still holds."""
        known = self._store.get(self._name(item)) if not self._fresh else None
        if known is None or (known.late and self._more_than(known.budget)):
            return None
        differing = self._states.differences(known.state)
        if differing is None:
            return None
        around = known.around
        reached = self._states.reached([item.file.old_path or "", *around], [item.file.new_path or "", *around])
        for path, pieces in differing.items():
            if path in reached and not self._states.idle(pieces, path, reached):
                return None
            if known.finding is None and known.failed is None and (pieces is None or _names(pieces, item)):
                return None
        return known

    def _more_than(self, budget: float | None) -> bool:
        """Whether this review has more time than one before."""
        return budget is not None and (self._seconds is None or self._seconds > budget)

    def put(self, item: Changed, result: Result) -> None:
        """Keeps what was found out."""
        self._store.put(self._name(item), replace(result, state=self._states.state, budget=self._seconds))

    def end(self) -> None:
        """Keeps what later reviews compare with."""
        self._states.end()
        self._store.sweep()

    def _name(self, item: Changed) -> str:
        file = item.file
        said = [file.old_path or "", file.new_path or "", item.name]
        said += ["\n".join(file.new_text.split("\n")[item.lines.start - 1 : item.lines.stop - 1])]
        return named([self._states.everywhere, *said])


def _names(pieces: Sequence[Piece], item: Changed) -> bool:
    """Whether one of them may call the function, so that other arguments can be taken from it."""
    return any(item.called in piece.words for piece in pieces)
