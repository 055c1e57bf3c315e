"""The kernel in an environment that holds nothing of ours, beside modules of the user's that are called like ours."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from famulus.jupyter_kernel import install, launch
from tests.jupyter_kernel.conftest import OURS, PATIENCE, STOCK, Start

THEIRS = ("engine", "kernels", "sandbox", "bench", "lsp_server", "jupyter_kernel", "launch", "install", "json")
ROOT = Path(__file__).parents[2]


# -- the path


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder of the user's, with modules named like ours and like the standard library's."""
    for name in THEIRS:
        (tmp_path / f"{name}.py").write_text("OWNER = 'the user'\ndef double(n):\n    return 2 * n\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/__init__.py").write_text("OWNER = 'the user'\n")
    return tmp_path


@pytest.mark.parametrize("environment", [{"PYTHONPATH": "theirs"}, {"PYTHONSAFEPATH": "1"}], ids=["plain", "safe"])
def test_the_path_is_that_of_the_stock_kernel(
    start_kernel: Start, workplace: Path, environment: Mapping[str, str]
) -> None:
    seen = []
    for name in (OURS, STOCK):
        with start_kernel(name, cwd=workplace, environment=environment) as kernel:
            path = kernel.run("import sys; sys.path").value
            arguments = kernel.run("sys.argv[1] == '-f' and len(sys.argv)").value
            modules = kernel.run("import importlib.util; importlib.util.find_spec('engine') is None").value
            seen.append((path, arguments, modules))
    assert seen[0] == seen[1]
    assert seen[0][1:] == ("3", str("PYTHONSAFEPATH" in environment))


# -- an environment with ipykernel alone


@pytest.fixture(scope="session")
def bare_specs(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> KernelSpecManager:
    kernels = tmp_path_factory.mktemp("bare-kernels")
    install.write(kernels / OURS, install.kernelspec(install.examine(bare)))
    return KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False)


SURROUNDINGS = """
import importlib, json, os, sys
heavy = ("torch", "triton", "numpy", "pandas", "msgspec", "typer", "rich", "tokenizers")
report = {
    "owners": sorted({importlib.import_module(name).OWNER for name in NAMES}),
    "famulus": importlib.import_module("famulus").__file__,
    "beside": [path for path in sys.path if os.path.exists(os.path.join(path or ".", "famulus"))],
    "heavy": [name for name in heavy if name in sys.modules],
    "found": [name for name in heavy if importlib.util.find_spec(name)],
}
print(json.dumps(report))
"""


def test_beside_the_users_own_modules_nothing_of_ours_is_in_the_way(
    start_kernel: Start, bare_specs: KernelSpecManager, workplace: Path
) -> None:
    with start_kernel(cwd=workplace, specs=bare_specs) as kernel:
        loaded = kernel.run("import sys; print([n for n in sys.modules if n.startswith('famulus.engine.')])")
        assert len(ast.literal_eval(loaded.stream())) <= 2, "loaded before the first words cell"
        names = [name for name in THEIRS if name != "json"]  # the standard library stays before the current folder
        ran = kernel.run(f"NAMES = {[*names, 'tests']!r}\n{SURROUNDINGS}")
        assert ran.status == "ok", ran.reply
        report = json.loads(ran.stream())
        assert report["owners"] == ["the user"]
        assert Path(report["famulus"]).resolve() == ROOT / "famulus/__init__.py"
        assert (report["beside"], report["heavy"], report["found"]) == ([], [], [])
        assert kernel.run("json.__file__ == os.path.abspath('json.py')").value == "False"


def test_other_processes_of_a_cell_import_the_users_modules(
    start_kernel: Start, bare_specs: KernelSpecManager, workplace: Path
) -> None:
    code = """
import concurrent.futures, multiprocessing, sandbox
context = multiprocessing.get_context("spawn")
with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
    doubled = pool.submit(sandbox.double, 21).result(60)
doubled
"""
    with start_kernel(cwd=workplace, specs=bare_specs) as kernel:
        assert kernel.run(code).value == "42"


