"""A test that checks less is named; one that moved, was rewritten, or lost its subject is not."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules.weakened import RULE

SHOP = "def price(n):\n    return n * 3\n\ndef total(ns):\n    return sum(map(price, ns))\n"


def _found(old: Mapping[str, str], new: Mapping[str, str], renames: Mapping[str, str] | None = None) -> list[Finding]:
    sides = [Memory({path: dedent(text).encode() for path, text in side.items()}) for side in (old, new)]
    return list(RULE.check(Context(between(*sides, renames=renames))))


def _in_test(before: str, after: str) -> list[Finding]:
    """What is found if the body of a test changes; each body is one or more statements."""
    texts = []
    for body in (before, after):
        lines = "".join(f"    {line}\n" for line in dedent(body).strip("\n").split("\n"))
        texts.append(
            f"import pytest\nfrom shop import price, total\n\ndef test_price(mock, t):\n    x = price(2)\n{lines}"
        )
    return _found({"shop.py": SHOP, "test_shop.py": texts[0]}, {"shop.py": SHOP, "test_shop.py": texts[1]})


WEAKER = {
    "removed": ("assert x == 6\nassert total([]) == 0", "assert x == 6"),
    "turned into an expression": ("assert x == 6", "x == 6"),
    "not none": ("assert x == 6", "assert x is not None"),
    "true": ("assert x == 6", "assert x"),
    "in": ("assert x == 6", "assert x in (6, 7)"),
    "type": ("assert x == 6", "assert isinstance(x, int)"),
    "approximate": ("assert x == 6", "assert x == pytest.approx(6)"),
    "tolerance": ("assert x == pytest.approx(6, rel=1e-9)", "assert x == pytest.approx(6, rel=1e-2)"),
    "default tolerance": ("assert x == pytest.approx(6)", "assert x == pytest.approx(6, abs=0.5)"),
    "places": ("t.assertAlmostEqual(x, 6, places=5)", "t.assertAlmostEqual(x, 6, places=1)"),
    "allclose": ("np.testing.assert_allclose(x, 6)", "np.testing.assert_allclose(x, 6, rtol=0.1)"),
    "difference": ("assert abs(x - 6) < 0.001", "assert abs(x - 6) < 0.1"),
    "bound": ("assert x > 5", "assert x > 0"),
    "unittest": ("t.assertEqual(x, 6)", "t.assertTrue(x)"),
    "unittest to assert": ("t.assertEqual(x, 6)", "assert x is not None"),
    "either": ("assert x == 6", "assert x == 6 or x == 7"),
    "choices": ("assert x in (5, 6)", "assert x in (5, 6, 7)"),
    "error": ("with pytest.raises(KeyError):\n    price('a')", "with pytest.raises(Exception):\n    price('a')"),
    "error's base": ("with pytest.raises(KeyError):\n    price(t)", "with pytest.raises(LookupError):\n    price(t)"),
    "errors": ("with pytest.raises(KeyError):\n    price(t)", "with pytest.raises((KeyError, OSError)):\n    price(t)"),
    "match": (
        "with pytest.raises(KeyError, match='no price'):\n    price('a')",
        "with pytest.raises(KeyError):\n    price('a')",
    ),
    "raises removed": ("with pytest.raises(KeyError):\n    price('a')\nassert x == 6", "price('a')\nassert x == 6"),
    "swallowed": ("assert x == 6", "try:\n    assert x == 6\nexcept AssertionError:\n    pass"),
    "suppressed": ("assert x == 6", "with suppress(Exception):\n    assert x == 6"),
    "skip call": ("assert x == 6", "pytest.skip('flaky')\nassert x == 6"),
    "return": ("assert x == 6", "return\nassert x == 6"),
    "mock": ("mock.assert_called_once_with(6)", "mock.assert_called()"),
    "always true": ("assert x == 6", "assert (x, 6)"),
    "mocked subject": ("assert price(2) == 6", "mock.patch('shop.price')\nassert price(2) == 6"),
}


@pytest.mark.parametrize("name", WEAKER)
def test_a_test_that_demands_less_is_named(name: str) -> None:
    before, after = WEAKER[name]
    found = _in_test(before, after)
    assert len(found) == 1, found
    [finding] = found
    assert finding.grade is Grade.PROVED and finding.proof.kind == "comparison"
    assert finding.place.path == "test_shop.py" and finding.message.startswith("test_price ")
    assert not _in_test(before, before)


@pytest.mark.parametrize("name", [n for n in WEAKER if n not in ("unittest to assert",)])
def test_a_test_that_demands_more_is_not_named(name: str) -> None:
    before, after = WEAKER[name]
    assert not _in_test(after, before)


FINE = {
    "another value": ("assert x == 6", "assert x == 7"),
    "another spelling": ("t.assertEqual(x, 6)", "assert x == 6"),
    "a former name": ("t.assertRegexpMatches(str(x), '6')", "t.assertRegex(str(x), '6')"),
    "a local renamed": ("y = x\nassert y == 6", "got = x\nassert got == 6"),
    "split": ("assert x == 6 and total([]) == 0", "assert x == 6\nassert total([]) == 0"),
    "replaced by a stronger pair": (
        "assert total([1]) == 3",
        "assert total([1]) is not None\nassert total([1]).amount == 3",
    ),
    "a loop": ("assert price(1) == 3\nassert price(2) == 6", "for n in (1, 2):\n    assert price(n) == 3 * n"),
    "a message added": ("assert x == 6", "assert x == 6, 'price'"),
    "true by name": ("assert (x == 6) is True", "assert (x == 6)"),
    "an error that is re-raised": ("assert x == 6", "try:\n    assert x == 6\nexcept AssertionError:\n    raise"),
    "a smaller tolerance": ("assert x == pytest.approx(6, abs=1)", "assert x == pytest.approx(6, abs=0.1)"),
    "turned into a wait": ("assert total([]) == 0", "t.until(lambda: total([]) == 0)"),
    "another thing mocked": ("assert x == 6", "mock.patch('shop.clock')\nassert x == 6"),
}


@pytest.mark.parametrize("name", FINE)
def test_a_test_that_was_only_rewritten_is_not_named(name: str) -> None:
    assert not _in_test(*FINE[name])


IMPORT = "from shop import price\n\n"
TESTS = "def test_one():\n    assert price(1) == 3\n\ndef test_two():\n    assert price(2) == 6\n"
ONE = IMPORT + TESTS


def test_skip_marks_on_tests_classes_and_files_are_named_once() -> None:
    mark = "@pytest.mark.skip(reason='later')\n"
    [found] = _found({"test_a.py": ONE}, {"test_a.py": IMPORT + mark + TESTS})
    assert found.rule == "weakened-test/skipped" and found.place.line == 3
    whole = _found({"test_a.py": ONE}, {"test_a.py": "pytestmark = pytest.mark.skip\n" + ONE})
    assert [f.message for f in whole] == ["The 2 tests of test_a.py are no longer run (`pytest.mark.skip`)."]
    methods = "class TestA:\n    def test_a(self):\n        assert f()\n    def test_b(self):\n        assert g()\n"
    assert len(_found({"test_a.py": methods}, {"test_a.py": mark + methods})) == 1
    strict = ("@pytest.mark.xfail(strict=True)\n", "@pytest.mark.xfail\n")
    [found] = _found({"test_a.py": strict[0] + TESTS}, {"test_a.py": strict[1] + TESTS})
    assert found.rule == "weakened-test/strict-removed"
    [found] = _found({"test_a.py": ONE}, {"test_a.py": IMPORT + "@pytest.mark.skipif(WINDOWS)\n" + TESTS})
    assert (found.severity, found.certainty) == ("note", "likely")


def test_cases_that_are_gone_are_named() -> None:
    text = (
        "@pytest.mark.parametrize('n, p', [(1, 3), (2, 6), (0, 0)])\ndef test_price(n, p):\n    assert price(n) == p\n"
    )
    [found] = _found({"test_a.py": text}, {"test_a.py": text.replace(", (0, 0)", "")})
    assert found.message == "test_price is no longer run for `(0, 0)`."
    assert not _found({"test_a.py": text}, {"test_a.py": text.replace("(0, 0)", "(0, 1)")})


def test_a_test_that_is_no_longer_collected_is_named() -> None:
    [found] = _found({"test_a.py": ONE}, {"test_a.py": ONE.replace("test_two", "xtest_two")})
    assert found.message == "test_two is no longer run: under its new name `xtest_two` it is not collected."
    assert (found.place.line, found.old_place and found.old_place.line) == (6, 6)
    assert not _found({"test_a.py": ONE}, {"test_a.py": ONE.replace("test_two", "test_second")})
    [found] = _found({"test_a.py": ONE}, {"a_checks.py": ONE}, {"a_checks.py": "test_a.py"})
    assert found.rule == "weakened-test/not-collected"


def test_a_removed_test_is_named_while_its_subject_exists() -> None:
    kept = ONE[: ONE.index("\n\ndef test_two")] + "\n"
    [found] = _found({"shop.py": SHOP, "test_a.py": ONE}, {"shop.py": SHOP, "test_a.py": kept})
    assert found.message == "The test test_two is gone, though `price` is still there."
    assert found.certainty == "likely" and "price(2) == 6" in found.proof.text
    [found] = _found({"shop.py": SHOP, "test_a.py": ONE}, {"shop.py": SHOP})
    assert found.message == "test_a.py is gone with 2 tests, though `price` is still there."
    assert found.place.side == "old"


def test_a_test_that_went_with_its_subject_or_to_another_file_is_not_named() -> None:
    without = SHOP.replace("def price(n):\n    return n * 3\n", "").replace("price", "abs")
    assert not _found({"shop.py": SHOP, "test_a.py": ONE}, {"shop.py": without, "test_a.py": "x = 1\n"})
    assert not _found({"shop.py": SHOP, "test_a.py": ONE}, {"shop.py": SHOP, "test_b.py": ONE})
    one = IMPORT + "@pytest.mark.parametrize('n', [1, 2])\ndef test_all(n):\n    assert price(n) == 3 * n\n"
    assert not _found({"shop.py": SHOP, "test_a.py": ONE}, {"shop.py": SHOP, "test_a.py": one})


def test_an_assertion_about_what_is_gone_is_not_named() -> None:
    old = "def test_a():\n    assert a.rate == 1\n    assert a.price == 2\n"
    new = "def test_a():\n    assert a.price == 2\n"
    source = "class A:\n    rate = 1\n    price = 2\n"
    assert _found({"a.py": source, "test_a.py": old}, {"a.py": source, "test_a.py": new})
    less = source.replace("    rate = 1\n", "")
    assert not _found({"a.py": source, "test_a.py": old}, {"a.py": less, "test_a.py": new})


def test_an_assertion_that_went_into_a_helper_is_not_named() -> None:
    old = "def test_a():\n    x = f()\n    assert x == 1\n    assert g(x) == 2\n"
    new = "def both(x):\n    assert x == 1\n    assert g(x) == 2\n\ndef test_a():\n    both(f())\n"
    assert not _found({"test_a.py": old}, {"test_a.py": new})


def test_a_test_that_is_now_built_on_new_code_is_not_named() -> None:
    old = (
        "def test_a():\n    for case in CASES:\n        assert f(case).shape == case.shape\n        assert f(case).ok\n"
    )
    new = "def test_a():\n    assert not [o for o in outcomes(CASES) if not o.passed]\n"
    source = "def outcomes(cases):\n    return [f(case).shape == case.shape for case in cases]\n"
    assert not _found({"a.py": "X = 1\n", "test_a.py": old}, {"a.py": source, "test_a.py": new})


def test_the_fingerprint_survives_lines_above() -> None:
    new = ONE.replace("price(2) == 6", "price(2)")
    [one] = _found({"test_a.py": ONE}, {"test_a.py": new})
    [two] = _found({"test_a.py": ONE}, {"test_a.py": "# a\n# b\n" + new})
    assert one.fingerprint == two.fingerprint and one.place != two.place


def test_a_file_that_is_nested_too_deeply_is_said() -> None:
    text = ONE.replace("price(2) == 6", " + ".join(["price"] * 600))
    sides = [Memory({"test_a.py": content.encode()}) for content in (ONE, text)]
    context = Context(between(*sides))
    assert not list(RULE.check(context)) and "too deeply" in context.left_out[0]


def test_files_that_do_not_parse_are_left_alone() -> None:
    assert not _found({"test_a.py": ONE}, {"test_a.py": "def test_one(:\n"})
