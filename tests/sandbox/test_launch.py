"""What a caller of the launcher may rely on: results, streams, environment, view, workers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from famulus.sandbox import (
    LaunchFailed,
    Limits,
    UnsafeEnvironment,
    UnsafeView,
    Workspace,
    run,
    spawn,
)
from famulus.sandbox.process import Backend


def python(code: str, backend: Backend, **options: object) -> object:
    return json.loads(run([sys.executable, "-c", code], backend=backend, **options).stdout.data)  # type: ignore[arg-type]


def test_how_a_run_ended(backend: Backend) -> None:
    fine = run(["/bin/sh", "-c", "echo out; echo err >&2"], backend=backend)
    assert (fine.status, fine.ok, fine.returncode, fine.reason) == ("ok", True, 0, "")
    assert (fine.stdout.data, fine.stderr.data, fine.level) == (b"out\n", b"err\n", backend)
    failed = run(["/bin/sh", "-c", "exit 3"], backend=backend)
    assert (failed.status, failed.returncode, failed.reason) == ("failed", 3, "exit code 3")
    crashed = run(["/bin/sh", "-c", "kill -SEGV $$"], backend=backend)
    assert (crashed.status, crashed.returncode) == ("killed", 139)


def test_standard_input(backend: Backend) -> None:
    assert run(["/bin/cat"], backend=backend).stdout.data == b""
    large = bytes(range(256)) * 10_000
    assert run(["/usr/bin/wc", "-c"], backend=backend, stdin=large).stdout.data.strip() == b"2560000"


def test_environment_is_made_from_scratch(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    monkeypatch.setenv("HARMLESS", "still not passed on")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    found = python(code, backend, env={"MODE": "test"})
    assert isinstance(found, dict)
    assert found["MODE"] == "test"
    assert not {"MY_API_KEY", "HARMLESS", "LD_LIBRARY_PATH", "SSH_AUTH_SOCK"} & found.keys()
    assert found["HOME"] != os.path.expanduser("~")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "hf_token", "DB_PASSWORD", "SSH_AUTH_SOCK", "LD_PRELOAD"])
def test_secrets_are_refused_even_when_asked_for(name: str) -> None:
    with pytest.raises(UnsafeEnvironment, match=name):
        run(["/bin/true"], env={name: "x"})


def test_temporary_folder_and_home_are_fresh(backend: Backend) -> None:
    code = """
import json, os, tempfile
with tempfile.TemporaryDirectory() as folder:
    open(folder + "/x", "w").write("x")
open(os.path.expanduser("~/.config"), "w").write("x")
print(json.dumps(sorted(os.listdir(os.path.expanduser("~")))))
"""
    assert python(code, backend) == [".config"]
    assert python(code, backend) == [".config"]


def test_a_project_under_tmp_is_seen_and_stays_as_it_is(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("value = 7\n")
    code = "import json, os, module; print(json.dumps([os.getcwd(), os.listdir('.'), module.value]))"
    assert python(code, backend, project=tmp_path) == [str(tmp_path), ["module.py"], 7]
    refused = run([sys.executable, "-c", "open('module.py', 'w')"], backend=backend, project=tmp_path)
    assert refused.status == "failed"
    assert os.listdir(tmp_path) == ["module.py"]


def test_a_project_behind_a_link(backend: Backend, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "module.py").write_text("value = 7\n")
    (tmp_path / "link").symlink_to(real)
    code = f"import json; print(json.dumps(open({str(tmp_path / 'link' / 'module.py')!r}).read()))"
    assert python(code, backend, project=tmp_path / "link") == "value = 7\n"


def test_nothing_beside_the_project_is_seen(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project-private").mkdir()
    (tmp_path / "project-private" / "file").write_text("x")
    code = f"print(open({str(tmp_path / 'project-private' / 'file')!r}).read())"
    assert not run([sys.executable, "-c", code], backend=backend, project=tmp_path / "project").ok
    shown = run(
        [sys.executable, "-c", code], backend=backend, project=tmp_path / "project",
        readable=[tmp_path / "project-private"],
    )  # fmt: skip
    assert shown.ok


def test_working_folder(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    code = "import os, json; print(json.dumps(os.getcwd()))"
    assert python(code, backend, project=tmp_path, cwd=tmp_path / "inner") == str(tmp_path / "inner")
    with pytest.raises(UnsafeView, match="outside"):
        run(["/bin/true"], backend=backend, project=tmp_path / "inner", cwd=tmp_path)


def test_the_home_folder_is_never_a_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "someone"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "elsewhere").symlink_to(home)
    for path in (home, tmp_path, Path("/"), tmp_path / "elsewhere"):
        with pytest.raises(UnsafeView, match="must not"):
            run(["/bin/true"], project=path)
    (home / "project").mkdir()
    assert run(["/bin/true"], project=home / "project").ok


def test_the_interpreters_own_packages_are_there(backend: Backend) -> None:
    """The environment of the interpreter, and what it stands on, wherever they live."""
    assert python("import json, pytest, msgspec; print(json.dumps(1))", backend) == 1


def test_a_program_that_cannot_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    for name in ("no-such-program", "/no/such/program", str(plain), str(tmp_path)):
        with pytest.raises(LaunchFailed, match="cannot be run"):
            run([name])
    with pytest.raises(LaunchFailed, match="does not exist"):
        run(["/bin/true"], project=tmp_path / "missing")


def test_a_program_that_the_kernel_refuses(backend: Backend, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    if backend == "landlock":
        with pytest.raises(LaunchFailed, match="Exec format"):
            run([str(broken)], backend=backend, project=tmp_path)
    else:  # bubblewrap tries it as a shell script, as execvp does
        assert not run([str(broken)], backend=backend, project=tmp_path).ok


WORKER = """
import sys, json
for line in sys.stdin:
    print(json.dumps(json.loads(line) * 2), flush=True)
