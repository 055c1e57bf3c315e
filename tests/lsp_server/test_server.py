"""``famulus lsp`` as a process: it starts quickly, leaves when its editor does, and never sits deaf."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from lsprotocol.converters import get_converter
from pytest_lsp import client_capabilities

from famulus.lsp_server.framing import frame

HEAVY = ("torch", "numpy", "tree_sitter", "websockets")


# Holds the import of pygls until somebody opens the pipe.
HELD = """
import os, sys
class Held:
    def find_spec(self, name, path=None, target=None):
        if name == "pygls":
            sys.meta_path.remove(self)
            open(os.environ["GATE"]).close()
sys.meta_path.insert(0, Held())
"""


@pytest.mark.skipif(os.name != "posix", reason="a named pipe holds the import")
def test_answers_initialize_before_it_has_all_its_parts(editors, stranded, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(HELD)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("GATE", str(gate))
    editor = editors(stranded, initialize=False)
    capabilities = editor.initialize()
    used = psutil.Process(editor.process.pid).cpu_times()
    assert "inlineCompletionProvider" in capabilities
    assert used.user + used.system < 1.0  # a tenth of that where nothing else runs
    late = editor.ask("shutdown")
    gate.write_text("")
    assert editor.result(late) is None
    assert [m["id"] for m in editor.messages if "id" in m] == [1, late]
    editor.notify("exit")
    assert editor.gone() == 0


def test_what_initialize_is_answered_with_is_what_the_bound_features_can(inside):
    clients = [client_capabilities(name) for name in ("visual-studio-code", "neovim", "emacs")]
    known = [get_converter().unstructure(client) for client in clients]
    ghost = {"textDocument": {"inlineCompletion": {"dynamicRegistration": False}}}
    notebooks = {"notebookDocument": {"synchronization": {"executionSummarySupport": True}}}
    files = {"workspace": {"fileOperations": {"didCreate": True, "willRename": True}}}
    encodings = [
        {"general": {"positionEncodings": names}} for names in (["utf-32", "utf-8"], ["x", "utf-8"], ["x"], [])
    ]
    nulls = {"general": None, "textDocument": {"inlineCompletion": None}, "notebookDocument": None}
    for client in ({}, *known, ghost, notebooks, files, ghost | notebooks | files, *encodings, nulls):
        editor = inside(capabilities=client)
        protocol = editor.connection.server.protocol
        bound = get_converter().unstructure(protocol.server_capabilities)
        for unset in ("willSave", "willSaveWaitUntil"):  # pygls says "no" to a client that could
            assert not bound["textDocumentSync"].pop(unset, None)
        assert editor.capabilities == bound, "lsp_server/handshake.py says something else"


@pytest.mark.parametrize("capabilities", [None, 7, {"general": []}])
def test_a_client_that_says_nothing_of_itself_is_refused(editors, stranded, capabilities):
    editor = editors(stranded, initialize=False)
    with pytest.raises(Exception, match="-32602"):
        editor.request("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities})


@pytest.mark.parametrize("capabilities", [{"textDocument": {"inlineCompletion": True}}, {"notebookDocument": {}}])
def test_a_client_that_was_promised_what_it_cannot_have_is_left(editors, stranded, capabilities):
    editor = editors(stranded, initialize=False)
    editor.request("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities})
    assert editor.gone() == 1
    lines = [json.loads(line) for line in editor.process.stderr.read().splitlines()]
    assert any("initialize cannot be understood" in line["message"] for line in lines)


TAGS = {"publishDiagnostics": {"tagSupport": {"valueSet": [1, 9, 2, 8]}}}
TOKENS = {"semanticTokens": {"requests": {}}}


@pytest.mark.parametrize(
    "said",
    [
        {"trace": "compact"},
        {"clientInfo": {"version": "1"}, "workspaceFolders": [{"uri": "file:///a"}, {"uri": "file:///b", "name": "b"}]},
        {"capabilities": {"workspace": 7}},
        {"capabilities": {"textDocument": TAGS | TOKENS, "general": {"positionEncodings": ["utf-8"]}}},
    ],
)
def test_what_nobody_here_knows_of_a_client_is_left_out(inside, said):
    editor = inside(**said)
    assert "inlineCompletionProvider" in editor.capabilities
    known = editor.connection.server.client_capabilities.text_document
    if "general" in said.get("capabilities", {}):
        assert known.publish_diagnostics.tag_support.value_set == (1, 2)
        assert known.semantic_tokens is None
        assert (
            editor.connection.server.workspace.position_encoding == editor.capabilities["positionEncoding"] == "utf-8"
        )
    if "workspaceFolders" in said:
        assert list(editor.connection.server.workspace.folders) == ["file:///b"]
    assert editor.request("shutdown") is None


def test_loads_nothing_heavy_before_initialize_is_answered():
    script = (
        "import asyncio, sys\n"
        "from famulus.lsp_server import doors, server, link\n"
        "async def main(): server.create(link.EngineLink())\n"
        "asyncio.run(main())\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("leave", ["EOF", "exit without shutdown", "the editor's death"])
def test_leaves_within_two_seconds(editors, stranded, leave):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        editor = editors(stranded, processId=other.pid)
        editor.open("file:///a.py", "x = 1")
        start = time.monotonic()
        if leave == "EOF":
            editor.hang_up()
        elif leave == "exit without shutdown":
            editor.notify("exit")
        else:  # our end of the pipe stays open, as if a child of the dead editor held it
            other.kill()
            other.wait()
        assert editor.gone() == 1
        assert time.monotonic() - start < 2.0
    finally:
        other.kill()
        other.wait()


def test_leaves_no_orphan_behind_a_killed_editor(stranded):
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"processId": None, "capabilities": {}}}
    script = (
        "import subprocess, sys, time\n"
        f"server = subprocess.Popen([{str(sys.executable)!r}, '-P', '-m', 'famulus', 'lsp'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        f"server.stdin.write({frame(json.dumps(body).encode())!r}); server.stdin.flush()\n"
        "server.stdout.readline(); print(server.pid, flush=True); time.sleep(60)"
    )
    home = os.environ | {"FAMULUS_HOME": str(stranded)}
    fake = subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, env=home)
    server = psutil.Process(int(fake.stdout.readline()))
    fake.send_signal(signal.SIGKILL)
    fake.wait()
    server.wait(20.0)  # it may still be importing its parts


def test_a_broken_frame_ends_the_process_with_one_line(editors, stranded):
    editor = editors(stranded)
    start = time.monotonic()
    editor.raw(b"Content-Length: 10737418240\r\n\r\n")
    assert editor.gone() == 1
    assert time.monotonic() - start < 5.0  # under one where nothing else runs
    lines = [json.loads(line) for line in editor.process.stderr.read().splitlines()]
    assert ["10737418240" in line["message"] for line in lines if line["level"] == "error"] == [True]


@pytest.mark.parametrize("sent", [b"Content-Length: 400\r\n\r\n12345", b"Content-Length: 400\r\n\r\n", b"Content-Len"])
def test_half_a_message_and_silence_end_the_process(editors, stranded, sent):
    editor = editors(stranded)
    start = time.monotonic()
    editor.raw(sent)
    assert editor.gone() == 1
    assert time.monotonic() - start < 5.0  # mostly within one where nothing else runs
    lines = [json.loads(line) for line in editor.process.stderr.read().splitlines()]
    assert ["begun and not ended" in line["message"] for line in lines if line["level"] == "error"] == [True]


@pytest.mark.parametrize("wire", ["stdio", "socket"])
@pytest.mark.parametrize("size", [17_000, 5_000_000])
def test_a_large_message_that_is_cut_off_is_answered_and_the_next_one_is_understood(
    editors, inside, stranded, wire, size
):
    editor = editors(stranded) if wire == "stdio" else inside()
    editor.raw(b"Content-Length: %d\r\n\r\n" % (size + 1) + b"1" * size)
    editor.wait(lambda m: m.get("id", 0) is None and m["error"]["code"] == -32700, 5, "an answer")
    assert editor.request("shutdown", timeout=5) is None


def test_reads_from_a_file_and_writes_to_one(stranded, tmp_path):
    asked = tmp_path / "asked"
    messages = [
        {"id": 1, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}},
        {"id": 2, "method": "shutdown"},
        {"method": "exit"},
    ]
    asked.write_bytes(b"".join(frame(json.dumps({"jsonrpc": "2.0"} | m).encode()) for m in messages))
    with open(asked, "rb") as stdin, open(tmp_path / "said", "wb") as stdout:
        home = os.environ | {"FAMULUS_HOME": str(stranded)}
        done = subprocess.run([sys.executable, "-P", "-m", "famulus", "lsp"], stdin=stdin, stdout=stdout, env=home)
    assert done.returncode == 0
    assert b'"id":2' in (tmp_path / "said").read_bytes()
