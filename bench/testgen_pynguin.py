"""Pynguin, the peer of ``famulus bench testgen``, in an environment of its own: its pytest is an older one than ours.

It gets the module and the names of the functions that it shall cover, the same packages, the same sandbox, and as many
seconds as our tests of those functions took together: 55 % of them to search, 30 % for its mutants, the rest to write.
Its seconds begin when it begins to search: starting and looking at the module is told apart. It writes its tests when
all is done and often takes longer than it was told, so it is ended only after twice its time; what it took is told.
Nothing is installed but in the folder that is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
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
_MOST = 2.0
"""Times its budget after which it is ended."""
_START = 120.0
"""Seconds to start and to look at the module, at most."""
_RUN = """
import glob, json, os, signal, subprocess, sys, tempfile, threading, time
most, starting_most = float(sys.argv[1]), float(sys.argv[2])
out = tempfile.mkdtemp()
os.chdir(out)
command = [sys.executable, "-u", "-m", "pynguin", "-v", "--no-rich", "--output-path", out, *sys.argv[3:]]
began, searching, said = time.monotonic(), None, []
done = subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
)

def end():
    try:
        os.killpg(done.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass

watch = threading.Timer(starting_most, end)
watch.start()
for line in done.stdout:
    said = [*said[-20:], line]
    if searching is None and "Start generating test cases" in line:
        searching = time.monotonic()
        watch.cancel()
        watch = threading.Timer(most, end)
        watch.start()
done.wait()
watch.cancel()
now = time.monotonic()
texts = [open(name).read() for name in glob.glob("test_*.py")]
print(json.dumps({
    "text": texts[0] if texts else "", "starting": (searching or now) - began, "seconds": now - (searching or now),
    "ended": done.returncode == -signal.SIGKILL, "said": " ".join("".join(said).split())[-300:],
}))
"""


@dataclass(frozen=True)
class Answer:
    """Its test file, or why there is none. ``seconds``: of searching, choosing and writing; ``starting``: before."""

    text: str
    seconds: float
    starting: float
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
            command = [str(self.python), "-c", _RUN, str(_MOST * seconds), str(_START)]
            command += ["--project-path", top, "--module-name", module, "--seed", str(seed)]
            command += ["--maximum-search-time", str(max(1, round(seconds * _SEARCH)))]
            command += ["--maximum-mutation-time", str(max(1, round(seconds * _MUTANTS))), "--only-cover", *names]
            limits = sandbox.Limits(
                wall_seconds=_START + _MOST * seconds + 10, cpu_seconds=None, output_bytes=1 << 30, processes=128
            )
            text = output(
                command,
                Path(top),
                [self.folder / "pynguin", Path(sysconfig.get_path("purelib"))],
                {"PYNGUIN_DANGER_AWARE": "1", "PYTHONPATH": top, "PYTHONHASHSEED": "1"},
                limits,
            )
        try:
            told = json.loads(text)
        except ValueError:
            return Answer("", _MOST * seconds, _START, "it did not end")
        if "def test" in told["text"]:
            return Answer(told["text"], told["seconds"], told["starting"])
        why = f"ended after {told['starting'] + told['seconds']:.0f} s" if told["ended"] else told["said"]
        return Answer("", told["seconds"], told["starting"], why or "it made no tests in its time")


def coverage(folder: Path) -> Path:
    """Where the package ``coverage`` is, installed there at the first use."""
    place = folder / "coverage"
    if not (place / "coverage").exists():
        _install(Path(sys.executable), f"coverage=={COVERAGE}", "--target", str(place))
    return place


def _install(python: Path, *what: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    subprocess.run(command, check=True, capture_output=True)
