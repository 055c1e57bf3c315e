"""A run of the review: the order of rules, its time, rules that fail, what is shown, and what is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.review import registry
from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Grade
from famulus.lsp_server.review.ignoring import BASELINE, FILE, write_baseline
from famulus.lsp_server.review.review import MOST_SHOWN, Options, Report, Review, review

Install = Callable[..., None]

CHANGE = between(Memory({"a.py": b"1\n"}), Memory({"a.py": b"2\n"}), title="one..two")
PLUGGED = Options(only=["plugged"])


def reviewed(options: Options = PLUGGED, root: Path | None = None, source: str = "2\n") -> Report:
    return review(between(Memory({"a.py": b"1\n"}), Memory({"a.py": source.encode()})), options, root)


def messages(report: Report) -> list[str]:
    return [finding.key for finding in report.shown()]


# -- rules


def test_a_plugins_rule_runs_among_our_own(plugin: Install) -> None:
    plugin("yield finding('a fault')")
    report = reviewed(Options())
    assert messages(report) == ["a fault"]
    assert [run.state for run in report.runs if run.rule == "plugged"] == ["done"]
    assert {"plugged", "secrets"} <= {run.rule for run in report.runs}
    assert reviewed(Options(skipped=["plugged"])).findings == ()
    assert [run.rule for run in reviewed(Options(only=["plugged/thing"])).runs] == ["plugged"]
    assert messages(reviewed(Options(only=["plugged/thing"]))) == ["a fault"]
    assert messages(reviewed(Options(only=["plugged/other"]))) == []
    assert messages(reviewed(Options(only=["plugged"], skipped=["plugged/thing"]))) == []


def test_every_rule_of_ours_says_what_it_is() -> None:
    rules, troubles = registry.rules()
    assert troubles == []
    assert len({rule.name for rule in rules}) == len(rules) >= len(registry.RULES)
    assert all(rule.title and rule.title[0].islower() for rule in rules)
    assert [rule.stage for rule in rules] == sorted(rule.stage for rule in rules)


def test_a_rule_or_a_plugin_that_fails_is_named_and_takes_nothing_with_it(plugin: Install) -> None:
    plugin("raise ImportError", name="broken", before="import no_such_module")
    plugin("yield finding('before')\nraise ValueError('of a sort')")
    report = reviewed()
    assert messages(report) == ["before"]
    assert [run.state for run in report.runs] == ["failed"]
    assert any("plugin broken could not be loaded (ModuleNotFoundError" in said for said in report.left_out)
    assert any("rule plugged failed (ValueError: of a sort)" in said for said in report.left_out)


def test_what_a_rule_cannot_do_here_is_said(plugin: Install) -> None:
    plugin(
        """
        from famulus.engine.errors import FamulusError
        raise FamulusError("There is no sandbox.", fix="Install bubblewrap.")
        yield
        """
    )
    report = reviewed()
    assert report.left_out == ("What a plugin looks for: There is no sandbox. Install bubblewrap.",)
    assert report.complete


SLOW = """[
    type("Slow", (), {"name": "slow", "title": "slow things", "stage": Stage.RUN, "check": slow})(),
    type("Last", (), {"name": "last", "title": "last things", "stage": Stage.MODEL, "check": slow})(),
]"""
FOREVER = """
def slow(self, context):
    yield finding("one before the time was up", rule=self.name)
    while True:
        context.clock.check()
"""


def test_static_rules_end_and_the_others_share_the_time(plugin: Install) -> None:
    plugin("yield finding('static')", more=SLOW, before=FOREVER)
    report = reviewed(Options(budget=0.3, only=["plugged", "slow", "last"]))
    assert [(run.rule, run.state) for run in report.runs] == [
        ("plugged", "done"),
        ("slow", "time up"),
        ("last", "time up"),
    ]
    assert [run.findings for run in report.runs] == [1, 1, 1]
    assert report.left_out == ("Not finished in 0.3 s: slow things, last things. Give it more time with --budget.",)
    assert report.complete


IDLE = """[
    type("Look", (), {"name": n, "title": n, "stage": Stage.RUN, "check": look, "idle": lambda s, c: s.name != third})()
    for n in ("first", "second", third, "fourth")
]"""
LOOK = """
third = "third"
def look(self, context):
    yield finding(f"{context.clock.left:.0f}", rule=self.name)
