"""A language client for tests, and servers for it to talk to: a real process, or one in a thread of the test.

    editor = editors(home)               # `famulus lsp` as a process, initialised
    editor = inside()                    # the same server in this process, started in a millisecond
    editor.open("file:///a.py", "x = 1\\n")
    editor.request("textDocument/hover", {...})

Homes: ``stranded`` (no engine can be started there), ``stand_in`` (a quick engine that echoes), and the home of the
fixture ``served`` (the embedded model).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from famulus.engine import launch
from famulus.lsp_server.connection import Connection
from famulus.lsp_server.doors import TcpWire
from famulus.lsp_server.framing import frame
from famulus.lsp_server.link import EngineLink

COMMAND = Path(sys.executable).with_name("famulus")
STAND_IN = Path(__file__).parents[1] / "engine/stand_in_core.py"
SECONDS = 20.0
"""Patience with an answer, on a machine with other work."""

Message = dict[str, Any]


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, error: Message) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]


class Editor:
    """A client of one server. ``answers`` maps methods of the server's own requests to functions of their parameters.

    ``settings`` is what ``workspace/configuration`` is answered with.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO, process: subprocess.Popen[bytes] | None = None) -> None:
        self.process = process
        self.messages: list[Message] = []
        """Everything that arrived, in order, answers included."""
        self.settings: Any = {}
        self.answers: dict[str, Callable[[Any], Any]] = {
            "workspace/configuration": lambda params: [self.settings for _ in params["items"]],
            "workspace/applyEdit": lambda params: {"applied": True},
        }
        self.capabilities: Message = {}
        self.closed = False
        self._in, self._out = incoming, outgoing
        self._ids = 0
        self._arrived = threading.Condition()
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def initialize(self, options: Any = None, **params: Any) -> Message:
        """The handshake; ``params`` are added to those of ``initialize``. Returns the server's capabilities."""
        asked: Message = {"processId": os.getpid(), "rootUri": None, "capabilities": {}} | params
        if options is not None:
            asked["initializationOptions"] = options
        self.capabilities = self.request("initialize", asked)["capabilities"]
        self.notify("initialized", {})
        return self.capabilities

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        """Open a document."""
        document = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: Message) -> None:
        """Change a document; a change is ``{"text"}`` or ``{"range", "text"}``."""
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def request(self, method: str, params: Any = None, timeout: float = SECONDS) -> Any:
        """Ask and wait for the result. Raises :class:`Refused`."""
        return self.result(self.ask(method, params), timeout)

    def ask(self, method: str, params: Any = None) -> int:
        """Send a request; returns its id."""
        self._ids += 1
        self.send({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        return self._ids

    def result(self, id: Any, timeout: float = SECONDS) -> Any:
        """The result of a request that was sent. Raises :class:`Refused`."""
        answer = self.wait(lambda m: "method" not in m and m.get("id") == id, timeout, f"an answer to {id}")
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def cancel(self, id: Any) -> None:
        """Say that a request's answer is not wanted any more."""
        self.notify("$/cancelRequest", {"id": id})

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def told(self, method: str, where: Callable[[Any], bool] = lambda params: True, timeout: float = SECONDS) -> Any:
        """The parameters of the first notification or request of the server that fits, waited for."""
        found = self.wait(lambda m: m.get("method") == method and where(m.get("params")), timeout, method)
        return found.get("params")

    def wait(self, fits: Callable[[Message], bool], timeout: float = SECONDS, what: str = "a message") -> Message:
        """The first message that fits, waited for."""
        deadline, seen = time.monotonic() + timeout, 0
        with self._arrived:
            while True:
                for message in self.messages[seen:]:
                    if fits(message):
                        return message
                seen = len(self.messages)
                left = deadline - time.monotonic()
                if self.closed or left <= 0:
                    said = [m.get("method", m.get("id")) for m in self.messages]
                    pytest.fail(
                        f"{what}: {'the server left' if self.closed else f'not within {timeout} s'}; got {said}"
                    )
                self._arrived.wait(left)

    def forget(self) -> None:
        """Drop what has arrived so far."""
        with self._arrived:
            self.messages.clear()

    def send(self, message: Any) -> None:
        """Send any JSON."""
        self.raw(frame(json.dumps(message).encode()))

    def raw(self, data: bytes) -> None:
        """Send any bytes."""
        with self._writing:
            self._out.write(data)
            self._out.flush()

    def hang_up(self) -> None:
        """Close our end."""
        self._out.close()

    def gone(self, timeout: float = SECONDS) -> int | None:
        """Wait until the server has closed its end; the exit status of a process."""
        self._reader.join(timeout)
        assert self.closed, f"the server is still there after {timeout} s"
        return self.process.wait(timeout) if self.process is not None else None

    def end(self) -> None:
        """Let go of the server, in whatever state it is."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for pipe in (self._out, self._in):
            try:
                pipe.close()
            except OSError:
                continue

    def _read(self) -> None:
        try:
            while (length := self._header()) is not None:
                message = json.loads(self._in.read(length))
                with self._arrived:
                    self.messages.append(message)
                    self._arrived.notify_all()
                if "method" in message and "id" in message:
                    answer = self.answers.get(message["method"], lambda params: None)
                    self.send({"jsonrpc": "2.0", "id": message["id"], "result": answer(message.get("params"))})
        except (OSError, ValueError):
            pass
        with self._arrived:
            self.closed = True
            self._arrived.notify_all()

    def _header(self) -> int | None:
        length = None
        while line := self._in.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return length


@pytest.fixture(scope="session")
def editor_class() -> type[Editor]:
    """The client, for other wires."""
    return Editor


@pytest.fixture
def editors() -> Iterator[Callable[..., Editor]]:
    """Starts ``famulus lsp`` processes: ``editors(home, "--stdio", options=…, capabilities=…)``.

    With ``initialize=False`` nothing is sent; other keywords go to :meth:`Editor.initialize`.
    """
    started: list[Editor] = []

    def start(home: Path, *arguments: str, initialize: bool = True, settings: Any = None, **params: Any) -> Editor:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [COMMAND, "lsp", *arguments], stdin=pipe, stdout=pipe, stderr=pipe, env=environment(home)
        )
        assert process.stdin is not None
        assert process.stdout is not None
        editor = Editor(process.stdout, process.stdin, process)
        editor.settings = settings if settings is not None else {}
        started.append(editor)
        if initialize:
            editor.initialize(**params)
            with pytest.raises(Refused):  # `initialize` is answered before the rest of the server is there
                editor.request("famulus/nothing")
        return editor

    yield start
    for editor in started:
        editor.end()


class Loop:
    """An event loop in a thread, with servers on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Any) -> Any:
        """Run a coroutine there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SECONDS)

    def call(self, act: Callable[[], Any]) -> Any:
        """Call a function there and wait for it."""

        async def there() -> Any:
            return act()

        return self.run(there())

    def stop(self) -> None:
        """End the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SECONDS)
        self.loop.close()


