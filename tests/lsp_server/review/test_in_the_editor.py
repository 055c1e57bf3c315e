"""The review in an editor: findings appear where the user has to act, follow the text, and go when they are mended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

SHOP = "def price(items, rate=0.2):\n    return sum(items) * (1 + rate)\n"
CART = "from shop import price\n\n\ndef total(items):\n    return price(items, rate=0.1)\n"
TESTS = "from cart import total\n\n\ndef test_total():\n    assert total([10]) == 11\n"
CHANGED = "def price(items, tax=0.2):\n    return sum(items) * (1 + tax)\n"
GONE = "def price(items):\n    return sum(items) * 1.2\n"
BROKEN = "cart.py:5 calls price() with `rate`, which it no longer takes."
ABLE = {
    "textDocument": {"publishDiagnostics": {"relatedInformation": True, "versionSupport": True}},
    "workspace": {"workspaceEdit": {"documentChanges": True}, "codeLens": {"refreshSupport": True}},
    "window": {"workDoneProgress": True},
}
PATIENCE = 90


@pytest.fixture
def start(repo: Any, inside: Callable[..., Any]) -> Callable[..., Any]:
    """A committed shop, and an editor in its folder: ``start(trusted=True, settings={…})``."""
    repo.commit({"shop.py": SHOP, "cart.py": CART, "tests/test_cart.py": TESTS})

    def begin(*, trusted: bool = False, settings: Any = None, capabilities: Any = ABLE) -> Any:
        return inside(
            settings={"review": settings or {}},
            options={"famulus": {"trusted": trusted, "documents": True}, "settings": {"review": settings or {}}},
            capabilities=capabilities,
            workspaceFolders=[{"uri": repo.path.as_uri(), "name": "repo"}],
        )

    return begin


def save(editor: Any, repo: Any, name: str, text: str) -> str:
    """Write a file in the editor, as one types and saves."""
    uri = (repo.path / name).as_uri()
    if editor.loop.call(lambda: editor.session.document(uri)) is None:
        editor.open(uri, (repo.path / name).read_text() if (repo.path / name).exists() else "")
    editor.change(uri, 2, {"text": text})
    repo.write({name: text})
    editor.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
    return uri


def reviewed(editor: Any, uri: str, fits: Callable[[list[Any]], bool], timeout: float = PATIENCE) -> list[Any]:
    """The review's diagnostics of a file, once they fit."""

    def of(params: Any) -> list[Any]:
        return [d for d in params["diagnostics"] if d.get("data")]

    told = editor.told("textDocument/publishDiagnostics", lambda p: p["uri"] == uri and fits(of(p)), timeout=timeout)
    return of(told)


def run(editor: Any, command: str, *arguments: Any) -> Any:
    asked = {"command": command, "arguments": list(arguments)}
    return editor.request("workspace/executeCommand", asked, timeout=PATIENCE)


def actions(editor: Any, uri: str, found: Any) -> dict[str, Any]:
    asked = {"textDocument": {"uri": uri}, "range": found["range"], "context": {"diagnostics": [found]}}
    return {action["title"]: action for action in editor.request("textDocument/codeAction", asked) or []}


def test_a_save_shows_the_caller_that_breaks_in_a_file_nobody_opened(start: Any, repo: Any) -> None:
    editor = start()
    cart = (repo.path / "cart.py").as_uri()
    shop = save(editor, repo, "shop.py", GONE)
    [found] = reviewed(editor, cart, bool)
    assert found["message"] == BROKEN
    assert (found["severity"], found["code"], found["source"]) == (1, "call-site/unknown-keyword", "famulus")
    assert found["range"] == {"start": {"line": 4, "character": 11}, "end": {"line": 4, "character": 33}}
    assert len(found["data"]["fingerprint"]) == 20
    [related] = found["relatedInformation"]
    assert (related["location"]["uri"], related["location"]["range"]["start"]["line"]) == (shop, 0)
    editor.forget()
    save(editor, repo, "shop.py", SHOP)
    assert reviewed(editor, cart, lambda listed: not listed) == []
