"""Typing at the real server with the real model."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEAD = "import math\n\n\ndef area_of_circle(radius):\n    "
TYPED = "return math.pi * radius"


def ghost(editor: Any, uri: str, text: str, trigger: int = 2) -> list[str]:
    """What is shown at the end of ``text``."""
    where = {"line": text.count("\n"), "character": len(text) - text.rfind("\n") - 1}
    context = {"triggerKind": trigger}
    params = {"textDocument": {"uri": uri}, "position": where, "context": context}
    result = editor.request("textDocument/inlineCompletion", params, timeout=60)
    return [item["insertText"] for item in (result or {"items": []})["items"]]


def test_what_is_shown_while_a_function_is_typed_always_parses_and_soon_is_right(
    served: Any, editors: Callable[..., Any], tmp_path: Path
) -> None:
    editor = editors(served.home, capabilities={"textDocument": {"inlineCompletion": {}}}, rootUri=tmp_path.as_uri())
    uri, text = (tmp_path / "a.py").as_uri(), HEAD
    editor.open(uri, text)
    right = 0
    for version, letter in enumerate(TYPED, 2):
        start = {"line": text.count("\n"), "character": len(text) - text.rfind("\n") - 1}
        editor.change(uri, version, {"range": {"start": start, "end": start}, "text": letter})
        text += letter
        for shown in ghost(editor, uri, text):
            ast.parse(text + shown)
            right += (text + shown).startswith(HEAD + TYPED)
    assert right >= 8
    told = editor.request("workspace/executeCommand", {"command": "famulus.showPrompt", "arguments": [uri, start]})
    assert "def area_of_circle(radius):" in told["text"]
    assert " tokens)" in told["text"]


def test_who_asks_explicitly_gets_different_suggestions_that_parse(
    served: Any, editors: Callable[..., Any], tmp_path: Path
) -> None:
    editor = editors(served.home, capabilities={"textDocument": {"inlineCompletion": {}}}, rootUri=tmp_path.as_uri())
    uri, text = (tmp_path / "a.py").as_uri(), HEAD + "return "
    editor.open(uri, text)
    shown = ghost(editor, uri, text, trigger=1)
    assert shown
    assert len(set(shown)) == len(shown) <= 3
    for one in shown:
        ast.parse(text + one)
