"""A workbench that holds the tests of a review, opened when something has to be run."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from famulus.lsp_server.execution.testserver import TestRun
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.rule import Context

_FIRST_RUN = 0.5
"""Part of the time in which the tests must have run once."""
_EACH = 10.0  # seconds for one test


class Bench:
    """``tests``: files of tests; ``paths``: files whose lines are told. Use it in a ``with`` block."""

    def __init__(self, context: Context, tests: Sequence[str], paths: Sequence[str]) -> None:
        self._context, self._tests, self._paths = context, tests, paths
        self._held: TestRun | None = None
        self.opened: Workbench | None = None

    def open(self) -> tuple[Workbench, TestRun]:
        """The workbench, and what was collected. Raises :class:`.NoPytest`."""
        context = self._context
        assert context.run_code != "no"
        if self.opened is None:
            self.opened = Workbench(
                context.change.new,
                root=context.root,
                interpreter=context.interpreter,
                run=context.run_code,
                check=context.clock.check,
            )
        if self._held is None:
            context.progress(f"Running {len(self._tests)} test files that import the changed code")
            wall = self.seconds
            each = min(_EACH, wall / 5)
            self._held = self.opened.server.hold(self._tests, wall=wall, each=each, trace=self._paths)
        return self.opened, self._held

    @property
    def seconds(self) -> float:
        """That a run of all tests may take."""
        return min(self._context.clock.left * _FIRST_RUN, 600.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.opened is not None:
            self.opened.close()
