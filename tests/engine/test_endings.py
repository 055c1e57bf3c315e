"""A completion ends where a developer would end it, and nothing that was shown is ever taken back."""

from __future__ import annotations

import inspect
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.endings import Ending, Rules, quote_at_end

INVOKED = Rules(fences=True, prose=True, loops=True, language="python")
AUTOMATIC = Rules(max_lines=1, fences=True, prose=True, loops=True, language="python")


def answer(text: str, rules: Rules | None = None, stop: list[str] | None = None, seed: int | None = None) -> str:
    """What is shown of ``text``, pushed whole or in pieces drawn with ``seed``."""
    ending = Ending(rules, stop or [])
    pieces = [text] if seed is None else _pieces(text, random.Random(seed))
    shown = ""
    for piece in pieces:
        new, finished = ending.push(piece)
        shown += new
        if finished:
            break
    return shown + ending.flush()


def _pieces(text: str, source: random.Random) -> list[str]:
    cuts = sorted(source.sample(range(len(text) + 1), min(len(text), 12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


lines = st.lists(
    st.sampled_from(
        [
            "return x", "    return x", "```", "``", "`a`", "x = 1", "", "   ", "This function returns x.",
            "Foo is not None", "Output:", "True if x else y", "String name = y", '"""', "'''doc", "# The end is near",
            "\r", "STOP", "else:",
        ]
    ),
    max_size=12,
).map("\n".join)  # fmt: skip
rules = st.builds(
    Rules,
    max_lines=st.sampled_from([None, 1, 2, 5]),
    same_line=st.booleans(),
    head=st.sampled_from(["", "    ", "x = "]),
    next_line=st.sampled_from(["", "    return x", "else:"]),
    fences=st.booleans(),
    prose=st.booleans(),
    loops=st.booleans(),
    language=st.sampled_from(["python", "go", ""]),
)
stops = st.lists(st.sampled_from(["STOP", "\n\n", "x", "\n```", "return x\nr"]), max_size=3)


@given(lines, rules, stops, st.integers(0, 10**6))
def test_how_the_text_is_cut_into_tokens_does_not_matter(text: str, rules: Rules, stop: list[str], seed: int) -> None:
    assert answer(text, rules, stop, seed) == answer(text, rules, stop)


@given(lines, rules, stops)
def test_only_a_beginning_of_the_text_is_shown(text: str, rules: Rules, stop: list[str]) -> None:
    shown = answer(text, rules, stop)
    assert text.startswith(shown)
    assert not any(s in shown for s in stop)


@given(st.text(max_size=40), st.integers(0, 10**6))
def test_without_rules_everything_is_shown(text: str, seed: int) -> None:
    assert answer(text, None, [], seed) == text


@given(lines, st.integers(1, 4))
def test_the_line_limit_counts_lines_that_are_not_blank(text: str, limit: int) -> None:
    shown = answer(text, Rules(max_lines=limit))
    full = [line for line in text.split("\n") if line.strip()]
    assert [line.rstrip() for line in shown.split("\n") if line.strip()] == [line.rstrip() for line in full[:limit]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("foo(a)\n    bar()\n", "foo(a)"),
        ("\n\n    foo()\nbar()", "\n\n    foo()"),
        ("foo()  ", "foo()"),
        ("", ""),
        ("  \n\n", ""),
    ],
)
def test_an_automatic_completion_is_one_line(text: str, shown: str) -> None:
    assert answer(text, AUTOMATIC) == shown


def test_a_line_is_finished_as_soon_as_its_break_arrives() -> None:
    ending = Ending(AUTOMATIC)
    assert ending.push("foo()") == ("foo()", False)
    assert ending.push("\n    ") == ("", True)
    assert ending.push("more") == ("", True)
    assert ending.flush() == ""


def test_code_is_shown_without_delay() -> None:
    ending = Ending(INVOKED)
    assert ending.push("x") == ("x", False)
    assert ending.push(" = ") == (" =", False), "white space waits for what follows it"
    assert ending.push("1  \n") == (" 1", False)
    assert ending.push("    return") == ("  \n    return", False)


@pytest.mark.parametrize("fence", ["```", "```python\nx = 1", "   ```"])
def test_a_fence_ends_it(fence: str) -> None:
    assert answer(f"return a\n{fence}\nmore", INVOKED) == "return a"


def test_a_fence_in_a_docstring_does_not() -> None:
    text = '"""Shows it.\n\n```\nx\n```\n"""\nreturn 1'
    assert answer(text, INVOKED) == text


@pytest.mark.parametrize(
    "sentence",
    [
        "This function returns the sum.",
        "Here's how it works:",
        "The code above is wrong",
        "Explanation: it adds",
        "Output:",
        "You can use this",
        "Sorts everything by name",
    ],
)
def test_a_sentence_ends_it(sentence: str) -> None:
    assert answer(f"return a\n\n{sentence}\nmore", INVOKED) == "return a"
    assert answer(f"return a\n    {sentence}", INVOKED) == "return a"


@pytest.mark.parametrize(
    "code",
    [
        "Foo is not None",
        "True if a else b",
        "None or the_default",
        "String name = y",
        "MyClass foo bar",
        "Node left, right;",
        "Foo(bar baz)",
        "# This function returns it",
        "Result",
        "Foo bar",
    ],
)
def test_code_that_starts_with_a_capital_goes_on(code: str) -> None:
    text = f"x = 1\n{code}\ny = 2"
    assert answer(text, INVOKED) == text


def test_a_sentence_inside_a_docstring_goes_on() -> None:
    text = 'def f():\n    """Add.\n\n    This function returns the sum.\n    """\n    return 1'
    assert answer(text, INVOKED) == text
    assert answer(text + "\nThis function returns it.", INVOKED) == text
    inside = Rules(prose=True, language="python", quote='"""')
    assert answer("This function returns it.", inside) == "This function returns it."


def test_a_sentence_after_code_on_the_cursors_line_goes_on() -> None:
    assert answer("This is the text", Rules(prose=True, head="# ", language="python")) == "This is the text"


def test_real_code_is_never_taken_for_prose_or_loops() -> None:
    for module in (inspect, json, random):
        source = inspect.getsource(module)
        assert answer(source, INVOKED) == source.rstrip()


def test_the_line_that_stands_below_already_ends_it() -> None:
    below = Rules(next_line="    return x", loops=True)
    assert answer("y = 1\n    return x\nz", below) == "y = 1"
    assert answer("y = 1\n    return xy\nz", below) == "y = 1\n    return xy\nz"
    assert answer("y = 1\n  return x\nz", below) == "y = 1\n  return x\nz"
    assert answer("return x\nz", Rules(next_line="    return x", head="    ")) == ""


@pytest.mark.parametrize("period", [1, 2, 3, 4])
def test_a_loop_ends_it(period: int) -> None:
    block = "".join(f"line {i}\n" for i in range(period))
    shown = answer("start\n" + block * 9, INVOKED)
    assert shown.count("line 0") <= 3
    assert shown.count(f"line {period - 1}") == 2


def test_in_the_middle_of_a_line_a_break_ends_it() -> None:
    assert answer("a, b\nc", Rules(same_line=True)) == "a, b"
    assert answer("\nc", Rules(same_line=True)) == ""


def test_stop_strings_are_held_back_while_they_may_still_come() -> None:
    ending = Ending(stop=["STOP", "END"])
    assert ending.push("abcST") == ("abc", False)
    assert ending.push("ART E") == ("START ", False)
    assert ending.push("ND more STOP") == ("", True)


def test_a_beginning_of_a_stop_string_is_shown_at_the_end() -> None:
    assert answer("abcSTO", None, ["STOP"]) == "abcSTO"


@pytest.mark.parametrize(
    ("text", "language", "quote"),
    [
        ('def f():\n    """Doc', "python", '"""'),
        ('def f():\n    """Doc"""\n', "python", ""),
        ("x = '''a\"\"\"", "python", "'''"),
        ('# it\'s """\nx', "python", ""),
        ("x = 'it\\'s \"\"\"'\n", "python", ""),
        ('x = \'not closed\n"""doc', "python", '"""'),
        ("/* a", "go", "*/"),
        ("/* a */ b", "go", ""),
        ("// /* a\n", "go", ""),
        ("x = `a", "javascript", "`"),
        ('"""a', "ruby", ""),
    ],
)
def test_where_a_text_ends_inside_a_string_or_comment(text: str, language: str, quote: str) -> None:
    assert quote_at_end(text, language) == quote
