"""Every request is answered exactly once, with the code that the specification names, whatever else arrives."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from famulus.engine.errors import EngineUnavailable
from famulus.lsp_server.framing import frame
from famulus.lsp_server.protocol import MAX_OPEN

SECRET = "hunter2"


@pytest.fixture
def editor(inside):
    """A client of a server with some slow and some failing requests added."""
    editor = inside(initialize=False)
    editor.slow = Slow()
    editor.loop.call(lambda: editor.slow.bind(editor.connection.server))
    editor.initialize()
    return editor


class Slow:
    """Requests that wait until they are let go, or fail."""

    def __init__(self):
        self.started = self.cancelled = 0

    def bind(self, server):
        self.gate = asyncio.Event()

        async def wait(*arguments):
            self.started += 1
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return "done"

        def fail(params):
            raise ValueError(SECRET)

        async def unavailable(params):
            raise EngineUnavailable("No engine runs.", fix="Run `famulus serve`.")

        server.feature("test/wait")(wait)
        server.feature("test/fail")(fail)
        server.feature("test/unavailable")(unavailable)
        server.feature("test/unwritable")(lambda params: object())
        server.command("test.wait")(wait)


def answers(editor, code):
    """How many errors with this code have arrived."""
    return sum("error" in m and m["error"]["code"] == code for m in editor.messages)


def still_serves(editor):
    with pytest.raises(Exception, match="-32601"):
        editor.request("no/such/method", {})


WRONG_BODIES = {
    "no JSON": (b"{]", -32700),
    "an empty body": (b"", -32700),
    "half of it": (b'{"jsonrpc":"2.0"', -32700),
    "bad UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "UTF-16": ('{"jsonrpc":"2.0"}'.encode("utf-16"), -32700),
    "a deep one": (b"[" * 100_000, -32700),
    "not a number": (b'{"jsonrpc":"2.0","id":1,"method":"x","params":NaN}', -32700),
    "a number of many digits": (b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"9" * 9999 + b"}", -32700),
    "an array": (b"[]", -32600),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"shutdown"}]', -32600),
    "a string": (b'"x"', -32600),
    "another version": (b'{"jsonrpc":"1.0","id":1,"method":"x"}', -32600),
    "no method": (b'{"jsonrpc":"2.0","id":1}', -32600),
    "a method that is no text": (b'{"jsonrpc":"2.0","id":1,"method":{}}', -32600),
    "an id that is no id": (b'{"jsonrpc":"2.0","id":{},"method":"x"}', -32600),
    "an id that is null": (b'{"jsonrpc":"2.0","id":null,"method":"x"}', -32600),
}


def test_wrong_messages_are_answered_and_it_goes_on(editor):
    for name, (body, code) in WRONG_BODIES.items():
        editor.forget()
        editor.raw(frame(body))
        said = editor.wait(lambda m: "error" in m, 2, name)
        assert said["error"]["code"] == code, name
        # Without an "id" it would be no JSON-RPC, even where nobody can be named.
        assert said["id"] == (1 if name in ("another version", "no method", "a method that is no text") else None), name
    still_serves(editor)


def test_wrong_parameters_are_answered_and_it_goes_on(editor):
    wrong = [
        ("textDocument/inlineCompletion", {"textDocument": 7}),
        ("textDocument/inlineCompletion", None),
        ("textDocument/inlineCompletion", {"textDocument": {"uri": "file:///a"}, "position": {"line": "x"}}),
        ("workspace/executeCommand", {"command": "no.such.command"}),
        ("workspace/executeCommand", []),
    ]
    for method, params in wrong:
        with pytest.raises(Exception, match="-32602"):
            editor.request(method, params)
    still_serves(editor)


def test_wrong_notifications_are_left_aside(editor):
    for method, params in [
        ("textDocument/didChange", {"textDocument": {}}),
        (
            "textDocument/didChange",
            {"textDocument": {"uri": "file:///never", "version": 1}, "contentChanges": [{"text": "x"}]},
        ),
        ("textDocument/didClose", {"textDocument": {"uri": "file:///never"}}),
        ("notebookDocument/didChange", {"notebookDocument": {"uri": "x", "version": 1}, "change": {}}),
        ("$/cancelRequest", {"id": "nobody"}),
        ("$/cancelRequest", {}),
        ("$/somethingNew", {}),
        ("famulus/unheardOf", ["x"]),
        ("workspace/didChangeConfiguration", "x"),
        ("initialized", {}),
    ]:
        editor.notify(method, params)
    still_serves(editor)
    assert not any(m.get("method") == "window/showMessage" for m in editor.messages if SECRET in json.dumps(m))


def test_asks_for_initialize_first_and_only_once(inside):
    editor = inside(initialize=False)
    with pytest.raises(Exception, match="-32002"):
        editor.request("textDocument/inlineCompletion", {})
    editor.open("file:///too_early.py", "x")
    editor.initialize()
    with pytest.raises(Exception, match="-32600"):
        editor.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    assert editor.loop.call(lambda: editor.session.documents) == []


def test_after_shutdown_nothing_but_exit_is_done(editor):
    waiting = editor.ask("test/wait", {})
    assert editor.request("shutdown") is None
    with pytest.raises(Exception, match="-32800"):
        editor.result(waiting)
    for method in ("shutdown", "test/wait", "no/such/method"):
        with pytest.raises(Exception, match="-32600"):
            editor.request(method, {})
    editor.notify("exit")
    editor.gone()


def test_a_burst_is_answered_once_each(editor):
    ids = [editor.ask("test/wait", {}) for _ in range(70)]
    for id in ids[:60]:
        editor.cancel(id)
    editor.cancel(ids[0])
    editor.wait(lambda m: answers(editor, -32800) == 60, what="60 cancelled requests")
    editor.loop.call(lambda: editor.slow.gate.set())
    assert [editor.result(id) for id in ids[60:]] == ["done"] * 10
    still_serves(editor)
    for id in ids:
        assert sum(m.get("id") == id for m in editor.messages) == 1
    assert editor.slow.started == 70
    assert editor.slow.cancelled == 60


def test_cancelling_a_command_ends_its_work(editor):
    id = editor.ask("workspace/executeCommand", {"command": "test.wait", "arguments": []})
    editor.cancel(id)
    with pytest.raises(Exception, match="-32800"):
        editor.result(id)
    assert editor.loop.call(lambda: (editor.slow.started, editor.slow.cancelled)) == (1, 1)


def test_two_requests_of_one_id_are_both_answered(editor):
    for _ in range(2):
        editor.send({"jsonrpc": "2.0", "id": "same", "method": "test/wait", "params": {}})
    editor.loop.call(lambda: editor.slow.gate.set())
    editor.wait(lambda m: [n.get("id") for n in editor.messages].count("same") == 2, what="two answers")


def test_a_flood_of_requests_is_stemmed(editor):
    for _ in range(MAX_OPEN + 20):
        editor.ask("test/wait", {})
    editor.wait(lambda m: answers(editor, -32802) == 20, what="20 refusals")
    editor.loop.call(lambda: editor.slow.gate.set())
    editor.wait(lambda m: sum(n.get("result") == "done" for n in editor.messages) == MAX_OPEN, what="all others")
    still_serves(editor)


def test_failures_say_what_helps_and_never_what_was_typed(editor, caplog):
    with caplog.at_level(logging.INFO, "famulus"):
        with pytest.raises(Exception, match=r"-32803: No engine runs\. Run `famulus serve`\."):
            editor.request("test/unavailable", {})
        with pytest.raises(Exception, match=r"-32603: Internal Error$"):
            editor.request("test/fail", {})
        with pytest.raises(Exception, match="-32603"):
            editor.request("test/unwritable", {})
        editor.open("file:///a.py", f"{SECRET} = 1")
        editor.change("file:///a.py", 2, {"text": SECRET})
        editor.change("file:///a.py", 3, {"text": 1, "range": SECRET})
        editor.notify(SECRET, {})
        still_serves(editor)
    assert not any(SECRET in record.getMessage() for record in caplog.records)
    assert not any(SECRET in json.dumps(message) for message in editor.messages)


def test_wrong_answers_of_a_client_end_what_waits_for_them(inside):
    editor = inside(initialize=False)
    editor.answers["workspace/configuration"] = lambda params: {"no": "list"}
    editor.initialize(capabilities={"workspace": {"configuration": True}})
    editor.told("workspace/configuration")
    editor.send({"jsonrpc": "2.0", "id": "unknown", "result": 1})
    editor.send({"jsonrpc": "2.0", "id": 1.5, "error": None})
    editor.send({"jsonrpc": "2.0", "error": {"code": 1, "message": "x"}})
    still_serves(editor)
    assert editor.loop.call(lambda: not editor.connection.server.protocol._request_futures)


def test_positions_that_mean_the_end_are_understood(editor):
    editor.open("file:///a.py", "one\ntwo")
    everything = {
        "start": {"line": 0, "character": 0},
        "end": {"line": 4294967295, "character": 1.7976931348623157e308},
    }
    editor.change("file:///a.py", 2, {"range": everything, "text": "new"})
    still_serves(editor)
    assert editor.loop.call(lambda: editor.session.document("file:///a.py").source) == "new"


def test_a_request_sees_the_text_that_it_was_sent_after(editor):
    seen = []

    def bind():
        @editor.connection.server.feature("test/look")
        async def look(params):
            seen.append(editor.session.document("file:///a.py").source)

    editor.loop.call(bind)
    editor.open("file:///a.py", "1")
    parts = []
    for version in range(2, 30):
        document = {"uri": "file:///a.py", "version": version}
        changed = {"textDocument": document, "contentChanges": [{"text": str(version)}]}
        for message in (
            {"method": "textDocument/didChange", "params": changed},
            {"id": f"look {version}", "method": "test/look", "params": {}},
        ):
            parts.append(frame(json.dumps({"jsonrpc": "2.0"} | message).encode()))
    editor.raw(b"".join(parts))
    editor.result("look 29")
    assert seen == [str(version) for version in range(2, 30)]
