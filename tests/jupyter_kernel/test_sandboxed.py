"""The kernel in a sandbox, through Jupyter: what cells can do there, what they cannot, and that nothing is left."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager

from famulus.cli import main
from famulus.engine.folders import folders
from famulus.jupyter_kernel import install, relay, sandboxed
from famulus.sandbox import resident, seccomp
from tests.conftest import Famulus, short_folder
from tests.jupyter_kernel.conftest import PATIENCE, Notebook, Start, new_environment
from tests.sandbox.conftest import ROOT, as_nobody, other_user_python

if problem := resident.unavailable():
    pytest.skip(problem, allow_module_level=True)


@pytest.fixture(scope="module")
def specs_inside(tmp_path_factory: pytest.TempPathFactory) -> KernelSpecManager:
    """The kernelspec that ``famulus kernel install --sandbox`` writes."""
    kernels = tmp_path_factory.mktemp("sandboxed")
    install.write(kernels / install.SANDBOXED, install.sandboxed(install.examine(sys.executable)))
    return KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home folder with a secret in it."""
    folder = short_folder()
    (folder / ".ssh").mkdir()
    (folder / ".ssh/id_rsa").write_text("secret")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    """Where the notebook lies, with a repository in it."""
    made = home / "work/notebook"
    (made / ".git/hooks").mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def environment(home: Path, served: Famulus) -> dict[str, str]:
    """The environment of Jupyter."""
    return {"HOME": str(home), "FAMULUS_HOME": str(served.home), "MY_TOKEN": "secret", "DATABASE": "secret"}


@pytest.fixture(scope="module")
def shared(
    start_kernel: Start, specs_inside: KernelSpecManager, environment: dict[str, str], folder: Path
) -> Iterator[Notebook]:
    with start_kernel(install.SANDBOXED, specs=specs_inside, cwd=folder, environment=environment) as notebook:
        yield notebook


@pytest.fixture
def notebook(shared: Notebook) -> Notebook:
    """A kernel in the sandbox; it is shared."""
    return shared


def fails(notebook: Notebook, code: str) -> str:
    """The name of the error that the cell ends with."""
    ran = notebook.run(f"import os, socket\n{code}")
    assert ran.status == "error", ran
    return str(ran.reply["ename"])


def test_cells_run_and_write_where_the_notebook_lies(notebook: Notebook, folder: Path) -> None:
    assert notebook.run("1 + 1").value == "2"
    notebook.run("open('out.csv', 'w').write('a,b')")
    found = folder / "out.csv"
    assert found.read_text() == "a,b" and found.stat().st_uid == os.getuid()


def test_the_home_folder_is_empty(notebook: Notebook, home: Path) -> None:
    assert fails(notebook, f"open({str(home / '.ssh/id_rsa')!r})") == "FileNotFoundError"
    assert ".ssh" not in notebook.run("import os; os.listdir(os.path.expanduser('~'))").value
    assert "secret" not in notebook.run("dict(os.environ)").value


@pytest.mark.parametrize("place", ["/usr", sys.prefix, str(install.LAUNCHER.parent), ".git/hooks", "/etc", "/run"])
def test_nothing_is_written_elsewhere(place: str, notebook: Notebook, folder: Path) -> None:
    assert fails(notebook, f"open({place + '/planted'!r}, 'w')") in ("OSError", "PermissionError")
    assert not (folder / place / "planted").exists()


def test_what_is_written_beside_the_notebook_stays_inside(notebook: Notebook, home: Path) -> None:
    """The folders above the notebook's are there, empty; here in the sandbox's own folder for temporary files."""
    notebook.run("open('../planted', 'w').write('x'); open(os.path.expanduser('~/planted'), 'w').write('x')")
    assert [path.name for path in home.rglob("planted")] == []


