"""Trees follow every edit, and say what a fresh parse would say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from pygls.workspace import PositionCodec

from famulus.lsp_server.documents import HUGE, Change, Document, Text
from famulus.lsp_server.syntax import Trees, parse
from famulus.lsp_server.syntax.trees import BIG

PIECES = {
    "python": (
        ["def f(a):\n", "    return a\n", "\t", "\r\n", "\r", "\n", "'", '"""', "(", ")", "# é\n", "x = '🙂'\n", ":"],
        ["if x:\n", "else:\n", "        ", "[i for i in é]", "é", "\u00a0", "class A:\r\n", "f'{x}🙂'", " ", "\\\n"],
    ),
    "typescript": (
        ["function f(a: T) {\r\n", "}", "{", "const é = `🙂 ${x}`;\n", "//🙂\r\n", "/*", "*/", "\r", "\n", " "],
        ["(", ")", "=>", "`", "'", "${", "名", "<A>", "if (x) return y;\n", "/re/g", "\u2028", "class C {\r"],
    ),
    "yaml": (["a: 1\n", "  b:\r\n", "- ", "🙂: é\n", "|\n", "["], ["]", "#x\n", "---\n", "&a ", "*a", "\n", "  "]),
    "markdown": (["# 🙂\r\n", "```py\n", "```\n", "- a\n", "  "], ["> ", "|a|b|\n", "---\n", "\n", "é", "<b>\n"]),
    "shellscript": (["if x; then\n", "fi\n", "<<E\n", "E\n", '"', "'"], ["$(", ")", "🙂", "case a in\n", "\n", "${"]),
    "cpp": (["int f() {\r\n", "}", 'R"x(', ')x"', "#define A \\\n"], ["🙂", "template<", ">", "é::", ";\n", "//", "'"]),
}  # fmt: skip
"""Two lists a language; both are drawn from."""


@pytest.mark.parametrize("language", PIECES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_after_any_edits_the_tree_equals_a_fresh_parse(language: str, data: st.DataObject) -> None:
    piece = st.lists(st.sampled_from([*PIECES[language][0], *PIECES[language][1]]), max_size=6).map("".join)
    tree = parse(language, Text("".join(data.draw(st.lists(piece, min_size=2, max_size=6)))))
    assert tree is not None
    for _ in range(data.draw(st.integers(1, 6))):
        size = len(tree.text)
        start = data.draw(st.integers(0, size))
        change = Change(start, data.draw(st.integers(start, min(size, start + 12))), data.draw(piece))
        before, old = str(tree.root), tree
        tree = tree.edited(change)
        fresh = parse(language, Text(tree.text.value))
        assert fresh is not None
        assert tree.broken == fresh.broken
        # What does not parse may be read in several ways, and an incremental parse keeps to what it knows.
        assert tree.root.has_error or str(tree.root) == str(fresh.root)
        assert tree.root.end_byte <= len(tree.text)
        assert str(old.root) == before
        here = data.draw(st.integers(0, len(tree.text)))
        assert tree.inside(here) in ("code", "comment", "string")
        assert here <= tree.block_end(here) or tree.text.value[tree.block_end(here) :][:1] in "]})"
        for problem in tree.errors() if tree.text.value.strip() else []:
            assert 0 <= problem.start < max(problem.end, 1) <= max(1, len(tree.text))
        assert all(name for name in tree.names_at(here))
        assert tree.opens_block(here) in (True, False)
        tree.function_at(here)
        tree.functions()


class Events:
    """The part of a session that trees listen to."""

    def __init__(self) -> None:
        self.on_open: list[Callable[[Document], None]] = []
        self.on_change: list[Callable[[Document, Text, Change], None]] = []
        self.on_close: list[Callable[[Document], None]] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.get_running_loop().create_task(work))
        return self.tasks[-1]

    def open(self, text: str, language: str = "python") -> Document:
        document = Document("file:///a.py", text, 1, language, PositionCodec())
        document.changed = lambda d, before, change: [listen(d, before, change) for listen in self.on_change]  # type: ignore[assignment]
        for listen in self.on_open:
            listen(document)
        return document


def replaced(document: Document, start: int, end: int, text: str) -> None:
    """The client replaces a range."""
    document.apply_change(types.TextDocumentContentChangePartial(range=document.range_of(start, end), text=text))


def test_trees_follow_a_document() -> None:
    events = Events()
    trees = Trees(events)  # type: ignore[arg-type]
    document = events.open("x = '🙂'\r\ny = 1\r\n")
    first = trees.tree(document)
    assert first is not None and first is trees.tree(document)
    replaced(document, 0, 1, "名前")
    replaced(document, len(document.text), len(document.text), "def f(:\r\n")
    second = trees.tree(document)
    assert second is not None and second.text is document.text and second.broken and not first.broken
    document.apply_change(types.TextDocumentContentChangeWholeDocument(text="z = 2\n"))
    third = trees.tree(document)
    fresh = parse("python", Text("z = 2\n"))
    assert third is not None and fresh is not None and str(third.root) == str(fresh.root)


def test_many_edits_without_a_question() -> None:
    events = Events()
    trees = Trees(events)  # type: ignore[arg-type]
    document = events.open("")
    trees.tree(document)
    for number in range(300):
        replaced(document, len(document.text), len(document.text), f"a{number} = {number}\n")
    tree = trees.tree(document)
    assert tree is not None and tree.root.named_child_count == 300


@pytest.mark.asyncio
async def test_big_texts_are_parsed_beside() -> None:
    events = Events()
    trees = Trees(events)  # type: ignore[arg-type]
    document = events.open("x = 1\n" * (BIG // 6 + 1))
    assert trees.tree(document) is None
    replaced(document, 0, 0, "y = 2\n")
    await asyncio.gather(*events.tasks)
    tree = trees.tree(document)
    assert tree is not None and tree.text is document.text
    assert tree.root.named_child_count == document.text.lines - 1
    replaced(document, 0, 0, "z = 2\n")
    assert trees.tree(document) is None
    await asyncio.gather(*events.tasks)
    later = trees.tree(document)
    assert later is not None and later.text is document.text


@pytest.mark.asyncio
async def test_huge_texts_and_closed_documents_have_no_tree() -> None:
    events = Events()
    trees = Trees(events)  # type: ignore[arg-type]
    document = events.open("#" * (HUGE + 1))
    assert trees.tree(document) is None and events.tasks == []
    replaced(document, 10, HUGE + 1, "\n")
    assert trees.tree(document) is not None
    for listen in events.on_close:
        listen(document)
    assert trees._states == {}