print("bye", file=sys.stderr)
"""


def test_a_worker_answers_over_its_pipes(backend: Backend) -> None:
    limits = Limits(wall_seconds=None, cpu_seconds=None)
    with spawn([sys.executable, "-c", WORKER], backend=backend, limits=limits) as worker:
        assert worker.stdin and worker.stdout
        for number in range(20):
            worker.stdin.write(b"%d\n" % number)
            assert worker.stdout.readline() == b"%d\n" % (number * 2)
        assert worker.poll() is None
        with pytest.raises(TimeoutError):
            worker.wait(0.01)
        worker.stdin.close()
        result = worker.wait(10)
    assert result.ok
    assert result.stderr.data == b"bye\n"
    assert worker.wait() is result


def test_a_worker_answers_over_a_descriptor(backend: Backend) -> None:
    ours, theirs = socket.socketpair()
    code = f"import os; os.write({theirs.fileno()}, os.read({theirs.fileno()}, 100).upper()); print('noise')"
    with (
        ours,
        spawn(
            [sys.executable, "-c", code], backend=backend, stdin=False, stdout=False, pass_fds=[theirs.fileno()]
        ) as worker,
    ):
        theirs.close()
        ours.sendall(b"hello")
        assert ours.recv(100) == b"HELLO"
        result = worker.wait(10)
        assert ours.recv(100) == b""  # nobody else holds the other end
    assert result.stdout.data == b"noise\n"


def test_a_worker_that_floods_its_errors_does_not_block(backend: Backend) -> None:
    code = "import sys; sys.stderr.write('x' * 1_000_000); print('done')"
    with spawn([sys.executable, "-c", code], backend=backend) as worker:
        assert worker.stdout and worker.stdout.readline() == b"done\n"
        assert worker.wait(10).stderr.total == 1_000_000


def test_killing_from_another_thread(backend: Backend) -> None:
    with spawn(["/bin/sleep", "600"], backend=backend) as worker:
        threading.Timer(0.1, worker.kill).start()
        assert worker.wait(10).status == "killed"
    worker.kill()  # harmless when it is over


def test_a_worker_outlives_the_thread_that_started_it(backend: Backend) -> None:
    started = []
    thread = threading.Thread(target=lambda: started.append(spawn(["/bin/cat"], backend=backend)))
    thread.start()
    thread.join()
    with started[0] as worker:
        worker.stdin.write(b"still here\n")
        assert worker.stdout.readline() == b"still here\n"


def test_descriptors_and_processes_of_the_caller_do_not_pile_up(backend: Backend, tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        children = subprocess.run(["ps", "--ppid", str(os.getpid())], capture_output=True, check=False)
        return len(os.listdir("/proc/self/fd")), children.stdout.count(b"\n")

    run(["/bin/true"], backend=backend)
    before = held()
    for _ in range(5):
        run(["/bin/true"], backend=backend, stdin=b"x", project=tmp_path)
        with pytest.raises(LaunchFailed):
            run(["no-such-program"], backend=backend)
    assert held() == before


def test_results_in_a_workspace_stay_out_of_the_project(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with Workspace(tmp_path) as workspace:
        code = "open('a.txt', 'a').write('b'); open('conftest.py', 'w').write('')"
        assert run([sys.executable, "-c", code], project=workspace, backend=backend).ok
        assert [(change.path, change.kind, change.protected) for change in workspace.changes()] == [
            ("a.txt", "modified", False),
            ("conftest.py", "added", True),
        ]
        assert run(["/bin/cat", "a.txt"], project=workspace, backend=backend).stdout.data == b"ab"
        assert workspace.read("a.txt") == b"ab"
    assert (tmp_path / "a.txt").read_text() == "a"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_pytest_runs_in_a_workspace(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(tmp_path):\n    (tmp_path / 'x').write_text('x')\n")
    with Workspace(tmp_path) as workspace:
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:rerunfailures"]
        result = run(argv, project=workspace, backend=backend)
    assert b"1 passed" in result.stdout.data, result


def test_usual_code_works(backend: Backend) -> None:
    """A sandbox in which ordinary programs break would be switched off."""
    code = """
import asyncio, concurrent.futures, json, os, shutil, sqlite3, subprocess, tempfile
async def main(): return await asyncio.sleep(0, 1)
folder = tempfile.mkdtemp()
open(folder + "/a", "w").write("x"); shutil.copy2(folder + "/a", folder + "/b")
os.replace(folder + "/b", folder + "/c")
database = sqlite3.connect(folder + "/db"); database.execute("create table t (x)"); database.commit()
with concurrent.futures.ThreadPoolExecutor(2) as pool: total = sum(pool.map(int, "123"))
shell = subprocess.run(["sh", "-c", "echo $((1+1)) | cat"], capture_output=True).stdout.decode()
print(json.dumps([asyncio.run(main()), total, shell, sorted(os.listdir(folder))]))
"""
    assert python(code, backend) == [1, 6, "2\n", ["a", "c", "db"]]
