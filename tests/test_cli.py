"""The command without a model: its manners, its refusals, and a doctor that works when nothing else does."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.cli import main
from famulus.engine.catalog import EMBEDDED, installed_root
from famulus.engine.folders import folders
from famulus.engine.runtime import FileLock, Notice, RuntimeFiles, runtime_files
from tests.conftest import MODEL

COMMAND = Path(sys.executable).with_name("famulus")


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """It ended with ``status`` and said one sentence with these words, and nothing else."""
    assert done.returncode == status, done
    assert done.stderr.startswith("famulus: ")
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


@pytest.fixture
def run_here(
    capfd: pytest.CaptureFixture[str], lonely: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command inside this process, which is faster."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("FAMULUS_HOME", str(lonely.home))
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        shown = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(arguments, ended.value.code, shown.out, shown.err)

    return run


def test_help_is_light() -> None:
    """Half a second of processor time at most, and nothing heavy is loaded."""
    program = """
import sys, time
sys.argv = ["famulus", "--help"]
from famulus.cli import main
try: main()
except SystemExit as end: assert end.code == 0
heavy = {"torch", "triton", "numpy", "tree_sitter", "transformers", "tokenizers", "starlette"} & set(sys.modules)
print("cpu", time.process_time(), "heavy", sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()[-1].split(maxsplit=3)
    assert words[3] == "[]"
    assert float(words[1]) < 0.5
    for name in ("tour", "serve", "status", "stop", "complete", "generate", "models", "doctor", "version", "bench"):
        assert f" {name} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bad"], ["--bad"]),
        (["nonsense"], ["nonsense"]),
        (["complete"], ["FILE:LINE:COLUMN"]),
        (["complete", "x.py"], ["FILE:LINE:COLUMN", "x.py"]),
        (["complete", "x.py:0:1"], ["numbers from 1"]),
        (["complete", "x.py:1:1", "--max-tokens", "0"], ["--max-tokens"]),
        (["generate", "--temperature", "nan", "x"], ["--temperature"]),
        (["generate", "--temperature", "-1", "x"], ["--temperature"]),
        (["generate", "--top-p", "2", "x"], ["--top-p"]),
        (["serve", "--port", "65536"], ["--port"]),
        (["serve", "--port", "x"], ["--port"]),
        (["models", "nonsense"], ["nonsense"]),
        (["models", "pull"], ["ID"]),
        (["bench", "nonsense"], ["nonsense"]),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence(run_here: Any, arguments: list[str], words: list[str]) -> None:
    refused(run_here(*arguments), 2, *words)


def test_without_a_command_the_help_is_shown(run_here: Any) -> None:
    for arguments in ([], ["models"]):
        done = run_here(*arguments)
        assert (done.returncode, done.stderr) == (2, "")
        assert "Usage: famulus" in done.stdout


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"x = 1\n", "3:1", ["has 2 lines"]),
        (b"x = 1\n", "1:7", ["has 5 characters", "column 7"]),
        ("🚀\n".encode(), "1:3", ["has 1 character;", "The last column is 2"]),
        (b"", "1:2", ["has 0 characters"]),
        (b"\0\1", "1:1", ["is a binary file"]),
        (b"\xff\n", "1:1", ["is not UTF-8 text"]),
        (None, "1:1", ["There is no file"]),
    ],
)
def test_a_place_that_cannot_be_completed_ends_with_1(
    run_here: Any, lonely: Any, tmp_path: Path, content: bytes | None, place: str, words: list[str]
) -> None:
    file = tmp_path / "x.py"
    if content is not None:
        file.write_bytes(content)
    refused(run_here("complete", f"{file}:{place}"), 1, "x.py", *words)
    assert not (lonely.home / "run").exists(), "an engine was started for nothing"


def test_a_folder_is_no_file_to_complete(run_here: Any, tmp_path: Path) -> None:
    refused(run_here("complete", f"{tmp_path}:1:1"), 1, "is a folder")


def test_a_prompt_that_is_not_text_is_refused(lonely: Any) -> None:
    refused(lonely("generate", "-", stdin=b"\xff"), 1, "not UTF-8")


def test_a_traceback_is_shown_only_on_demand(lonely: Any) -> None:
    quiet, loud = lonely("status"), lonely("--debug", "status")
    refused(quiet, 1, "No engine runs.")
    assert loud.returncode == 1
    assert "Traceback" in loud.stderr
    assert loud.stderr.endswith(quiet.stderr)


