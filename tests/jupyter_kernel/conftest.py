"""Real kernels, ours and ipykernel's own beside it, and a client that keeps all that a cell sends."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from packaging.requirements import Requirement

from famulus.jupyter_kernel import install

PATIENCE = 90.0
"""Seconds that anything may take on a busy machine."""
OURS, STOCK = "famulus", "python3"


@dataclass
class Ran:
    """What came of one cell: the reply, and the messages that every front end sees, without the status."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.reply["status"])

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def stream(self, name: str = "stdout") -> str:
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == name)

    @property
    def value(self) -> str:
        """The text of the value that the cell ended with; empty if it had none."""
        return "".join(content["data"]["text/plain"] for content in self.contents("execute_result"))


class Notebook:
    """A front end with one kernel."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.client = manager.client()
        self._unread: dict[str, list[dict[str, Any]]] = {"shell": [], "iopub": []}

    def run(self, code: str, **options: Any) -> Ran:
        """Runs a cell to its end. ``options`` are those of an ``execute_request``."""
        return self.finish(self.send(code, **options))

    def send(self, code: str, **options: Any) -> str:
        """Sends a cell and goes on."""
        return str(self.client.execute(code, **{"allow_stdin": False, **options}))

    def request(self, kind: str, channel: str = "shell", **content: Any) -> dict[str, Any]:
        """The content of the reply to any other request."""
        message = self.client.session.msg(kind, content)
        getattr(self.client, f"{channel}_channel").send(message)
        if channel == "shell":
            reply = self.take("shell", message["header"]["msg_id"])
        else:
            reply = self.client.get_control_msg(timeout=PATIENCE)
        return dict(reply["content"])

    def finish(self, request: str) -> Ran:
        """Waits until the kernel has done what ``request`` asked."""
        ran = Ran(self.take("shell", request)["content"])
        while True:
            message = self.take("iopub", request)
            if message["content"].get("execution_state") == "idle":
                return ran
            if message["msg_type"] != "status":
                ran.messages.append(message)

    def wait(self, request: str, text: str) -> None:
        """Waits until the cell has printed ``text``; what else it sent until then stays unread."""
        seen = []
        while not any(text in message["content"].get("text", "") for message in seen):
            seen.append(self.take("iopub", request))
        self._unread["iopub"][:0] = seen

    def take(self, channel: str, request: str) -> dict[str, Any]:
        """The next message on ``channel`` that belongs to ``request``; the others stay unread."""
        unread = self._unread[channel]
        end = time.monotonic() + PATIENCE
        for message in unread:
            if message["parent_header"].get("msg_id") == request:
                unread.remove(message)
                return message
        while time.monotonic() < end:
            with contextlib.suppress(Empty):
                message = getattr(self.client, f"get_{channel}_msg")(timeout=1)
                if message["parent_header"].get("msg_id") == request:
                    return dict(message)
                unread.append(message)
            assert self.manager.is_alive(), "the kernel has died"
        raise AssertionError(f"nothing came on the channel {channel}")


@pytest.fixture(scope="session")
def specs(tmp_path_factory: pytest.TempPathFactory) -> KernelSpecManager:
    """The kernelspec that ``famulus kernel install`` writes, and the one of ipykernel."""
    kernels = tmp_path_factory.mktemp("kernels")
    install.write(kernels / OURS, install.kernelspec(install.examine(sys.executable)))
    stock = write_kernel_spec(kernels / STOCK)
    assert Path(stock).parent == kernels
    return KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False)


Start = Callable[..., contextlib.AbstractContextManager[Notebook]]


@pytest.fixture(scope="session")
def start_kernel(specs: KernelSpecManager) -> Start:
    """Starts a kernel by name, in a folder, with changes of the environment (``None`` takes a variable
    out). Where it need not be ``ready``, no channel is open yet. ``options`` are those of the
    kernel manager."""

    @contextlib.contextmanager
    def start(
        name: str = OURS,
        cwd: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
        specs: KernelSpecManager = specs,
        ready: bool = True,
        **options: Any,
    ) -> Iterator[Notebook]:
        home = Path(tempfile.mkdtemp(prefix="famulus-test-", dir="/tmp" if os.name == "posix" else None))
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MPL"))}
        own = {"FAMULUS_HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "NO_COLOR": None}
        changed = {**inherited, **own, **(environment or {})}
        manager = KernelManager(kernel_name=name, kernel_spec_manager=specs, **options)
        notebook = None
        try:
            manager.start_kernel(
                cwd=str(cwd or home), env={key: value for key, value in changed.items() if value is not None}
            )
            notebook = Notebook(manager)
            if ready:
                notebook.client.start_channels()
                notebook.client.wait_for_ready(timeout=PATIENCE)
            yield notebook
        finally:
            if notebook is not None:
                notebook.client.stop_channels()
            manager.shutdown_kernel(now=True)
            if (home / "run/engine.json").exists():
                command = [sys.executable, "-P", "-m", "famulus", "stop"]
                subprocess.run(command, env={**os.environ, "FAMULUS_HOME": str(home)}, timeout=PATIENCE, check=False)
            shutil.rmtree(home)

    return start


@pytest.fixture(scope="session")
def both(start_kernel: Start) -> Iterator[tuple[Notebook, Notebook]]:
    """Our kernel and the stock one, which live as long as the session."""
    with start_kernel(OURS, ready=False) as ours, start_kernel(STOCK) as stock:
        ours.client.start_channels()
        ours.client.wait_for_ready(timeout=PATIENCE)
        yield ours, stock


@pytest.fixture
def kernel(both: tuple[Notebook, Notebook]) -> Notebook:
    """Our kernel. It is shared: a test takes names of its own."""
    return both[0]


@pytest.fixture
def stock(both: tuple[Notebook, Notebook]) -> Notebook:
    """ipykernel's own kernel."""
    return both[1]


def new_environment(folder: Path) -> Path:
    """The interpreter of a new virtual environment without any package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=PATIENCE)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment without any package."""
    return new_environment(tmp_path_factory.mktemp("empty") / "venv")


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that holds ipykernel and what it needs, linked from this one."""
    python = new_environment(tmp_path_factory.mktemp("bare") / "venv")
    folder = python.parents[1]
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for path in needed_by("ipykernel"):
        if not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)
    return python


def needed_by(name: str) -> Iterator[Path]:
    """What stands in site-packages for a package and all that it needs."""
    known, queue = set(), [name]
    while queue:
        name = queue.pop()
        if name in known:
            continue
        known.add(name)
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if file.parts[0] not in ("..", "__pycache__"):
                yield Path(str(distribution.locate_file(file.parts[0])))
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
