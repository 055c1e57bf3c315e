"""What is kept of a long text fits, and stays where it is while a line is typed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.fit import fit_lines, fit_pieces, rounded, window

lines = st.lists(st.text("ab ", max_size=60), max_size=80).map("\n".join)
budgets = st.integers(8, 200)


def count(text: str) -> int:
    """A token for every three characters begun."""
    return -(-len(text) // 3)


@given(lines, budgets)
def test_the_end_of_a_text_is_kept_within_the_budget(text: str, budget: int) -> None:
    kept = window(text, budget, count)
    assert text.endswith(kept)
    assert count(kept) <= budget + 1, "the window and its last line are counted apart"
    assert kept or not text


@given(lines, budgets)
def test_the_window_starts_at_a_line_start_if_there_is_one(text: str, budget: int) -> None:
    text = "\n".join([text] * 20)
    kept = window(text, budget, count)
    cut = text[: len(text) - len(kept)]
    short = all(len(line) < budget // 2 for line in text.split("\n"))
    assert not short or cut == "" or cut.endswith("\n")


@given(lines, st.integers(40, 200))
def test_the_window_stays_while_a_line_is_typed(text: str, budget: int) -> None:
    text += "\n" * 300 + "x"  # long enough to be trimmed
    start = len(text) - len(window(text, budget, count))
    for typed in range(1, budget // 8 * 3 - 3):
        assert len(text) + typed - len(window(text + "y" * typed, budget, count)) == start


@given(st.lists(st.text("ab ", min_size=1, max_size=20), min_size=1, max_size=60), st.integers(40, 100))
def test_from_line_to_line_the_window_moves_rarely(rows: list[str], budget: int) -> None:
    starts = set()
    text = "z\n" * 400
    for row in rows:
        text += row + "\n"
        starts.add(len(text) - len(window(text, budget, count)))
    typed = count("\n".join(rows))
    assert len(starts) <= 2 + typed // (budget // 8)


@given(lines, budgets)
def test_the_beginning_is_kept_by_whole_lines(text: str, budget: int) -> None:
    kept = fit_lines(text, budget, count)
    assert text.startswith(kept)
    assert count(kept) <= budget
    assert kept == text or kept == "" or kept.endswith("\n")


@given(st.lists(lines, max_size=5), budgets)
def test_the_last_pieces_are_kept(pieces: list[str], budget: int) -> None:
    kept = fit_pieces(pieces, budget, count)
    assert sum(map(count, kept)) <= budget
    if sum(map(count, pieces)) <= budget:
        assert kept == [p for p in pieces if p]


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_rounding_never_takes_away(tokens: int, budget: int) -> None:
    assert tokens <= rounded(tokens, budget) < tokens + max(1, budget // 8)
