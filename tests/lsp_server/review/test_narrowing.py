"""A change is taken apart and put together again, and the fewest parts that break a test are found in few runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.review.change import FileChange, Memory, between
from famulus.lsp_server.review.narrowing import Narrowing, Suspect, Verdict
from famulus.lsp_server.review.pieces import Pieces

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "    d", "é"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n"])


@given(LINES, LINES, ENDS, st.booleans(), st.data())
def test_parts_of_a_change_in_any_choice(
    old: list[str], new: list[str], end: str, closed: bool, data: st.DataObject
) -> None:
    sides = [(end.join(lines) + end * closed).encode() for lines in (old, new)]
    change = between(Memory({"a.py": sides[0]}), Memory({"a.py": sides[1]}))
    pieces = Pieces(change)
    numbers = [piece.number for piece in pieces.all]

    if change.files:
        assert pieces.files(frozenset()) == {"a.py": sides[0]}
        assert pieces.files(frozenset(numbers)) == {"a.py": sides[1]}
        chosen = frozenset(data.draw(st.sets(st.sampled_from(numbers))))
        mixed = pieces.files(chosen)["a.py"]
        assert mixed is not None
        expected = change.files[0].old_text.split("\n")
        for piece in reversed([piece for piece in pieces.all if piece.number in chosen]):
            assert piece.hunk is not None
            expected[piece.hunk.old_start - 1 : piece.hunk.old_end - 1] = piece.hunk.new_lines
        assert FileChange("a.py", "a.py", mixed, mixed).old_text.split("\n") == expected


def test_files_that_come_go_and_move() -> None:
    old = Memory({"gone.py": b"1\n", "was.py": b"a\nb\nc\n", "logo.png": b"\0a"})
    new = Memory({"new.py": b"2\n", "now.py": b"a\nx\nc\n", "logo.png": b"\0b"})
    pieces = Pieces(between(old, new, renames={"now.py": "was.py"}))
    number = {f"{piece.kind} {piece.path}": piece.number for piece in pieces.all}
    assert set(number) == {
        "deleted gone.py",
        "content logo.png",
        "added new.py",
        "renamed now.py",
        "hunk now.py",
    }

    def applied(*names: str) -> dict[str, bytes | None]:
        return pieces.files(frozenset(number[name] for name in names))

    before = {"gone.py": b"1\n", "was.py": b"a\nb\nc\n", "logo.png": b"\0a", "new.py": None, "now.py": None}
    assert applied() == before
    assert applied("deleted gone.py") == {**before, "gone.py": None}
    assert applied("renamed now.py") == {**before, "was.py": None, "now.py": b"a\nb\nc\n"}
    assert applied("hunk now.py") == {**before, "was.py": b"a\nx\nc\n"}
    assert applied("renamed now.py", "hunk now.py") == {**before, "was.py": None, "now.py": b"a\nx\nc\n"}
    assert applied("added new.py", "content logo.png") == {**before, "new.py": b"2\n", "logo.png": b"\0b"}


def _search(verdict: Callable[[frozenset[int]], Verdict], suspects: list[Suspect[int]]) -> tuple[set[int], int]:
    asked: list[frozenset[int]] = []

    def ask(parts: frozenset[int]) -> Verdict:
        assert parts not in asked, "a subset is asked once"
        asked.append(parts)
        return verdict(parts)

    everything = frozenset(suspect.part for suspect in suspects)
    narrowing = Narrowing(ask, {everything: "fails", frozenset(): "passes"})
    return set(narrowing.culprits(suspects)), len(asked)


@given(st.integers(2, 60), st.data())
def test_any_culprits_are_found_and_nothing_else(count: int, data: st.DataObject) -> None:
    culprits = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))
    weights = data.draw(st.lists(st.floats(0.01, 30), min_size=count, max_size=count))
    suspects = [Suspect(number, weight, number // 4) for number, weight in enumerate(weights)]

    found, _ = _search(lambda parts: "fails" if culprits <= parts else "passes", suspects)

    assert found == culprits


@given(st.integers(6, 40), st.data())
def test_parts_that_need_each_other_do_not_hide_the_culprit(count: int, data: st.DataObject) -> None:
    culprit, one, other = data.draw(st.lists(st.integers(0, count - 1), min_size=3, max_size=3, unique=True))

    def verdict(parts: frozenset[int]) -> Verdict:
        if (one in parts) is not (other in parts):
            return "unresolved"
        return "fails" if culprit in parts else "passes"

    found, _ = _search(verdict, [Suspect(number) for number in range(count)])

    assert found == {culprit}


@given(st.integers(2, 14), st.randoms(use_true_random=False))
def test_nothing_can_be_left_out_of_what_is_found_however_odd_the_answers(count: int, random: object) -> None:
    answers: dict[frozenset[int], Verdict] = {}

    def verdict(parts: frozenset[int]) -> Verdict:
        return answers.setdefault(parts, random.choice(["fails", "passes", "unresolved"]))  # type: ignore[attr-defined]

    suspects = [Suspect(number) for number in range(count)]
    asked = Narrowing(verdict, {frozenset(range(count)): "fails", frozenset(): "passes"})
    found = asked.culprits(suspects)

    assert asked.fails(found)
    assert not any(asked.fails([other for other in found if other != part]) for part in found if len(found) > 1)


def test_few_runs_and_fewer_with_good_suspicions() -> None:
    def runs(culprit: int, suspects: list[Suspect[int]]) -> int:
        return _search(lambda parts: "fails" if culprit in parts else "passes", suspects)[1]

    plain = [Suspect(number, 1.0, number // 3) for number in range(30)]
    taken = [runs(culprit, plain) for culprit in range(30)]
    assert statistics.median(taken) <= 7
    assert max(taken) <= 9

    suspected = [Suspect(number, 8.0 if number < 3 else 0.1) for number in range(30)]
    assert max(runs(culprit, suspected) for culprit in range(3)) <= 4
