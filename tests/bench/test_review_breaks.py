"""``famulus bench review`` makes breaks and callers whose truth holds, and sees misses and wrong findings."""

from __future__ import annotations

import ast
import functools
import inspect
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from famulus.bench.review_breaks import Case, case, look
from famulus.bench.review_callers import GONE, callers
from famulus.bench.review_kinds import KINDS, breaks
from famulus.bench.review_packages import Package
from famulus.bench.review_traced import traced
from famulus.lsp_server.review.change import Memory, between

LIBRARY = '''
def scale(value, factor=2, offset=0):
    """Scaled."""
    return value * factor + offset


def pair(value):
    return value, value + 1


def listed(values):
    found = []
    for value in values:
        found.append(value)
    return found


class Base:
    def inherited(self, value):
        return value


class Child(Base):
    @property
    def size(self):
        return 3
'''
PACKAGE = Package("shelf", "1", {"shelf/__init__.py": b"", "shelf/sums.py": LIBRARY.encode()})
SHARED = {"parameter removed", "tuple arity", "list → generator", "base class swapped", "property → method"}


VALUES = {f"a{n}": n for n in range(8)}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of these little files are not kept in the user's cache."""
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))


def made(kind: str) -> Any:
    return breaks(PACKAGE, [kind], 0)[0]


def test_every_kind_of_break_has_a_place() -> None:
    found = {kind for kind in KINDS if breaks(PACKAGE, [kind], 0)}
    assert found >= SHARED | {"default changed", "made keyword-only", "function removed", "sync → async"}


@pytest.mark.parametrize("kind", ["parameter removed", "parameter renamed", "made keyword-only", "default removed"])
def test_calls_break_when_they_are_said_to(kind: str) -> None:
    broken = made(kind)
    target, statements = broken.target, []
    files, sites = callers(broken)
    for site in sites:
        if site.form == "from-import" and target.owner is None:
            statements.append((files[site.path].decode(), site.breaks, min(site.lines)))
    assert {breaks for _, breaks, _ in statements} == {True, False}
    for side, text in (("old", LIBRARY), ("new", broken.text)):
        for source, breaking, line in statements:
            call = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and n.lineno == line)
            module = types.ModuleType("sums")
            exec(text, vars(module))
            bind = inspect.signature(getattr(module, target.node.name)).bind
            stub = functools.partial(eval, ast.unparse(call), {target.node.name: bind, **VALUES})
            if side == "new" and breaking:
                with pytest.raises(TypeError):
                    stub()
            else:
                stub()


def test_there_are_many_forms_and_all_are_python() -> None:
    for kind in KINDS:
        for broken in breaks(PACKAGE, [kind], 0):
            files, sites = callers(broken)
            assert len({site.form for site in sites}) >= 8
            for site in sites:
                tree = ast.parse(files[site.path])
                assert max(site.lines) <= max(node.end_lineno or 0 for node in tree.body)


def test_found_sites_count_and_an_unchanged_version_has_none() -> None:
    measured = case(PACKAGE, ["function removed"], 0)
    look(measured)
    assert measured.hits and all(measured.hits.values())
    assert not measured.wrong
    same = replace(measured, change=between(measured.change.old, measured.change.old), findings=[], hits={}, wrong=[])
    look(same)
    assert not any(same.hits.values())


def test_a_finding_at_a_call_that_fits_is_wrong() -> None:
    measured = case(PACKAGE, ["made keyword-only"], 0)
    good = [site for site in measured.sites if not site.breaks]
    assert good and measured.made[0].kind not in GONE
    swapped = [replace(site, breaks=not site.breaks) for site in measured.sites]
    lying = Case(PACKAGE, measured.made, swapped, measured.change)
    look(lying)
    assert lying.wrong and not all(lying.hits.values())


@pytest.mark.parametrize("kind", ["default changed", "base class swapped", "tuple arity"])
def test_callers_that_are_run_fare_as_they_were_made_to(kind: str) -> None:
    measured = case(PACKAGE, [kind], 0)
    seen = traced(measured.change, measured.made, measured.sites)
    assert len(seen) >= 0.9 * len(measured.sites)
    assert seen == {site: site.breaks for site in seen}
    unbroken = [replace(broken, text=LIBRARY) for broken in measured.made]
    if kind != "tuple arity":  # what such a function gives is made by the worker
        assert not any(traced(measured.change, unbroken, measured.sites).values())


def test_the_old_side_has_the_same_callers() -> None:
    measured = case(PACKAGE, ["parameter removed"], 0)
    assert isinstance(measured.change.old, Memory)
    assert [file.path for file in measured.change.files] == ["shelf/sums.py"]
