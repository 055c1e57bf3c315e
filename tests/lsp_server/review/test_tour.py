"""The tour's review: a real repository of two commits, a broken call in a file that did not change, and a witness."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from famulus.commands import tour, tour_review


def shown() -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(*tour_review.run_review(tour.FILES).parts, sep="\n")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def module(version: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(version, tour.FILES / version / "pricing.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_tour_shows_a_broken_call_and_a_witness_that_is_true() -> None:
    said = shown()
    assert "shop/invoices.py:10 calls gross() with `rate`, which it no longer takes." in said
    assert "parcels(0) is now 1; it was 0." in said
    assert (module("shop").parcels(0), module("shop_next").parcels(0)) == (0, 1)
    assert "2 of 5 changed lines proven neutral" in said
    assert "2 findings" in said


def test_without_git_the_tour_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tour_review.NoSample, match="git is not installed"):
        tour_review.run_review(tour.FILES)
