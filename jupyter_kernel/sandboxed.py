"""Starts the notebook kernel inside a sandbox and stays outside as its door:

    PYTHON -P -m famulus.jupyter_kernel.sandboxed [--read FOLDER]... -- KERNEL -P launch.py -f CONNECTION_FILE ...

Inside, the notebook's folder can be written, the system and the interpreter be read; the home folder is empty; there
are no other processes, and a network of its own that leads nowhere. Jupyter's ports are served by this process
(:mod:`famulus.jupyter_kernel.relay`). The engine is started here, before anything enters; its socket can be reached
from inside. This process ends with the kernel, and the kernel with this process or with Jupyter. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from famulus.engine.errors import FamulusError
from famulus.engine.folders import Folders, folders, private
from famulus.engine.runtime import write_private
from famulus.jupyter_kernel import relay
from famulus.jupyter_kernel.launch import package_folder
from famulus.jupyter_kernel.sandbox_entry import Plan
from famulus.sandbox import SandboxError, SandboxUnavailable, bubblewrap, resident, selftest

ENTRY = Path(__file__).with_name("sandbox_entry.py")
INSIDE = "/run/famulus"
"""The kernel's view of FAMULUS_HOME."""
CONNECTION = f"{INSIDE}/connection.json"
DOOR = f"{INSIDE}/door"
PARTS = ("jupyter_kernel", "engine", "sandbox")
"""Folders of Famulus that the kernel imports."""
FINDS_IPYKERNEL = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ipykernel') is None)"
ANSWER_SECONDS = 60.0
LAST_WORDS_SECONDS = 1.0
LOOK_SECONDS = 30.0
"""How often it is seen to that an engine runs, at most."""
EXIT_TERMINATED = 128 + signal.SIGTERM


@dataclass
class Inside:
    """A sandbox that held, with a program in it. ``door`` is a descriptor of the folder with its sockets."""

    process: subprocess.Popen[bytes]
    door: int


def check(python: Path, readable: Sequence[Path] = ()) -> str:
    """Why the kernel of ``python`` cannot be kept in a sandbox that shows ``readable``, and what to do; empty if it
    can."""
    try:
        with tempfile.TemporaryDirectory(prefix="famulus-check-") as folder:
            found = enter([str(python), "-P", "-c", FINDS_IPYKERNEL], Path(folder), {}, folders(), readable)
            os.close(found.door)
            ended = found.process.wait(ANSWER_SECONDS)
    except SandboxError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        found.process.kill()
        return "A program in the sandbox does not come to an end."
    return "" if ended == 0 else f"{python} does not find ipykernel in the sandbox, where your home folder is hidden."


