"""Pynguin, the peer of ``famulus bench testgen``, in an environment of its own: its pytest is an older one than ours.

It gets the module and the names of the functions that it shall cover, the same packages, the same sandbox, and as many
seconds as our tests of those functions took together: 55 % of them to search, 30 % for its mutants, the rest to start
and to write. It may take longer in the end: what it took is told. Nothing is installed but in the folder that is kept.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus import sandbox
from famulus.bench.testgen_coverage import output
from famulus.bench.testgen_make import write

PYNGUIN = "0.48.0"
COVERAGE = "7.10.7"
_SEARCH, _MUTANTS = 0.55, 0.3
_MOST = 3.0
"""Times its budget after which it is ended."""
_START = 30.0
_RUN = """
import glob, os, subprocess, sys, tempfile
out = tempfile.mkdtemp()
os.chdir(out)
command = [sys.executable, "-m", "pynguin", "--output-path", out, *sys.argv[1:]]
done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
texts = [open(name).read() for name in glob.glob("test_*.py")]
print(texts[0] if texts else "# failed: " + " ".join(done.stdout.split())[-300:])
"""


@dataclass(frozen=True)
class Answer:
    """Its test file, or why there is none."""

    text: str
    seconds: float
    failed: str = ""


class Pynguin:
    """Pynguin in ``folder``, installed there at the first use. Raises :class:`subprocess.CalledProcessError` where it
    cannot be."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "pynguin" / "bin" / "python"
        if not (folder / "pynguin" / "ready").exists():
            venv.create(folder / "pynguin", with_pip=True, clear=True, symlinks=True)
            _install(self.python, f"pynguin=={PYNGUIN}")
            site = next((folder / "pynguin" / "lib").glob("python*/site-packages"))
            # What the packages need is looked for there last, so that Pynguin keeps its own pytest.
            (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
            (folder / "pynguin" / "ready").write_text(PYNGUIN, encoding="utf-8")
        self.folder = folder

    def tests(self, files: Mapping[str, bytes], module: str, names: Sequence[str], seconds: float, seed: int) -> Answer:
        """Its tests of some functions of a module."""
        with tempfile.TemporaryDirectory() as top:
            write(Path(top), files)
            started = time.perf_counter()
            command = [str(self.python), "-c", _RUN, "--project-path", top, "--module-name", module]
            command += ["--seed", str(seed)]
            command += ["--maximum-search-time", str(max(1, round(seconds * _SEARCH)))]
            command += ["--maximum-mutation-time", str(max(1, round(seconds * _MUTANTS))), "--only-cover", *names]
            limits = sandbox.Limits(
                wall_seconds=_START + _MOST * seconds, cpu_seconds=None, output_bytes=1 << 30, processes=128
            )
            text = output(
                command,
                Path(top),
                [self.folder / "pynguin", Path(sysconfig.get_path("purelib"))],
                {"PYNGUIN_DANGER_AWARE": "1", "PYTHONPATH": top, "PYTHONHASHSEED": "1"},
                limits,
            )
            took = time.perf_counter() - started
        if "def test" not in text:
            return Answer("", took, text.removeprefix("# failed:").strip()[:300] or "it made no tests in its time")
        return Answer(text, took)


def coverage(folder: Path) -> Path:
    """Where the package ``coverage`` is, installed there at the first use."""
    place = folder / "coverage"
    if not (place / "coverage").exists():
        _install(Path(sys.executable), f"coverage=={COVERAGE}", "--target", str(place))
    return place


def _install(python: Path, *what: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    subprocess.run(command, check=True, capture_output=True)
