"""Copies of a project leave nothing behind, not even those of a process that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from famulus.lsp_server.execution.checkout import Checkouts
from famulus.lsp_server.review.change import Memory


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, young, running = (
        tmp_path / f"famulus-run-{name}" for name in (f"{gone.pid}-old", f"{gone.pid}-new", f"{os.getpid()}-old")
    )
    for folder in (left, young, running):
        (folder / "project").mkdir(parents=True)
    for folder in (left, running):
        os.utime(folder, (0, 0))
    with Checkouts() as checkouts:
        assert checkouts.write(Memory({"a.py": b"x = 1\n"}), "project").joinpath("a.py").is_file()
        assert not left.exists()
        assert young.exists() and running.exists()
    assert not checkouts.folder.exists()