def test_a_words_cell_says_something_in_a_bare_environment(
    start_kernel: Start, bare_specs: KernelSpecManager, workplace: Path
) -> None:
    """Whatever the engine answers, no module is missing, and the next cell runs."""
    with start_kernel(cwd=workplace, specs=bare_specs) as kernel:
        kernel.run("prices = [3, 4, 5]")
        ran = kernel.run("#!ask\nadd up the prices and call it total")
        assert ran.reply.get("ename") not in ("ModuleNotFoundError", "ImportError"), ran.reply
        assert kernel.run("sum(prices)").value == "12"


# -- what else the kernel is started with


def test_the_users_configuration_and_the_options_of_the_kernelspec_count(start_kernel: Start, tmp_path: Path) -> None:
    profile = tmp_path / "ipython/profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup/00.py").write_text("from_startup = 1\n")
    (profile / "ipython_kernel_config.py").write_text("c.InteractiveShellApp.exec_lines = ['from_config = 2']\n")
    argv = install.kernelspec(install.examine(sys.executable), home=tmp_path / "home")
    argv["argv"].append("--InteractiveShell.ast_node_interactivity=all")
    install.write(tmp_path / "kernels" / OURS, argv)
    specs = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")], ensure_native_kernel=False)
    environment = {"IPYTHONDIR": str(tmp_path / "ipython")}
    with start_kernel(specs=specs, environment=environment, transport_encryption="required") as kernel:
        assert kernel.run("from_startup\nfrom_config").value == "12"
        assert kernel.run("own = get_ipython().kernel; own.famulus_python").value == repr(sys.executable)
        assert kernel.run("own.famulus_home").value == repr(str(tmp_path / "home"))
        info = json.loads(Path(kernel.manager.connection_file).read_text())
        assert info["curve_publickey"], "the kernelspec did not promise encryption"


# -- refusals


def refused(python: Path | str, *before: str, environment: Mapping[str, str] | None = None) -> str:
    """The one sentence with which the launcher ends."""
    command = [python, *before, install.LAUNCHER, "-f", "none.json", "--famulus-python", sys.executable]
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("famulus: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_without_ipykernel_the_launcher_says_what_to_install(empty: Path) -> None:
    said = refused(empty, "-P")
    assert "no ipykernel" in said and "ipykernel>=7.0" in said and str(empty) in said


def test_an_old_ipykernel_is_refused(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "ipykernel").mkdir()
    (tmp_path / "ipykernel/__init__.py").touch()
    (tmp_path / "ipykernel/_version.py").write_text("version_info = (6, 29, 5)\n__version__ = '6.29.5'\n")
    assert "6.29.5" in refused(empty, "-P", environment={"PYTHONPATH": str(tmp_path)})


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ast.parse(install.LAUNCHER.read_text(encoding="utf-8"), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert "needs Python 3.11 or newer" in launch.refusal() and "Python 3.10" in launch.refusal()


def test_a_launcher_without_its_package_says_so(tmp_path: Path) -> None:
    alone = tmp_path / "launch.py"
    shutil.copy(install.LAUNCHER, alone)
    done = subprocess.run([sys.executable, "-P", alone], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "famulus kernel install" in done.stderr


def test_the_package_is_found_from_a_checkout_and_from_a_wheel(tmp_path: Path) -> None:
    packages = tmp_path / "site-packages/famulus"
    (packages / "jupyter_kernel").mkdir(parents=True)
    (packages / "__init__.py").touch()
    for here, package in (
        (ROOT / "famulus/jupyter_kernel", ROOT / "famulus"),
        (ROOT / "jupyter_kernel", ROOT / "famulus"),
        (packages / "jupyter_kernel", packages),
        (tmp_path, ""),
    ):
        assert launch.package_folder(str(here)) == str(package)


def test_our_options_are_kept_from_ipykernel() -> None:
    given = ["-f", "c.json", "--famulus-python", "/p y/python", "--matplotlib=inline", "--home", "/h"]
    own, rest = launch.parted(given)
    assert own == {"--famulus-python": "/p y/python", "--home": "/h"}
    assert rest == ["-f", "c.json", "--matplotlib=inline"]
