"""What may be imported before a cell is rehearsed: what everybody knows, and never a file of the user's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from famulus.jupyter_kernel import preload


def test_modules_that_are_missing_are_found_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wave", "colorsys"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert preload.wanted("import wave, os\nfrom colorsys import rgb_to_hls\nimport mine\nimport polars") == [
        "wave",
        "colorsys",
    ]
    preload.load(["wave", "nowhere_to_be_found"])
    assert "wave" in sys.modules and preload.wanted("import wave") == []


def test_what_surprises_or_does_not_parse_is_left_alone() -> None:
    assert preload.wanted("import antigravity\nimport this") == []
    assert preload.wanted("def f(:") == []


def test_a_file_of_the_user_s_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seaborn.py").write_text("raise SystemExit('run unasked')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "seaborn", raising=False)
    assert preload.wanted("import seaborn") == []
