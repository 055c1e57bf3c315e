"""``famulus kernel``: where kernelspecs go, what they say, whom they refuse, and how they leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from famulus.cli import main
from famulus.commands.doctor import check_notebook
from famulus.jupyter_kernel import install

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command inside this process, with a Jupyter folder of its own and no other."""
    for name in ("JUPYTER_PATH", "JUPYTER_PLATFORM_DIRS", "VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))

    def run(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        with pytest.raises(SystemExit) as ended:
            main(["kernel", *map(os.fspath, arguments)])
        shown = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(arguments, ended.value.code, shown.out, shown.err)

    return run


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """Where the user's own kernels stand."""
    return tmp_path / "jupyter/kernels"


def failed(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.startswith("famulus: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def spec(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "kernel.json").read_text()))


def listed(run: Run, *arguments: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """The kernels that ``list`` shows, by folder, without those of the environment of the tests."""
    found = json.loads(run("list", "--json", *arguments).stdout)
    return {kernel["folder"]: kernel for kernel in found if not kernel["folder"].startswith(sys.prefix)}


def test_without_options_the_users_jupyter_gets_the_kernel(run: Run, user: Path) -> None:
    done = run("install")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(user) in done.stdout and sys.executable in done.stdout
    found = spec(user / "famulus")
    assert found["argv"][:3] == [sys.executable, "-P", str(install.LAUNCHER)]
    assert found["argv"][3:] == ["-f", "{connection_file}", "--famulus-python", sys.executable]
    said = {key: found[key] for key in ("display_name", "language", "interrupt_mode")}
    assert said == {"display_name": "Python 3 · Famulus", "language": "python", "interrupt_mode": "signal"}
    assert found["metadata"]["debugger"] is True


def test_what_ipykernel_says_of_itself_holds_for_us(run: Run, user: Path) -> None:
    from ipykernel.kernelspec import get_kernel_dict

    run("install")
    ours, stock = spec(user / "famulus"), get_kernel_dict()
    assert ours["kernel_protocol_version"] == stock["kernel_protocol_version"]
    assert ours["metadata"] == {**stock["metadata"], "famulus": ours["metadata"]["famulus"]}


def test_jupyter_finds_the_kernel_and_its_pictures(run: Run, user: Path) -> None:
    run("install")
    found = KernelSpecManager(kernel_dirs=[str(user)]).get_kernel_spec("famulus")
    assert found.display_name == "Python 3 · Famulus"
    files = {path.name: path.read_bytes() for path in Path(found.resource_dir).iterdir()}
    assert set(files) == {"kernel.json", "logo-svg.svg", "logo-32x32.png", "logo-64x64.png"}
    assert all(files[name].startswith(b"\x89PNG") for name in files if name.endswith("png"))


def test_a_kernel_for_another_environment(run: Run, bare: Path, user: Path) -> None:
    """Named by its interpreter or by its folder; the engine still comes from Famulus's own."""
    for named in (bare, bare.parents[1]):
        assert run("install", "--python", named, "--sys-prefix").returncode == 0
    folder = bare.parents[1] / "share/jupyter/kernels/famulus"
    found = spec(folder)
    assert Path(found["argv"][0]).parent == bare.parent
    assert found["argv"][-1] == sys.executable
    assert not user.exists()
    assert str(folder) in listed(run, "--prefix", bare.parents[1])
    assert run("uninstall", "--python", bare, "--sys-prefix").returncode == 0
    assert not folder.exists()


def test_two_kernels_stand_side_by_side(run: Run, bare: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("install")
    assert "replaces the one for" in run("install", "--python", bare).stdout
    assert run("install", "--python", bare, "--name", "Second").returncode == 0
    assert run("install", "--name", "third", "--display-name", "第三").returncode == 0
    found = listed(run)
    names = {kernel["name"]: (kernel["display_name"], kernel["problem"]) for kernel in found.values()}
    assert names == {
        "famulus": ("Python 3 · Famulus", ""),
        "second": ("Python 3 · Famulus (Second)", ""),
        "third": ("第三", ""),
    }
    assert "第三" in run("list").stdout
    monkeypatch.setenv("VIRTUAL_ENV", str(bare.parents[1]))
    assert f"--python {bare.parents[1]}" in run("install").stdout


def test_uninstall_takes_away_what_install_put(run: Run, user: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "an environment"
    run("install", "--prefix", prefix)
    folder = prefix / "share/jupyter/kernels/famulus"
    assert folder.is_dir()
    failed(run("uninstall", "--user"), 1, str(user / "famulus"))
    assert str(folder) in run("uninstall", "--prefix", prefix).stdout
    assert not folder.exists()
    run("install")
    assert run("uninstall").returncode == 0
    assert list(user.iterdir()) == []
    assert listed(run) == {}


def test_uninstall_names_the_place_where_the_kernel_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--prefix", tmp_path / "there")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "there/share/jupyter"))
    failed(run("uninstall"), 1, f"--prefix {tmp_path / 'there'}")


def test_a_kernel_of_somebody_else_is_neither_replaced_nor_removed(run: Run, user: Path) -> None:
    for content in ('{"argv": ["R"], "display_name": "R", "language": "R"}', "{torn"):
        (user / "mine").mkdir(parents=True, exist_ok=True)
        (user / "mine/kernel.json").write_text(content)
        failed(run("install", "--name", "mine"), 1, "not from Famulus", "--name")
        failed(run("uninstall", "--name", "mine"), 1, "no kernel of Famulus")
        assert (user / "mine/kernel.json").read_text() == content
        assert listed(run) == {}


def test_what_is_gone_is_named(run: Run, user: Path, tmp_path: Path) -> None:
    run("install")
    found = spec(user / "famulus")
    gone = str(tmp_path / "gone/bin/python")
    for place in (0, 2, 6):
        argv = [gone if at == place else part for at, part in enumerate(found["argv"])]
        (user / "famulus/kernel.json").write_text(json.dumps({**found, "argv": argv}))
        [kernel] = listed(run).values()
        assert kernel["problem"] == f"{gone} is gone"
        assert f"{gone} is gone" in run("list").stdout
    assert run("uninstall").returncode == 0, "what is broken can be removed"


def test_the_doctor_knows_kernels(run: Run, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "kernel_folders", lambda: [user])
    [none] = check_notebook("notebook")
    assert (none.state, none.fix) == ("note", "Run: famulus kernel install")
    run("install")
    [fine] = check_notebook("notebook")
    assert fine.state == "ok" and sys.executable in fine.text
    found = spec(user / "famulus")
    gone = str(tmp_path / "gone/bin/python")
    (user / "famulus/kernel.json").write_text(json.dumps({**found, "argv": [gone, *found["argv"][1:]]}))
    [broken] = check_notebook("notebook")
    assert broken.state == "wrong" and f"{gone} is gone" in broken.text and "uninstall" in broken.fix


def test_interpreters_that_will_not_do_are_refused_with_what_to_do(run: Run, empty: Path, tmp_path: Path) -> None:
    failed(run("install", "--python", tmp_path / "none"), 1, "There is no interpreter", "--python")
    failed(run("install", "--python", tmp_path), 1, "holds no Python")
    failed(run("install", "--python", empty), 1, "no ipykernel", f'uv pip install --python "{empty}" "ipykernel>=7.0"')
    if os.name == "posix":
        for name, body in (
            ("silent", "exit 3"),
            ("old", """echo '{"python": "/x", "version": [3, 9, 1], "prefix": "/"}'"""),
        ):
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        failed(run("install", "--python", tmp_path / "silent"), 1, "exit status 3")
        failed(run("install", "--python", tmp_path / "old"), 1, "Python 3.11 or newer", "3.9.1")
    assert listed(run) == {}


def test_an_ipykernel_that_is_too_old_is_refused(
    run: Run, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old/ipykernel"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text("version_info = (6, 29, 5)\n")
    (old / "kernelspec.py").write_text("def get_kernel_dict(): return {}\n")
    (tmp_path / "old/jupyter_core").mkdir()
    (tmp_path / "old/jupyter_core/paths.py").write_text("def jupyter_data_dir(): return '/'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "old"))
    failed(run("install", "--python", empty), 1, "has ipykernel 6.29", "ipykernel>=7.0")


def test_a_module_in_the_current_folder_is_not_asked(
    run: Run, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ipykernel.py").write_text("raise SystemExit('the wrong module')\n")
    monkeypatch.chdir(tmp_path)
    assert run("install", "--python", bare).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [["--user", "--sys-prefix"], ["--user", "--prefix", "x"], ["--name", "a b"], ["--name", ".."], ["--name", ""]],
)
def test_wrong_usage(run: Run, user: Path, arguments: list[str]) -> None:
    for command in ("install", "uninstall"):
        failed(run(command, *arguments), 2, "--help")
    assert not user.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder that this user cannot write")
def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    failed(run("install", "--prefix", tmp_path / "locked"), 1, "cannot be written", "--user")


def test_a_file_in_the_way(run: Run, tmp_path: Path) -> None:
    (tmp_path / "share").write_text("")
    failed(run("install", "--prefix", tmp_path), 1, "cannot be written", "--user")


def test_jupyter_never_sees_half_a_kernel(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that is stopped leaves what was there, and no other file."""
    folder = user / "famulus"
    interpreter = install.examine(sys.executable)
    install.write(folder, install.kernelspec(interpreter, display_name="before"))
    kept = sorted(path.name for path in folder.iterdir())
    replace = os.replace

    def stopped(source: str, target: Path) -> None:
        if target.name == "kernel.json":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        install.write(folder, install.kernelspec(interpreter, display_name="after"))
    assert spec(folder)["display_name"] == "before"
    assert sorted(path.name for path in folder.iterdir()) == kept


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_our_rules_for_folders_are_those_of_jupyter(
    system: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For environments without jupyter_core, whose rules stand in its documentation."""
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_PATH", "XDG_DATA_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(tmp_path))
    expected = {"linux": ".local/share/jupyter", "darwin": "Library/Jupyter", "win32": ".jupyter/data"}[system]
    assert install.data_folder() == tmp_path / expected
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "first"))
    assert install.kernel_folders()[:2] == [tmp_path / "first/kernels", tmp_path / "named/kernels"]
    assert Path(sys.prefix, "share/jupyter/kernels") in install.kernel_folders()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_installs_the_kernel_once(tmp_path: Path) -> None:
    """A stand-in for the command writes down what it is asked to do."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "jupyter_kernel").mkdir()
    (tmp_path / "jupyter_kernel/install.py").touch()
    kernel = ".venv/share/jupyter/kernels/famulus/kernel.json"
    (tmp_path / kernel).parent.mkdir(parents=True)
    command = tmp_path / ".venv/bin/famulus"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\necho "$@" >>asked\necho "{{}}" >{kernel}\n')
    command.chmod(0o755)
    (tmp_path / ".venv/.installed").touch()
    for _ in range(2):
        subprocess.run(["make", kernel], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert (tmp_path / "asked").read_text() == "kernel install --sys-prefix\n"
