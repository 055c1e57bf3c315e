"""Cells of Python do in our kernel what they do in ipykernel's own, message by message."""

from __future__ import annotations

import contextlib
import json
import re
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jupyter_kernel_test
import pytest
from jupyter_kernel_test import ensure_sync
from jupyter_kernel_test.msgspec_v5 import validate_message

from tests.jupyter_kernel.conftest import OURS, PATIENCE, STOCK, Notebook, Ran, Start


class Suite(jupyter_kernel_test.KernelTests):
    """The suite for kernels that Jupyter publishes, with the samples of a Python kernel."""

    __test__ = False  # pytest does not run it by itself
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [  # noqa: RUF012
        {"text": "zi", "matches": {"zip"}},
        {"text": "import statis", "matches": {"statistics"}},
        {"text": "str.isal", "matches": {"isalnum", "isalpha"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]  # noqa: RUF012
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [  # noqa: RUF012
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "[n*n for n in range(1, 4)] ", "result": "[1, 4, 9]"},
    ]
    code_display_data = [  # noqa: RUF012
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
        {"code": "from IPython.display import Math, display; display(Math('\\\\frac{1}{2}'))", "mime": "text/latex"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    def flush_channels(self) -> None:
        """The suite waits until nothing has come for a while; here a question of ours is the last to be answered."""
        asked = self.kc.kernel_info()
        for channel, end in ((self.kc.shell_channel, "kernel_info_reply"), (self.kc.iopub_channel, "idle")):
            last = ("", "")
            while last != (asked, end):
                message = ensure_sync(channel.get_msg)(timeout=PATIENCE)
                validate_message(message)
                state = message["content"].get("execution_state", message["msg_type"])
                last = (message["parent_header"].get("msg_id", ""), state)

    def execute_helper(self, *arguments: Any, **options: Any) -> Any:
        """The suite waits a tenth of a second for each message, which a busy machine may need longer for."""
        with patient(self.kc.iopub_channel):
            return super().execute_helper(*arguments, **options)


class Welcome(jupyter_kernel_test.IopubWelcomeTests):
    __test__ = False
    support_iopub_welcome = True


@contextlib.contextmanager
def patient(channel: Any) -> Iterator[None]:
    get = channel.get_msg
    channel.get_msg = lambda timeout: get(timeout=PATIENCE)
    try:
        yield
    finally:
        channel.get_msg = get


def outcomes(suite: type[unittest.TestCase], notebook: Notebook) -> dict[str, str]:
    """What became of each test of a suite and of its parts, run with one kernel."""
    found: dict[str, str] = {}

    class Result(unittest.TestResult):
        def startTest(self, test: unittest.TestCase) -> None:
            found[name(test)] = "ok"

        def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
            found[name(subtest)] = kind(error)

        def addFailure(self, test: Any, error: Any) -> None:
            found[name(test)] = kind(error)

        addError = addFailure

        def addSkip(self, test: Any, reason: str) -> None:
            found[name(test)] = f"skipped: {reason}"

    def name(test: Any) -> str:
        return str(test.id()).partition(f"{suite.__name__}.")[2]

    def kind(error: Any) -> str:
        return "ok" if error is None else f"{error[0].__name__}: {error[1]}"

    def nothing(cls: type) -> None:
        """The kernel runs already, and is ended by others."""

    own = {"setUpClass": classmethod(nothing), "tearDownClass": classmethod(nothing)}
    here = type(suite.__name__, (suite,), {**own, "kc": notebook.client, "km": notebook.manager})
    unittest.defaultTestLoader.loadTestsFromTestCase(here).run(Result())
    return found


@pytest.fixture(scope="module")
def pair(start_kernel: Start) -> Iterator[tuple[Notebook, Notebook]]:
    """Our kernel and the stock one, both new; every test here does the same with both."""
    with start_kernel(OURS, ready=False) as ours, start_kernel(STOCK) as stock:
        ours.client.start_channels()
        ours.client.wait_for_ready(timeout=PATIENCE)
        yield ours, stock


def test_the_suite_of_jupyter_ends_as_with_the_stock_kernel(pair: tuple[Notebook, Notebook]) -> None:
    with ThreadPoolExecutor() as pool:
        ours, stock = pool.map(lambda notebook: outcomes(Suite, notebook), pair)
    assert ours == stock
    passed = [name for name, outcome in ours.items() if outcome == "ok"]
    assert len(passed) >= 20, json.dumps(ours, indent=1)


def test_the_first_front_end_is_welcomed(start_kernel: Start) -> None:
    with start_kernel(ready=False) as notebook:
        assert outcomes(Welcome, notebook) == {"test_recv_iopub_welcome_msg": "ok"}


FILE = Path(__file__).with_name("data") / "python_cells.txt"
CELLS = ["", "   ", "# nothing but a comment", *FILE.read_text("utf-8").removesuffix("\n").split("\n----\n")]


def transcript(notebook: Notebook, ran: Ran) -> str:
    """What a cell sent, without what may differ: addresses, processes, times."""
    reply = {
        key: ran.reply.get(key)
        for key in ("status", "ename", "evalue", "payload", "user_expressions", "execution_count")
    }
    sent = [(message["msg_type"], message["content"], message["metadata"]) for message in joined(ran.messages)]
    text = json.dumps([reply, sent], indent=1, ensure_ascii=False, default=str)
    for pattern, instead in (
        (r"0x[0-9a-f]{6,}", "ADDRESS"),
        (r"ipykernel_\d+/\d+", "CELL"),
        (r"famulus-test-\w+", "HOME"),
        (r'"traceback": \[.*?\n {4,}\]', lambda found: re.sub(r"/\S+/site-packages/", "", found[0])),
    ):
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    return text


def joined(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pieces of one stream that follow each other, as one: where they are cut depends on time."""
    found: list[dict[str, Any]] = []
    for message in messages:
        before = found[-1] if found else None
        if before and before["msg_type"] == message["msg_type"] == "stream" and same_stream(before, message):
            text = before["content"]["text"] + message["content"]["text"]
            found[-1] = {**before, "content": {**before["content"], "text": text}}
        else:
            found.append(message)
    return found


def same_stream(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["content"]["name"] == other["content"]["name"])


def test_cells_send_what_they_send_in_the_stock_kernel(pair: tuple[Notebook, Notebook]) -> None:
    for code in CELLS:
        sent = [(notebook, notebook.send(code)) for notebook in pair]
        mine, theirs = (transcript(notebook, notebook.finish(request)) for notebook, request in sent)
        assert mine == theirs, code
