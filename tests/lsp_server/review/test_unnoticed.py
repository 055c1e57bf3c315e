"""Changed lines that no test runs, small changes that no test notices, and nothing where tests look well."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.importers import related_tests
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.rule import NOTHING_RUN, Clock, Context
from famulus.lsp_server.review.rules import neutral, unnoticed, unnoticed_bench
from famulus.lsp_server.review.rules.unnoticed_mutants import MOST_OF_A_FUNCTION
from famulus.lsp_server.review.statements import function_bodies

OLD = """
def price(n, rate=3):
    return n * rate


def discount(total):
    return total


def label(n):
    text = str(n)
    return text
"""
NEW = """
def price(n, rate=3):
    if n <= 0:
        raise ValueError("n must be positive")
    if n > 10:
        rate = rate - 1
    return n * rate


def discount(total):
    if total >= 100:
        total = total - 10
    return total


def label(n):
    '''Nothing that matters.'''
    words = str(n)
    return words


def fresh(x):
    return x + 1
"""
TESTS = """
import pytest

from shop.pricing import discount, price


@pytest.mark.parametrize(("n", "wanted"), [(1, 3), (5, 15), (10, 30), (11, 22), (20, 40)])
def test_price(n, wanted):
    assert price(n) == wanted


def test_price_of_nothing():
    with pytest.raises(ValueError, match="positive"):
        price(0)


def test_discount():
    assert discount(50) == 50
    assert discount(200)
"""


@pytest.fixture(autouse=True)
def project_python(plain_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The projects below have an environment."""
    monkeypatch.setenv("VIRTUAL_ENV", str(plain_python.parent.parent))


def _found(
    files: dict[str, str], old: str = OLD, new: str = NEW, before: dict[str, str] | None = None, **more: object
) -> tuple[list[Finding], Context]:
    """``before``: files that were otherwise on the old side."""
    texts = [{**files, **(before or {}), "shop/pricing.py": old}, {**files, "shop/pricing.py": new}]
    sides = [Memory({path: text.encode() for path, text in {"shop/__init__.py": "", **t}.items()}) for t in texts]
    context = Context(between(*sides), clock=Clock(120), **more)  # type: ignore[arg-type]
    list(neutral.RULE.check(context))
    found = list(unnoticed.RULE.check(context))
    context.left_out[:] = [sentence for sentence in context.left_out if "--python names another" not in sentence]
    return found, context


def test_what_no_test_runs_and_what_no_test_notices() -> None:
    found, context = _found({"tests/test_pricing.py": TESTS, "tests/test_other.py": "def test_x():\n    pass\n"})

    assert all((f.grade, f.severity) == (Grade.MEASURED, "note") for f in found)
    not_run = [finding for finding in found if finding.rule == "tests/not-run"]
    assert [(str(f.place), f.message) for f in not_run] == [("shop/pricing.py:23", "No test runs `fresh`.")]
    mutants = {f.message: f for f in found if f.rule == "tests/unnoticed"}
    boundary = mutants["Replacing `>=` by `>` in `discount` breaks no test: the one test that runs this line passes."]
    assert str(boundary.place) == "shop/pricing.py:11"
    assert boundary.proof.data["tests"] == ["tests/test_pricing.py::test_discount"]
    assert boundary.proof.text == "with `if total > 100:` these pass: tests/test_pricing.py::test_discount"
    assert {f.place.symbol for f in mutants.values()} == {"discount"}, "price is tested well, and label is neutral"
    assert len(mutants) <= MOST_OF_A_FUNCTION
    assert context.left_out == []
    assert context.facts["tests"] == "6 of 7 changed statements are run by tests"
    noticed, _, tried, *_ = context.facts["mutants"].split()
    assert int(noticed) >= 8
    assert int(noticed) + len(mutants) == int(tried)


def test_what_the_import_ran_already_is_tried_from_the_beginning() -> None:
    old = "def table(n):\n    return n\n\n\nTABLE = [table(n) for n in range(3)]\n"
    new = "def table(n):\n    return n + 1\n\n\nTABLE = [table(n) for n in range(3)]\n"
    tests = "from shop.pricing import TABLE, table\n\n\ndef test_it():\n    table(0)\n    assert TABLE == [1, 2, 3]\n"

    found, _ = _found({"test_it.py": tests}, old, new)

    assert found == []


def test_tests_that_fail_or_cannot_be_read_prove_nothing() -> None:
    broken = "from shop.pricing import fresh\n\n\ndef test_it():\n    fresh(1)\n    raise LookupError\n"
    found, context = _found({"test_a.py": broken, "test_b.py": "import shop.pricing\nimport not_there\n"})

    assert found == []
    assert "tests" not in context.facts
    assert "1 test files that import the changed code could not be collected" in context.left_out[0]


