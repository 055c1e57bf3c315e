"""A masked answer always keeps its promise, whichever allowed token the model takes."""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.engine.constraints import Grammar, Healing, Mask, Names, build, typed_name
from famulus.engine.errors import InvalidConstraint
from famulus.engine.prompt import PromptCard, render
from famulus.engine.protocol import Constraint, Text
from famulus.engine.text import Tokenizer

seeds = st.integers(0, 10**9)


def walk(tokenizer: Tokenizer, mask: Mask, seed: int, steps: int = 40, favour: bytes = b"") -> tuple[bytes, bool]:
    """What a model writes that takes any allowed token at random; and whether it ended by itself.

    ``favour``: a token that may end with this is taken when there is one, so that documents come to their end.
    """
    source = random.Random(seed)
    written = b""
    for _ in range(steps):
        allowed = mask.allowed()
        if allowed is None or mask.finished:
            break
        ids = np.flatnonzero(allowed).tolist()
        assert ids, f"nothing may follow {written!r}"
        good = [i for i in ids if (favour and tokenizer.token_bytes(i)[-1:] in favour) or i in tokenizer.eos_ids]
        token = source.choice(good or ids)
        if token in tokenizer.eos_ids:
            return written, True
        assert token not in tokenizer.special_ids
        mask.advance(token)
        written += tokenizer.token_bytes(token)
    return written, mask.finished


# --- healing ------------------------------------------------------------------------------------------------------


@given(st.sampled_from([" re", "\n    ", "\r\n\t", "é", " =", "(", "\n" * 40, "import", "日本"]), seeds)
def test_a_healed_answer_begins_with_what_was_cut(embedded: Tokenizer, heal: str, seed: int) -> None:
    mask = Healing(embedded, heal.encode())
    written, ended = walk(embedded, mask, seed, steps=200)
    assert written.startswith(heal.encode())
    assert not ended, "healing neither ends an answer nor lets it end"
    assert mask.allowed() is None, "after it anything goes"


def test_healing_allows_exactly_the_tokens_that_agree(embedded: Tokenizer) -> None:
    heal = b"\n    "
    mask = Healing(embedded, heal)
    allowed = mask.allowed()
    assert allowed is not None
    assert allowed.shape == (embedded.vocab_size,)
    for token in range(embedded.vocab_size):
        piece = embedded.token_bytes(token)
        assert allowed[token] == bool(piece and (piece.startswith(heal) or heal.startswith(piece)))


def test_healing_lets_a_token_go_beyond_the_cut(embedded: Tokenizer) -> None:
    rendered = render(Text("def f(x):\n    re", heal=True), embedded, PromptCard("m", 100), 10)
    mask = build(None, rendered.heal, embedded)
    assert mask is not None
    token = embedded.encode(" return")[0]
    allowed = mask.allowed()
    assert allowed is not None
    assert allowed[token]
    mask.advance(token)
    assert mask.allowed() is None


def test_healing_does_not_cut_a_word_that_is_one_token(embedded: Tokenizer) -> None:
    """With ")" allowed for "):", the likeliest first part won, and then only ":**" and its like could follow."""
    allowed = Healing(embedded, b"):").allowed()
    assert allowed is not None
    (whole,) = embedded.encode("):")
    assert allowed[whole]
    assert not allowed[embedded.encode(")")[0]]


def test_a_token_that_is_not_allowed_is_refused(embedded: Tokenizer) -> None:
    mask = Healing(embedded, b" re")
    with pytest.raises(InvalidConstraint, match="not allowed"):
        mask.advance(embedded.encode("x")[0])
    with pytest.raises(InvalidConstraint, match="not allowed"):
        mask.advance(2)


def test_what_is_forced_is_known(make_tokenizer) -> None:  # type: ignore[no-untyped-def]
    tokenizer: Tokenizer = make_tokenizer({"<|im_end|>": True}, ["r e"])
    mask = Healing(tokenizer, b"xy")
    assert mask.forced() == tokenizer.encode("x")
    assert [mask.legal(tokenizer.encode(text)) for text in ("x", "y", "xy")] == [1, 0, 1]
    mask.advance(tokenizer.encode("x")[0])
    assert mask.forced() == tokenizer.encode("y")
    mask.advance(tokenizer.encode("y")[0])
    assert mask.forced() == []
    assert mask.legal([1, 2, 3]) == 3, "after it anything goes"
    assert Healing(tokenizer, b"r").forced() == [], "r or re"
    grammar = Grammar(tokenizer, Constraint(regex="res(ult|t)"))
    assert grammar.forced() == tokenizer.encode("res")
    assert [grammar.legal(tokenizer.encode(text)) for text in ("result", "rests", "so")] == [5, 3, 0]
    assert grammar.forced() == tokenizer.encode("res"), "asking changes nothing"


def test_nothing_to_heal_needs_no_mask(embedded: Tokenizer) -> None:
    assert build(None, b"", embedded) is None


# --- names --------------------------------------------------------------------------------------------------------

