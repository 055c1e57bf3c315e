"""What a Python kernel must do beyond running cells: ask, be stopped, talk with widgets, debug, remember, and end."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jupyter_kernel.conftest import PATIENCE, Notebook, Ran, Start

# -- input


def asked(kernel: Notebook, request: str, answer: str) -> dict[str, Any]:
    """Waits for the question of a cell, and answers it."""
    question = kernel.client.get_stdin_msg(timeout=PATIENCE)
    assert question["parent_header"]["msg_id"] == request
    kernel.client.input(answer)
    return dict(question["content"])


def test_a_cell_asks_its_user(kernel: Notebook) -> None:
    request = kernel.send("import getpass; who = input('Who? ') + getpass.getpass('Word: ')\nwho", allow_stdin=True)
    assert asked(kernel, request, "Ada") == {"prompt": "Who? ", "password": False}
    assert asked(kernel, request, "secret") == {"prompt": "Word: ", "password": True}
    assert kernel.finish(request).value == "'Adasecret'"


def test_a_question_can_be_interrupted(kernel: Notebook) -> None:
    request = kernel.send("print('asking', flush=True); input()", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=PATIENCE)
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("1 + 1").value == "2"


# -- interrupt


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\nwhile True: time.sleep(0.01)",
        "import asyncio\nwhile True: await asyncio.sleep(0.01)",
        "import asyncio\nawait asyncio.gather(*(asyncio.sleep(3600) for _ in range(2)))",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])\nwhile True: pass",
    ],
    ids=["computing", "sleeping", "awaiting-often", "awaiting-long", "a-child"],
)
def test_a_cell_can_be_interrupted(kernel: Notebook, code: str) -> None:
    request = kernel.send(f"print('begun', flush=True)\n{code}")
    kernel.wait(request, "begun")
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).reply["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert kernel.run("1 + 1").value == "2"


def test_an_interrupt_between_cells_changes_nothing(kernel: Notebook) -> None:
    kernel.run("kept_over_interrupt = 1")
    kernel.manager.interrupt_kernel()
    assert kernel.run("kept_over_interrupt").value == "1"


def test_after_an_error_the_cells_that_wait_are_not_run(kernel: Notebook) -> None:
    first = kernel.send("print('begun', flush=True); import time; time.sleep(0.5); 1/0")
    kernel.wait(first, "begun")
    second = kernel.send("must_not_exist = 1")
    assert kernel.finish(first).reply["ename"] == "ZeroDivisionError"
    assert kernel.finish(second).status == "aborted"
    third = kernel.send("1/0", stop_on_error=False)
    fourth = kernel.send("'must_not_exist' in globals()")
    kernel.finish(third)
    assert kernel.finish(fourth).value == "False"


# -- counts and history


def test_silent_cells_and_cells_without_history_leave_no_trace(kernel: Notebook) -> None:
    before = kernel.run("'counted once'").reply["execution_count"]
    silent = kernel.run("traceless = 1; 5", silent=True)
    assert (silent.messages, silent.status) == ([], "ok")
    failed = kernel.run("1/0", silent=True)
    assert failed.reply["ename"] == "ZeroDivisionError" and failed.contents("execute_input") == []
    words = kernel.run("these words are nothing that anybody should run", silent=True)
    assert words.reply["ename"] == "SyntaxError"
    unstored = kernel.run("print('seen'); traceless + 1", store_history=False)
    assert (unstored.stream(), unstored.value) == ("seen\n", "2")
    after = kernel.run("'counted twice'").reply["execution_count"]
    assert after == before + 1
    found = kernel.request("history_request", hist_access_type="tail", n=2, output=False, raw=True)["history"]
    assert [code for _, _, code in found] == ["'counted once'", "'counted twice'"]


def test_words_of_the_history_are_found_again(kernel: Notebook) -> None:
    kernel.run("unmistakable = 1")
    kernel.run("%time unmistakable")
    options = {"hist_access_type": "search", "pattern": "*unmistakable*", "n": 5, "output": False}
    raw = kernel.request("history_request", raw=True, unique=True, **options)["history"]
    assert [code for _, _, code in raw] == ["unmistakable = 1", "%time unmistakable"]
    seen = kernel.request("history_request", raw=False, unique=True, **options)["history"]
    assert any("run_line_magic" in code for _, _, code in seen)


def test_expressions_are_evaluated_with_a_cell(kernel: Notebook) -> None:
    wanted = {"double": "base * 2", "lost": "no_such_name"}
    found = kernel.run("base = 21", user_expressions=wanted).reply["user_expressions"]
    assert found["double"]["data"] == {"text/plain": "42"}
    assert (found["lost"]["status"], found["lost"]["ename"]) == ("error", "NameError")


def test_the_metadata_of_a_cell_disturb_nothing(kernel: Notebook) -> None:
    content = {"code": "6 * 7", "silent": False, "store_history": True, "allow_stdin": False}
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": "a-b", "tags": ["x"]})
    kernel.client.shell_channel.send(message)
    assert kernel.finish(message["header"]["msg_id"]).value == "42"


# -- what front ends ask


SHELF = """class Shelf:
    '''Holds books.'''
    def top_row(self, count: int) -> list:
        '''The uppermost.'''