def test_tests_that_the_change_turns_red_are_told_and_those_that_were_red_are_not() -> None:
    tests = TESTS.replace("(1, 3)", "(1, 4)") + "\n\ndef test_label():\n    assert label(1) == 1\n"
    tests = tests.replace("import discount, price", "import discount, label, price") + (
        "\n\ndef test_again():\n    assert price(-1) == -3\n\n\ndef test_both():\n    assert price(-2) == -6\n"
    )
    was = "from shop.pricing import price\n\n\ndef test_same():\n    assert price(-3) == -9\n"
    adapted = was.replace("import price", "import fresh, price")
    found, _ = _found({"tests/test_pricing.py": tests, "tests/test_z.py": adapted}, before={"tests/test_z.py": was})

    [red] = [finding for finding in found if finding.rule == "tests/red"]
    assert red.message == "test_again, test_both, test_same fail with this change and pass without it."
    assert (str(red.place), red.place.symbol, red.grade) == ("shop/pricing.py:4", "price", Grade.WITNESSED)
    assert "tests/test_pricing.py::test_again: ValueError: n must be positive" in red.proof.text
    assert [related.place.path for related in red.related] == ["tests/test_pricing.py"]


def test_a_test_that_hangs_takes_its_time_only_and_leaves_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unnoticed_bench, "_EACH", 2.0)
    hangs = "import time\n\nfrom shop import pricing\n\n\ndef test_it():\n    time.sleep(1000)\n    pricing.fresh(1)\n"

    found, context = _found({"test_a.py": hangs, "tests/test_pricing.py": TESTS})

    assert [(f.place.symbol, f.certainty) for f in found if f.rule == "tests/not-run"] == [("fresh", "possible")]
    assert any(f.rule == "tests/unnoticed" for f in found)
    assert context.left_out == []


def test_without_tests_or_without_running_it_is_said() -> None:
    found, context = _found({})
    assert (found, context.left_out) == (
        [],
        ["Which changed lines no test notices was not looked at: there are no tests."],
    )
    found, context = _found({"tests/test_pricing.py": TESTS}, run_code="no")
    assert found == []
    assert context.left_out == [NOTHING_RUN]

    found, context = _found({"tests/test_other.py": "def test_x():\n    pass\n"})
    assert [f.message for f in found] == [
        "No test runs 3 changed functions of shop/pricing.py: price, discount, fresh."
    ]


@pytest.mark.parametrize(
    "new",
    [
        OLD.replace("n * rate", "(n  *  rate)"),
        f'"""Words."""\n{OLD}',
        OLD + "\n\nX = 1\n",
        OLD[OLD.index("def discount") :] + OLD[: OLD.index("def discount")],
    ],
)
def test_a_change_without_code_of_functions_runs_nothing(new: str) -> None:
    found, context = _found({"tests/test_pricing.py": TESTS}, OLD, new, run_code="unsafe", root=None)
    assert (found, context.left_out) == ([], [])
    assert "mutants" not in context.facts


def test_tests_are_found_through_whatever_imports() -> None:
    files = {
        "src/shop/__init__.py": "from .api import buy\n",
        "src/shop/api.py": "from shop import core\n",
        "src/shop/core.py": "from . import tax\n",
        "src/shop/tax.py": "",
        "src/shop/alone.py": "",
        "tests/test_tax.py": "import shop.tax\n",
        "tests/test_core.py": "from shop.core import tax\n",
        "tests/test_shop.py": "import shop\n",
        "tests/deep/conftest.py": "from shop import api\n",
        "tests/deep/test_fixture.py": "def test_it(bought): pass\n",
        "test_other.py": "import json\n",
    }
    project = Project(Memory({path: text.encode() for path, text in files.items()}))

    found = related_tests(project, ["src/shop/tax.py"])

    assert set(found) == {"tests/test_tax.py", "tests/test_core.py", "tests/test_shop.py", "tests/deep/test_fixture.py"}
    assert found[0] == "tests/test_tax.py"


def test_statements_that_somebody_should_run() -> None:
    source = textwrap.dedent('''
        class A:
            def f(self, x=g(1)):
                """Text."""
                if (x and
                        self):
                    return [
                        1,
                    ]
                try:
                    x()
                except E:
                    pass
                else:
                    y()
                def inner():
                    z()
                if TYPE_CHECKING:
                    import w
                raise NotImplementedError

            @abstractmethod
            def g(self):
                return 1

        def h():  # pragma: no cover
            return 2
        ''')
    bodies = {body.name: [(s.first, s.last) for s in body.statements] for body in function_bodies(source)}
    assert bodies == {"A.f": [(5, 6), (7, 9), (11, 11), (15, 15)], "A.f.inner": [(17, 17)]}
