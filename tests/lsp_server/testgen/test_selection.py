"""Few examples are kept, and nothing that all of them notice is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.testgen.selection import cover, diverse

_KILLS = st.lists(st.frozensets(st.integers(0, 12), max_size=6), max_size=12)


@given(_KILLS, st.frozensets(st.integers(0, 12)))
def test_what_is_kept_kills_what_all_kill_and_nothing_in_it_is_superfluous(
    kills: list[frozenset[int]], known: frozenset[int]
) -> None:
    chosen = cover(kills, known=known)
    everything = frozenset().union(*kills)
    assert everything <= known.union(*(kills[n] for n in chosen))
    for position in chosen:
        others = known.union(*(kills[n] for n in chosen if n != position))
        assert kills[position] - others


def test_the_cheaper_of_two_equal_examples_is_kept() -> None:
    assert cover([{1, 2}, {1, 2}], cost=[9.0, 1.0]) == [1]


def test_the_rest_is_filled_with_what_differs() -> None:
    assert diverse([2], [{"a"}, {"b"}, {"a"}, {"c"}, {"b"}], 3) == [2, 1, 3]