NAMES = ["read", "read_csv", "read_json", "reader", "größe", "_private", "x1", "total amount", "it's"]


def names_mask(tokenizer: Tokenizer, before: str, names: list[str] = NAMES) -> Mask:
    rendered = render(Text(before, heal=True), tokenizer, PromptCard("m", 100), 10)
    mask = build(Constraint(names=names), rendered.heal, tokenizer, rendered.before)
    assert mask is not None
    return mask


@given(
    st.sampled_from(["pd.", "pd.re", "pd.read", "pd.read_", "pd.read_c", "x = ", 'df["total am', "df['", "\n    ", ""]),
    seeds,
)
def test_the_identifier_becomes_one_of_the_names(embedded: Tokenizer, before: str, seed: int) -> None:
    rendered = render(Text(before, heal=True), embedded, PromptCard("m", 100), 10)
    written, ended = walk(embedded, names_mask(embedded, before), seed)
    assert written.startswith(rendered.heal)
    typed = typed_name(before, NAMES)
    assert typed is not None
    whole = (typed + written[len(rendered.heal) :].decode("utf-8", "replace")) if written else typed
    ends = [whole[len(n) :] for n in NAMES if whole.startswith(n)]
    assert any(not e or not (e[0] == "_" or (e[0].isalnum() and e[0].isascii())) for e in ends), whole
    assert not ended or whole in NAMES


def test_every_name_can_be_reached(embedded: Tokenizer) -> None:
    for before in ("pd.", "pd.re", "pd.read_cs"):
        for name in NAMES:
            typed = typed_name(before, NAMES)
            assert typed is not None
            if not name.startswith(typed):
                continue
            rendered = render(Text(before, heal=True), embedded, PromptCard("m", 100), 10)
            mask = names_mask(embedded, before)
            for token in embedded.encode(rendered.heal.decode() + name[len(typed) :] + "("):
                allowed = mask.allowed()
                assert allowed is None or allowed[token], (before, name)
                mask.advance(token)
            assert mask.allowed() is None, "after the name anything goes"


def test_a_name_is_not_cut_short_or_made_longer(embedded: Tokenizer) -> None:
    mask = Names(embedded, ["read"], b"", "pd.rea")
    allowed = mask.allowed()
    assert allowed is not None
    pieces = {embedded.token_bytes(i) for i in np.flatnonzero(allowed).tolist()}
    assert b"d" in pieces
    assert not pieces & {b"der", b"ds", b"(", b""}
    mask.advance(embedded.encode("d")[0])
    after = mask.allowed()
    assert after is not None
    assert after[embedded.encode("(")[0]]
    assert after[2], "the answer may end after the name"
    assert not after[embedded.encode("s")[0]]
    assert not after[1]


@pytest.mark.parametrize(
    ("before", "typed"),
    [
        ("pd.", ""),
        ("pd.read_c", "read_c"),
        ("x = bread", None),
        ("foo", None),
        ("pd.write", None),
        ('df["total am', "total am"),
        ("df['it'", "it'"),
        ("a\n", ""),
        ("", ""),
        ("x1", "x1"),
        ("gr", "gr"),
    ],
)
def test_what_was_typed_of_a_name(before: str, typed: str | None) -> None:
    assert typed_name(before, NAMES) == typed


def test_a_name_that_cannot_follow_is_told(embedded: Tokenizer) -> None:
    with pytest.raises(InvalidConstraint, match="None of the names can follow 'x = foo'"):
        Names(embedded, ["bar"], b"", "x = foo")


def test_ten_thousand_names_are_quick(embedded: Tokenizer) -> None:
    names = [f"column {i} of {j}" for i in range(100) for j in range(100)]
    embedded.vocabulary  # noqa: B018  built once
    start = time.process_time()
    walk(embedded, Names(embedded, names, b"", 'df["'), 1)
    assert time.process_time() - start < 1, "about 50 ms; slack for a slow machine"


# --- grammars -----------------------------------------------------------------------------------------------------

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
HEALS = st.sampled_from(["", " ", "\n    ", '"\\/é\x01'])


@settings(deadline=None, max_examples=15)
@given(seeds, HEALS)
def test_a_json_answer_is_of_its_schema(embedded: Tokenizer, seed: int, heal: str) -> None:
    mask = build(Constraint(json_schema=PERSON), heal.encode(), embedded)
    assert mask is not None
    written, ended = walk(embedded, mask, seed, steps=400, favour=b'",:{}[]0')
    assert ended
    text = written.decode()
    assert text.startswith(heal)
    document = json.loads(text[len(heal) :])
    assert set(document) == {"name", "age", "tags"}
    assert 0 <= document["age"] <= 150
    assert set(document["tags"]) <= {"a", "b"}


@settings(deadline=None, max_examples=40)
@given(seeds, HEALS, st.sampled_from([r"[a-c]{2,5}/[0-9]\"x", r"(foo|bar)\n+baz?", r"é\\\.😀{1,3}"]))
def test_an_answer_matches_its_expression(embedded: Tokenizer, seed: int, heal: str, regex: str) -> None:
    mask = build(Constraint(regex=regex), heal.encode(), embedded)
    assert mask is not None
    written, ended = walk(embedded, mask, seed, steps=200, favour=b"xz")
    text = written.decode()
    assert text.startswith(heal)
    if ended:
        assert re.fullmatch(regex, text[len(heal) :])