def enter(
    command: Sequence[str], folder: Path, connection: Mapping[str, Any], where: Folders, readable: Sequence[Path]
) -> Inside:
    """Starts ``command`` for notebooks in ``folder``, once attempts to get out have failed.

    ``connection`` is the content of its connection file, ``where`` are Famulus's own folders, ``readable`` further
    paths to show. Raises :class:`SandboxError`.
    """
    package = Path(package_folder(os.path.dirname(os.path.abspath(__file__))))
    own = [package, *(Path(os.path.realpath(package / part)) for part in PARTS)]
    environment = Path(command[0]).parent.parent
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    errors = os.dup(2)
    with (
        ours,
        theirs,
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as stdin,
        selftest.targets() as target,
    ):
        plan = Plan(
            argv=list(command),
            probe=Path(selftest.__file__).with_name("probe.py").read_text(encoding="utf-8"),
            target=target,
            closed=[str(environment), str(package), "/usr", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"],
            door=DOOR,
        )
        stdin.write(json.dumps(plan).encode())
        stdin.seek(0)
        try:
            process = resident.start(
                [command[0], "-I", "-S", "-B", str(ENTRY), str(theirs.fileno()), str(errors)],
                folder=folder,
                readable=[*own, *readable, *(path for path in [folder / ".git"] if path.exists())],
                files={CONNECTION: json.dumps(connection).encode()},
                mounts=list(_mounts(folder, where)),
                stdin=stdin,
                stderr=said,
                pass_fds=[theirs.fileno(), errors],
            )
        finally:
            os.close(errors)
        theirs.close()
        return Inside(process, _answer(process, ours, said, target))


def _answer(process: subprocess.Popen[bytes], control: socket.socket, said: Any, target: Mapping[str, Any]) -> int:
    """The door that the entry hands out. Raises :class:`SandboxUnavailable` where it found a way out."""
    control.settimeout(ANSWER_SECONDS)
    try:
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            answer, door, _, _ = socket.recv_fds(control, 1 << 16, 1)
            got_out = json.loads(answer) if answer else None
            if got_out is not None and Path(target["secret"]).read_text(encoding="utf-8") != "secret":
                got_out.append("changes_a_file")
            if got_out == []:
                return door[0]
            if got_out:
                raise SandboxUnavailable(f"The sandbox let the self-test through: {', '.join(got_out)}.")
        process.kill()
        process.wait()
        said.seek(0)
        told = said.read().decode(errors="replace").strip().rpartition("\n")[2] or "it did not answer"
        raise SandboxUnavailable(f"bubblewrap does not work here: {told}.", fix=bubblewrap.fix(told))
    except BaseException:
        process.kill()
        process.wait()
        raise


def _mounts(folder: Path, where: Folders) -> Iterator[str]:
    """A small home for Famulus with the engine's door in it; the one outside stays hidden."""
    for path in (where.config, where.data, where.cache):
        if path.exists() and path.resolve().is_relative_to(folder.resolve()):
            yield from ("--tmpfs", str(path.resolve()))
    runtime = str(private(where.runtime))
    yield from ("--perms", "0700", "--size", str(1 << 20), "--tmpfs", INSIDE, "--dir", DOOR)
    yield from ("--ro-bind", runtime, f"{INSIDE}/run", "--ro-bind", runtime, runtime)
    yield from ("--ro-bind", str(_keys(where)), f"{INSIDE}/data")
    fonts = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
    for path in sorted(fonts.glob("fontlist-*.json")):  # to make this list anew takes a first plot many seconds
        yield from ("--ro-bind", str(path), f"{bubblewrap.HOME}/.cache/matplotlib/{path.name}")


def _keys(where: Folders) -> Path:
    """The folder with the key of recordings that are made in sandboxes. It is not the user's: code inside can read it,
    and could sign with it what then runs outside."""
    folder = private(where.data / "sandbox")
    path = folder / "recordings.key"
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return folder


# -- the process that Jupyter starts


@dataclass
class Door:
    """One kernel of Jupyter's. ``command`` is what the kernelspec says, with the connection file of Jupyter."""

    command: Sequence[str]
    readable: Sequence[Path]

    def run(self) -> int:
        """Runs the kernel to its end; its exit status. Main thread only. Raises :class:`SandboxError`,
        :class:`FamulusError`, and :class:`OSError` where Jupyter's ports cannot be served."""
        parent = os.getppid()
        connection = json.loads(Path(self._option("-f")).read_bytes())
        bound = relay.listeners(connection)
        where = folders(Path(home) if (home := self._option("--home")) else None)
        private(where.runtime)
        engine = EngineStarter(home, self._option("--famulus-python") or sys.executable)
        engine.need()
        found = enter(self._inside(), Path.cwd(), _inner(connection), where, self.readable)
        try:
            return asyncio.run(_serve(found, bound, parent, engine.need))
        finally:
            found.process.kill()
            found.process.wait()

    def _option(self, name: str) -> str:
        command = list(self.command)
        return command[command.index(name) + 1] if name in command[:-1] else ""

    def _inside(self) -> list[str]:
        """The command with the paths of the view."""
        command = list(self.command)
        command[command.index("-f") + 1] = CONNECTION
        if "--home" in command:
            place = command.index("--home")
            del command[place : place + 2]
        return [*command, "--home", INSIDE, "--IPKernelApp.parent_handle=1"]  # there is no such parent to wait for


class EngineStarter:
    """Has the engine run: the kernel cannot start one from inside. It ends by itself when nobody works with it."""

    def __init__(self, home: str, python: str) -> None:
        self._home, self._python = Path(home) if home else None, python
        self._looked = -math.inf

    def need(self) -> None:
        """In the background: the kernel need not wait for it, because the folder of its socket is there already."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            threading.Thread(target=self._start, name="engine-start", daemon=True).start()

    def _start(self) -> None:
        from famulus.engine import launch

        try:
            launch.find_or_start(self._home, python=self._python)
        except FamulusError as error:
            sys.stderr.write(f"famulus: {error} Cells in words do without the model.\n")


def _inner(connection: Mapping[str, Any]) -> dict[str, Any]:
    """The kernel's connection file: the same keys, and sockets in its own folder."""
    ports = {f"{channel}_port": number for number, channel in enumerate(relay.CHANNELS, start=1)}
    return {**connection, **ports, "transport": "ipc", "ip": f"{DOOR}/k"}


async def _serve(found: Inside, bound: Sequence[socket.socket], parent: int, asked: Callable[[], None]) -> int:
    """Until the kernel has ended, or Jupyter, whose process ``parent`` was; the exit status. ``asked`` is called when
    the kernel is."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def settle(status: int) -> None:
        if not ended.done():
            ended.set_result(status)

    def look() -> None:
        """The kernel cannot see from inside that Jupyter has gone without a word."""
        if os.getppid() != parent:
            settle(EXIT_TERMINATED)
        loop.call_later(1, look)

    loop.add_signal_handler(signal.SIGTERM, settle, EXIT_TERMINATED)
    exits = os.pidfd_open(found.process.pid)
    loop.add_reader(exits, lambda: settle(found.process.wait()))
    look()
    through = relay.Relay(bound, found.door, asked)
    opening = loop.create_task(through.open())
    opening.add_done_callback(lambda task: None if task.cancelled() or not task.exception() else settle(1))
    try:
        status = await ended
        loop.remove_reader(exits)
        await through.close(LAST_WORDS_SECONDS)
        return status
    finally:
        opening.cancel()


def main() -> NoReturn:
    """Ends with the kernel's exit status; 1 where it was not let in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter interrupts by message
    place = sys.argv.index("--")
    options, command = sys.argv[1:place], sys.argv[place + 1 :]
    readable = [Path(value) for name, value in zip(options[::2], options[1::2], strict=True) if name == "--read"]
    try:
        status = Door(command, readable).run()
    except (SandboxError, FamulusError) as error:
        sys.stderr.write(f"famulus: The kernel was not started, because it cannot be kept in a sandbox: {error}\n")
        status = 1
    except OSError as error:
        sys.stderr.write(f"famulus: Jupyter's ports cannot be served ({error}).\n")
        status = 1
    sys.stdout.flush()
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