def test_no_server_is_reached(notebook: Notebook) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        where = ("127.0.0.1", server.getsockname()[1])
        assert fails(notebook, f"socket.create_connection({where}, 5)") == "ConnectionRefusedError"
        assert fails(notebook, f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', {where})") == "PermissionError"
        with pytest.raises(BlockingIOError):
            server.accept()
    assert fails(notebook, "socket.create_connection(('192.0.2.1', 80), 5)") == "OSError"
    assert fails(notebook, "socket.socket(socket.AF_VSOCK)") == "PermissionError", "the host of a virtual machine"


def test_other_processes_are_out_of_reach(notebook: Notebook) -> None:
    numbers = notebook.run("import os; sorted(int(name) for name in os.listdir('/proc') if name.isdigit())").value
    assert max(ast.literal_eval(numbers)) < 1000, "these are processes of the sandbox alone"
    assert len(ast.literal_eval(numbers)) < 8


def test_the_machine_is_spared(notebook: Notebook) -> None:
    assert notebook.run("int(open('/proc/self/oom_score_adj').read())").value == "1000", "goes first without memory"
    assert notebook.run("import resource; resource.getrlimit(resource.RLIMIT_CORE)").value == "(0, 0)"
    raised = "resource.setrlimit(resource.RLIMIT_NPROC, (1 << 20, 1 << 20))"
    most = "resource.getrlimit(resource.RLIMIT_NPROC)[1]"
    assert notebook.run(f"0 < {most} <= 8192").value == "True"
    if os.getuid():
        assert fails(notebook, f"import resource; {raised}") in ("ValueError", "PermissionError", "OSError")


def test_servers_within_the_notebook_work(notebook: Notebook) -> None:
    code = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"inside")).start()
socket.create_connection(server.getsockname()).recv(9)
"""
    assert notebook.run(code).value == "b'inside'"


LOOP = "print('on', flush=True)\nwhile True: pass"
CHILD = "import subprocess; print('on', flush=True); subprocess.run(['sleep', '600'])"


@pytest.mark.parametrize("code", [LOOP, CHILD])
def test_a_message_interrupts_a_cell(code: str, notebook: Notebook) -> None:
    request = notebook.send(code)
    notebook.wait(request, "on")
    notebook.manager.interrupt_kernel()
    assert notebook.finish(request).reply["ename"] == "KeyboardInterrupt"
    assert notebook.run("1 + 1").value == "2"


def test_words_are_rehearsed_and_run(notebook: Notebook) -> None:
    notebook.run("numbers = [1, 2, 6]")
    ran = notebook.run("mean of numbers, call it average")
    assert ran.status == "ok", ran.reply
    shown = ran.contents("update_display_data")[-1]["data"]["text/markdown"]
    assert "numbers unchanged" in shown, "it was tried on a copy"
    assert notebook.run("average").value in ("3", "3.0")


def test_a_message_interrupts_a_cell_in_words(notebook: Notebook) -> None:
    notebook.run("%famulus mode confirm")
    request = notebook.send("mean of numbers, call it later", allow_stdin=True)
    notebook.client.get_stdin_msg(timeout=PATIENCE)
    notebook.manager.interrupt_kernel()
    assert notebook.finish(request).reply["ename"] == "KeyboardInterrupt"
    assert notebook.run("%famulus mode auto\n'later' in dir()").value == "False"


def test_the_engine_is_reached_from_inside_and_the_user_s_key_is_not(notebook: Notebook, served: Famulus) -> None:
    code = """
from pathlib import Path
from famulus.engine.client import connect
with connect(Path("/run/famulus"), start=False) as engine:
    status = engine.status()
