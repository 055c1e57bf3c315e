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

from famulus.lsp_server.framing import frame

HEAVY = ("torch", "numpy", "tree_sitter", "websockets")


def test_answers_initialize_within_a_second_of_work(editors, stranded):
    editor = editors(stranded, initialize=False)
    capabilities = editor.initialize()
    used = psutil.Process(editor.process.pid).cpu_times()
    assert "inlineCompletionProvider" in capabilities
    assert used.user + used.system < 2.0  # half of that where nothing else runs
    editor.request("shutdown")
    editor.notify("exit")
    assert editor.gone(2) == 0


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
        assert editor.gone(10) == 1
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
    server.wait(2.0)


def test_a_broken_frame_ends_the_process_with_one_line(editors, stranded):
    editor = editors(stranded)
    start = time.monotonic()
    editor.raw(b"Content-Length: 10737418240\r\n\r\n")
    assert editor.gone(10) == 1
    assert time.monotonic() - start < 1.0
    lines = [json.loads(line) for line in editor.process.stderr.read().splitlines()]
    assert ["10737418240" in line["message"] for line in lines if line["level"] == "error"] == [True]


@pytest.mark.parametrize("sent", [b"Content-Length: 400\r\n\r\n12345", b"Content-Length: 400\r\n\r\n", b"Content-Len"])
def test_half_a_message_and_silence_end_the_process(editors, stranded, sent):
    editor = editors(stranded)
    start = time.monotonic()
    editor.raw(sent)
    assert editor.gone(10) == 1
    assert time.monotonic() - start < 1.5  # mostly within 1.0, where nothing else runs
    lines = [json.loads(line) for line in editor.process.stderr.read().splitlines()]
    assert ["begun and not ended" in line["message"] for line in lines if line["level"] == "error"] == [True]


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
