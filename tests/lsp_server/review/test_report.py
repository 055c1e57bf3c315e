"""Every form of a report: whole, valid in its own format, and safe to show whatever stands in the code."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.finding import Edit, Finding, Grade, Place, Proof, Related, Suggestion
from famulus.lsp_server.review.report import as_json, github, gitlab, markdown, sarif, terminal
from famulus.lsp_server.review.report.source import Lines, seen_places, visible
from famulus.lsp_server.review.review import Report, RuleRun

SARIF = json.loads((Path(__file__).parent / "data/sarif-2.1.0.schema.json").read_text())
"""The schema of the standard (OASIS; the package @microsoft/jest-sarif, MIT) without its descriptions."""

SHOP_OLD = "import os\n\n\ndef price(net, rate=0.2):\n    return net * (1 + rate)\n"
SHOP_NEW = "import os\n\n\ndef price(net, vat=0.2):\n    return net * (1 + vat)\n"
CART = "from shop import price\n\n\n\n\n\n\n\n\ndef total(items):\n    return sum(price(i, rate=0.1) for i in items)\n"


def change(**files: str) -> Change:
    old = Memory({"shop.py": SHOP_OLD.encode(), "cart.py": CART.encode(), "gone.py": b"x = 1\n"})
    new = {"shop.py": SHOP_NEW.encode(), "cart.py": CART.encode()}
    return between(old, Memory({**new, **{name: text.encode() for name, text in files.items()}}), title="one..two")


CALL = Finding(
    rule="call-site/unknown-keyword",
    message="cart.py:11 calls price() with `rate`, which it no longer takes.",
    grade=Grade.PROVED,
    place=Place(path="cart.py", line=11, column=25, end_line=11, end_column=33, symbol="cart.total"),
    key="shop.price cart.total rate",
    proof=Proof(kind="bind", text="price(i, rate=…) does not fit price(net, vat=0.2)", data={"name": "rate"}),
    severity="error",
    related=(Related(place=Place(path="shop.py", line=4), message="price() changed here"),),
    suggestion=Suggestion(title="Say vat", edits=(Edit(path="cart.py", line=11, end_line=11, text="    return 1"),)),
    reach=3,
)
WITNESS = Finding(
    rule="witness",
    message="price(1) answers differently.",
    grade=Grade.WITNESSED,
    place=Place(path="shop.py", line=5, end_line=5),
    key="shop.price",
    proof=Proof(kind="witness", text="price(1): 1.2 → 1.3", code="def test_price():\n    assert price(1) == 1.2\n"),
    old_place=Place(path="shop.py", line=5, side="old"),
    suggestion=Suggestion(title="Go back", edits=(Edit(path="shop.py", line=5, end_line=5, text="    return 2\n"),)),
)
GONE = Finding(
    rule="contract/gone",
    message="gone.py is gone.",
    grade=Grade.MEASURED,
    place=Place(path="gone.py", line=1, side="old"),
    key="gone",
    proof=Proof(kind="comparison", text=""),
    severity="note",
)


def report(*findings: Finding, **more: Any) -> Report:
    given: dict[str, Any] = {
        "title": "one..two", "findings": findings, "facts": {"neutral": "2 of 5 changed lines proven neutral"},
        "left_out": ("Not reached in 60 s: flaky tests.",), "unread": {"k.pem": "holds a key or a certificate"},
        "runs": (), "seconds": 1.5, "files": 2, "changed_lines": 5, "suppressed": {"in the baseline": 2},
    }  # fmt: skip
    return Report(**given | more)


def printed(of: Report, width: int = 100, terminal_codes: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=terminal_codes, highlight=False, markup=False, emoji=False
    )
    for part in terminal.renderables(of, of.shown(), change()):
        console.print(part)
    return stream.getvalue()


def test_the_terminal_shows_the_call_its_proof_its_cause_and_what_is_missing() -> None:
    text = printed(report(CALL, WITNESS))
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[:5] == [
        "proved  cart.py:11  call-site/unknown-keyword",
        "  cart.py:11 calls price() with `rate`, which it no longer takes.",
        "    11 │     return sum(price(i, rate=0.1) for i in items)",
        "    price(i, rate=…) does not fit price(net, vat=0.2)",
        "    shop.py:4  price() changed here",
    ]
    assert "    Fix: Say vat" in lines
    assert "2 findings in 5 changed lines of 2 files (one..two, 1.5 s)" in lines
    assert "  2 of 5 changed lines proven neutral" in lines
    assert "  Settled: 2 in the baseline." in lines
    assert "  Not reached in 60 s: flaky tests." in lines
    assert "  Changed, but not read: k.pem holds a key or a certificate." in lines
    assert printed(report()).startswith("Nothing to report in 5 changed lines")
    assert printed(report(complete=False)).startswith("Nothing found so far")
    unanswered = report(runs=(RuleRun("culprit", "not possible", 0.1, 0),))
    assert printed(unanswered).startswith("No answer") and "review: no answer" in markdown.text(
        unanswered, [], change()
    )
    assert printed(report(files=0, unread={})).startswith("Nothing has changed (one..two)\n")
    assert "Nothing has changed" not in printed(report(WITNESS, files=0, unread={}))
    twice = replace(CALL, related=(Related(place=CALL.related[0].place, message=f"{CALL.proof.text}."),))
    assert printed(report(twice)).count(CALL.proof.text) == 1, "what a related place says is not said before it as well"


def test_what_a_terminal_would_obey_and_what_nobody_sees_is_written_out() -> None:
    evil = "a\x1b]0;owned\x07\x1b[2J\u202e\u200b\U000e0041\ud800b"
    finding = Finding(
        rule="x", message=evil, grade=Grade.PROVED, key="k", place=Place(path=f"{evil}.py", line=1),
        proof=Proof(kind="x", text=evil), related=(Related(place=Place(path=evil, line=1), message=evil),),
    )  # fmt: skip
    of = report(finding, facts={"x": evil}, left_out=(evil,), unread={evil: "x"}, title=evil)
    forms = [
        printed(of),
        markdown.text(of, of.shown(), change()),
        github.workflow_commands(of.shown()),
        json.loads(gitlab.text(of.shown()))[0]["description"],
        json.loads(sarif.text(of, of.shown()))["runs"][0]["results"][0]["message"]["text"],
        json.loads(github.review_comments(of, of.shown(), change()))["body"],
    ]
    for form in forms:
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u200b\U000e0041\ud800]", form)
        assert r"\x1b]0;owned\x07" in form.replace("\\\\", "\\").replace("\\]", "]")
        form.encode()


@given(st.text())
def test_visible_text_is_printable_and_tells_everything_apart(text: str) -> None:
    shown = visible(text)
    assert all(
        character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs" for character in shown
    )
    assert text.isprintable() is False or shown == text


def test_json_is_one_document_with_what_is_shown_and_counts_of_the_rest() -> None:
    of = report(CALL, *[WITNESS] * 0, GONE)
    document = json.loads(as_json.text(of, [CALL]))
    assert document["schema"] == "famulus-review/1"
    [found] = document["findings"]
    assert found["fingerprint"] == CALL.fingerprint
    assert (found["rule"], found["grade"], found["place"]["path"]) == (CALL.rule, "proved", "cart.py")
    assert found["proof"]["data"] == {"name": "rate"}
    assert document["hidden"] == {"of less weight": 1}
    assert document["left_out"] == list(of.left_out)
    odd = Finding(
        rule="x", message="m", grade=Grade.PROVED, place=Place(path="\udce9.py", line=1), key="\udce9", proof=GONE.proof
    )
    text = as_json.text(report(odd), [odd])
    assert json.loads(text.encode().decode())["findings"][0]["place"]["path"] == "\udce9.py"


# -- SARIF


def test_sarif_is_valid_and_carries_places_proof_and_fixes() -> None:
    of = report(CALL, WITNESS, GONE)
    log = json.loads(sarif.text(of, of.shown()))
    jsonschema.Draft4Validator(SARIF).validate(log)
    [run] = log["runs"]
    call = run["results"][0]
    assert run["tool"]["driver"]["rules"][call["ruleIndex"]]["id"] == call["ruleId"] == CALL.rule
    region = call["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 11, "startColumn": 25, "endLine": 11, "endColumn": 33}
    assert call["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "shop.py"
    assert call["partialFingerprints"] == {"famulusReview/v1": CALL.fingerprint}
    [replacement] = call["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement["deletedRegion"] == {"startLine": 11, "startColumn": 1, "endLine": 12, "endColumn": 1}
    assert replacement["insertedContent"]["text"] == "    return 1\n"
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].startswith("Not reached")


_place = st.builds(
    Place,
    path=st.text(st.characters(exclude_characters="\0"), min_size=1),
    line=st.integers(1, 9),
    column=st.integers(1, 9),
    end_line=st.none() | st.integers(1, 9),
    end_column=st.none() | st.integers(1, 9),
    symbol=st.text(),
    side=st.sampled_from(["old", "new"]),
)
_finding = st.builds(
    Finding,
    rule=st.text(),
    message=st.text(),
    grade=st.sampled_from(Grade),
    place=_place,
    key=st.text(),
    proof=st.builds(
        Proof, kind=st.text(), text=st.text(), code=st.text(), data=st.dictionaries(st.text(), st.integers())
    ),
    severity=st.sampled_from(["error", "warning", "note"]),
    related=st.lists(st.builds(Related, place=_place, message=st.text()), max_size=3).map(tuple),
    suggestion=st.none()
    | st.builds(
        Suggestion,
        title=st.text(),
        edits=st.tuples(
            st.builds(
                Edit, path=st.text(min_size=1), line=st.integers(1, 9), end_line=st.integers(0, 9), text=st.text()
            )
        ),
    ),
)


@given(st.lists(_finding, max_size=3), st.text())
@settings(max_examples=60, deadline=None)
def test_whatever_a_rule_says_every_form_can_be_written_and_read(findings: list[Finding], words: str) -> None:
    of = report(*findings, title=words, facts={words: words}, left_out=(words,))
    shown = of.shown(everything=True)
    jsonschema.Draft4Validator(SARIF).validate(json.loads(sarif.text(of, shown)))
    for text in (as_json.text(of, shown), gitlab.text(shown), github.review_comments(of, shown, change())):
        json.loads(text.encode())
    commands = github.workflow_commands(shown)
    assert commands.count("\n") == len(shown)
    assert all(line.startswith("::") for line in commands.splitlines())
    assert markdown.text(of, shown, change()).startswith("### Famulus review")
    printed(of)


# -- hosting services


def test_annotations_name_the_caller_and_cannot_be_forged() -> None:
    [line] = github.workflow_commands([CALL]).splitlines()
    assert line.startswith(
        "::error file=cart.py,line=11,col=25,endColumn=32,title=call-site/unknown-keyword (proved)::"
    )
    assert line.endswith("takes.%0Aprice(i, rate=…) does not fit price(net, vat=0.2)%0Ashop.py:4 price() changed here")
    forged = Finding(
        rule="x", message="a\n::error::b", grade=Grade.PROVED, place=Place(path="a,title=b::c.py", line=1), key="",
        proof=GONE.proof,
    )  # fmt: skip
    assert (
        github.workflow_commands([forged])
        == "::warning file=a%2Ctitle=b%3A%3Ac.py,line=1,title=x (proved)::a%0A::error::b\n"
    )


def test_comments_stand_on_lines_of_the_diff() -> None:
    """The caller is not in the diff: its comment is put on the definition that broke it, and names the caller."""
    of = report(CALL, WITNESS, GONE)
    body = json.loads(github.review_comments(of, of.shown(), change()))
    assert body["event"] == "COMMENT"
    call, witness, gone = body["comments"]
    assert (call["path"], call["line"], call["side"]) == ("shop.py", 4, "RIGHT")
    assert "`cart.py:11`" in call["body"] and "suggestion" not in call["body"]
    assert (witness["path"], witness["line"], witness["side"]) == ("shop.py", 5, "RIGHT")
    assert "```suggestion\n    return 2\n```" in witness["body"]
    assert "def test_price():" in witness["body"]
    assert (gone["path"], gone["line"], gone["side"]) == ("gone.py", 1, "LEFT")
    assert all(
        f"<!-- famulus:{f.fingerprint} -->" in c["body"] for f, c in zip(of.findings, body["comments"], strict=True)
    )


def test_a_finding_far_from_the_diff_goes_to_the_nearest_change_or_into_the_text() -> None:
    far = Finding(
        rule="x", message="Something far away.", grade=Grade.PROVED, place=Place(path="cart.py", line=1), key="",
        proof=GONE.proof, related=(Related(place=Place(path="shop.py", line=400), message="here"),),
    )  # fmt: skip
    assert [(p.path, p.line) for p in seen_places(change(), far)] == [("shop.py", 4)]
    alone = Finding(
        rule="x", message="Alone.", grade=Grade.PROVED, place=Place(path="no.py", line=1), key="", proof=GONE.proof
    )
    body = json.loads(github.review_comments(report(alone), [alone], change()))
    assert body["comments"] == []
    assert "**Alone.**" in body["body"]


def test_gitlab_gets_stable_fingerprints_and_places() -> None:
    [issue] = json.loads(gitlab.text([CALL]))
    assert issue["fingerprint"] == CALL.fingerprint
    assert issue["location"] == {"path": "cart.py", "lines": {"begin": 11}}
    assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")


def test_markdown_calls_a_test_only_what_is_one() -> None:
    code = replace(CALL, proof=replace(CALL.proof, code="price(i, rate=...)  # TypeError"))
    assert "As a test" not in markdown.block(code, Lines(change()))
    assert "As a test" in markdown.block(WITNESS, Lines(change()))
    assert "of 1 file." in markdown.text(report(CALL, files=1), [CALL], change())


def test_markdown_leaves_no_markup_to_the_code() -> None:
    evil = Finding(
        rule="x", message="<img src=x> *bold* [link](http://x) ` @user #1", grade=Grade.PROVED, key="",
        place=Place(path="a``b.py", line=1), proof=Proof(kind="x", text="```\n</details>"),
    )  # fmt: skip
    text = markdown.text(report(evil), [evil], change(**{"a``b.py": "````x\n"}))
    assert r"\<img src=x\> \*bold\* \[link\](http://x) ` \@user \#1" in text
    assert "``` a``b.py:1 ```" in text
    fence = re.search(r"^(`{3,})\n````x", text, re.MULTILINE)
    assert fence is not None and len(fence[1]) == 5


def test_a_secret_is_covered_wherever_it_is_shown() -> None:
    secret = Finding(
        rule="secrets/x", message="m", grade=Grade.PROVED, key="",
        place=Place(path="s.py", line=1, column=6, end_column=12),
        proof=Proof(kind="match", text="six characters", data={"masked": True}),
    )  # fmt: skip
    of, what = report(secret), change(**{"s.py": "k = 'hidden'\n"})
    stream = io.StringIO()
    for part in terminal.renderables(of, of.shown(), what):
        Console(file=stream, width=100).print(part)
    forms = [stream.getvalue(), markdown.text(of, of.shown(), what), github.review_comments(of, of.shown(), what)]
    assert "k = '………'" in forms[0] and "k = '………'" in forms[1]
    assert not any("hidden'" in form for form in forms)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_of_the_terminal_fit_it(width: int) -> None:
    assert all(len(line.rstrip("\n")) <= width for line in printed(report(CALL, WITNESS, GONE), width).splitlines())
