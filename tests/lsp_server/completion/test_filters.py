"""What holds for every answer in every place."""

from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.lsp_server.completion.filters import insertion, refine
from famulus.lsp_server.completion.filters.repetition import telling
from famulus.lsp_server.completion.situation import Popup, Situation
from famulus.lsp_server.documents import Snapshot, Text
from famulus.lsp_server.syntax import parse
from tests.lsp_server.completion.marked import after, at

PYTHON = '''"""A module."""
import os


@decorated
class Basket(dict):
    """Holds things."""

    size = 3

    def total(self, prices, *, rate=1.0):
        """The sum.

        Long text: with (brackets.
        """
        found = 0
        for name, count in self.items():
            if name not in prices:
                continue
            found += prices[name] * count
        else:
            print(f"none of {len(prices)} found")
        return round(found * rate, 2)

    async def later(self):
        async with open("a") as file:
            return [line async for line in file if line]


TABLE = {
    "one": (1, 2),
    "two": [3,
            4],
}
SQL = """
select *
from things
"""

try:
    os.remove("a")
except OSError as error:
    raise SystemExit(str(error)) from None
'''
SCRIPT = """import { a } from "./a";

interface Item { name: string; }

export class Box<T> {
  private items: T[] = [];

  add(item: T, times = 1): number {
    for (let i = 0; i < times; i++) {
      this.items.push(item);
    }
    return this.items.length;
  }
}

const sum = (xs: number[]) => xs.reduce((x, y) => x + y, 0);
"""
PIECES = [
    "return a", "\n", "\n    ", "\n        ", "\n  ", "if a:", "(", ")", "[", "]", "{", "}",
    '"', "'", '"""', "a + b", " = ",
    ":", ",", ";", "# note", "// note", "x", "else:", "def g(b):", "\t", "```", "<|im_end|>", "pass", "lambda:", "\\",
    "found += 1", "return round(found * rate, 2)", "f(a, b)", "    ", "This is what the code does.", "size = 3", "\r\n",
    "const c = f(1);", "if (a) {", "for x in y:", "é😀", "\x00", "this.items.push(item);", "yield", "@x", "...", "`",
]  # fmt: skip
CANDIDATES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join) | st.text(max_size=12)


@st.composite
def situations(draw: st.DrawFn, document: str = PYTHON, language: str = "python") -> Situation:
    """A place in a whole document: anywhere, on a new line, or in one of which the rest was deleted."""
    if draw(st.booleans()):
        document = document.replace("\n", "\r\n")
    text = Text(document)
    offset = draw(st.integers(0, len(document)))
    line, column = text.place(offset)
    offset = text.offset(line, column)
    kind = draw(st.sampled_from(["as it is", "new line", "rest deleted"]))
    if kind == "new line":
        end = text.line_end(line)
        white = text.line(line)[: len(text.line(line)) - len(text.line(line).lstrip())]
        ends = "\r\n" if "\r\n" in document else "\n"
        document = document[:end] + ends + white + document[end:]
        offset = end + len(ends) + len(white)
    elif kind == "rest deleted":
        document = document[:offset] + document[text.line_end(line) :]
    text = Text(document)
    tree = parse(language, text) if draw(st.booleans()) else None
    popup = None
    if draw(st.integers(0, 9)) == 0:
        popup = Popup("found", offset, offset)
    return Situation(Snapshot("file:///p/a", 1, language, text), offset, tree, popup=popup)


def parses(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError):
            return False
    return True


PLACES = situations() | situations(SCRIPT, "typescript")


@settings(max_examples=300, deadline=None)
@given(situation=PLACES, candidate=CANDIDATES)
def test_filtering_twice_changes_nothing_more(situation: Situation, candidate: str) -> None:
    once = refine(candidate, situation)
    if once.text:
        again = refine(once.text, situation)
        assert again.text == once.text and again.replaces == once.replaces, (once.cuts, again.cuts)


@settings(max_examples=300, deadline=None)
@given(situation=PLACES, candidate=CANDIDATES)
def test_nothing_is_invented_but_what_closes_brackets(situation: Situation, candidate: str) -> None:
    refined = refine(candidate, situation)
    assert bool(refined.text) != bool(refined.dropped)
    shown, written = "".join(refined.text.split()), "".join(candidate.split())
    while shown not in written:
        assert shown and shown[-1] in ")]}\"'`", refined
        shown = shown[:-1]


