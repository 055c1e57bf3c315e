"""Work on several pairs of versions at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from famulus.lsp_server.execution.lanes import Lanes

if TYPE_CHECKING:
    from famulus.lsp_server.execution.pair import Pair

_LONG = 60.0


class Nothing:
    """A pair without processes."""

    def kill(self) -> None:
        pass


def test_lanes_that_think_for_long_end_at_once() -> None:
    """Whoever presses Ctrl-C waits for them."""
    thought: list[float] = []

    def think(pair: Pair, item: int) -> Iterator[int]:
        yield item
        started = time.monotonic()
        try:
            while time.monotonic() - started < _LONG:
                sum(range(100))
        finally:
            thought.append(time.monotonic() - started)

    pairs = [cast("Pair", Nothing()), cast("Pair", Nothing())]
    results = Lanes[int, int](lambda: None).each(pairs, [[1], [2]], think)
    assert {next(results), next(results)} == {1, 2}
    results.close()
    assert len(thought) == 2 and max(thought) < _LONG / 2
