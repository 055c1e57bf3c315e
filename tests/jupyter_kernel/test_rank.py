"""Which candidate runs: the one that does what was asked and touches nothing else."""

from __future__ import annotations

from dataclasses import replace

from famulus.jupyter_kernel import intent, rank
from famulus.jupyter_kernel.candidate import Candidate, Effect, Rehearsal, Want
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.schema import Schema


def attempt(code: str = "x", *, match: float = 0.5, coverage: float = 1.0, **seen: object) -> Attempt:
    return Attempt(
        Candidate(code, "recipe", code, match=match, coverage=coverage), Rehearsal(**({"status": "ok"} | seen))
    )  # type: ignore[arg-type]


def test_what_failed_never_runs() -> None:
    for status in ("error", "timeout", "memory", "died"):
        assert rank.order([attempt(status=status, error="KeyError", message="'x'")], Want()) == []


def test_a_plot_is_drawn_and_a_value_shown() -> None:
    silent, drawn = attempt("silent", match=0.9), attempt("drawn", figures=1)
    assert rank.order([silent, drawn], Want("plot")) == [drawn]
    valued = attempt("valued", value="3")
    assert rank.order([silent, valued], Want("value")) == [valued]
    printed = attempt("printed", stdout="3\n")
    assert rank.order([silent, printed], Want("value")) == [printed]


def test_the_name_that_was_asked_for_is_bound() -> None:
    other, named = attempt("other", match=0.9, bound=("tmp",)), attempt("named", bound=("means",))
    assert rank.order([other, named], Want("bind", name="means")) == [named]


def test_an_untouched_frame_beats_a_better_match_that_changes_it() -> None:
    changing, clean = attempt("changing", match=0.6, changed=("df",)), attempt("clean", match=0.5)
    assert rank.order([changing, clean], Want())[0] is clean
    assert rank.order([changing], Want()) == [], "nothing that exists is changed unasked"
    asked = Want(names=("df",), changes=True)
    assert rank.order([changing, clean], asked)[0] is changing, "the words name df"


def test_only_an_order_or_the_very_words_of_a_recipe_change_what_exists() -> None:
    changing = attempt(match=0.89, changed=("df",))
    assert "unasked" in rank.objection(changing, Want())
    assert rank.objection(changing, Want(changes=True)) == ""
    assert rank.objection(attempt(match=0.95, changed=("df",)), Want()) == ""


def test_words_that_go_on_from_an_order_change_something_only_if_the_order_did() -> None:
    for meant, unasked in (("add a column x = a * b for north", False), ("total price of the fastest run", True)):
        grown = Attempt(Candidate("x", "recipe", match=1.0, meant=meant), Rehearsal("ok", changed=("df",)))
        assert bool(rank.objection(grown, Want())) is unasked, meant


def test_an_order_that_does_nothing_comes_behind_one_that_does() -> None:
    idle, working = attempt("idle", match=0.92), attempt("working", match=0.88, changed=("df",))
    assert rank.order([idle, working], Want(changes=True))[0] is working


def test_a_recipe_that_fits_badly_may_only_show_something_and_is_doubted() -> None:
    asked = Want(names=("df",))
    shows, binds = attempt(match=0.5, value="3"), attempt(match=0.5, bound=("x",))
    assert not rank.hopeless(shows, asked, wrote=False) and not rank.guess(shows, asked, small=True)
    assert rank.doubt(shows) and not rank.doubt(attempt(match=0.7, value="3"))
    assert rank.hopeless(binds, asked, wrote=False), "it leaves something behind"
    reads = attempt("import pandas as pd\nx = 1", match=0.5, bound=("pd", "x", "_item"))
    assert not rank.hopeless(reads, Want("bind", "x", names=("df",)), wrote=False), "what it imports is no matter"
    assert not rank.hopeless(binds, Want("bind", "x", names=("df",)), wrote=False), "as the words ask"
    assert rank.guess(attempt(match=0.6, value="3", coverage=0.5), asked, small=True)
    assert rank.hopeless(attempt(match=0.5, value="3", coverage=0.5), asked, wrote=False)
    assert rank.hopeless(shows, Want(), wrote=False), "the words name nothing"
    assert rank.hopeless(attempt(match=0.4, value="3"), asked, wrote=False)


def test_a_weak_reading_of_an_order_changes_one_thing_at_most_and_is_doubted() -> None:
    asked = Want(names=("df",), changes=True)
    one, two = attempt(match=0.6, changed=("df",)), attempt(match=0.6, changed=("df", "other"))
    assert rank.guess(one, asked, small=True) == "" and rank.doubt(one)
    assert "changes df, other" in rank.guess(two, asked, small=True)
    assert "changes df" in rank.guess(attempt(match=0.5, changed=("df",)), asked, small=True)
    sure = attempt(match=0.7, changed=("df",))
    assert rank.guess(sure, asked, small=True) == "" and not rank.doubt(sure)


def test_what_leaves_out_a_text_of_the_words_is_asked_about() -> None:
    assert "krill" in rank.guess(attempt("f('x')", match=0.8, value="1"), Want(quoted=("krill",)), small=True)
    assert rank.guess(attempt("f('krill')", match=0.8, value="1"), Want(quoted=("krill",)), small=True) == ""


def test_candidates_that_agree_strengthen_each_other() -> None:
    lone = attempt("a", match=0.52, value="1")
    first, second = attempt("b", match=0.5, value="2"), attempt("c", match=0.5, value="2")
    assert rank.order([lone, first, second], Want())[0] is first


def test_an_effect_that_was_refused_is_no_failure() -> None:
    writing = attempt(status="refused", effects=(Effect("write", "/out.csv"),))
    assert rank.order([writing], Want("file")) == [writing]


def test_what_the_words_say_to_equal_something_is_made_or_nothing_runs() -> None:
    words = intent.read("add spread = high - low", Schema(()))
    assert words.equated == ("spread",)
    other = attempt("highs.append('low')", match=0.95, changed=("highs",))
    assert "spread" in rank.guess(other, replace(words, changes=True), small=True)
    right = attempt("df['spread'] = df['high'] - df['low']", match=0.95, changed=("df",))
    assert rank.guess(right, replace(words, changes=True), small=True) == ""
