"""Packages that are put together with links to folders: what their modules are called, run as, and who calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.review import review
from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.comparison import Asked, compared
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.folders import Folder
from famulus.lsp_server.review.links import Links

OLD = "def price(net, rate=0.2):\n    return round(net * (1 + rate), 2)\n"
RENAMED = "def price(net, vat=0.2):\n    return round(net * (1 + vat), 2)\n"
DEARER = "def price(net, rate=0.2):\n    return round(net * (2 + rate), 2)\n"
CALLER = "from app.core.tax import price\n\n\ndef total(nets):\n    return sum(price(net, rate=0.1) for net in nets)\n"
NEAR = "from ..core.tax import price\n\nprice(3, rate=1)\n"
LINKS = {"app/core": "../core", "app/shop": "../shop"}


def tree(tax: str) -> Memory:
    files = {
        "app/__init__.py": "", "core/__init__.py": "", "core/tax.py": tax,
        "shop/__init__.py": "", "shop/cart.py": CALLER, "shop/near.py": NEAR,
    }  # fmt: skip
    return Memory({path: text.encode() for path, text in files.items()}, LINKS)


def found(change: Change, *rules: str) -> list[Finding]:
    return list(review.review(change, review.Options(only=rules, budget=60)).findings)


def test_calls_through_links_are_resolved() -> None:
    broken = found(between(tree(OLD), tree(RENAMED)), "call-site")
    assert {finding.place.path for finding in broken} == {"shop/cart.py", "shop/near.py"}
    assert {finding.certainty for finding in broken} == {"certain"}


def test_modules_behind_links_are_run() -> None:
    [finding] = found(between(tree(OLD), tree(DEARER)), "witness")
    assert finding.place.path == "core/tax.py"
    assert "app.core.tax" in finding.proof.code


def test_names_of_modules_behind_links() -> None:
    layout = Layout(tree(OLD))
    assert layout.module("core/tax.py") == ("app.core.tax", "")
    assert layout.found("app.core.tax", "shop/cart.py") == ("core/tax.py", "app.core.tax")
    assert layout.found("..core.tax", "shop/near.py") == ("core/tax.py", "app.core.tax")


def test_links_that_make_no_package_change_no_name() -> None:
    files = dict.fromkeys(("src/pkg/__init__.py", "src/pkg/a.py"), b"")
    assert Layout(Memory(files, {"lib/pkg": "../src/pkg"})).module("src/pkg/a.py") == ("pkg.a", "src")


@pytest.mark.parametrize("target", ["/etc", "../..", ".", "self", "../app", "loop"])
def test_links_that_lead_out_or_in_circles_are_harmless(target: str) -> None:
    links = {"app/self": target, "app/loop": "self"}
    files = dict.fromkeys(("app/__init__.py", "app/m.py"), b"")
    layout = Layout(Memory(files, links))
    assert layout.module("app/m.py") == ("app.m", "")
    assert layout.found("app.loop.gone", "app/m.py") is None


@given(st.dictionaries(*[st.lists(st.sampled_from(("a", "b", "..", ".")), min_size=1, max_size=4).map("/".join)] * 2))
def test_no_links_make_it_run_for_ever_or_leave_the_project(links: dict[str, str]) -> None:
    real = Links(links).real("a/b/a")
    assert not real.startswith(("/", "../"))


def test_git_and_folders_know_their_links(repo: Any, tmp_path: Path) -> None:
    for path, content in tree(OLD).files.items():
        repo.write({path: content})
    for link, target in LINKS.items():
        (repo.path / link).symlink_to(target)
    assert Folder(repo.path).links() == LINKS
    repo.commit()
    repo.write({"core/tax.py": RENAMED.encode()})
    with compared(Asked(folder=repo.path)) as comparison:
        broken = found(comparison.change, "call-site")
    assert {finding.place.path for finding in broken} == {"shop/cart.py", "shop/near.py"}