def test_an_answer_follows_its_grammar(embedded: Tokenizer) -> None:
    constraint = Constraint(grammar='start: call+\ncall: NAME "(" ")" "\\n"\nNAME: /[a-z]{1,4}/')
    for seed in range(10):
        mask = build(constraint, b"", embedded)
        assert mask is not None
        written, ended = walk(embedded, mask, seed, steps=60, favour=b"\n")
        assert ended
        assert re.fullmatch(rb"([a-z]{1,4}\(\)\n)+", written)


def test_at_the_end_only_the_end_is_allowed(embedded: Tokenizer) -> None:
    mask = Grammar(embedded, Constraint(regex="ab"))
    for token in embedded.encode("ab"):
        assert not mask.finished
        mask.advance(token)
    assert mask.finished
    assert set(np.flatnonzero(mask.allowed()).tolist()) == embedded.eos_ids
    mask.advance(2)


def test_a_token_against_the_grammar_is_refused(embedded: Tokenizer) -> None:
    with pytest.raises(InvalidConstraint):
        Grammar(embedded, Constraint(regex="ab")).advance(embedded.encode("x")[0])


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint(regex="["), "unclosed character class"),
        (Constraint(regex="(?=a)b"), "look-around"),
        (Constraint(regex="(x|y){3,2}"), "repetition"),
        (Constraint(regex="(" * 2000 + "a" + ")" * 2000), "nested"),
        (Constraint(regex=".*" * 8000 + "x"), "too complex"),
        (Constraint(grammar="start: A\nA: /" + ".*" * 8000 + "x/"), "too complex"),
        (Constraint(json_schema={"type": "string", "pattern": ".*" * 8000 + "x"}), "too complex"),
        (
            Constraint(json_schema={"allOf": [{"type": "string", "pattern": f".*{i}.*"} for i in range(99)]}),
            "too complex",
        ),
        (Constraint(json_schema={"type": "strnig"}), "strnig"),
        (Constraint(json_schema={"$ref": "#/nowhere"}), "nowhere"),
        (Constraint(json_schema={"$ref": "http://127.0.0.1:9/x"}), "127.0.0.1"),
        (Constraint(json_schema={"type": "integer", "minimum": 5, "maximum": 1}), "Unsatisfiable"),
        (Constraint(json_schema={"enum": ["x" * 100 + str(i) for i in range(9999)]}), "longer than"),
        (Constraint(grammar="start: nothing"), "nothing"),
        (Constraint(grammar="no grammar"), "cannot be used"),
        (Constraint(grammar='start: <|im_start|> "a"'), "cannot be used"),
    ],
)
def test_a_constraint_that_cannot_be_compiled_is_told_in_one_sentence(
    embedded: Tokenizer, constraint: Constraint, reason: str
) -> None:
    start = time.process_time()
    with pytest.raises(InvalidConstraint, match=reason) as error:
        build(constraint, b"", embedded)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(regex="(a*)*b"),
        Constraint(regex="((((a{1,1000}){1,1000}){1,1000}){1,1000}){1,1000}"),
        Constraint(regex="(.*a){20}(.|b){50}"),
        Constraint(regex="(a?){3000}a{3000}"),
        Constraint(regex=r"\p{L}{1,3000}"),
        Constraint(json_schema={"type": "array", "minItems": 10**6, "items": {}}),
        Constraint(json_schema={"type": "string", "minLength": 10**6}),
        Constraint(json_schema={"type": "object", "patternProperties": {"(a|b)*a(a|b){12}": {}}}),
        Constraint(grammar='start: start start | "a"'),
        Constraint(grammar='start: ("a" | "b")~100000'),
        Constraint(grammar="start: a\n" + "".join(f"a{'x' * i}: a{'x' * (i + 1)} " * 2 + "\n" for i in range(30))),
    ],
)
def test_a_hostile_constraint_costs_little(embedded: Tokenizer, constraint: Constraint) -> None:
    start = time.process_time()
    try:
        mask = build(constraint, b"", embedded)
        assert mask is not None
        walk(embedded, mask, 0, steps=10)
    except InvalidConstraint:
        pass  # refused is as good as cheap
    assert time.process_time() - start < 10, "about 0.2 s; slack for a slow machine"


def test_white_space_between_the_parts_of_a_document_is_bounded(embedded: Tokenizer) -> None:
    mask = Grammar(embedded, Constraint(json_schema=PERSON))
    mask.advance(embedded.encode("{")[0])
    for _ in range(60):
        blanks = [i for i in np.flatnonzero(mask.allowed()).tolist() if embedded.token_bytes(i).isspace()]
        if not blanks:
            return
        mask.advance(blanks[-1])
    pytest.fail("a model that loves blanks would never come to an end")
