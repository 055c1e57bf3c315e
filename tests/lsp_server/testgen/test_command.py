"""``famulus testgen`` as typed: what it shows, writes, refuses, and says about a change and about a suite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from famulus.commands import application

COMMAND = str(Path(sys.executable).with_name("famulus"))
PATIENCE = 200
SHOP = '''\
def price(net: float, vat: float = 0.2) -> float:
    """The price with tax."""
    if net < 0:
        raise ValueError("net must not be negative")
    return round(net * (1 + vat), 2)


def clamp(x: int, low: int, high: int) -> int:
    """x, but at least low and at most high."""
    return max(low, min(x, high))
'''
BROKEN = SHOP.replace("min(x, high)", "min(x, high - 1)")
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def famulus(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, "testgen", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=PATIENCE
    )


def committed(folder: Path, **files: str) -> None:
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    user = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
    for command in (["init", "--quiet"], ["add", "."], [*user, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **QUIET}, check=True)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["."], "is a folder"),
        (["shpo.py"], "Did you mean shop.py?"),
        (["shop.txt"], "names no Python file"),
        (["shop.pyi::price"], "shop.pyi::price is a stub"),
        (["shop.ipynb"], "shop.ipynb is a notebook"),
        (["shop.py::prise"], "Did you mean price?"),
        (["shop.py::nothing"], "It has price, clamp."),
        (["shop.py:900"], "names no function or class"),
        (["broken.py"], "broken.py has a syntax error in line 2"),
        (["test_old.py"], "holds tests itself"),
        (["empty.py"], "is empty"),
        (["bytes.py"], "is no UTF-8 text"),
        (["constants.py"], "no function in it that other code may call"),
        (["shop.py", "../other/a.py"], "Name files of one project"),
        (["--changed"], "There is no git repository here"),
        (["--audit", "nowhere"], "nowhere is not there"),
        (["--audit", "shop.py"], "holds no tests"),
        ([], "name a file, as in: famulus testgen shop.py"),
        (["shop.py", "--write", "--dry-run"], "contradicts --dry-run"),
        (["shop.py", "--budget", "soon"], "no time such as 30s"),
        (["shop.py", "--format", "xml"], "is none of terminal, json, stream"),
    ],
)
def test_what_cannot_be_done_is_one_clear_sentence(
    shop: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in {
        "broken.py": b"x = 1\ndef f(:\n",
        "test_old.py": b"def test_a(): pass\n",
        "empty.py": b"",
        "bytes.py": b"x = '\xff'\n",
        "constants.py": b"X = 1\n",
    }.items():
        (shop / name).write_bytes(content)
    (shop.parent / "other").mkdir(exist_ok=True)
    (shop.parent / "other/a.py").write_text("def f(): pass\n")
    monkeypatch.chdir(shop)
    status = application.run(["testgen", *arguments])
    shown = capsys.readouterr()
    assert status in (1, 2)
    assert said in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


def test_a_test_file_that_does_not_parse_stays_as_it_is(shop: Path) -> None:
    (shop / "test_shop.py").write_text("def test_a(:\n")
    done = famulus(shop, "shop.py", "--write")
    assert (done.returncode, done.stderr) == (1, "")
    assert "test_shop.py has a syntax error: mend it first." in done.stdout
    assert (shop / "test_shop.py").read_text() == "def test_a(:\n"


def test_what_is_shown_is_a_patch_and_nothing_is_written(shop: Path) -> None:
    before = sorted(shop.rglob("*"))
    done = famulus(shop, "shop.py::clamp")
    assert done.returncode == 0, done.stderr
    assert sorted(shop.rglob("*")) == before
    assert done.stdout.startswith("--- /dev/null\n+++ b/test_shop.py\n")
    assert "clamp: mutation score 0 % → 100 %" in done.stdout
    patch = done.stdout[: done.stdout.index("\ntest_shop.py: ") + 1]
    subprocess.run(["git", "apply", "-"], cwd=shop, input=patch, text=True, check=True)
    assert famulus(shop, "--audit", "test_shop.py").stdout.startswith("0 of ")


def test_a_suite_is_told_which_of_its_tests_check_nothing(shop: Path) -> None:
    (shop / "tests").mkdir()
    (shop / "tests/test_shop.py").write_text(
        "from unittest import mock\n\nimport shop\n\n\n"
        "def test_calls():\n    shop.price(1)\n\n\n"
        "def test_checks():\n    assert shop.clamp(5, 0, 3) == 3\n    assert shop.clamp(-1, 0, 3) == 0\n\n\n"
        "def test_type():\n    assert str(shop.clamp(2, 1, 3))\n\n\n"
        "def test_nothing():\n    assert 1 == 1\n\n\n"
        "def test_mock():\n    told = mock.Mock()\n    told(shop.price(1))\n    told.assert_called_once()\n"
    )
    done = famulus(shop, "--audit", "tests", "--format", "json", "--budget", "120s")
    said = json.loads(done.stdout)
    assert said["complete"], said
    assert {one["test"].partition("::")[2]: one["verdict"] for one in said["idle"]} == {
        "test_calls": "no assertion",
        "test_type": "kills nothing",
        "test_nothing": "runs no code of the project",
        "test_mock": "only mocks",
    }


def test_tests_of_a_change_say_what_they_say_about_it(tmp_path: Path) -> None:
    committed(tmp_path, shop=SHOP, tests__test_other="def test_other():\n    assert True\n")
    assert "No function differs" in famulus(tmp_path, "--changed").stderr
    (tmp_path / "shop.py").write_text(BROKEN)
    done = famulus(tmp_path, "--changed", "--format", "json", "--budget", "60s")
    files: list[dict[str, Any]] = json.loads(done.stdout)["files"]
    assert {f["name"] for one in files for f in one["functions"]} == {"clamp"}
    assert files[0]["path"] == "tests/test_shop.py"
    assert "shows the change" in {test["label"] for test in files[0]["tests"]}
    assert [witness for one in files for witness in one["witnesses"]]


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_leaves_nothing_behind_and_keeps_what_is_ready(shop: Path) -> None:
    (shop / "first.py").write_text("def double(x: int) -> int:\n    return x * 2\n")
    (shop / "second.py").write_text("def endless(x: int) -> int:\n    while x != x + 1:\n        pass\n    return x\n")
    command = [COMMAND, "testgen", "first.py", "second.py", "--write", "--format", "stream", "--budget", "600s"]
    with subprocess.Popen(command, cwd=shop, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if [one["event"] for one in events].count("file") == 1 and events[-1]["event"] == "file":
                process.send_signal(signal.SIGINT)
        status = process.wait(PATIENCE)
    assert [one["event"] for one in events][-1] == "end"
    assert next(one["file"]["path"] for one in events if one["event"] == "file") == "test_first.py"
    assert (shop / "test_first.py").read_text().count("def test_") >= 1
    assert status in (0, 130)
    assert events[-1]["complete"] == (status == 0)
