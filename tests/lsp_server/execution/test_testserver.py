"""Tests run again and again in one warm process, each time with the code as it is then."""

from __future__ import annotations

import textwrap
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from famulus.lsp_server.execution.mutants import mutants
from famulus.lsp_server.execution.testserver import NoPytest, TestServer
from famulus.lsp_server.execution.workbench import Workbench
from famulus.lsp_server.review.change import Memory

SHOP = """
def price(n):
    if n < 10:
        return n * 3
    return n * 2


def unused(n):
    return n
"""
TESTS = """
import os
import time

import pytest

from shop import price


@pytest.mark.parametrize("n", [1, 2])
def test_small(n):
    assert price(n) == 3 * n


def test_red():
    assert price(20) == 41


@pytest.fixture
def broken():
    raise LookupError("no fixture")


def test_broken(broken):
    pass


@pytest.mark.skip
def test_skipped():
    pass


def test_dies():
    os._exit(3)


def test_hangs():
    while True:
        pass


def test_eats():
    kept = []
    try:
        while True:
            kept.append(bytearray(1_000_000))
    except MemoryError:
        time.sleep(0.5)  # who looks at the memory of all has time to see it
        raise
"""
FINE = ["test_shop.py::test_small[1]", "test_shop.py::test_small[2]"]


@pytest.fixture(scope="module")
def bench(plain_python: Path) -> Iterator[Workbench]:
    """The little shop."""
    tree = Memory({"shop.py": SHOP.encode(), "test_shop.py": TESTS.encode(), "test_bad.py": b"import not_there\n"})
    with Workbench(tree, root=None, interpreter=plain_python) as found:
        yield found


@pytest.fixture(autouse=True)
def as_it_was(bench: Workbench) -> Iterator[None]:
    yield
    bench.exchange({})


def test_every_outcome_is_told(bench: Workbench) -> None:
    names = [f"test_shop.py::test_{name}" for name in ("small", "red", "broken", "skipped")]

    run = bench.server.run(names, trace=["shop.py"])

    outcomes = {result.node.partition("::")[2]: result.outcome for result in run.tests}
    assert outcomes == {
        "test_small[1]": "passed",
        "test_small[2]": "passed",
        "test_red": "failed",
        "test_broken": "error",
        "test_skipped": "skipped",
    }
    red = run.of("test_shop.py::test_red")
    assert red is not None
    assert red.type == "AssertionError"
    assert red.message.startswith("assert 40 == 41")
    assert red.at[-1][0] == "test_shop.py"
    assert red.lines["shop.py"] == {3, 5}
    assert run.tests[0].lines["shop.py"] == {3, 4}
    assert run.imported["shop.py"] == {2, 8}
    assert not run.ended


def test_a_run_that_dies_or_hangs_takes_nothing_with_it(bench: Workbench) -> None:
    assert bench.server.run(["test_shop.py::test_dies"]).ended == "died"
    assert bench.server.run([*FINE, "test_shop.py::test_hangs"], wall=3.0).ended == "wall"
    eaten = bench.server.run(["test_shop.py::test_eats"])
    assert [test.type for test in eaten.tests] == ["MemoryError"]
    assert not bench.server.run(FINE).red


def test_a_file_that_cannot_be_collected_and_a_test_that_is_not_there(bench: Workbench) -> None:
    run = bench.server.run(["test_bad.py"])
    assert [(error.type, error.message) for error in run.errors] == [
        ("ModuleNotFoundError", "ModuleNotFoundError: No module named 'not_there'")
    ]
    assert bench.server.run(["test_shop.py::test_nothing"]).tests == ()


def test_files_can_be_exchanged_between_runs(bench: Workbench) -> None:
    bench.exchange({"shop.py": SHOP.replace("n * 2", "n * 2 + 1").encode(), "extra/deep.py": b"x = 1\n"})
    run = bench.server.run(["test_shop.py::test_red"])
    assert [test.outcome for test in run.tests] == ["passed"]
    assert (bench.folder / "extra/deep.py").is_file()

    bench.exchange({"shop.py": None})
    assert bench.server.run(["test_shop.py::test_red"]).errors

    bench.exchange({})
    assert not (bench.folder / "extra").exists()
    assert bench.server.run(["test_shop.py::test_red"]).red


