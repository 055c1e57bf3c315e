"""``famulus bench engine`` prints its tables, here without a peer and with few tokens."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_the_quick_mode_measures_every_kind_of_burst() -> None:
    command = [sys.executable, "-P", "-m", "famulus.bench.engine", "--quick", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in done.stdout.splitlines() if line[:1] == "|"}
    for burst in ("prompt of 64", "decode, batch 1", "decode, batch 4"):
        assert f"1 thread, {burst}" in rows
    assert "processor seconds per 1,000 tokens" in done.stdout
    share = next(cells for name, cells in rows.items() if name.startswith("1 thread: "))
    assert 0 < float(share[0].strip().rstrip("%")) < 500
