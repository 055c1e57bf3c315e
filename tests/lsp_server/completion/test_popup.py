"""The editor's ordinary completion list, for clients that know no ghost text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Scenes = Callable[..., None]
HEAD = "import os\n\n\ndef area(width, height):\n    "


async def listed(desk: Any, *tokens: str) -> dict[str, Any]:
    """The list at the end of the document, where the model writes ``tokens``."""
    where = {"textDocument": {"uri": "file:///nowhere/a.py"}, "position": desk.position(len(desk.text))}
    asked = asyncio.ensure_future(desk.ask("textDocument/completion", where))
    await desk.settle()
    desk.engine.asked[-1].say(*tokens)
    desk.engine.asked[-1].end()
    result: dict[str, Any] = await asked
    return result


def test_an_entry_replaces_the_word_by_which_the_list_is_narrowed(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return wid")
        result = await listed(desk, "th", " *", " height")
        assert result["isIncomplete"] is True
        (item,) = result["items"]
        assert item["label"] == item["textEdit"]["newText"] == "width * height"
        assert item["textEdit"]["range"] == {
            "start": desk.position(len(desk.text) - 3),
            "end": desk.position(len(desk.text)),
        }
        assert (item["filterText"], item["detail"], item["preselect"]) == ("wid", "Famulus", False)
        assert item["sortText"] > "zzz"
        assert item["command"]["command"] == "famulus.completionAccepted"

    at_desk(scene, ghost=False)


def test_where_no_word_was_begun_the_entry_is_found_by_its_own_text(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        (item,) = (await listed(desk, "width"))["items"]
        assert item["filterText"] == "width"
        assert item["textEdit"]["range"]["start"] == item["textEdit"]["range"]["end"]

    at_desk(scene, ghost=False)


def test_of_several_lines_the_label_shows_the_first(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open("def area(width, height):\n    ")
        (item,) = (await listed(desk, "size = width * height", "\n    ", "return size"))["items"]
        assert item["label"] == "size = width * height…"
        assert item["documentation"] == item["textEdit"]["newText"] == "size = width * height\n    return size"

    at_desk(scene, ghost=False)


def test_clients_with_ghost_text_are_not_offered_the_list(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        (started,) = [m for m in desk.messages if "capabilities" in (m.get("result") or {})]
        assert started["result"]["capabilities"]["inlineCompletionProvider"] == {}
        assert "completionProvider" not in started["result"]["capabilities"]

    at_desk(scene)
