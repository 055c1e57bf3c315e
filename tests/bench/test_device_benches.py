"""The benchmarks for a GPU run from a plain checkout, with nothing installed but torch and what comes with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PLAIN = """
import sys
for name in "pydantic pydantic_settings msgspec typer rich starlette uvicorn websockets pluggy".split():
    sys.modules[name] = None
from famulus.bench import decode, kernels
tiny = ["--device", "cpu", "--tiny", "--out", sys.argv[1]]
kernels.main([*tiny, "--only", "linear bf16 1x"])
decode.main([*tiny, "--models", "qwen3-30b-a3b", "--precisions", "bf16", "int4", "--batches", "2", "--contexts", "20",
             "--steps", "1"])
"""


def test_kernels_and_decoding_are_measured_from_a_plain_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", PLAIN, str(tmp_path)]
    ran = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "decode.json").read_text())
    assert [(r["precision"], r["batch"], r["context"]) for r in rows] == [("bf16", "2", "20"), ("int4", "2", "20")]
    assert all(float(r["tokens/s"]) > 0 for r in rows)
    assert len(json.loads((tmp_path / "kernels.json").read_text())) == 2
    assert "| linear bf16 1x" in (tmp_path / "kernels.md").read_text()
