"""The status line says what is so, without flicker, and everything but the model's work goes on without an engine."""

from __future__ import annotations

import asyncio

import pytest

STATUS = {"famulus": {"status": True}}


def shown(editor):
    return [m["params"] for m in editor.messages if m.get("method") == "famulus/status"]


def test_says_why_there_is_no_engine_and_what_helps(inside):
    editor = inside(options=STATUS)
    said = editor.told("famulus/status", lambda p: p["kind"] == "Warning")
    assert "start.lock" in said["message"]
    assert said["command"] == {"title": "Restart the engine", "command": "famulus.restartEngine", "arguments": []}
    assert said["busy"] is False
    with pytest.raises(Exception, match=r"-32803.*start.lock"):
        editor.request("workspace/executeCommand", {"command": "famulus.restartEngine"})


def test_everything_but_the_model_works_without_an_engine(inside):
    editor = inside(options=STATUS)
    editor.told("famulus/status", lambda p: p["kind"] == "Warning")
    editor.open("file:///w/a.py", "def f(:\n")
    found = editor.told("textDocument/publishDiagnostics", lambda p: p["diagnostics"])
    assert found["uri"] == "file:///w/a.py"
    where = {"textDocument": {"uri": "file:///w/a.py"}, "position": {"line": 0, "character": 7}}
    assert editor.request("textDocument/inlineCompletion", where | {"context": {"triggerKind": 1}}, 2) is None


def test_clients_without_a_status_line_are_told_once(inside):
    editor = inside()
    said = editor.told("window/showMessage", lambda p: "start.lock" in p["message"])
    assert said["type"] == 2
    with pytest.raises(Exception, match="-32803"):
        editor.request("workspace/executeCommand", {"command": "famulus.restartEngine"})
    said = [m for m in editor.messages if m.get("method") == "window/showMessage"]
    assert len(said) == 1
    assert not shown(editor)


def test_an_engine_appears_leaves_and_comes_back(inside, stand_in):
    editor = inside(stand_in, options=STATUS)
    ready = editor.told("famulus/status", lambda p: (p["kind"], p["busy"]) == ("Normal", False))
    assert ready == {"kind": "Normal", "busy": False, "message": ""}
    editor.open("file:///w/a.py", "x")
    assert editor.loop.call(lambda: editor.link.state) == "ready"


def test_short_work_does_not_flicker_and_long_work_is_shown(inside, stand_in):
    editor = inside(stand_in, options=STATUS)
    editor.told("famulus/status", lambda p: (p["kind"], p["busy"]) == ("Normal", False))
    editor.forget()

    async def work(seconds):
        with editor.session.status.busy():
            await asyncio.sleep(seconds)

    async def keys():
        for _ in range(8):
            await work(0.03)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)

    editor.loop.run(keys())
    assert shown(editor) == []
    editor.loop.run(work(0.5))
    editor.told("famulus/status", lambda p: not p["busy"])
    assert [said["busy"] for said in shown(editor)] == [True, False]


def test_warnings_of_services_and_the_switch_in_the_settings_are_shown(inside, stand_in):
    editor = inside(stand_in, options=STATUS)
    editor.told("famulus/status", lambda p: (p["kind"], p["busy"]) == ("Normal", False))
    editor.loop.call(lambda: editor.session.status.warn("slow", "Answers are slow."))
    assert editor.told("famulus/status", lambda p: p["kind"] == "Warning")["message"] == "Answers are slow."
    editor.loop.call(lambda: editor.session.status.clear("slow"))
    editor.forget()
    editor.notify("workspace/didChangeConfiguration", {"settings": {"completion": {"enabled": False}}})
    assert "turned off" in editor.told("famulus/status", lambda p: p["kind"] == "Inactive")["message"]
