"""A real kernel under measurement: cells are sent as a front end sends them, and what comes back is timed.

One kernel serves many tasks. Between them its namespace, history and figures are emptied and its folder changes; a
kernel that died or hangs is replaced.
"""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from famulus.bench.notebook_tasks import Step
from famulus.jupyter_kernel import install

RECORD = "application/vnd.famulus.cell+json"
START_SECONDS = 120.0
REPLY_SECONDS = 10.0
"""A reply is sent before the kernel says that it is idle, so one that is not there by then does not come."""

# Runs in the kernel and leaves no name in the user's namespace.
PREPARE = """
import gc, os, sys
from famulus.bench.notebook_check import Watch
pyplot = sys.modules.get("matplotlib.pyplot")
if pyplot is not None:
    pyplot.close("all")
    sys.modules["matplotlib"].rcdefaults()
os.chdir({folder!r})
shell.reset()
bench = {{"Watch": Watch, "shell": shell}}
sys.modules["_famulus_bench"] = bench
bench["hidden"] = frozenset(shell.user_ns)
"""
WATCH = """
import sys
bench = sys.modules["_famulus_bench"]
watch = bench["watch"] = bench["Watch"](shell.user_ns, bench["hidden"])
formatter = shell.display_formatter
def format(value, *given, **named):
    watch.shown.append(value)
    return type(formatter).format(formatter, value, *given, **named)
formatter.format = format
"""
JUDGE = """
import sys
watch = sys.modules["_famulus_bench"]["watch"]
watch.stop()
shell.display_formatter.__dict__.pop("format", None)
result = (watch.judge({check!r}), watch.violations({changes!r}, {writes!r}), watch.altered({changes!r}))
"""


class KernelLost(Exception):
    """The kernel died or does not answer."""


@dataclass(frozen=True)
class Verdict:
    """``why`` the cell did not do what was asked (empty if it did); what it did not leave intact; and whether any
    name that it might change differs."""

    why: str
    violations: list[str]
    altered: bool


@dataclass
class Ran:
    """What one cell came to. ``first``: seconds until anything of it was visible; ``code_after``: until code was."""

    status: str = ""
    error: str = ""
    seconds: float = 0.0
    first: float = float("nan")
    code_after: float = float("nan")
    record: dict[str, Any] = field(default_factory=dict)
    stage: str = "nothing visible yet"
    asked: int = 0
    reader: Callable[[str], str] | None = None

    def visible(self, message: dict[str, Any], after: float) -> None:
        """Takes note of a message that a reader sees."""
        content = message["content"]
        if message["msg_type"] not in ("display_data", "update_display_data", "stream", "execute_result"):
            return
        data = content.get("data", {})
        if self.first != self.first:
            self.first = after
        if "text/plain" in data:
            self.stage = _stage(data["text/plain"])
        if RECORD in data:
            self.record = data[RECORD]
        shows_code = "\n```" in "\n" + data.get("text/markdown", "") or message["msg_type"] in (
            "execute_result",
            "stream",
        )
        if shows_code and self.code_after != self.code_after:
            self.code_after = after


def _agreed(question: str, step: Step) -> str:
    """What the one who typed the words answers: it is words; and yes to what he asked for."""
    if "[w]" in question:
        return "w"
    return "y" if "on a copy" in question or any(path in question for path in step.writes) else "n"


def _stage(plain: str) -> str:
    """What the panel says that it is doing, without its counts."""
    said = plain.rpartition("\n")[2]
    return re.sub(r"\d+ of \d+", "", said).strip(" .#") if said.endswith("...") else "running the code"


