"""The lines in which two texts differ: they make the one of the other, also where there are very many of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.review import change
from famulus.lsp_server.review.change import Hunk, difference

TEXTS = st.lists(st.sampled_from("abcdefghijklmno"), max_size=16)


def applied(old: Sequence[str], hunks: Sequence[Hunk]) -> list[str]:
    lines = list(old)
    for hunk in reversed(hunks):
        assert tuple(lines[hunk.old_start - 1 : hunk.old_end - 1]) == hunk.old_lines
        lines[hunk.old_start - 1 : hunk.old_end - 1] = hunk.new_lines
    return lines


@pytest.mark.parametrize("careful", [0, 4000])
@given(old=TEXTS, new=TEXTS)
def test_the_hunks_make_the_new_text_of_the_old(careful: int, old: list[str], new: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change, "_CAREFUL_LINES", careful)
        hunks = list(difference(old, new))
    assert applied(old, hunks) == new
    for one, other in pairwise(hunks):
        assert one.old_end < other.old_start and one.new_end < other.new_start, "a line between them is the same"


def test_very_many_small_changes_take_no_minutes() -> None:
    old = "".join(f"def f{n}(a, b={n}):\n    return a + b * {n}\n\n" for n in range(7000)).split("\n")
    new = [line.replace("a + b", "a - b") for line in old]
    start = time.process_time()
    assert len(list(difference(old, new))) == 7000
    assert time.process_time() - start < 10
