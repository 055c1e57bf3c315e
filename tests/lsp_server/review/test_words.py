"""What a review says in sentences: counted ones, and those of the model, which the findings must bear out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.client import connect
from famulus.lsp_server.review import words
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof
from famulus.lsp_server.review.report import as_json, markdown
from famulus.lsp_server.review.review import Options, review
from famulus.lsp_server.review.summary import summary

OLD = "def price(net, rate=0.2):\n    return net * (1 + rate)\n\n\ndef same():\n    return 1\n"
NEW = OLD.replace("rate", "vat")
CALLER = "from shop import price\n\nprice(3, rate=1)\n"
CHANGE = between(
    Memory({"shop.py": OLD.encode(), "cart.py": CALLER.encode()}),
    Memory({"shop.py": NEW.encode(), "cart.py": CALLER.encode(), "notes.txt": b"x\n"}),
)
FACTS = [
    "1 function changed in 1 file of 2; 1 place does not fit any more.",
    "cart.py:3 calls price() with `rate`, which it no longer takes.",
    "clamp(0, 1) is now -1; it was 0.",
]


def finding(rule: str, message: str = "m.") -> Finding:
    proof = Proof(kind="bind", text="because")
    place = Place(path="cart.py", line=3)
    return Finding(rule=rule, message=message, grade=Grade.PROVED, place=place, key=rule, proof=proof)


def test_the_summary_counts_what_changed_and_what_it_means() -> None:
    found = [finding("call-site/name"), finding("call-site/order"), finding("witness/value"), finding("mine/thing")]
    changed, meaning = "1 function changed in 1 file of 2", "1 function answers differently; 1 more finding"
    assert summary(CHANGE, found) == f"{changed}; 2 places do not fit any more; {meaning}."
    assert summary(between(CHANGE.new, CHANGE.new), []) == "Nothing changed."


def test_every_form_for_people_and_machines_has_the_summary() -> None:
    report = review(CHANGE, Options(only=["call-site"]))
    assert report.summary == "1 function changed in 1 file of 2; 1 place does not fit any more."
    assert report.summary in markdown.text(report, report.shown(), CHANGE)
    assert json.loads(as_json.text(report, report.shown()))["summary"] == report.summary


@pytest.mark.parametrize(
    "said",
    [
        "cart.py:3 calls price() with `rate`, which it no longer takes.",
        "It is cart.py:3 which calls price() with `rate` and it no longer takes that.",
        "clamp(0, 1) is now -1, it was 0.",
    ],
)
def test_what_the_facts_bear_out_is_kept(said: str) -> None:
    assert words.checked(said, FACTS) == [said]


@pytest.mark.parametrize(
    "said",
    [
        "cart.py:3 calls price() with `rate`, which it takes.",  # the opposite
        "cart.py:3 calls price() with `vat`, which it no longer takes.",  # a name that nobody found
        "cart.py:4 calls price() with `rate`, which it no longer takes.",  # a place that nobody found
        "clamp(0, 1) is now 0, it was -1.",  # turned round
        "price() calls cart.py:3 with `rate`, which it no longer takes.",  # turned round
        "price() and clamp(0, 1) are no longer available in cart.py:3.",  # of two facts, and neither says so
        "Everything works as before and this is fine.",  # names nothing
        "cart.py:3 calls price() with `rate`, which it no longer",  # cut off
    ],
)
def test_what_the_facts_do_not_say_is_dropped(said: str) -> None:
    assert words.checked(said, FACTS) == []


@given(st.text())
def test_any_answer_can_be_checked(answer: str) -> None:
    for sentence in words.checked(answer, FACTS):
        assert words.checked(sentence, FACTS) == [sentence]


def test_the_model_can_only_say_what_was_found(served: Any) -> None:
    report = review(CHANGE, Options(only=["call-site"]))
    facts = words.evidence(CHANGE, report.shown())
    with connect(served.home, start=False) as engine:
        constraint = {"grammar": words.grammar(facts)}
        with engine.generate("cart.py:3 is", max_tokens=24, constraint=constraint) as writing:
            answer = "".join(delta.text for delta in writing)
        told = words.worded(engine, CHANGE, report.shown())
    for word in answer.split()[:-1]:
        assert word.rstrip(",.").isalpha() or any(word.rstrip(",.") in fact for fact in facts), word
    assert told == words.checked(" ".join(told), facts)


def test_explain_leaves_a_complete_report_where_no_model_can_be_asked(repo: Any, stranded: Path) -> None:
    repo.commit({"shop.py": OLD, "cart.py": CALLER})
    repo.write({"shop.py": NEW})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "famulus", "review", "--explain", "--rules", "call-site", "--format", "json"],
        cwd=repo.path, capture_output=True, text=True, timeout=180, env={**os.environ, "FAMULUS_HOME": str(stranded)},
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert [found["place"]["path"] for found in report["findings"]] == ["cart.py"]
    assert report["words"] == []
    assert any(sentence.startswith("The model could not be asked") for sentence in report["left_out"])
