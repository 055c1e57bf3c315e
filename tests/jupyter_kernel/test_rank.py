"""Which candidate runs: the one that does what was asked and touches nothing else."""

from __future__ import annotations

from famulus.jupyter_kernel import rank
from famulus.jupyter_kernel.candidate import Candidate, Effect, Rehearsal, Want
from famulus.jupyter_kernel.rank import Attempt


def attempt(code: str = "x", *, match: float = 0.5, coverage: float = 1.0, **seen: object) -> Attempt:
    return Attempt(Candidate(code, "recipe", match=match, coverage=coverage), Rehearsal(**({"status": "ok"} | seen)))  # type: ignore[arg-type]


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


def test_candidates_that_agree_strengthen_each_other() -> None:
    lone = attempt("a", match=0.52, value="1")
    first, second = attempt("b", match=0.5, value="2"), attempt("c", match=0.5, value="2")
    assert rank.order([lone, first, second], Want())[0] is first


def test_an_effect_that_was_refused_is_no_failure() -> None:
    writing = attempt(status="refused", effects=(Effect("write", "/out.csv"),))
    assert rank.order([writing], Want("file")) == [writing]
