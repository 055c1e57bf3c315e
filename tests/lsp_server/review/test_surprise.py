"""What the model's surprise does to a review: it ranks, asks where it is told to, and keeps nobody waiting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from famulus.engine.client import connect
from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof
from famulus.lsp_server.review.review import Options, Report, Review, counts, review
from famulus.lsp_server.review.rule import Context, Stage
from famulus.lsp_server.review.rules.surprise import SECONDS, Surprise, chosen, surprise

OLD = """
def total(prices):
    result = 0
    for price in prices:
        result += price
    return result


def mean(prices):
    count = len(prices)
    return total(prices) / count
"""
ODD = OLD.replace("    return result\n", "    return result if zebra(0x5F, 'q!') is quux else ~ 77\n")
PLAIN = OLD.replace("return total(prices) / count", "return sum(prices) / count")


def change(new: str, old: str = OLD) -> Change:
    return between(Memory({"shop.py": old.encode()}), Memory({"shop.py": new.encode()}))


class Found:
    """A rule that finds what it is told to."""

    name, title, stage = "found", "what it is told", Stage.STATIC

    def __init__(self, *lines: int) -> None:
        self.lines = lines

    def check(self, context: Context) -> Any:
        for line in self.lines:
            place, proof = Place(path="shop.py", line=line), Proof(kind="test", text="so")
            yield Finding(rule="found", message="m.", grade=Grade.PROVED, place=place, key=f"{line}", proof=proof)


def run(changed: Change, *lines: int) -> Report:
    return review(changed, Options(instead=(Found(*lines), Surprise())))


@pytest.fixture
def engine_runs(served: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FAMULUS_HOME", str(served.home))
    client = connect(served.home, start=False)
    client.score("x = ", "1", deadline=90.0)  # answered once the weights are loaded
    return client


def test_what_the_model_does_not_expect_weighs_more(engine_runs: Any) -> None:
    both = change(ODD.replace("return total(prices) / count", "return sum(prices) / count"))
    report = run(both, 11, 6)
    ranked = [(finding.place.line, finding.surprise) for finding in report.findings if finding.rule == "found"]
    assert [line for line, _ in ranked] == [6, 11]
    assert ranked[0][1] > ranked[1][1]


def test_the_model_alone_is_not_shown_unless_it_is_asked_for(engine_runs: Any) -> None:
    report = run(change(ODD))
    [asked] = report.findings
    assert (asked.rule, asked.grade, asked.place.line) == ("surprise", Grade.MODEL_ONLY, 6)
    assert not counts(asked)
    assert report.shown() == []
    assert report.shown(everything=True) == [asked]


def test_old_lines_have_no_bits(engine_runs: Any) -> None:
    [function] = chosen(Context(change(ODD)))
    assert set(surprise(engine_runs, function, SECONDS)) == {6}


def test_no_engine_is_started_and_nothing_else_is_missing(stranded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(stranded))
    report = run(change(ODD), 6, 5)
    assert [finding.surprise for finding in report.findings] == [0.0, 0.0]
    assert report.left_out == ("No engine runs, so the model had no part in the order of the findings.",)
    assert run(change(ODD), 6).left_out == run(change(ODD)).left_out == ()  # nothing to rank, nothing to say


def test_where_something_was_found_is_looked_at_first() -> None:
    many = "\n\n".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(30))
    context = Context(change(many.replace("x +", "x -"), many))
    context.found = list(Found(many[: many.index("f29")].count("\n") + 2).check(context))
    assert chosen(context)[0].name == "f29"
    assert len(chosen(context)) < 30


def test_proven_neutral_lines_are_not_asked_about() -> None:
    commented = change(OLD.replace("result += price", "result += price  # cents"))
    running = Review(commented, Options(only=["neutral"]))
    assert not list(running.run())
    assert chosen(running.context) == []
    assert chosen(replace(running.context, neutral={}))