def test_a_mistake_of_ours_is_one_sentence_too() -> None:
    program = (
        "from famulus import cli; from famulus.commands import version; version.installed = None; cli.main(['version'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    refused(done, 1, "Famulus itself failed (TypeError", "--debug")


def test_ctrl_c_while_the_commands_are_loaded_ends_quietly() -> None:
    """A second is enough for somebody to change their mind."""
    code = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "famulus.commands.application":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from famulus.cli import main
main(["review"])
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_no_engine_is_no_failure_for_stop(lonely: Any) -> None:
    done = lonely("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "No engine runs.\n", "")


def test_a_reader_that_leaves_early_is_nothing_to_complain_about(lonely: Any) -> None:
    process = lonely.start("models", "list")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_respected(lonely: Any, environment: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [COMMAND, "--help"], stdout=theirs, stderr=theirs, stdin=theirs, env=lonely.env(TERM="xterm", **environment)
        )
        os.close(theirs)
        shown = bytearray()
        try:
            while block := screen.read(4096):
                shown += block
        except OSError:
            pass  # how a terminal of Linux says that nobody holds its other end any more
        process.wait()
    assert b"complete" in shown
    assert (re.search(rb"\x1b\[[0-9;]*3[0-7]", bytes(shown)) is not None) == coloured


def test_the_models_are_listed_with_what_matters(lonely: Any) -> None:
    listed = {entry["id"]: entry for entry in json.loads(lonely("models", "list", "--json").stdout)}
    embedded = listed[EMBEDDED]
    assert embedded["licence"] == "Apache-2.0"
    assert embedded["runs"] is True
    assert Path(embedded["path"]).is_dir()
    assert listed["qwen2.5-coder-7b"]["path"] is None
    shown = lonely("models", "list").stdout
    assert all(id in shown for id in listed)
    described = lonely("models", "info", EMBEDDED).stdout
    assert "135 million" in described and "Apache-2.0" in described and "8192" in described


def test_a_model_of_ones_own_is_listed_by_its_name(lonely: Any) -> None:
    own = lonely.home / "data/models/mine.gguf"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"GGUF")
    assert "mine " in lonely("models", "list").stdout
    refused(lonely("models", "remove", "mine"), 1, "mine.gguf", "Delete it yourself")
    assert own.exists()


def test_unknown_and_absent_models_are_told_apart(run_here: Any) -> None:
    for command in ("info", "pull", "verify", "remove"):
        refused(
            run_here("models", command, "qwen2.5-coder-7x"), 1, "no model called 'qwen2.5-coder-7x'", "Did you mean"
        )
    for command in ("verify", "remove"):
        refused(run_here("models", command, "qwen2.5-coder-7b"), 1, "is not on this machine")
    for id in (EMBEDDED, MODEL):
        refused(run_here("models", "remove", id), 1, "belongs to the installation")
    refused(run_here("serve", "--model", "no/such/model"), 1, "There is no model at no/such/model")
    refused(run_here("serve", "--model", "qwen2.5-coder-7b"), 1, "famulus models pull qwen2.5-coder-7b")


def test_a_damaged_model_is_found_and_removed(lonely: Any) -> None:
    copy = lonely.home / "data/models" / EMBEDDED
    shutil.copytree(installed_root(Path(sys.prefix)) / EMBEDDED, copy)
    assert "1 of 1 files" in lonely("models", "verify", EMBEDDED).stdout
    weights = next(copy.glob("*.gguf"))
    with open(weights, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    refused(lonely("models", "verify", EMBEDDED), 1, weights.name)
    assert lonely("models", "remove", EMBEDDED).stdout == f"{EMBEDDED} is removed.\n"
    assert not copy.exists()


@pytest.mark.slow
def test_an_unreachable_hub_is_one_sentence(lonely: Any) -> None:
    done = lonely("models", "pull", "qwen2.5-coder-0.5b", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert done.stdout == "qwen2.5-coder-0.5b is published under the licence Apache-2.0.\n"
    assert done.returncode == 1
    assert done.stderr.startswith("famulus: ") and done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_sentence(lonely: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = lonely("serve", "--port", str(port))
    assert done.returncode == 1
    assert "famulus: " in done.stderr and str(port) in done.stderr.splitlines()[-1]


def test_a_home_that_cannot_be_written_is_one_sentence(lonely: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "x.py").write_text("x = \n")
    for home in ("/sys/famulus", str(tmp_path / "file/home")):
        refused(lonely("complete", f"{tmp_path / 'x.py'}:1:5", FAMULUS_HOME=home), 1, home)
        refused(lonely("serve", FAMULUS_HOME=home), 1, home)


def test_a_mistake_in_the_settings_is_one_sentence(lonely: Any) -> None:
    write_settings(lonely.home, 'modell = "x"\n')
    refused(lonely("serve"), 1, "famulus.toml", "modell", "Did you mean 'model'")


# -- the doctor


def examined(done: subprocess.CompletedProcess[str]) -> dict[str, list[dict[str, str]]]:
    """The findings by part."""
    assert done.stderr == ""
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(done.stdout):
        found.setdefault(finding["part"], []).append(finding)
    return found


def test_the_doctor_explains_a_machine_in_order(lonely: Any) -> None:
    done = lonely("doctor", "--json")
    found = examined(done)
    assert [f["state"] for f in found["folders"]] == ["ok"] * 3
    assert found["model"][0]["text"].startswith(MODEL)
    assert any(f["text"].startswith("threads: ") and "measured" in f["text"] for f in found["plan"])
    assert found["engine"][0]["text"].startswith("None runs")
    assert found["packed"][0]["text"].startswith("empty")
    assert {"Python", "torch", "machine", "sandbox", "settings"} < set(found)
    linear = next(f["text"] for f in found["kernels"] if f["text"].startswith("linear: "))
    assert (
        "int8 weights" in linear.partition("; on a GPU: ")[0] and "weights are" in linear.partition("; on a GPU: ")[2]
    )
    wrong = [f for part in found.values() for f in part if f["state"] == "wrong" and f["part"] != "sandbox"]
    assert wrong == []
    assert all(f["fix"] for part in found.values() for f in part if f["state"] == "wrong")


def stale_socket(files: RuntimeFiles) -> None:
    files.folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(files.socket))
    Notice("g", 1, 1, "0", str(files.socket), None).write(files.notice)


def write_settings(home: Path, text: str) -> None:
    (home / "config").mkdir()
    (home / "config/famulus.toml").write_text(text)


def ill(found: dict[str, list[dict[str, str]]], part: str, state: str) -> str:
    """The text of the one finding of ``part`` with this state, which has a fix."""
    [finding] = [finding for finding in found[part] if finding["state"] == state]
    assert finding["fix"]
    return finding["text"]


def test_the_doctor_names_everything_that_is_broken(lonely: Any) -> None:
    stale_socket(runtime_files(folders(lonely.home)))
    write_settings(lonely.home, 'model = "qwen2.5-coder-7b"\n')
    (lonely.home / "cache").touch()
    done = lonely("doctor", "--json")
    found = examined(done)
    assert done.returncode == 1
    assert "left its socket behind" in ill(found, "engine", "note")
    assert "qwen2.5-coder-7b is not on this machine" in ill(found, "model", "wrong")
    assert str(lonely.home / "cache") in ill(found, "folders", "wrong")
    assert "sandbox" in found, "the other checks go on"


def test_the_doctor_sees_settings_that_are_wrong_and_an_engine_that_hangs(lonely: Any) -> None:
    files = runtime_files(folders(lonely.home))
    stale_socket(files)
    write_settings(lonely.home, "threads = -1\n")
    lock = FileLock(files.lock)
    assert lock.acquire()
    try:
        found = examined(lonely("doctor", "--json"))
        assert "threads = -1 is not allowed" in ill(found, "settings", "wrong")
        assert ill(found, "engine", "wrong") == "An engine runs, but it does not answer."
        refused(lonely("stop"), 1, "No engine")
    finally:
        lock.release()


def test_the_doctor_works_without_a_home_to_write(lonely: Any) -> None:
    found = examined(lonely("doctor", "--json", FAMULUS_HOME="/sys/famulus"))
    assert [f["state"] for f in found["folders"]] == ["wrong"] * 3
    assert all("FAMULUS_HOME" in f["fix"] for f in found["folders"])
    assert found["plan"]
