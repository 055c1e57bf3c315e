"""Variations have a reason in the words or in the rehearsal."""

from __future__ import annotations

from typing import Any

import pandas as pd

from famulus.jupyter_kernel import mutate
from famulus.jupyter_kernel.candidate import Candidate, Rehearsal, Want
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.rank import Attempt

SCHEMA = look({"sales": pd.DataFrame({"city": ["Oslo"], "price": [12], "amount": [3], "shop": ["A"]}), "nums": [3, 4]})


def variations(words: str, code: str, want: Want | None = None, **seen: Any) -> list[str]:
    attempt = Attempt(Candidate(code, "recipe", match=0.6), Rehearsal(**({"status": "ok"} | seen)))
    return [candidate.code for candidate in mutate.mutations(words, SCHEMA, want or Want(), attempt)]


def test_a_column_that_the_words_mean_takes_the_place_of_one_that_they_do_not() -> None:
    assert "sales['amount'].mean()" in variations("mean amount", "sales['price'].mean()")
    assert not any("shop" in code for code in variations("mean amount", "sales['price'].mean()"))
    assert variations("mean price", "sales['price'].mean()") == []


def test_a_value_is_shown_and_not_only_kept() -> None:
    assert variations("total price", "total = sales['price'].sum()", bound=("total",)) == [
        "total = sales['price'].sum()\ntotal"
    ]


def test_the_result_gets_its_name() -> None:
    want = Want("bind", name="total")
    assert variations("total price, call it total", "sales['price'].sum()", want, value="12") == [
        "total = sales['price'].sum()"
    ]


def test_a_copy_is_changed_where_no_change_was_asked() -> None:
    code = "sales['double'] = sales['price'] * 2"
    found = variations("price times two", code, changed=("sales",))
    assert found[0] == "new_sales = sales.copy()\nnew_sales['double'] = new_sales['price'] * 2\nnew_sales"
    assert variations("price times two", code, Want(changes=True), changed=("sales",)) == []


def test_what_is_varied_matches_a_little_less() -> None:
    attempt = Attempt(Candidate("total = 1", "recipe", match=0.6, likelihood=-1.0), Rehearsal("ok", bound=("total",)))
    [made] = mutate.mutations("one", SCHEMA, Want(), attempt)
    assert made.source == "mutation" and 0.5 < made.match < 0.6 and made.likelihood is None