@settings(max_examples=400, deadline=None)
@given(situation=situations(), candidate=CANDIDATES)
def test_python_that_parsed_parses_still(situation: Situation, candidate: str) -> None:
    refined = refine(candidate, situation)
    if refined.text and parses(situation.text):
        assert parses(after(situation, insertion(refined.text, situation))), refined


@settings(max_examples=150, deadline=None)
@given(situation=situations(SCRIPT, "typescript"), candidate=CANDIDATES)
def test_a_tree_without_errors_stays_so(situation: Situation, candidate: str) -> None:
    refined = refine(candidate, situation)
    if refined.text and situation.tree is not None and not situation.tree.root.has_error:
        tree = parse("typescript", Text(after(situation, insertion(refined.text, situation))))
        assert tree is not None and not tree.root.has_error, refined


@settings(max_examples=200, deadline=None)
@given(situation=PLACES, candidate=CANDIDATES, data=st.data())
def test_the_next_line_is_not_written_again(situation: Situation, candidate: str, data: st.DataObject) -> None:
    below = situation.line_below
    if data.draw(st.booleans()):
        candidate += "\n" + data.draw(st.sampled_from(["", "    "])) + below
    refined = refine(candidate, situation)
    if not situation.line_after.strip() and telling(below):
        assert below.strip() not in [line.strip() for line in refined.text.splitlines()[1:]]


@settings(max_examples=150, deadline=None)
@given(situation=PLACES, candidate=CANDIDATES)
def test_an_edit_stays_within_its_line_and_ends_lines_as_the_document_does(
    situation: Situation, candidate: str
) -> None:
    refined = refine(candidate, situation)
    text, start, end = insertion(refined.text, situation)
    assert 0 <= end - situation.offset <= len(situation.line_after) and start <= situation.offset
    assert "\n" not in situation.text[start:end] and "\r" not in situation.text[start:end]
    marks = iter(text[situation.offset - start :])
    assert all(mark in marks for mark in situation.text[situation.offset : end] if not mark.isspace())
    if situation.newline == "\r\n":
        assert refined.text.count("\n") == refined.text.count("\r\n")
    assert situation.text[situation.offset + refined.replaces : end] == ""


def test_a_selection_in_the_editors_list_comes_first() -> None:
    typed = at("import os\nos.pa‸\n")
    situation = at("import os\nos.pa‸\n", popup=Popup("path", typed.offset - 2, typed.offset))
    assert refine("rdir", situation).dropped
    assert insertion(refine("th.join(a)", situation).text, situation)[0] == "path.join(a)"
    further = situation.after_popup()
    assert further.prefix == "import os\nos.path"
    refined = refine(".join(a)", further)
    assert insertion(refined.text, further) == ("path.join(a)", typed.offset - 2, typed.offset)
    assert at("x‸\n").after_popup().prefix == "x"


@pytest.mark.parametrize(
    ("candidate", "limited", "most", "shown"),
    [
        ("a = 1\n    b = 2\n    retu", True, None, "a = 1\n    b = 2"),
        ("a = 1\n    b = 2\n    return a", False, None, "a = 1\n    b = 2\n    return a"),
        ("a = 1\n    b = 2\n    return a", False, 2, "a = 1\n    b = 2"),
        ("a = compute(1", True, None, "a = compute(1)"),
    ],
)
def test_lines_beyond_what_was_asked_for_go(candidate: str, limited: bool, most: int | None, shown: str) -> None:
    situation = at("def f():\n    ‸\n")
    assert refine(candidate, situation, limited=limited, max_lines=most).text == shown


def test_cells_of_a_notebook() -> None:
    situation = at("%matplotlib inline\nx = ‸\n", kind="code")
    assert refine("f(1)\n\n# %%\ny = 2", situation).text == "f(1)"
    assert refine("f(1\n", situation).text == "f(1)"


def test_every_cut_is_named() -> None:
    refined = refine("```python\nreturn a\n```", at("def f(a):\n    ‸\n"))
    assert refined.text == "return a"
    assert refined.cuts == ["a code fence was cut"]
    dropped = refine("Here is the code that you want:", at("def f(a):\n    ‸\n"))
    assert dropped.dropped == "nothing is left: a sentence that is no code was cut"
    assert refine("  \n", at("x = ‸\n")).dropped == "the model wrote nothing"