status["state"]
"""
    assert notebook.run(code).value in ("'ready'", "'loading'")
    key = served.home / "data/recordings.key"
    key.parent.mkdir(exist_ok=True)
    key.touch()
    assert fails(notebook, f"open({str(key)!r})") == "FileNotFoundError"


def test_the_debugger_works(notebook: Notebook) -> None:
    arguments = {"clientID": "test", "adapterID": "", "pathFormat": "path"}
    for number, command in enumerate(["initialize", "attach", "disconnect"], start=1):
        message = {"type": "request", "seq": number, "command": command, "arguments": arguments}
        assert notebook.request("debug_request", "control", **message)["success"], command


def test_a_restart_works_and_the_end_leaves_nothing(notebook: Notebook) -> None:
    outside = notebook.manager.provisioner.process.pid
    notebook.manager.restart_kernel(now=False)
    notebook.client.wait_for_ready(timeout=PATIENCE)
    assert gone(outside)
    assert notebook.run("'average' in dir()").value == "False"
    pids = descendants(notebook.manager.provisioner.process.pid)
    assert len(pids) >= 3, "the door, bubblewrap's two and the kernel"
    notebook.manager.shutdown_kernel(now=True)
    eventually(lambda: all(map(gone, pids)))


def test_the_kernel_ends_when_jupyter_is_killed(
    specs_inside: KernelSpecManager, environment: dict[str, str], folder: Path
) -> None:
    """Jupyter is played by a shell that starts what the kernelspec says, and waits."""
    file = folder / "connection.json"
    write_connection_file(str(file))
    argv = specs_inside.get_kernel_spec(install.SANDBOXED).argv
    command = shlex.join(argument.format(connection_file=file) for argument in argv)
    jupyter = subprocess.Popen(
        ["sh", "-c", f"{command} & echo $!; wait"],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert jupyter.stdout is not None
    door = int(jupyter.stdout.readline())
    eventually(lambda: len(descendants(door)) >= 4)
    pids = descendants(door)
    jupyter.kill()
    jupyter.wait()
    jupyter.stdout.close()
    eventually(lambda: all(map(gone, pids)))


def test_an_environment_beside_the_notebook_cannot_be_changed(tmp_path: Path) -> None:
    folder = tmp_path / "notebook"
    python = new_environment(folder / ".venv")
    code = "import sys; open('mine', 'w'); open(sys.prefix + '/planted', 'w')"
    found = sandboxed.enter([str(python), "-c", code], folder, {}, folders(tmp_path / "famulus"), ())
    os.close(found.door)
    assert found.process.wait(PATIENCE) == 1
    assert (folder / "mine").exists() and not (folder / ".venv/planted").exists()


def test_bytes_go_through_the_relay_both_ways(tmp_path: Path) -> None:
    asked = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(1 << 20))[::-1])
        writer.close()

    async def through() -> tuple[bytes, bytes]:
        for number in range(1, 6):
            await asyncio.start_unix_server(echo, tmp_path / f"k-{number}")
        ports = {f"{channel}_port": 0 for channel in relay.CHANNELS}
        bound = relay.listeners({"transport": "tcp", "ip": "127.0.0.1", **ports})
        door = os.open(tmp_path, os.O_PATH)
        between = relay.Relay(bound, door, lambda: asked.append(1))
        await between.open()
        answers = []
        for listener in (bound[4], bound[0]):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            assert not asked, "only the shell tells that somebody works"
            writer.write(b"a" + b"b" * ((1 << 20) - 1))
            answers.append(await reader.read())
            writer.close()
        await between.close(1)
        return answers[0], answers[1]

    first, second = asyncio.run(through())
    assert first == second == b"b" * ((1 << 20) - 1) + b"a" and asked


def test_a_notebook_in_the_home_folder_is_refused(
    specs_inside: KernelSpecManager, environment: dict[str, str], home: Path
) -> None:
    file = home / "connection.json"
    write_connection_file(str(file))
    argv = specs_inside.get_kernel_spec(install.SANDBOXED).argv
    command = [argument.format(connection_file=file) for argument in argv]
    done = subprocess.run(command, cwd=home, env={**os.environ, **environment}, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 1 and done.stdout == b""
    said = done.stderr.decode()
    assert said.startswith("famulus: The kernel was not started") and said.count("\n") == 1
    assert "home folder" in said and "project folder" in said


def test_a_sandbox_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_all = struct.pack("=HBBI", 6, 0, 0, seccomp.ALLOW)
    monkeypatch.setattr(seccomp, "resident", lambda _machine: allow_all)
    said = sandboxed.check(Path(sys.executable))
    assert "let the self-test through" in said and "makes_namespaces" in said


def test_an_ordinary_user_has_the_sandbox_too() -> None:
    if os.getuid() != 0 or not (python := other_user_python()):
        pytest.skip("the tests already run as an ordinary user, or that user has no Python")
    code = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
os.environ["FAMULUS_HOME"] = sys.argv[2]
from famulus.jupyter_kernel import sandboxed
print(sandboxed.check(Path(sys.executable)))
"""
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o777)
        said = as_nobody([python, "-P", "-c", code, str(ROOT), f"{home}/famulus"])
    assert said is not None and (said == "\n" or "does not find ipykernel" in said), "after a self-test that held"


def test_installing_checks_first(
    tmp_path: Path, bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "famulus"))

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["kernel", "install", "--sandbox", "--python", str(bare), "--prefix", str(tmp_path), *arguments])
        return int(str(ended.value.code))

    place = tmp_path / "share/jupyter/kernels/famulus-sandbox/kernel.json"
    for path, reason in ((Path.home(), "home folder"), (tempfile.gettempdir(), "temporary files")):
        assert run("--read", str(path)) == 1 and not place.exists()
        assert reason in capsys.readouterr().err
    assert run() == 1, "the packages of this environment are links to another"
    assert "does not find ipykernel" in capsys.readouterr().err
    packages = sysconfig.get_path("purelib")
    assert run("--read", packages) == 0
    spec = json.loads(place.read_text())
    assert (spec["display_name"], spec["interrupt_mode"]) == ("Python 3 · Famulus (sandbox)", "message")
    assert packages in spec["argv"]
    found = install.read(place.parent)
    assert found is not None and (found.python, found.problem) == (bare, "")


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def gone(pid: int) -> bool:
    """Nothing of it runs; somebody may still have to take note."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
