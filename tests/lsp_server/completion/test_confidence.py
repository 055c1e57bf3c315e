"""How sure one may be of a candidate, and where it ends because of that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.protocol import Delta, TokenLogprob
from famulus.lsp_server.completion.candidates import Candidate, Scored, ranked
from famulus.lsp_server.completion.confidence import CURVES, UNKNOWN, Curve, curve
from famulus.lsp_server.completion.judging import BOX_SECONDS, Measure, watcher

LOGPROBS = st.lists(st.floats(-15, 0), min_size=1, max_size=40)
SURE, UNSURE = -0.02, -5.0
MEASURE = Measure(UNKNOWN, UNKNOWN.threshold)


def candidate(*tokens: tuple[str, float], before: str = "", healed: str = "") -> Candidate:
    """What the engine would have sent: of the first token only what goes beyond ``healed``."""
    made = Candidate("c", before)
    for number, (text, logprob) in enumerate(tokens):
        shown = text.removeprefix(healed) if number == 0 else text
        made.take(Delta("1", shown, 0, 1, [TokenLogprob(1, text, logprob)]))
    return made


@given(LOGPROBS, st.integers(0, 39), st.floats(0.01, 5), st.sampled_from([UNKNOWN, *CURVES.values()]))
def test_a_likelier_token_never_lowers_confidence(values: list[float], at: int, more: float, used: Curve) -> None:
    better = list(values)
    better[at % len(values)] = min(0.0, better[at % len(values)] + more)
    assert used.probability(Scored("x", tuple(better))) >= used.probability(Scored("x", tuple(values))) - 1e-12


@given(LOGPROBS, st.lists(st.floats(-15, 0), max_size=8), st.sampled_from([UNKNOWN, *CURVES.values()]))
def test_what_is_given_up_would_not_have_become_likely(values: list[float], more: list[float], used: Curve) -> None:
    assert used.probability(Scored("x", tuple(values + more))) <= used.probability(Scored("x", tuple(values))) + 1e-12


def test_an_unknown_model_gets_the_careful_curve() -> None:
    assert curve("somebody's own model") is UNKNOWN


def test_the_tokens_of_a_part_are_those_that_reach_into_it() -> None:
    made = candidate(("return", -1.0), (" wid", -2.0), ("th", -3.0), before="    ret", healed="ret")
    assert made.text == "urn width"
    assert made.part().logprobs == (-1.0, -2.0, -3.0)
    assert made.part(3).logprobs == (-2.0, -3.0)
    assert made.part(5).logprobs == (-2.0, -3.0)  # " wid" was chosen before, and a piece of it is still to come
    assert made.part(7) == Scored("th", (-3.0,))
    assert made.part(0, 3) == Scored("urn", (-1.0,))


def test_healing_is_found_where_the_first_token_shows_nothing() -> None:
    made = candidate(("\n    ", -0.5), ("x", -1.0), before="if y:\n    ", healed="\n    ")
    assert made.text == "x"
    assert made.part().logprobs == (-1.0,)


@given(st.lists(st.tuples(st.text("ab \n", max_size=4), st.floats(-5, 0)), max_size=8))
def test_ranking_drops_doubles_and_blanks_and_begins_with_the_likeliest(entries: list[tuple[str, float]]) -> None:
    parts = [Scored(text, (logprob,)) for text, logprob in entries]
    order = ranked(parts)
    assert sorted(order, key=lambda i: -parts[i].mean) == order
    texts = [parts[i].text.rstrip() for i in order]
    assert len(texts) == len(set(texts))
    assert set(texts) == {p.text.rstrip() for p in parts if p.text.strip()}


def test_a_text_ends_before_its_first_unlikely_line() -> None:
    made = candidate(
        ("a = 1", SURE), ("\n", SURE), ("b = 2", SURE), ("\n", SURE), ("c = 3", UNSURE), ("\n", SURE), ("d", SURE)
    )
    end, confidence = MEASURE.certain(made, 0)
    assert made.text[:end] == "a = 1\nb = 2"
    assert confidence > MEASURE.threshold


def test_an_unlikely_first_line_shows_nothing() -> None:
    made = candidate(("a =", UNSURE), (" 1", UNSURE), ("\n", SURE), ("b = 2", SURE))
    assert MEASURE.certain(made, 0)[0] == 0


def test_what_was_typed_of_it_does_not_count_against_the_rest() -> None:
    made = candidate(("a", UNSURE), ("b", UNSURE), (" = 1", SURE))
    assert MEASURE.certain(made, 0)[0] == 0
    assert MEASURE.certain(made, 2)[0] == len(made.text)


def test_a_suggestion_without_hope_is_given_up_while_it_is_written() -> None:
    keep = watcher(MEASURE, several=False, invoked=False, language="python")
    written = [("a", UNSURE), (" =", UNSURE), (" b", UNSURE), (" +", UNSURE)]
    assert [keep(candidate(*written[: n + 1]), 0) for n in range(4)][-1] == 0
    assert watcher(MEASURE, several=False, invoked=True, language="python")(candidate(*written), 0) is None


def test_a_bad_line_ends_what_good_lines_began() -> None:
    keep = watcher(MEASURE, several=True, invoked=False, language="python")
    good = [("a = 1", SURE), ("\n", SURE)]
    bad = [("b", UNSURE), (" =", UNSURE), (" c", UNSURE), (" +", UNSURE)]
    assert keep(candidate(*good, *bad), 0) == len("a = 1")


def test_several_lines_end_when_time_is_up() -> None:
    clock = iter([0.0, BOX_SECONDS / 2, 2 * BOX_SECONDS])
    keep = watcher(MEASURE, several=True, invoked=False, language="python", clock=lambda: next(clock))
    lines = candidate(("a = 1", SURE), ("\n", SURE), ("b", SURE))
    assert keep(lines, 0) is None
    assert keep(lines, 0) == len("a = 1")


def test_time_that_is_up_leaves_no_head_without_its_block_if_one_more_line_comes_soon() -> None:
    clock = iter([0.0, 1.5 * BOX_SECONDS, 1.6 * BOX_SECONDS, 1.7 * BOX_SECONDS, 2.1 * BOX_SECONDS])
    keep = watcher(MEASURE, several=True, invoked=False, language="python", clock=lambda: next(clock))
    head = [("if n == 0:", SURE), ("\n        ", SURE), ("return", SURE)]
    call = [(" g(", SURE), ("\n            ", SURE), ("n", SURE)]
    end = [("\n        )", SURE), ("\n    ", SURE), ("x", SURE)]
    assert keep(candidate(*head), 0) is None
    assert keep(candidate(*head, *call), 0) is None
    whole = candidate(*head, *call, *end)
    assert keep(whole, 0) == whole.text.index(")") + 1
    assert keep(candidate(*head), 0) == len("if n == 0:")
