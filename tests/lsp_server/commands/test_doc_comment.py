"""Doc comments in languages other than Python: where they go, how they look, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.commands.doc_comment import FORMS, place_for, same_but_comment, sentence
from famulus.lsp_server.documents import Change, Snapshot, Text
from famulus.lsp_server.syntax import parse

URI = "file:///nowhere/a"
HERE = "<here>"

PLACES = {
    "typescript": [
        "@@export async function total(prices: number[]): Promise<number> {\n  return <here>0;\n}\n",
        "@@export const total = (prices: number[]) => {\n  return <here>0;\n};\n",
        "class Cart {\n  items = [];\n\n  @@@logged\n  private total(): number {\n    return <here>0;\n  }\n}\n",
        "interface Cart {\n  @@total(<here>): number;\n}\n",
        "@@export type Pri<here>ce = number;\n",
        "export abstract class A {\n  @@abstract to<here>tal(): number;\n}\n",
    ],
    "typescriptreact": ["@@export function Total({ n }: P) {\n  return <b><here>{n}</b>;\n}\n"],
    "javascript": [
        "/* eslint-disable */\n@@function total(prices) {\n  return <here>0;\n}\n",
        "const cart = {\n  @@total: function () {\n    return <here>0;\n  },\n};\n",
        "/** About another. */\n\n@@function total() { <here> }\n",
    ],
    "go": [
        "package a\n\n@@func Total(prices []int) int {\n\treturn <here>0\n}\n",
        "package a\n\n@@func (c *Cart) total() int {\n\treturn <here>0\n}\n",
        "package a\n\n@@type Cart struct {\n\titems <here>[]int\n}\n",
        "package a\n\ntype (\n\t@@Cart struct {\n\t\titems <here>[]int\n\t}\n)\n",
    ],
    "rust": [
        "// not of it\n@@#[inline]\npub fn total(prices: &[u32]) -> u32 {\n    <here>0\n}\n",
        "impl Cart {\n    @@fn total(&self) -> u32 {\n        <here>0\n    }\n}\n",
        "trait Cart {\n    @@fn total(&self) -> <here>u32;\n}\n",
        "@@#[derive(Debug)]\nstruct Cart {\n    <here>items: Vec<u32>,\n}\n",
    ],
    "java": [
        "class Cart {\n    @@@Override\n    public int total(int[] prices) {\n        return <here>0;\n    }\n}\n",
        "@@public record Price(int cents) { <here> }\n",
        "// not a Javadoc\n@@enum Kind { A, <here>B }\n",
    ],
}


def snapshot(text: str, language: str) -> Snapshot:
    return Snapshot(URI, 1, language, Text(text))


def place(marked: str, language: str) -> Any:
    offset = marked.index(HERE)
    text = marked.replace(HERE, "")
    tree = parse(language, Text(text))
    assert tree is not None
    return place_for(tree, offset)


@pytest.mark.parametrize(("language", "marked"), [(lang, text) for lang, texts in PLACES.items() for text in texts])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_it_goes_above_the_definition_with_all_that_belongs_to_it(language: str, marked: str, end: str) -> None:
    marked = marked.replace("\n", end)
    wanted = marked.replace(HERE, "").index("@@")
    found = place(marked.replace("@@", "", 1), language)
    assert found.offset + len(found.indentation) == wanted
    form, text = FORMS[language], marked.replace(HERE, "").replace("@@", "", 1)
    comment = f"{found.indentation}{form.opening}About it.{form.closing}{end}"
    seen = snapshot(text, language)
    assert same_but_comment(seen, Change(found.offset, found.offset, comment))
    documented = text[: found.offset] + comment + text[found.offset :]
    tree = parse(language, Text(documented))
    assert tree is not None
    with pytest.raises(InvalidRequest, match=r"has a doc comment already|no function"):
        place_for(tree, documented.index(comment) + len(comment) + len(found.indentation))


@pytest.mark.parametrize(
    ("language", "marked", "sentence"),
    [
        ("go", "package a\n\nvar <here>x = 1\n", "no function or type"),
        ("go", "package a\n\n// Total adds.\nfunc Total() { <here> }\n", "has a doc comment"),
        ("rust", "/// Adds.\n#[inline]\nfn total() { <here> }\n", "has a doc comment"),
        (
            "java",
            "class A {\n  /** Adds. */\n  @Deprecated\n  int total() { return <here>0; }\n}\n",
            "has a doc comment",
        ),
        ("typescript", "/**\n * Adds.\n */\nexport const f = () => { <here> };\n", "has a doc comment"),
        ("javascript", "x = 1; function f() { <here> }\n", "other code on its line"),
        ("java", "class A {\n  int total( { return <here>0; }\n}\n", "does not parse|no function"),
    ],
)
def test_where_none_can_go_is_said(language: str, marked: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        place(marked, language)


@pytest.mark.parametrize(
    ("language", "text", "at", "inserted"),
    [
        ("java", "class A { int f() { return 0; } }\n", 0, "/** It ends. */ class B {}\n"),
        ("java", "class A { int f() { return 0; } }\n", 0, "/** It */ ends. */\n"),
        ("go", "package a\n\nfunc f() {}\n", 11, "// One.\nfunc g() {}\n"),
        ("rust", "fn f() {}\n", 0, "/// One.\n#[test]\n"),
        ("typescript", "const s = `a\nb`;\n", 13, "/** In a string. */\n"),
    ],
)
def test_what_is_more_than_a_comment_is_refused(language: str, text: str, at: int, inserted: str) -> None:
    assert not same_but_comment(snapshot(text, language), Change(at, at, inserted))


@pytest.mark.parametrize(
    ("language", "code", "said", "wanted"),
    [
        (
            "typescript",
            "class Cart {\n  total(prices: number[]) {\n    return sum(prices);\n  }\n}\n",
            "\n   * Returns the sum of the prices.\n   * @param prices",
            "  /** Returns the sum of the prices. */\n",
        ),
        (
            "go",
            "package a\nfunc total(prices []int) int {\n\treturn sum(prices)\n}\n",
            " Returns the sum of\n * the prices. It is quick.",
            "// total returns the sum of the prices.\n",
        ),
        (
            "rust",
            "mod a {}\nfn total(prices: &[u32]) -> u32 {\n    prices.iter().sum()\n}\n",
            " Returns the sum of the prices\nfn total",
            "/// Returns the sum of the prices.\n",
        ),
        (
            "java",
            "class Cart {\n    int total(int[] prices) { return sum(prices); }\n}\n",
            " Returns the sum of the prices. ",
            "    /** Returns the sum of the prices. */\n",
        ),
    ],
)
def test_the_sentence_of_the_model_becomes_a_comment(
    at_desk: Callable[..., None], language: str, code: str, said: str, wanted: str
) -> None:
    async def scene(desk: Any) -> None:
        desk.open(code, language)
        uri, position = "file:///nowhere/a.py", {"line": 1, "character": 3}
        id = desk.begin("workspace/executeCommand", {"command": "famulus.docstring", "arguments": [uri, position]})
        for number in range(2):
            for _ in range(100):
                await desk.settle()
                if len(desk.engine.asked) > number:
                    break
            desk.engine.asked[number].say(said if number == 0 else " Prints a gizmo_name.")
            desk.engine.asked[number].end()
        for _ in range(100):
            await desk.settle()
            if asked := desk.asked("workspace/applyEdit"):
                break
        (edit,) = asked[0]["params"]["edit"]["documentChanges"][0]["edits"]
        assert edit["newText"] == wanted
        assert edit["range"]["start"] == edit["range"]["end"] == {"line": 1, "character": 0}
        desk.reply(asked[0], {"applied": True})
        await desk.result(id)

    at_desk(scene, options={"proposals": True})


@pytest.mark.parametrize(
    "said",
    ["(prices []int) int", " Total", " The total of all prices", " Returns the total of the", " Returns gizmo_name"],
)
def test_what_is_no_sentence_in_the_way_of_go_is_left_out(said: str) -> None:
    code = "func Total(prices []int) int {\n\treturn sum(prices)\n}"
    assert sentence(said, FORMS["go"], "Total", code) is None


def test_other_languages_are_refused_in_a_sentence_and_get_no_action(
    inside: Callable[..., Any], tmp_path: Path
) -> None:
    editor = inside()
    here = {"line": 0, "character": 0}
    for language, text, action in (
        ("c", "int f(void) { return 0; }\n", []),
        ("", "function f() {}\n", []),
        ("go", "func f() int { return 0 }\n", ["Famulus: write a doc comment"]),
    ):
        uri = f"file:///nowhere/{language}x"
        editor.open(uri, text, language)
        if not action:
            with pytest.raises(Exception, match="for Python, TypeScript, JavaScript, Go, Rust and Java, not for"):
                editor.request("workspace/executeCommand", {"command": "famulus.docstring", "arguments": [uri, here]})
        context = {"textDocument": {"uri": uri}, "range": {"start": here, "end": here}, "context": {"diagnostics": []}}
        titles = [one["title"] for one in editor.request("textDocument/codeAction", context) or []]
        assert titles == action
