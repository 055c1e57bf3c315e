"""What failed is put right from its own error: a name, a column, an attribute, an import, text for numbers, a sign."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pandas as pd
import pytest

from famulus.jupyter_kernel import repair
from famulus.jupyter_kernel.look import look

NAMESPACE: dict[str, Any] = {
    "pd": pd,
    "sales": pd.DataFrame(
        {"city": ["Oslo", "Rome"], "Price": [12, 8], "rate": ["1.5", "n/a"], "day": ["2024-01-02", "2024-02-03"]}
    ),
    "numbers": [3, 4],
}
SCHEMA = look(NAMESPACE)


def failure(code: str) -> BaseException | None:
    """The error that code ends with in the namespace, None if it runs."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, "<cell>", "exec"), dict(NAMESPACE))
    except Exception as error:
        return error
    return None


def repaired(code: str) -> list[repair.Repair]:
    error = failure(code)
    assert error is not None, "there is nothing to repair"
    return repair.repairs(code, type(error).__name__, str(error), SCHEMA)


@pytest.mark.parametrize(
    ("code", "becomes"),
    [
        ("nubmers[0]", "numbers[0]"),
        ("math.sqrt(9)", "import math\nmath.sqrt(9)"),
        ("Counter(numbers)", "from collections import Counter\nCounter(numbers)"),
        ("sales['price'].sum()", "sales['Price'].sum()"),
        ("sales.groupby('citty')['Price'].mean()", "sales.groupby('city')['Price'].mean()"),
        ("sales.price.sum()", "sales.Price.sum()"),
        ("sales.sort_value('Price')", "sales.sort_values('Price')"),
        ("numbers.apend(3)", "numbers.append(3)"),
        ("pd.read_cvs('a.csv')", "pd.read_csv('a.csv')"),
        ("import panda\npanda.DataFrame()", "import pandas\npanda.DataFrame()"),
        ("sales['day'].dt.month", "pd.to_datetime(sales['day'], errors='coerce').dt.month"),
        ("sales['rate'] + 1", "pd.to_numeric(sales['rate'], errors='coerce') + 1"),
        ("'é', sales['price']", "'é', sales['Price']"),
        ("print(len(numbers)", "print(len(numbers))"),
        ("sales[sales['Price'] > 5", "sales[sales['Price'] > 5]"),
        ("print(numbers))", "print(numbers)"),
        ("sales['Price'].mean(]", "sales['Price'].mean()"),
        ("for n in numbers\n    print(n)", "for n in numbers:\n    print(n)"),
        ("if len(numbers) = 2:\n    print(1)", "if len(numbers) == 2:\n    print(1)"),
        ("print numbers", "print(numbers)"),
        ("print('a)", "print('a')"),
        ("print(“a”)", 'print("a")'),
        ("for n in numbers:\nprint(n)", "for n in numbers:\n    print(n)"),
    ],
)
def test_the_first_repair_says_what_was_meant(code: str, becomes: str) -> None:
    assert repaired(code)[:1] and repaired(code)[0].code == becomes
    assert repaired(code)[0].reason


def test_text_is_read_as_numbers_within_a_chain() -> None:
    ran = [one for one in repaired("sales.groupby('city')['rate'].mean()") if failure(one.code) is None]
    assert ran and "to_numeric" in ran[0].code and ran[0].reason == "reads rate as numbers: it is text"


@pytest.mark.parametrize(
    "code", ["1 / 0", "zzqx", "numbers[10]", "raise KeyError('nothing like it')", "def f(:\n  pass"]
)
def test_what_is_not_understood_is_left_alone(code: str) -> None:
    assert repaired(code) == []


def test_fix_offers_the_repaired_cell_and_does_not_run_it(kernel: Any) -> None:
    kernel.run("%famulus model off")
    kernel.run("import pandas as pd\nshops = pd.DataFrame({'city': ['Oslo'], 'price': [12]})")
    assert kernel.run("fixed = shops['pricee'].sum()").reply["ename"] == "KeyError"
    ran = kernel.run("%fix")
    [payload] = ran.reply["payload"]
    assert (payload["text"], payload["replace"]) == ("fixed = shops['price'].sum()", False)
    assert "pricee" in ran.stream() and kernel.run("'fixed' in dir()").value == "False"


def test_fix_says_so_where_it_has_nothing(kernel: Any) -> None:
    kernel.run("%famulus model off")
    kernel.run("1 / 0")
    ran = kernel.run("%fix")
    assert ran.status == "ok" and not ran.reply["payload"]
    assert "No repair was found for ZeroDivisionError" in ran.stream()


def test_a_syntax_error_can_be_fixed(kernel: Any) -> None:
    kernel.run("%famulus model off")
    assert kernel.run("print('a'").status == "error"
    assert [payload["text"] for payload in kernel.run("%fix").reply["payload"]] == ["print('a')"]


def test_code_that_was_only_shown_can_be_accepted(kernel: Any) -> None:
    kernel.run("%famulus model off\n%famulus mode show")
    kernel.run("shown_list = [3, 4]")
    kernel.run("#!ask sum of shown_list")
    [payload] = kernel.run("%accept").reply["payload"]
    kernel.run("%famulus mode auto")
    assert payload["text"] == "sum(shown_list)" and not payload["replace"]
