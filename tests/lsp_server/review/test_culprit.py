"""Why a test is red: the part of the change that does it, in few runs, with nothing of the user's touched."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.commands import application
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.culprit import Culprit, NothingToExplain
from famulus.lsp_server.review.culprit_finding import enclosing
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.rule import Clock, Context, TimeUp

Files = dict[str, str]

TEST = "tests/test_it.py::test_it"
PRICING = """
RATE = 3


def price(n):
    if n < 10:
        return n * RATE
    return n * 2
"""
TESTS = """
from pricing import price


def test_small():
    assert price(1) == 3


def test_big():
    assert price(20) == 40
"""


@pytest.fixture(autouse=True)
def project_python(plain_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The projects below have an environment."""
    monkeypatch.setenv("VIRTUAL_ENV", str(plain_python.parent.parent))


def _explained(old: Files, new: Files, test: str = TEST, seconds: float = 120.0) -> list[Finding]:
    sides = [Memory({path: text.encode() for path, text in side.items()}) for side in (old, new)]
    context = Context(between(sides[0], sides[1], title="old..new"), clock=Clock(seconds))
    return list(Culprit(test).check(context))


def _history(seed: int, breaking: int) -> tuple[Files, Files, set[str]]:
    """Two versions that differ in about 30 places, ``breaking`` of which make the test fail, together; those lines."""
    chosen = random.Random(seed)
    old: Files = {"README.md": "Shop\n", "tests/test_it.py": ""}
    new = dict(old, **{"README.md": "Shops\n"})
    culprits = set(chosen.sample(range(24), breaking))
    places = [(number // 4, number % 4) for number in range(24)]
    for module in range(6):
        was, now = [f"SCALE = {module + 2}"], [f"SCALE = {module + 2}"]
        for number, (_, place) in [(n, p) for n, p in enumerate(places) if p[0] == module]:
            head = f"\n\ndef f{place}(x):\n    total = x * SCALE"
            was.append(f"{head}\n    return total + {place}\n")
            harmless = chosen.choice([f"{place} + total", f"total + {place} + 0", f"int(total + {place})"])
            wrong = "total + 1000"
            now.append(f"{head}\n    return {wrong if number in culprits else harmless}\n")
            if chosen.random() < 0.25:
                now.append(f"\n\ndef more{place}():\n    return {place}\n")
        old[f"shop/m{module}.py"], new[f"shop/m{module}.py"] = "\n".join(was), "\n".join(now)
    modules = ", ".join(f"m{number}" for number in range(6))
    calls = " + ".join(f"m{module}.f{place}(1)" for module, place in places)
    bound = 1000 * (breaking - 1) + 500
    test = f"from shop import {modules}\n\n\ndef test_it():\n    assert {calls} < {bound}\n"
    for side in (old, new):
        side |= {"tests/test_it.py": test, "shop/__init__.py": ""}
    return old, new, {f"shop/m{number // 4}.py f{number % 4}" for number in culprits}


@pytest.mark.parametrize(("seed", "breaking", "most"), [(1, 1, 12), (3, 2, 24)])
def test_the_culprit_among_thirty_parts_is_found_exactly_and_in_few_runs(seed: int, breaking: int, most: int) -> None:
    old, new, truth = _history(seed, breaking)

    [finding] = _explained(old, new)

    assert finding.grade is Grade.WITNESSED
    assert len(finding.proof.data["culprits"]) == breaking
    assert finding.proof.data["parts"] >= 25
    assert finding.proof.data["runs"] <= most
    places = [finding.place, *(related.place for related in finding.related if related.message == "needed as well")]
    assert {f"{place.path} {place.symbol}" for place in places} == truth
    assert finding.suggestion is not None
    lines = new[finding.place.path].split("\n")
    for edit in finding.suggestion.edits:
        if edit.path == finding.place.path:
            lines[edit.line - 1 : edit.end_line] = edit.text.splitlines()
    assert "1000" not in "\n".join(lines)


def test_parts_that_cannot_stand_alone_do_not_hide_it() -> None:
    old = {
        "a.py": "def helper(x):\n    return x\n",
        "b.py": "from a import helper\n\n\ndef twice(x):\n    return 2 * helper(x)\n",
        "c.py": "def thrice(x):\n    return 3 * x\n",
        "test_c.py": "from b import twice\nfrom c import thrice\n\n\ndef test_c():\n    assert thrice(twice(1)) == 6\n",
    }
    new = {
        **old,
        "a.py": "def assistant(x):\n    return x\n",
        "b.py": "from a import assistant\n\n\ndef twice(x):\n    return 2 * assistant(x)\n",
        "c.py": "def thrice(x):\n    return 4 * x\n",
    }

    [finding] = _explained(old, new, "test_c")

    assert str(finding.place) == "c.py:2"
    assert finding.message == (
        "test_c fails because of this part of the change: with it alone it fails, without it it passes."
    )
    assert [str(related.place) for related in finding.related] == ["test_c.py:5"]
    assert "AssertionError: assert 8 == 6" in finding.proof.text


def test_two_parts_each_of_which_breaks_it_are_both_named() -> None:
    old = {"a.py": "ONE = 1\n", "b.py": "TWO = 2\n"}
    old["test_a.py"] = "from a import ONE\nfrom b import TWO\n\n\ndef test_a():\n    assert (ONE, TWO) == (1, 2)\n"
    new = {**old, "a.py": "ONE = 3\n", "b.py": "TWO = 3\n"}

    found = _explained(old, new, "test_a.py")

    assert sorted(str(finding.place) for finding in found) == ["a.py:1", "b.py:1"]
    assert "another part of the change breaks it as well" in found[0].message
    assert found[0].fingerprint != found[1].fingerprint


def test_what_is_no_code_can_be_the_culprit_and_so_can_a_file_that_went() -> None:
    reads = "from pathlib import Path\n\n\ndef test_it():\n    assert Path('limits.txt').read_text() == '3'\n"
    [finding] = _explained({TEST[:16]: reads, "limits.txt": "3"}, {TEST[:16]: reads, "limits.txt": "4"})
    assert str(finding.place) == "limits.txt:1"

    imports = "def test_it():\n    import lost\n"
    [finding] = _explained({TEST[:16]: imports, "lost.py": "", "x.py": "1\n"}, {TEST[:16]: imports, "x.py": "2\n"})
    assert (str(finding.place), finding.place.side) == ("lost.py:1", "old")
    assert "because of the removal of lost.py" in finding.message


def test_a_new_test_is_run_with_the_old_code() -> None:
    old = {"pricing.py": PRICING, "tests/test_it.py": "def test_other():\n    pass\n"}
    new = {
        "pricing.py": PRICING.replace("< 10", "<= 10"),
        "tests/test_it.py": TESTS.replace("price(20) == 40", "price(10) == 20"),
    }

    [finding] = _explained(old, new, "test_big")

    assert str(finding.place) == "pricing.py:6"
    assert finding.proof.data["parts"] == 1


def test_there_has_to_be_something_to_explain() -> None:
    fine = {"pricing.py": PRICING, "tests/test_it.py": TESTS}
    broken = {**fine, "pricing.py": PRICING.replace("n * 2", "n")}
    with pytest.raises(NothingToExplain, match="test_small does not fail: 3 runs, all passed"):
        _explained(fine, broken, "test_small")
    with pytest.raises(NothingToExplain, match=r"does not pass on the old side of old\.\.new either"):
        _explained(broken, {**broken, "x.py": ""}, "test_big")
    with pytest.raises(NothingToExplain, match="No test is called test_none"):
        _explained(fine, broken, "test_none")
    with pytest.raises(TimeUp):
        _explained(fine, broken, "test_big", seconds=0.01)


def test_the_innermost_definition() -> None:
    source = (
        "class A:\n    @property\n    def b(self):\n        def c():\n            pass\n        return c\n\n\nx = 1\n"
    )
    assert [enclosing(source, line) for line in (1, 2, 5, 6, 9)] == ["A", "A.b", "A.b.c", "A.b", ""]


Typed = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def typed(repo: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """``famulus review --why`` in the repository."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.chdir(repo.path)
        status = application.run(["review", "--format", "json", "--why", *arguments])
        return status, json.loads(capfd.readouterr().out)

    return run


def test_as_it_is_typed_it_goes_back_to_where_the_test_passed_and_leaves_everything_alone(
    repo: Any, typed: Typed
) -> None:
    (repo.path / "linked").symlink_to("parts", target_is_directory=True)
    tests = TESTS.replace("from pricing", "from linked.tax import TAX\nfrom pricing")
    repo.commit({"pricing.py": PRICING, "tests/test_it.py": tests, "parts/tax.py": "TAX = 1\n"})
    repo.commit({"pricing.py": PRICING.replace("n < 10", "n > 10")})
    repo.commit(
        {"pricing.py": PRICING.replace("n < 10", "n > 10").replace("RATE = 3", "RATE = 3\nTAX = 1"), "a.md": "x\n"}
    )
    repo.git("add", "-A")
    repo.write(
        {"pricing.py": PRICING.replace("n < 10", "n > 10").replace("RATE = 3", "RATE = 3\nTAX = 2"), "b.md": "y\n"}
    )
    before = repo.state(), _files(repo.path)

    status, report = typed("test_small")

    [finding] = report["findings"]
    assert (status, finding["place"]["path"], finding["place"]["line"]) == (0, "pricing.py", 7)
    assert finding["place"]["symbol"] == "price"
    assert "HEAD~2" in report["facts"]["range"]
    assert (repo.state(), _files(repo.path)) == before

    status, report = typed("test_small", "HEAD~2..HEAD~1")
    assert (status, report["findings"][0]["place"]["line"]) == (0, 6)

    status, report = typed("test_other")
    assert (status, report["findings"]) == (2, [])
    assert "No test is called test_other" in " ".join(report["left_out"])


def _files(root: Path) -> dict[str, bytes]:
    found = sorted(path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
