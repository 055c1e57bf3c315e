"""A client that sends strange things in strange orders: every request is answered once, and nothing fails inside."""

from __future__ import annotations

import json
import logging
import random
import threading

import pytest

URIS = [
    "file:///w/a.py",
    "file:///w/b%20c.ts",
    "untitled:Untitled-1",
    "nb:1",
    "file:///w/n.ipynb",
    "",
    "x",
    "file://%ff/",
]
TEXTS = ["", "x", "def f(a):\n    return a\n", "😀\r\nß\r", "\0", "{" * 50, "\ud83d", "# " + "é" * 500, "\n" * 30]
LANGUAGES = ["python", "typescript", "markdown", "", "no-such-language", "json", "shellscript"]
NUMBERS = [0, 0, 0, 1, 2, 3, 7, 40, 2**31 - 1, 2**32 - 1, -1, 1.5, None, "1"]
CAPABILITIES = {"textDocument": {"completion": {}}, "window": {"workDoneProgress": True}}
STRANGE = [None, True, -1, 3.5, "", "x", [], {}, [[]], {"uri": 1}, 2**70]


class Client:
    """Draws messages; what is drawn depends on the seed alone."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.version = 0

    def message(self) -> dict:
        """A notification or a request, mostly of the right shape."""
        method, params = self.draw.choice([self._document, self._document, self._ask, self._odd])()
        if self.draw.random() < 0.15:
            params = self._broken(params)
        return {"method": method, "params": params}

    def _position(self) -> dict:
        return {"line": self.draw.choice(NUMBERS), "character": self.draw.choice(NUMBERS)}

    def _range(self) -> dict:
        return {"start": self._position(), "end": self._position()}

    def _document(self) -> tuple[str, object]:
        uri, text = self.draw.choice(URIS), self.draw.choice(TEXTS)
        self.version += 1
        change = {"text": text} if self.draw.random() < 0.3 else {"text": text, "range": self._range()}
        identity = {"uri": uri, "version": self.version}
        cells = [{"kind": self.draw.choice([1, 2]), "document": u} for u in self.draw.sample(URIS, 3)]
        item = identity | {"languageId": self.draw.choice(LANGUAGES), "text": text}
        return self.draw.choice([
            ("textDocument/didOpen", {"textDocument": item}),
            ("textDocument/didOpen", {"textDocument": item}),
            ("textDocument/didChange", {"textDocument": identity, "contentChanges": [change]}),
            ("textDocument/didChange", {"textDocument": identity, "contentChanges": [change] * 3}),
            ("textDocument/didClose", {"textDocument": {"uri": uri}}),
            ("textDocument/didSave", {"textDocument": {"uri": uri}}),
            ("notebookDocument/didOpen", {"notebookDocument": {**identity, "notebookType": "j", "cells": cells},
                                          "cellTextDocuments": [item]}),
            ("notebookDocument/didChange", {"notebookDocument": identity, "change": {"cells": {"textContent": [
                {"document": identity, "changes": [change]}]}}}),
            ("notebookDocument/didClose", {"notebookDocument": {"uri": uri}, "cellTextDocuments": [{"uri": uri}]}),
        ])  # fmt: skip

    def _ask(self) -> tuple[str, object]:
        uri = self.draw.choice(URIS)
        at = {"textDocument": {"uri": uri}, "position": self._position()}
        item = {"insertText": "x", "command": {"title": "", "command": "c", "arguments": self.draw.choice([[], ["1"]])}}
        commands = ["explain", "docstring", "whyNothing", "showPrompt", "completionAccepted", "fix", "unheardOf"]
        arguments = self.draw.choice([[], [uri], [uri, self._position()], [uri, self._range()], STRANGE])
        return self.draw.choice([
            ("textDocument/inlineCompletion", at | {"context": {"triggerKind": self.draw.choice([1, 2, 9])}}),
            ("textDocument/completion", at),
            ("textDocument/codeAction", {"textDocument": {"uri": uri}, "range": self._range(),
                                         "context": {"diagnostics": []}}),
            ("workspace/executeCommand", {"command": "famulus." + self.draw.choice(commands), "arguments": arguments}),
            ("famulus/didShowCompletion", {"item": self.draw.choice([item, None, {}])}),
            ("famulus/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": self.draw.choice(NUMBERS)}),
        ])  # fmt: skip

    def _odd(self) -> tuple[str, object]:
        folder = [{"uri": self.draw.choice(URIS), "name": "n"}]
        return self.draw.choice([
            ("workspace/didChangeConfiguration", {"settings": self.draw.choice([*STRANGE, {"completion": []}])}),
            ("workspace/didChangeWorkspaceFolders", {"event": {"added": folder, "removed": folder[:self.version % 2]}}),
            ("$/cancelRequest", {"id": self.draw.choice([1, 5, "x", None])}),
            ("$/setTrace", {"value": "verbose"}),
            ("window/workDoneProgress/cancel", {"token": "x"}),
            ("no/such/method", self.draw.choice(STRANGE)),
            ("initialized", {}),
        ])  # fmt: skip

    def _broken(self, params: object) -> object:
        """Put something else into a random place."""
        if not isinstance(params, dict) or not params or self.draw.random() < 0.2:
            return self.draw.choice(STRANGE)
        key = self.draw.choice(sorted(params))
        return params | {key: self._broken(params[key]) if self.draw.random() < 0.7 else self.draw.choice(STRANGE)}


@pytest.mark.parametrize("engine", ["stranded", "stand_in"])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_sent_is_survived_and_answered(inside, seed, engine, request, caplog):
    editor, client = inside(request.getfixturevalue(engine), capabilities=CAPABILITIES), Client(seed)
    if engine == "stand_in":
        ready = threading.Event()
        editor.loop.call(lambda: editor.link.listen(lambda: editor.link.state == "ready" and ready.set()))
        assert editor.loop.call(lambda: editor.link.state == "ready") or ready.wait(20)
    asked = {}
    with caplog.at_level(logging.ERROR, "famulus.lsp"):
        for number in range(250):
            message = client.message()
            name = (
                "request"
                if message["method"].startswith(("textDocument/in", "textDocument/co", "workspace/ex"))
                else ""
            )
            if name or client.draw.random() < 0.1:
                message["id"] = f"{number}"
                asked[message["id"]] = message
            editor.send({"jsonrpc": "2.0"} | message)
        for id in asked:
            editor.wait(lambda m, id=id: m.get("id") == id and "method" not in m, 30, json.dumps(asked[id]))
        with pytest.raises(Exception, match="-32601"):
            editor.request("no/such")
    answers = [m for m in editor.messages if "id" in m and "method" not in m]
    assert len(answers) == len({m["id"] for m in answers})
    failed = [asked.get(m["id"]) for m in answers if m.get("error", {}).get("code") == -32603]
    assert failed == []
    assert [repr(r.exc_info[1]) for r in caplog.records if r.exc_info] == []