shelf = Shelf()"""
COMPLETE = (
    "shelf.to",
    "import jso",
    "shelf.top_row(cou",
    "Shel",
    "open('/",
    "str().appe",
    "ordinary words in",
)
INSPECT = ("Shelf", "shelf.top_row(", "nothing_of_this_name", "len", "the mean of the prices")
FINISHED = (
    "for i in range(3):",
    "1 + 1",
    "def f(:",
    "x = '''",
    "if x:\n    y",
    "%time",
    "!ls",
    "x = [1,",
    "import = 7q",
    "@d",
)


def questions() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "kernel_info_request", {}
    yield "comm_info_request", {"target_name": "none"}
    for code in COMPLETE:
        yield "complete_request", {"code": code, "cursor_pos": len(code)}
    for code in INSPECT:
        for level in (0, 1):
            yield "inspect_request", {"code": code, "cursor_pos": len(code), "detail_level": level}
    for code in FINISHED:
        yield "is_complete_request", {"code": code}


def timeless(reply: dict[str, Any]) -> str:
    """A reply without the number of the process, without the tip of the banner, which is drawn by lot, and without the
    types of completions, for which a busy machine has no time."""
    kept = {**reply, "banner": "", "metadata": {}} if "matches" in reply else {**reply, "banner": ""}
    return re.sub(r"ipykernel_\d+", "", json.dumps(kept, sort_keys=True))


def test_what_front_ends_ask_is_answered_as_by_the_stock_kernel(kernel: Notebook, stock: Notebook) -> None:
    for notebook in (kernel, stock):
        notebook.run(SHELF)
    for kind, content in questions():
        ours, theirs = (notebook.request(kind, **content) for notebook in (kernel, stock))
        assert timeless(ours) == timeless(theirs), (kind, content)


def test_pip_belongs_to_the_interpreter_of_the_cells(kernel: Notebook) -> None:
    shown = kernel.run("%pip --version").stream()
    assert shown.startswith("pip ") and str(Path(sys.prefix)) in shown


# -- widgets


def test_a_slider_moves_both_ways(kernel: Notebook) -> None:
    made = kernel.run(
        "import ipywidgets\nslider = ipywidgets.IntSlider(value=3)\n"
        "slider.observe(lambda change: print('moved to', change.new), 'value')\nslider"
    )
    [shown] = made.contents("execute_result") or made.contents("display_data")
    identity = shown["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
    opened = {content["comm_id"]: content for content in made.contents("comm_open")}
    assert opened[identity]["data"]["state"]["value"] == 3
    content = {"comm_id": identity, "data": {"method": "update", "state": {"value": 7}, "buffer_paths": []}}
    message = kernel.client.session.msg("comm_msg", content)
    kernel.client.shell_channel.send(message)
    kernel.wait(message["header"]["msg_id"], "moved to 7")
    assert kernel.run("slider.value").value == "7"
    changed = kernel.run("slider.value = 9").contents("comm_msg")
    assert [c["data"]["state"] for c in changed if c["data"].get("method") == "update"] == [{"value": 9}]


def test_a_comm_is_opened_by_the_front_end(kernel: Notebook) -> None:
    kernel.run(
        "def opened(comm, message):\n"
        "    comm.on_msg(lambda m: comm.send({'echo': m['content']['data']['said']}))\n"
        "get_ipython().kernel.comm_manager.register_target('echo', opened)"
    )
    session, channel = kernel.client.session, kernel.client.shell_channel
    channel.send(session.msg("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}}))
    said = session.msg("comm_msg", {"comm_id": "c1", "data": {"said": "hello"}})
    channel.send(said)
    while (message := kernel.take("iopub", said["header"]["msg_id"]))["msg_type"] != "comm_msg":
        pass
    assert message["content"]["data"] == {"echo": "hello"}
    assert kernel.request("comm_info_request", target_name="echo")["comms"] == {"c1": {"target_name": "echo"}}


# -- subshells


@pytest.fixture
def subshell(kernel: Notebook) -> Iterator[str]:
    identity = kernel.request("create_subshell_request", "control")["subshell_id"]
    yield identity
    kernel.request("delete_subshell_request", "control", subshell_id=identity)


def aside(kernel: Notebook, subshell: str, code: str) -> Ran:
    """Runs a cell on a subshell. (Two that show values in the same instant disturb each other in ipykernel.)"""
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = kernel.client.session.msg("execute_request", content)
    message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)
    return kernel.finish(message["header"]["msg_id"])


def test_a_subshell_works_while_the_kernel_is_busy(kernel: Notebook, subshell: str) -> None:
    kernel.run("released = False")
    main = kernel.send("print('begun', flush=True); import time\nwhile not released: time.sleep(0.01)\n'main done'")
    kernel.wait(main, "begun")
    assert aside(kernel, subshell, "'from aside'").value == "'from aside'"
    assert aside(kernel, subshell, "released = True").status == "ok"
    assert kernel.finish(main).value == "'main done'"
    assert subshell in kernel.request("list_subshell_request", "control")["subshell_id"]


# -- debugger


def debug(kernel: Notebook, command: str, number: int, **arguments: Any) -> dict[str, Any]:
    body = {"type": "request", "seq": number, "command": command, "arguments": arguments}
    return kernel.request("debug_request", "control", **body)


def test_the_debugger_answers_before_it_is_started(kernel: Notebook, stock: Notebook) -> None:
    ours, theirs = (debug(notebook, "debugInfo", 1) for notebook in (kernel, stock))
    assert ours["success"] and ours["body"]["isStarted"] is False
    for temporary in ("hashSeed", "tmpFilePrefix"):
        ours["body"].pop(temporary), theirs["body"].pop(temporary)
    assert ours == theirs


@pytest.mark.slow
def test_the_debugger_stops_at_a_breakpoint(start_kernel: Start) -> None:
    code = "total = 1\ntotal = total + 1\ntotal"
    with start_kernel() as kernel:
        assert debug(kernel, "initialize", 1, clientID="test", adapterID="", pathFormat="path")["success"]
        assert debug(kernel, "attach", 2)["success"]
        source = debug(kernel, "dumpCell", 3, code=code)["body"]["sourcePath"]
        placed = debug(kernel, "setBreakpoints", 4, source={"path": source}, breakpoints=[{"line": 2}])
        assert placed["body"]["breakpoints"][0]["verified"], json.dumps(placed)
        assert debug(kernel, "configurationDone", 5)["success"]
        request = kernel.send(code)
        while (event := kernel.client.get_iopub_msg(timeout=PATIENCE)["content"]).get("event") != "stopped":
            pass
        thread = event["body"]["threadId"]
        [frame, *_] = debug(kernel, "stackTrace", 6, threadId=thread)["body"]["stackFrames"]
        assert (frame["line"], frame["source"]["path"]) == (2, source)
        assert debug(kernel, "continue", 7, threadId=thread)["success"]
        assert kernel.take("shell", request)["content"]["status"] == "ok"


# -- the end


def test_a_kernel_is_restarted_and_ended(start_kernel: Start) -> None:
    with start_kernel() as kernel:
        kernel.run("before_restart = 1")
        kernel.client.stop_channels()
        kernel.manager.restart_kernel()
        again = Notebook(kernel.manager)
        kernel.client = again.client
        kernel.client.start_channels()
        kernel.client.wait_for_ready(timeout=PATIENCE)
        ran = kernel.run("before_restart")
        assert (ran.reply["ename"], ran.reply["execution_count"]) == ("NameError", 1)
        process = kernel.manager.provisioner.process
        assert kernel.request("shutdown_request", "control", restart=False) == {"status": "ok", "restart": False}
        assert process.wait(PATIENCE) == 0


def test_a_cell_can_end_the_kernel(start_kernel: Start) -> None:
    with start_kernel() as kernel:
        process = kernel.manager.provisioner.process
        [payload] = kernel.run("exit").reply["payload"]
        assert payload["source"] == "ask_exit"
        assert process.wait(PATIENCE) == 0
