"""The best pieces go along, each thing once, and nothing moves without need."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.engine.protocol import Piece
from famulus.lsp_server.context.ranking import CLEARLY, MOST, MOST_CHARACTERS, ORDER, Limits, Ranked, choose
from famulus.lsp_server.context.words import similarity, words

LIMITS = Limits()
NOTHING: frozenset[str] = frozenset()


def ranked(number: int, source: str = "definitions", score: float = 0.5, size: int = 3) -> Ranked:
    """A piece of its own."""
    return Ranked(Piece(f"{number}.py", " ".join(f"word{number}x{n}" for n in range(size))), source, score)


PIECES = st.lists(
    st.builds(
        ranked, st.integers(0, 12), st.sampled_from(ORDER), st.sampled_from([0.2, 0.4, 0.5, 0.9]), st.integers(1, 200)
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(PIECES, PIECES, st.randoms())
def test_what_is_chosen_keeps_the_limits(offered: list[Ranked], earlier: list[Ranked], random: object) -> None:
    before = choose(earlier, [], NOTHING, LIMITS)
    chosen = choose(offered, before, NOTHING, LIMITS)
    assert len(chosen) <= MOST and sum(len(r.piece.text) for r in chosen) <= MOST_CHARACTERS
    assert [ORDER.index(r.source) for r in chosen] == sorted(ORDER.index(r.source) for r in chosen)
    assert all(r in offered for r in chosen)
    for source in ORDER:
        assert sum(r.source == source for r in chosen) <= LIMITS.of(source)
    for place, one in enumerate(chosen):
        for other in chosen[place + 1 :]:
            assert similarity(words(one.piece.text), words(other.piece.text)) <= 0.9
    assert choose(list(reversed(offered)), before, NOTHING, LIMITS) == choose(
        list(reversed(offered)), before, NOTHING, LIMITS
    )
    known = [r.key for r in before]
    staying = [r.key for r in chosen if r.key in known]
    assert staying == [key for key in known if key in staying]
    again = choose(offered, chosen, NOTHING, LIMITS)
    assert [r.key for r in again] == [r.key for r in choose(offered, again, NOTHING, LIMITS)]


def test_the_order_of_what_is_offered_does_not_matter() -> None:
    offered = [ranked(n, score=0.1 * n) for n in range(8)]
    assert choose(offered, [], NOTHING, LIMITS) == choose(offered[::-1], [], NOTHING, LIMITS)


def test_a_piece_stays_until_another_is_clearly_better() -> None:
    limits = Limits(most=(("definitions", 1),))
    first = choose([ranked(1, score=0.5)], [], NOTHING, limits)
    slightly = [ranked(1, score=0.5), ranked(2, score=0.5 * CLEARLY - 0.01)]
    assert choose(slightly, first, NOTHING, limits) == first
    clearly = [ranked(1, score=0.5), ranked(2, score=0.5 * CLEARLY + 0.01)]
    assert [r.piece.path for r in choose(clearly, first, NOTHING, limits)] == ["2.py"]


def test_newcomers_stand_behind_what_stays() -> None:
    first = choose([ranked(1, score=0.5)], [], NOTHING, LIMITS)
    chosen = choose([ranked(2, score=0.2), ranked(1, score=0.5), ranked(3, score=0.9)], first, NOTHING, LIMITS)
    assert [r.piece.path for r in chosen] == ["1.py", "2.py", "3.py"]


def test_what_the_cursor_has_around_it_is_not_repeated() -> None:
    near = words("word1x0 word1x1 word1x2")
    assert choose([ranked(1, "files"), ranked(1, "edits")], [], near, LIMITS) == []
    assert choose([ranked(2, "files")], [], near, LIMITS) != []
