"""The shape of the project: what can be imported, what a wheel holds, what is pinned, and what make says."""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = ("engine", "kernels", "lsp_server", "jupyter_kernel", "sandbox", "bench")


def python(*arguments: str, cwd: Path, executable: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [executable, "-P", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100
    )


def test_bare_names_cannot_be_imported(tmp_path: Path) -> None:
    """A package called kernels breaks transformers, and a user's engine.py must not be run in place of ours."""
    program = f"""
import importlib.util
assert importlib.util.find_spec("famulus.engine") is not None
print([name for name in {(*FOLDERS, "tour", "docs", "tests")} if importlib.util.find_spec(name) is not None])
"""
    for folder in (tmp_path, ROOT):
        done = python("-c", program, cwd=folder)
        assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_users_module_does_not_take_our_place(tmp_path: Path) -> None:
    for name in (*FOLDERS, "typing_extensions", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    done = python("-m", "famulus", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


COMMANDS = ("famulus.cli", "famulus.commands.application")


@pytest.mark.parametrize("module", ["famulus", "famulus.sdk", "famulus.engine", "famulus.engine.client", *COMMANDS])
def test_front_ends_stay_light(module: str, tmp_path: Path) -> None:
    program = f"""
import sys
known = set(sys.modules)
import {module}
print(sorted({{"torch", "triton", "numpy", "tree_sitter", "msgspec", "pydantic"}} & (set(sys.modules) - known)))
"""
    done = python("-c", program, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_sdk_is_loaded_only_when_it_is_used(tmp_path: Path) -> None:
    program = """
import sys, famulus
assert "famulus.sdk" not in sys.modules
assert famulus.connect.__module__ == "famulus.engine.client"
try: famulus.nonsense
except AttributeError as error: print(error)
"""
    assert python("-c", program, cwd=tmp_path).stdout == "module 'famulus' has no attribute 'nonsense'\n"


def test_every_folder_is_one_link_inside_the_package() -> None:
    links = {path.name: path.readlink() for path in (ROOT / "famulus").iterdir() if path.is_symlink()}
    assert links == {**{name: Path("..") / name for name in FOLDERS}, "tour": Path("../docs/tour")}
    for name in FOLDERS:
        assert (ROOT / name / "__init__.py").is_file()


def test_everything_that_make_installs_is_pinned_to_what_is_installed() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(r.name): r for r in map(Requirement, lines)}
    assert str(pinned["torch"].specifier) == "==2.13.0"
    assert str(pinned["triton"].specifier) == "==3.7.1" and pinned["triton"].marker is not None
    needed, queue = set(), [("famulus", "dev"), ("famulus", "")]
    while queue:
        name, extra = queue.pop()
        if (name, extra) in needed:
            continue
        needed.add((name, extra))
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                queue += [(canonicalize_name(requirement.name), e) for e in (*requirement.extras, "")]
    for name in sorted({name for name, _ in needed} - {"famulus"}):
        assert name in pinned, f"{name} is installed, but constraints.txt does not name it"
        assert all(spec.operator == "==" for spec in pinned[name].specifier)
        if name not in ("torch", "triton"):  # make keeps those that it finds
            assert pinned[name].specifier.contains(importlib.metadata.version(name)), name


def test_nothing_names_a_package_index_or_somebodys_machine() -> None:
    words = ["py" + "pi.org", "python" + "hosted", "download." + "pytorch", "/work" + "/main", "/home" + "/"]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes().decode(errors="replace")
        assert not [word for word in words if word in text], name


# -- make


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)


def test_make_test_checks_the_form_before_it_runs_code_and_ends_with_pytest() -> None:
    lines = make("-n", "test").stdout.splitlines()
    steps = [re.match(r"\.venv/bin/(ruff check|ruff format --check|mypy|lint-imports|pytest)", line) for line in lines]
    order = [step.group(1) for step in steps if step]
    assert order == ["ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"]
    assert ".venv/bin/pytest" in lines[-1]


def test_without_a_recent_python_make_says_what_to_install(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    done = make("venv", "PYTHONS=./old no-such-python", cwd=tmp_path)
    assert done.returncode != 0
    assert "Famulus needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_virtual_environment_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    scripts = tmp_path / ".venv/bin"
    scripts.mkdir(parents=True)
    (scripts / "python").symlink_to(sys.executable)
    (scripts / "pip").write_text("#!/somewhere/else/.venv/bin/python\n")
    assert "Creating .venv with Python 3" in make("venv", f"PYTHON={sys.executable}", cwd=tmp_path).stdout
    assert make("venv", cwd=tmp_path).stdout == ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_two_makes_at_once_make_one_virtual_environment(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: make("venv", f"PYTHON={sys.executable}", cwd=tmp_path), range(2)))
    assert [done.returncode for done in both] == [0, 0]
    assert sum("Creating .venv" in done.stdout for done in both) == 1


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("", "2.13.0"),
        ("1.13.1", "2.13.0"),
        ("2.9.1", "2.13.0"),
        ("2.10.0+cpu", "2.13.0"),
        ("2.11.0+cu128", "2.11.0+cu128"),
        ("2.13.0+cpu", "2.13.0+cpu"),
        ("3.0.0", "3.0.0"),
    ],
)
def test_a_torch_that_is_new_enough_is_kept(tmp_path: Path, found: str, wanted: str) -> None:
    """A stand-in for the interpreter tells which torch is there, and writes down what it is asked to install."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    scripts = tmp_path / ".venv/bin"
    scripts.mkdir(parents=True)
    (scripts / "python").write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo "{found}" || echo "$@" >>asked\n')
    (scripts / "python").chmod(0o755)
    assert make(".venv/.installed", cwd=tmp_path).returncode == 0
    pins = (tmp_path / ".venv/constraints.txt").read_text().splitlines()
    assert [pin for pin in pins if pin.startswith("torch==")] == [f"torch=={wanted}"]
    asked = tmp_path / "asked"
    assert "--constraint .venv/constraints.txt --editable .[dev]" in asked.read_text()
    make(".venv/.installed", cwd=tmp_path)
    assert len(asked.read_text().splitlines()) == 1, "nothing changed, and it installed again"
    later = (tmp_path / ".venv/.installed").stat().st_mtime + 1  # two files of one tick are equally old
    os.utime(tmp_path / "pyproject.toml", (later, later))
    make(".venv/.installed", cwd=tmp_path)
    assert len(asked.read_text().splitlines()) == 2, "a changed pyproject.toml was not installed"


# -- the wheel


@pytest.mark.slow
def test_a_wheel_holds_real_files_and_runs_without_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    pip = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, source], check=True, timeout=110)
    [wheel] = tmp_path.glob("famulus-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    ours = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in ours:
        if name.startswith(("engine/", "kernels/", "sandbox/")):
            assert f"famulus/{name}" in held
    assert {"famulus/py.typed", "famulus/engine/catalog.toml", "famulus/cli.py"} <= held
    assert {"famulus/tour/orders.py", "famulus/tour/sales.csv"} <= held
    assert not [name for name in held if "bench/" in name or "tests/" in name]
    assert {name.split("/")[0] for name in held} == {"famulus", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}

    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(fresh), "platbase": str(fresh)}))
    subprocess.run([*pip, "install", "--no-deps", "--target", packages, wheel], check=True, timeout=110)
    # Its dependencies come from here; the link to the checkout, which is a file beside them, is not followed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    program = """
import famulus.engine.catalog, famulus.kernels, famulus.sandbox, famulus.commands.tour as tour
print(famulus.__file__)
assert len(list(famulus.engine.catalog.Catalog())) > 5
assert (tour.FILES / tour.FILE).is_file()
"""
    interpreter = fresh / "bin/python"
    done = python("-c", program, cwd=tmp_path, executable=interpreter)
    assert done.stdout.startswith(str(packages)), done
    for name in ("engine", "kernels", "sandbox"):
        assert python("-c", f"import {name}", cwd=tmp_path, executable=interpreter).returncode == 1
    done = python("-m", "famulus", "bench", "engine", cwd=tmp_path, executable=interpreter)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("famulus: Benchmarks exist only in a checkout")
