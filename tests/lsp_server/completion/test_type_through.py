"""Typing what is shown keeps it shown."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from famulus.lsp_server.completion.type_through import LOOK_BACK, Shown, Suggestion
from famulus.lsp_server.documents import Text
from tests.lsp_server.completion.marked import MARK


def remembered(document: str, *texts: str, replaces: int = 0) -> Shown:
    shown = Shown()
    text, offset = cursor(document)
    shown.remember(text, offset, [Suggestion(str(n), t, replaces) for n, t in enumerate(texts)])
    return shown


def cursor(document: str) -> tuple[Text, int]:
    return Text(document.replace(MARK, "", 1)), document.index(MARK)


def rests(shown: Shown, document: str) -> list[tuple[str, int]]:
    return [(match.rest, match.replaces) for match in shown.match(*cursor(document))]


@pytest.mark.parametrize(
    ("then", "rest"),
    [
        ("x = f‸\n", "oo(a, b)"),
        ("x = foo‸\n", "(a, b)"),
        ("x = foo(a, ‸\n", "b)"),
        ("x = ‸\n", "foo(a, b)"),
        ("x = foo(‸)\n", "a, b"),  # the editor has closed the bracket
        ("x = foo(a‸)\n", ", b"),
        ("x = foo(a, b)‸\n", None),
        ("x = fa‸\n", None),
        ("y = f‸\n", None),
        ("x = f‸ # why\n", None),
        ("x =‸\n", None),
        ("x = f‸)\n", None),
    ],
)
def test_while_one_types(then: str, rest: str | None) -> None:
    shown = remembered("x = ‸\n", "foo(a, b)")
    assert rests(shown, then) == ([] if rest is None else [(rest, 0)])


def test_through_what_the_editor_closes_and_the_user_skips() -> None:
    shown = remembered("‸\n", 'f(g("a")) + h(1)')
    steps = ["f‸", "f(‸)", "f(g(‸))", 'f(g("‸"))', 'f(g("a‸"))', 'f(g("a"‸))', 'f(g("a")‸)', 'f(g("a"))‸']
    steps.append('f(g("a")) + h(‸)')
    for step in steps:
        text, offset = cursor(step + "\n")
        (match,) = shown.match(text, offset)
        end = offset + match.replaces
        assert text.value[:offset] + match.rest + text.value[end:] == 'f(g("a")) + h(1)\n', step


def test_a_block_that_the_editor_opens() -> None:
    shown = remembered("if (a) ‸\n", "{\n  b();\n}")
    assert rests(shown, "if (a) {‸}\n") == [("\n  b();\n", 0)]
    assert rests(shown, "if (a) {\n  ‸\n}\n") == [("b();", 0)]


def test_a_text_that_replaces_the_bracket_to_the_right() -> None:
    shown = remembered("f(‸)\n", "a) + g(b)", replaces=1)
    assert rests(shown, "f(‸)\n") == [("a) + g(b)", 1)]
    assert rests(shown, "f(a‸)\n") == [(") + g(b)", 1)]
    assert rests(shown, "f(a)‸\n") == [(" + g(b)", 0)]
    assert rests(shown, "f(a) + g(‸)\n") == [("b)", 1)]


def test_words_and_lines_are_accepted_and_taken_back() -> None:
    shown = remembered("    ‸\n", "first = a\n    second = b")
    for then, rest in [
        ("    first‸\n", " = a\n    second = b"),
        ("    first = a\n‸\n", "    second = b"),
        ("    first = a\n    ‸\n", "second = b"),
        ("    fir‸\n", "st = a\n    second = b"),
        ("    ‸\n", "first = a\n    second = b"),
    ]:
        assert rests(shown, then) == [(rest, 0)]


def test_only_candidates_that_still_match_are_left() -> None:
    shown = remembered("‸\n", "alpha()", "alpine()", "beta()", "alpha() + 1")
    assert rests(shown, "al‸\n") == [("pha()", 0), ("pine()", 0), ("pha() + 1", 0)]
    assert rests(shown, "alpi‸\n") == [("ne()", 0)]
    assert rests(shown, "alpha()‸\n") == [(" + 1", 0)]


def test_a_place_is_found_again_after_edits_far_away_and_visits_elsewhere() -> None:
    near = "\n".join(f"line {n}" for n in range(40))
    shown = Shown()
    for document in (f"{near}\nx = ‸\n{near}", f"{near}\ny = ‸\n{near}"):
        shown.remember(*cursor(document), [Suggestion(document, "there()")])
    assert rests(shown, f"more\n{near}\nx = th‸\n{near}\nand more") == [("ere()", 0)]


def test_what_matched_last_comes_first_and_stays_longest() -> None:
    shown = Shown(capacity=2)
    text, offset = cursor("a‸\n")
    shown.remember(text, offset, [Suggestion("old", "bcd")])
    longer, there = cursor("ab‸\n")
    shown.remember(longer, there, [Suggestion("new", "cef")])
    assert [match.suggestion.id for match in shown.match(longer, there)] == ["new", "old"]
    assert [match.suggestion.id for match in shown.match(text, offset)] == ["old"]
    assert [match.suggestion.id for match in shown.match(longer, there)] == ["old", "new"]
    shown.remember(*cursor("z‸\n"), [Suggestion("third", "q")])
    assert [match.suggestion.id for match in shown.match(longer, there)] == ["old"]


def test_the_same_place_is_remembered_once() -> None:
    shown = remembered("x = ‸\n", "old()")
    shown.remember(*cursor("x = ‸\n"), [Suggestion("2", "new()")])
    assert rests(shown, "x = ‸\n") == [("new()", 0)]
    shown.forget()
    assert rests(shown, "x = ‸\n") == []


def test_lines_end_as_in_the_document() -> None:
    shown = remembered("a\r\nx = ‸\r\nb", "f(\r\n  1)\r\n")
    assert rests(shown, "a\r\nx = f(‸\r\nb") == [("\r\n  1)\r\n", 0)]
    assert rests(shown, "a\r\nx = f(\r\n ‸\r\nb") == [(" 1)\r\n", 0)]


CODE = st.text("ab(){}[]\"' \n;é😀", max_size=12)
FAR = "".join(f"line {n}\n" for n in range(LOOK_BACK))
SHORT = st.text("abc =\n(", max_size=20)
LONG = SHORT | SHORT.map(lambda text: FAR + text) | SHORT.map(lambda text: text + FAR)


@given(before=LONG, offer=CODE.filter(bool), after=LONG, size=st.integers(0, 12), crlf=st.booleans())
def test_after_typing_a_part_exactly_the_rest_is_offered(
    before: str, offer: str, after: str, size: int, crlf: bool
) -> None:
    ends = "\r\n" if crlf else "\n"
    before, after = f"#\n{before}#".replace("\n", ends), after.replace("\n", ends)
    size = min(size, len(offer) - 1)
    typed, rest = offer[:size].replace("\n", ends), offer[size:].replace("\n", ends)
    shown = Shown()
    shown.remember(Text(before + after), len(before), [Suggestion("1", offer.replace("\n", ends))])
    (match,) = shown.match(Text(before + typed + after), len(before) + len(typed))
    assert (match.typed, match.rest, match.replaces) == (offer[:size], rest, 0)


@given(before=LONG, offer=CODE.filter(bool), after=LONG, size=st.integers(0, 12), data=st.data())
def test_another_edit_near_the_cursor_ends_it(
    before: str, offer: str, after: str, size: int, data: st.DataObject
) -> None:
    typed = offer[: min(size, len(offer) - 1)]
    shown = Shown()
    shown.remember(Text(before + after), len(before), [Suggestion("1", offer)])
    # In front of the oldest character that is compared, nothing changes for those that are.
    near = max(0, len(before) - LOOK_BACK + 1), len(before) + min(len(after), LOOK_BACK)
    position = data.draw(st.integers(*near).filter(lambda p: p != len(before)))
    other = data.draw(st.sampled_from("xyz"))
    shift = position - len(before)
    if shift < 0:
        changed, offset = before[:position] + other + before[position:] + typed + after, len(before) + 1 + len(typed)
    else:
        changed, offset = before + typed + after[:shift] + other + after[shift:], len(before) + len(typed)
        assume(shift < min(len(after), LOOK_BACK))
    assert shown.match(Text(changed), offset) == []