class Inside(Editor):
    """A client of a server in this process. ``connection.server.session`` may be looked at through ``loop.call``."""

    def __init__(self, loop: Loop, home: Path) -> None:
        ours, theirs = socket.socketpair()
        self.loop = loop
        self.link, self.connection = loop.run(self._serve(theirs, home))
        self._sock = ours
        self._deaf = threading.Event()
        super().__init__(ours.makefile("rb"), ours.makefile("wb"))

    @property
    def session(self) -> Any:
        """The server's session."""
        return self.connection.server.session

    def stop_reading(self) -> None:
        """From the next message on, leave what the server sends where it is."""
        self._deaf.set()

    def _header(self) -> int | None:
        while self._deaf.is_set() and not self.closed:
            time.sleep(0.05)
        return super()._header()

    def hang_up(self) -> None:
        super().hang_up()
        self._sock.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Disconnect, and wait until the server has let go of everything."""
        self.loop.call(self.connection.end)
        self.loop.run(asyncio.wait_for(self.task, SECONDS))
        self.loop.run(self.link.close())
        self._deaf.clear()
        super().end()
        self._sock.close()

    async def _serve(self, sock: socket.socket, home: Path) -> tuple[EngineLink, Connection]:
        reader, writer = await asyncio.open_connection(sock=sock)
        link = EngineLink(home)
        connection = Connection(link, TcpWire(reader, writer))
        self.task = asyncio.ensure_future(connection.run())
        return link, connection


@pytest.fixture
def inside(stranded: Path) -> Iterator[Callable[..., Inside]]:
    """Starts servers in this process: ``inside(home=…, options=…, capabilities=…)``; without an engine by default."""
    loop = Loop()
    started: list[Inside] = []

    def start(home: Path = stranded, *, initialize: bool = True, settings: Any = None, **params: Any) -> Inside:
        editor = Inside(loop, home)
        editor.settings = settings if settings is not None else {}
        started.append(editor)
        if initialize:
            editor.initialize(**params)
        return editor

    yield start
    for editor in started:
        editor.end()
    loop.stop()


def environment(home: Path) -> dict[str, str]:
    """The environment of a command with this home."""
    return dict(os.environ) | {"FAMULUS_HOME": str(home)}


def strand(home: Path) -> Path:
    """Make a home where no engine can be started."""
    (home / "run/start.lock").mkdir(parents=True)
    return home


def _short_folder() -> Path:
    """Near the root: the path of a socket may have about a hundred bytes."""
    return Path(tempfile.mkdtemp(prefix="famulus-test-", dir="/tmp" if os.name == "posix" else None))


@pytest.fixture
def stranded(tmp_path: Path) -> Path:
    """A home where no engine can be started: where its starter's lock should be lies a folder."""
    return strand(tmp_path / "stranded")


def begin_stand_in(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a stand-in engine below ``home`` and wait until it answers."""
    command = [sys.executable, "-P", "-m", "famulus.engine", "--core", f"{STAND_IN}:Core", *arguments]
    with open(home / "engine.log", "wb") as log:
        process = subprocess.Popen(command, stderr=log, env=environment(home))
    deadline = time.monotonic() + SECONDS
    while launch.find(home) is None:
        assert process.poll() is None and time.monotonic() < deadline, (home / "engine.log").read_text()
        time.sleep(0.02)
    return process


@pytest.fixture
def engines() -> Iterator[Callable[..., tuple[Path, subprocess.Popen[bytes]]]]:
    """Starts stand-in engines where no other can be started: ``engines("--idle-exit", "1")``; again with ``home=``."""
    started: list[subprocess.Popen[bytes]] = []
    homes: list[Path] = []

    def start(*arguments: str, home: Path | None = None) -> tuple[Path, subprocess.Popen[bytes]]:
        if home is None:
            home = strand(_short_folder())
            homes.append(home)
        started.append(begin_stand_in(home, *arguments))
        return home, started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    for home in homes:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Path]:
    """The home of a quick engine that answers a prompt with itself in upper case."""
    home = _short_folder()
    process = begin_stand_in(home)
    yield home
    process.terminate()
    process.wait(SECONDS)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pytest and none of our plugins, which take longer to import than most tests to run."""
    import venv

    folder = tmp_path_factory.mktemp("plain")
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    installed = Path(pytest.__file__).parent.parent
    for name in ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        shutil.copytree(installed / name, packages / name)
    shutil.copy2(installed / "py.py", packages)  # a part of pytest
    return folder / "bin/python"