"""


def test_no_time_is_kept_for_rules_that_have_nothing_to_do(plugin: Install) -> None:
    plugin("yield finding('static')", more=IDLE, before=LOOK)
    report = reviewed(Options(budget=2000, only=["first", "second", "third", "fourth"]))
    left = {finding.rule: float(finding.message.split()[-1]) for finding in report.findings}
    assert left["first"] == pytest.approx(1000, abs=60)
    assert left["third"] == pytest.approx(2000, abs=120)


def test_what_was_not_reached_is_named(plugin: Install) -> None:
    plugin("yield finding('static')", more=SLOW, before=FOREVER)
    report = reviewed(Options(budget=1e-9, only=["plugged", "slow", "last"]))
    assert messages(report) == ["static"]
    assert report.left_out == ("Not reached in 1e-09 s: slow things, last things. Give it more time with --budget.",)


def test_an_interrupted_review_reports_what_it_found(plugin: Install) -> None:
    plugin("yield finding('first')\nraise KeyboardInterrupt", more=SLOW, before=FOREVER)
    running = Review(CHANGE, Options(only=["plugged", "slow"]))
    with pytest.raises(KeyboardInterrupt):
        list(running.run())
    report = running.report()
    assert (messages(report), report.complete) == (["first"], False)
    assert report.left_out == ("Interrupted before the end: what a plugin looks for, slow things.",)


def test_a_rule_is_closed_when_nobody_wants_more(plugin: Install, tmp_path: Path) -> None:
    plugin("try:\n    while True: yield finding('again')\nfinally:\n    (context.root / 'closed').touch()")
    running = Review(CHANGE, PLUGGED, tmp_path)
    findings = running.run()
    assert next(findings).key == "again"
    assert not (tmp_path / "closed").exists()
    findings.close()
    assert (tmp_path / "closed").exists()
    assert running.report().complete is False


# -- what is shown

MANY = """
for n in range(12):
    yield finding(f"reach {n}", reach=n)