def test_mutants_are_put_into_tests_that_are_held(bench: Workbench) -> None:
    held = bench.server.hold(["test_shop.py"], trace=["shop.py"])
    assert set(FINE) < set(held.collected)
    again = bench.server.again(FINE, trace=True)
    assert {test.lines["shop.py"] for test in again.tests} == {frozenset({3, 4})}

    told = {str(m): bench.server.survives("shop.py", m, FINE, wall=5.0) for m in mutants(SHOP, {3, 4, 5})}

    assert told["replacing `<` by `<=`"] is True
    assert told["replacing `10` by `11`"] is True
    assert told["replacing `<` by `>=`"] is False
    assert told["replacing `return n * 3` by `return None`"] is False
    assert told["replacing `return n * 2` by `return None`"] is True
    assert not bench.server.again(FINE).red  # the copies changed nothing


def test_a_project_put_together_with_links(plain_python: Path) -> None:
    class Linked(Memory):
        def links(self) -> dict[str, str]:
            return {"shop/parts": "../parts", "secret": "/etc", "up": "../../.."}

    tests = b"from shop.parts.tax import tax\n\n\ndef test_it():\n    assert tax(1) == 2\n"
    tree = Linked({"shop/__init__.py": b"", "parts/tax.py": b"def tax(n):\n    return n + 1\n", "test_it.py": tests})
    with Workbench(tree, root=None, interpreter=plain_python) as linked:
        held = linked.server.hold(trace=["parts/tax.py"])
        run = linked.server.again(held.collected, trace=True)

        [test] = run.tests
        assert (test.outcome, test.lines["parts/tax.py"]) == ("passed", frozenset({2}))
        [plus, *_] = mutants("def tax(n):\n    return n + 1\n", {2})
        assert linked.server.survives("parts/tax.py", plus, held.collected, wall=5.0) is False
        assert not (linked.folder / "secret").exists()
        assert not (linked.folder / "up").exists()


def test_an_order_of_its_own(bench: Workbench) -> None:
    backwards = [*reversed(FINE)]
    assert [test.node for test in bench.server.run(backwards, ordered=True).tests] == backwards
    orders = {bench.server.run([*FINE, "test_shop.py::test_skipped"], shuffle=n).collected for n in range(6)}
    assert len(orders) > 1


def test_the_project_cannot_be_written_and_the_user_s_files_are_not_seen(bench: Workbench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    content = textwrap.dedent(f"""
        import os
        from pathlib import Path

        def test_it(tmp_path):
            (tmp_path / "fine").write_text("x")
            for use in (lambda: Path("shop.py").write_text(""), lambda: open({str(secret)!r})):
                try:
                    use()
                except OSError:
                    continue
                raise AssertionError
        """)
    bench.exchange({"test_evil.py": content.encode()})

    assert [test.outcome for test in bench.server.run(["test_evil.py"]).tests] == ["passed"]


def test_a_python_without_pytest_is_named(tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(NoPytest, match="has no pytest"):
        TestServer(tmp_path / "bare/bin/python", tmp_path).start()


def test_the_seed_of_the_hashes_is_what_was_asked_for(bench: Workbench) -> None:
    asks = b"import os\n\ndef test_it():\n    assert os.environ['PYTHONHASHSEED'] == '7'\n"
    bench.exchange({"test_seed.py": asks})
    assert bench.server.run(["test_seed.py"]).red
    with bench.another(7) as server:
        assert not server.run(["test_seed.py"]).red


def test_cases_of_unittest_run_without_pytest(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    cases = """
        import unittest
        from shop import price

        class Prices(unittest.TestCase):
            def test_small(self):
                self.assertEqual(price(2), 6)

            def test_red(self):
                self.assertEqual(price(20), 41)

            @unittest.skip("later")
            def test_skipped(self):
                pass
    """
    files = {"shop.py": SHOP.encode(), "test_cases.py": textwrap.dedent(cases).encode()}
    python = tmp_path / "bare/bin/python"
    with Workbench(Memory(files), root=None, interpreter=python, framework="unittest") as bench:
        held = bench.server.hold(["test_cases.py"], wall=60.0, trace=["shop.py"], arcs=True)
        small, red, skipped = (f"test_cases.py::Prices::test_{name}" for name in ("small", "red", "skipped"))
        assert set(held.collected) == {small, red, skipped}
        run = bench.server.again(held.collected, wall=60.0, trace=True)
        assert {test.node: test.outcome for test in run.tests} == {small: "passed", red: "failed", skipped: "skipped"}
        done = run.of(small)
        assert done is not None and {3, 4} <= done.lines["shop.py"] and (3, 4) in done.arcs["shop.py"]
        noticed = {str(m): bench.server.survives("shop.py", m, [small], wall=20.0) for m in mutants(SHOP, {4})}
        assert noticed["replacing `*` by `/`"] is False
        assert [test.outcome for test in bench.server.run([small], wall=60.0).tests] == ["passed"]