class Notebook:
    """One kernel, replaced when it is lost; its folders are removed with it. A context manager."""

    def __init__(self, home: Path | None = None) -> None:
        spec = install.kernelspec(install.examine(sys.executable), home=home)
        known = ("argv", "display_name", "language", "interrupt_mode", "metadata", "env")
        self._spec = KernelSpec(**{key: spec[key] for key in known if key in spec})
        self._root = Path(tempfile.mkdtemp(prefix="famulus-bench-"))
        self._log = self._root / "kernel.log"
        self._folders = 0
        self.manager: Any = None
        self.client: Any = None

    def __enter__(self) -> Notebook:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def start(self) -> None:
        """A fresh kernel."""
        self.manager = KernelManager()
        self.manager._kernel_spec = self._spec  # so that nothing needs to be installed
        with self._log.open("ab") as log:
            self.manager.start_kernel(cwd=str(self._root), stdout=log, stderr=log)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=START_SECONDS)

    def stop(self) -> None:
        """The kernel ends, at once."""
        if self.client is not None:
            self.client.stop_channels()
        if self.manager is not None and self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.client = self.manager = None

    def restart(self) -> None:
        """Another kernel in place of this one."""
        self.stop()
        self.start()

    def prepare(self, setup: str) -> None:
        """An empty namespace in an empty folder, where ``setup`` has run."""
        self._folders += 1
        folder = self._root / str(self._folders)
        folder.mkdir()
        self.hidden(PREPARE.format(folder=str(folder)))
        if setup:
            self.python(setup)

    def python(self, code: str) -> None:
        """Runs a cell of Python as the user would. RuntimeError if it fails."""
        ran = self.cell(code)
        if ran.status != "ok":
            raise RuntimeError(f"A cell of the benchmark itself failed: {ran.error}\n{code}")

    def watched(self, step: Step, seconds: float) -> Ran:
        """Types the words of a step, watched for :meth:`judge`; agrees to what the step may write."""
        self.hidden(WATCH)
        return self.cell(step.words, seconds, lambda question: _agreed(question, step))

    def judge(self, step: Step) -> Verdict:
        """Judges the watched cell."""
        code = JUDGE.format(check=step.check, changes=list(step.changes), writes=list(step.writes))
        return Verdict(*self.hidden(code))

    def hidden(self, code: str) -> Any:
        """Runs code beside the user's namespace, without a trace in it; the value that it gives to ``result``.

        ``shell`` is the shell. The value must be a literal.
        """
        scope = "{'shell': get_ipython()}"
        whole = f"(lambda scope: (exec({code!r}, scope), scope.get('result'))[1])({scope})"
        message = self.client.execute("", silent=True, store_history=False, user_expressions={"result": whole})
        reply = self._reply(message, 60.0, Ran())
        found = reply["user_expressions"]["result"]
        if found["status"] != "ok":
            raise RuntimeError(f"{found['ename']}: {found['evalue']}\n" + "\n".join(found["traceback"]))
        return ast.literal_eval(found["data"]["text/plain"])

    def cell(self, code: str, seconds: float = 60.0, reader: Callable[[str], str] | None = None) -> Ran:
        """Sends a cell and waits for its end. One that takes longer is interrupted. Raises :class:`KernelLost`.

        ``reader`` answers questions; without one nobody can be asked.
        """
        ran = Ran(reader=reader)
        start = time.perf_counter()
        message = self.client.execute(code, allow_stdin=reader is not None)
        try:
            reply = self._reply(message, seconds, ran)
        except TimeoutError:
            self.manager.interrupt_kernel()
            try:
                reply = self._reply(message, 30.0, ran)
            except TimeoutError:
                raise KernelLost("no reply to an interrupt") from None
            reply = {**reply, "status": "error", "ename": "Timeout", "evalue": f"not done after {seconds:g} s"}
        ran.seconds = time.perf_counter() - start
        ran.status = reply["status"]
        if ran.status != "ok":
            ran.error = f"{reply.get('ename', '')}: {reply.get('evalue', '')}"
        return ran

    def interrupted(self, code: str, after: float) -> tuple[float | None, str]:
        """Sends a cell and interrupts it after so many seconds: those until the reply, and what it was doing.

        None where it had ended before.
        """
        ran = Ran()
        message = self.client.execute(code, allow_stdin=False)
        with contextlib.suppress(TimeoutError):
            self._reply(message, after, ran)
            return None, ran.stage
        start = time.perf_counter()
        self.manager.interrupt_kernel()
        stage = ran.stage
        try:
            self._reply(message, 60.0, ran)
        except TimeoutError:
            raise KernelLost("no reply to an interrupt") from None
        return time.perf_counter() - start, stage

    def _reply(self, message: str, seconds: float, ran: Ran) -> dict[str, Any]:
        """Reads both channels until the reply and the idle status of a request are there.

        Raises TimeoutError, and :class:`KernelLost` where a request ended without a reply.
        """
        start = time.perf_counter()
        idle_at = float("inf")
        while True:
            now = time.perf_counter()
            if not self.manager.is_alive() or now - idle_at > REPLY_SECONDS:
                last = self._log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
                raise KernelLost(f"the kernel died, or gave no reply: {last}")
            if now - start > seconds:
                raise TimeoutError
            if ran.reader is not None and self.client.stdin_channel.msg_ready():
                question = self.client.get_stdin_msg()["content"]["prompt"]
                ran.asked += 1
                self.client.input(ran.reader(question))
            channel = self.client.get_iopub_msg if idle_at == float("inf") else self.client.get_shell_msg
            try:
                said = channel(timeout=0.05 if ran.reader else min(0.5, start + seconds - now))
            except Empty:
                continue
            if said["parent_header"].get("msg_id") != message:
                continue
            if said["msg_type"] == "execute_reply":
                reply: dict[str, Any] = said["content"]
                return reply
            ran.visible(said, time.perf_counter() - start)
            if said["content"].get("execution_state") == "idle":
                idle_at = time.perf_counter()