yield finding("witnessed", Grade.WITNESSED, reach=50)
yield finding("measured", Grade.MEASURED, reach=50)
yield finding("only the model's", Grade.MODEL_ONLY, reach=50)
yield finding("perhaps", certainty="possible", reach=50)
yield finding("unexpected", surprise=8.0, reach=11)
yield finding("grave", severity="error", reach=11)
"""


def test_the_weightiest_ten_are_shown_and_the_others_counted(plugin: Install) -> None:
    plugin(MANY)
    report = reviewed()
    shown = report.shown()
    assert [finding.key for finding in shown[:3]] in (
        ["grave", "unexpected", "reach 11"],
        ["unexpected", "grave", "reach 11"],
    )
    assert len(shown) == MOST_SHOWN
    assert all(finding.grade is Grade.PROVED for finding in shown)
    assert report.hidden(shown) == {"of less weight": 6, "only the model's": 1, "only possible": 1}
    everything = report.shown(everything=True)
    assert len(everything) == 18
    assert report.hidden(everything) == {}
    order = [finding.grade.rank for finding in everything]
    assert order == sorted(order)


def test_one_cause_with_many_callers_does_not_hide_the_others(plugin: Install) -> None:
    plugin(
        """
        from famulus.lsp_server.review.finding import Related
        for cause, callers in ((1, 12), (2, 2), (3, 1)):
            for n in range(callers):
                place = Place(path="shop.py", line=cause)
                yield finding(f"{cause} {n}", line=n + 1, reach=callers, related=(Related(place=place, message="m"),))
        """
    )
    assert Counter(key.split()[0] for key in messages(reviewed())) == {"1": 7, "2": 2, "3": 1}
    assert messages(reviewed())[-1] == "3 0"


@pytest.mark.parametrize(
    ("rule", "reached"),
    [
        ("yield finding('x', Grade.PROVED)", "proved witnessed measured model-only"),
        ("yield finding('x', Grade.WITNESSED)", "witnessed measured model-only"),
        ("yield finding('x', Grade.MEASURED)", "measured model-only"),
        ("yield finding('x', Grade.MODEL_ONLY)", "model-only"),
        ("yield finding('x', certainty='possible')", "model-only"),
        ("yield from ()", ""),
    ],
)
def test_a_grade_is_reached_by_itself_and_by_better_ones(plugin: Install, rule: str, reached: str) -> None:
    plugin(rule)
    report = reviewed()
    assert [grade.value for grade in Grade if report.reaches(grade)] == reached.split()


def test_findings_of_one_kind_keep_their_fingerprints_when_they_move(plugin: Install) -> None:
    plugin("for line in (1, 2): yield finding('twice', line=line + len(context.change.files[0].new_text))")
    before, after = reviewed(source="2\n"), reviewed(source="\n\n\n2\n")
    assert [f.place.line for f in before.findings] != [f.place.line for f in after.findings]
    assert [f.fingerprint for f in before.findings] == [f.fingerprint for f in after.findings]
    assert len({f.fingerprint for f in before.findings}) == 2


# -- what is settled


@pytest.mark.parametrize(
    ("line", "settled"),
    [
        ("x = 1  # famulus: ignore[plugged] the old one is meant", True),
        ("x = 1  # famulus: ignore[plugged/thing] the old one is meant", True),
        ("x = 1  #famulus:ignore[plugged/*] the old one is meant", True),
        ("x = 1  # famulus: ignore[other, plugged] the old one is meant", True),
        ("x();  // famulus: ignore[plugged] the old one is meant", True),
        ("# famulus: ignore[plugged] the old one is meant\nx = 1", True),
        ("y = 2  # famulus: ignore[plugged] that line, not this one\nx = 1", False),
        ("x = 1  # famulus: ignore[other] the old one is meant", False),
        ("x = 1  # famulus: ignore[plug] the old one is meant", False),
        ("x = 'famulus: ignore[plugged] said in a text'", False),
        ("x = 1\n# famulus: ignore[plugged] below", False),
    ],
)
def test_an_ignore_in_the_code_settles_what_it_names(plugin: Install, line: str, settled: bool) -> None:
    plugin(f"yield finding('a fault', line={line.count(chr(10)) + 1 if 'below' not in line else 1})")
    report = reviewed(source=line + "\n")
    assert messages(report) == ([] if settled else ["a fault"])
    assert dict(report.suppressed) == ({"ignored in the code": 1} if settled else {})
    assert report.reaches(Grade.PROVED) != settled


@pytest.mark.parametrize(
    "line", ["x  # famulus: ignore[plugged]", "x  # famulus: ignore[plugged]  --", "x  # famulus: ignore"]
)
def test_an_ignore_without_a_reason_or_a_rule_is_not_obeyed(plugin: Install, line: str) -> None:
    plugin("yield finding('a fault')")
    report = reviewed(source=line + "\n")
    assert messages(report) == ["a fault"]
    assert len(report.left_out) == 1 and report.left_out[0].startswith("a.py:1: an ignore")


@pytest.mark.parametrize(
    ("line", "settled"),
    [
        ("a.py [plugged] it is old", True),
        ("*.py  [other, plugged/thing]  it is old", True),
        ("b.py [plugged] it is old", False),
        ("a.py [other] it is old", False),
        ("# a.py [plugged] it is old", False),
    ],
)
def test_the_ignore_file_settles_paths(plugin: Install, tmp_path: Path, line: str, settled: bool) -> None:
    plugin("yield finding('a fault')")
    (tmp_path / FILE).write_text(f"# settled\n\n{line}\n")
    report = reviewed(root=tmp_path)
    assert dict(report.suppressed) == ({f"ignored by {FILE}": 1} if settled else {})
    assert report.left_out == ()


@pytest.mark.parametrize(("line", "said"), [("a.py [plugged]", "gives no reason"), ("a.py plugged why", "write PATH")])
def test_a_line_of_the_ignore_file_that_cannot_be_obeyed_is_named(
    plugin: Install, tmp_path: Path, line: str, said: str
) -> None:
    plugin("yield finding('a fault')")
    (tmp_path / FILE).write_text(f"\n{line}\n")
    report = reviewed(root=tmp_path)
    assert messages(report) == ["a fault"]
    assert f"{FILE} line 2" in report.left_out[0] and said in report.left_out[0]


def test_a_baseline_settles_what_it_holds_and_nothing_new(plugin: Install, tmp_path: Path) -> None:
    plugin("yield finding('old', line=3)\nif len(context.change.files[0].new_text) > 2: yield finding('new')")
    write_baseline(reviewed().findings, tmp_path / BASELINE)
    assert messages(reviewed(root=tmp_path)) == []
    report = reviewed(root=tmp_path, source="2222\n")
    assert (messages(report), dict(report.suppressed)) == (["new"], {"in the baseline": 1})
    named = Options(only=["plugged"], baseline=tmp_path / BASELINE)
    assert messages(reviewed(named, source="2222\n")) == ["new"]
    for content in (None, "{}", "no json"):
        (tmp_path / "other").write_text(content) if content else None
        with pytest.raises(InvalidRequest):
            reviewed(Options(only=["plugged"], baseline=tmp_path / "other"))


def test_rules_are_chosen_by_their_names() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    rules: list[Any] = [Named("call-site"), Named("call"), Named("witness")]

    def names(only: list[str], skipped: list[str]) -> list[str]:
        return [rule.name for rule in registry.chosen(rules, only, skipped)]

    assert names([], []) == ["call-site", "call", "witness"]
    assert names(["call-site"], []) == names(["call-site/unknown-keyword"], []) == ["call-site"]
    assert names(["call*"], []) == ["call-site", "call"]
    assert names([], ["call-site"]) == ["call", "witness"]
    assert names([], ["call-site/unknown-keyword"]) == ["call-site", "call", "witness"]
    with pytest.raises(InvalidRequest, match=r"no rule 'nonsense'\. There are: call, call-site, witness\."):
        names([], ["nonsense"])
