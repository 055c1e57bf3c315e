"""Names for tests in the model's words, where the analysis has found none that says more than the function's name.

A grammar lets the model use words of the function, its documentation, its arguments and its answer, and plain words of
tests as far as they are true of the case: ``empty`` only where something is empty, ``raises`` only where something is
raised. Nothing depends on it: without an engine, and for what is not kept, names stay as they are."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen import naming
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.special import literal
from famulus.lsp_server.testgen.writing import Written

if TYPE_CHECKING:
    from famulus.engine.client import Client

SECONDS = 20.0
"""That the names of one file may take."""
_ONE = 6.0
"""Seconds for one name."""
_LONGEST = 72
_SOURCE = 1800
"""Characters of a function that the model reads."""
_WORDS = 2, 6
"""Words of a name besides the function's."""
_ALWAYS = ("a", "all", "an", "and", "by", "for", "from", "in", "into", "is", "of", "on", "the", "to", "when", "with")
_VALUES = ("gives", "keeps", "returns", "contains", "handles")
_RAISES = ("fails", "raises", "rejects", "refuses", "error", "invalid")
_EXAMPLES = """\
# add(2, 3) gives 5
def test_add_two_numbers():

# first_word('') gives ''
def test_first_word_of_empty_text():

# withdraw(-1) raises ValueError: amount must be positive
def test_withdraw_rejects_negative_amount():

# unique([1, 1, 2]) gives [1, 2]
def test_unique_removes_duplicates():

"""


def reworded(engine: Client, aim: Aim, tests: Sequence[Written], taken: set[str], until: float) -> list[Written]:
    """The tests of one function; those whose name says nothing get one of the model's, if it fits the case.

    ``taken``: names that are in use; ``until``: when the time is over, as of ``time.monotonic``. Raises the engine's
    typed errors."""
    found = []
    used = set(taken) | {test.name for test in tests}
    for test in tests:
        name = ""
        example = test.examples[0] if len(test.examples) == 1 else None
        if not test.telling and isinstance(example, Example) and time.monotonic() < until:
            name = proposed(engine, aim, example, min(_ONE, until - time.monotonic()))
        if name and name not in used:
            used.add(name)
            said, says = (f'"""{naming.sentence(aim, one)}"""' for one in (test.name, name))
            text = test.text.replace(f"def {test.name}(", f"def {name}(", 1).replace(said, says, 1)
            test = replace(test, name=name, text=text)
        found.append(test)
    return found


def proposed(engine: Client, aim: Aim, example: Example, seconds: float) -> str:
    """The model's name for a case; empty if it has none that can be kept."""
    stem = f"test_{naming.slug(aim.function.name)}_"
    source = ast.unparse(aim.function.node)[:_SOURCE]
    prompt = f"{source}\n\n\n{_EXAMPLES}# {_case(example)}\ndef {stem}"
    constraint = {"grammar": grammar(words(aim, example))}
    with engine.generate(prompt, max_tokens=24, temperature=0.0, constraint=constraint, deadline=seconds) as writing:
        said = "".join(delta.text for delta in writing)
    name = stem + said.removesuffix("():")
    return name if said.endswith("():") and consistent(aim, example, name) else ""


def grammar(known: Sequence[str]) -> str:
    """A name of known words, in Lark's form."""
    least, most = _WORDS
    alternatives = " | ".join(json.dumps(word) for word in known)
    return f'start: word ("_" word){{{least - 1},{most - 1}}} "():"\nword: {alternatives}'


def consistent(aim: Aim, example: Example, name: str) -> bool:
    """Whether a name says nothing of a case that is not so, and something at all."""
    own = naming.slug(aim.function.name)
    if not name.isidentifier() or not name.startswith(f"test_{own}_") or len(name) > _LONGEST:
        return False
    said = name.removeprefix(f"test_{own}_").split("_")
    telling = [word for word in said if word not in _ALWAYS and word not in own.split("_")]
    raised = example.outcome.kind == "raised"
    return (
        set(said) <= set(words(aim, example))
        and len(telling) >= 2 - raised
        and len(set(said)) == len(said)
        and said[-1] not in _ALWAYS
        and (not raised or bool(set(said) & set(_RAISES)))
    )


def words(aim: Aim, example: Example) -> list[str]:
    """Words that may stand in the name of a case."""
    function, outcome = aim.function, example.outcome
    documented = re.findall(r"[a-z]{3,14}", function.docstring.partition(">>>")[0].lower())
    own = naming.slug(function.name).split("_")
    parameters = [part for p in function.parameters for part in naming.slug(p.name).split("_")]
    given = re.findall(r"[a-z]{2,14}|\d{1,4}", f"{example.call.text} {_answer(example)}".lower())
    plain = [*own, *parameters, *(word for word in documented if word not in _CLAIMS), *given]
    said = _RAISES if outcome.kind == "raised" else _VALUES
    found = dict.fromkeys(
        [*_ALWAYS, *said, *_true_of(example), *(w for w in plain if w not in _RAISES and w.isascii())]
    )
    return [word for word in found if word not in _CLAIMS or word in set(_true_of(example))]


_CLAIMS = frozenset((
    "absent", "beyond", "blank", "cannot", "default", "different", "duplicates", "empty", "equal", "even", "false",
    "first", "float", "last", "letter", "longer", "missing", "most", "multiple", "negative", "nested", "never", "no",
    "none", "not", "nothing", "odd", "one", "only", "positive", "same", "several", "shorter", "single", "sorted",
    "spaces", "true", "twice", "unchanged", "unless", "unsorted", "without", "zero",
))  # fmt: skip
"""Words that are true of some cases only, or turn round what others say."""


def _true_of(example: Example) -> Iterator[str]:
    """Those of :data:`_CLAIMS` that are true of a case."""
    call, outcome = example.call, example.outcome
    texts = [*call.args, *(value for _, value in call.kwargs)]
    values = [value for text in texts if (value := literal(text)) is not None or text == "None"]
    answer = expression(outcome.value) if outcome.kind == "value" else ""
    if "None" in texts:
        yield "none"
    if answer == "None":
        yield "nothing"
    yield from (word for word in ("true", "false") if word.capitalize() in (*texts, answer))
    if any(isinstance(v, str | bytes | list | tuple | dict | set) and not v for v in [*values, literal(answer)]):
        yield "empty"
    for value in values:
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            yield from ("zero",) if value == 0 else ("negative",) if value < 0 else ("positive",)
        elif isinstance(value, str) and value:
            yield from (word for word, so in (("blank", value.isspace()), ("spaces", " " in value)) if so)
        elif isinstance(value, list | tuple | dict | set):
            yield from _of_many(value)
    if values and outcome.kind == "value" and literal(answer) == values[0] and answer != "None":
        yield from ("unchanged", "same")


def _of_many(value: Sequence[object] | dict[object, object] | set[object]) -> Iterator[str]:
    items = list(value)
    yield from ("single", "one") if len(items) == 1 else ("multiple", "several") if items else ()
    if any(isinstance(item, list | tuple | dict | set) for item in items):
        yield "nested"
    if len({repr(item) for item in items}) < len(items):
        yield "duplicates"
    try:
        if len(items) > 1:
            yield "sorted" if items == sorted(items) else "unsorted"  # type: ignore[type-var]
    except TypeError:
        return


def _answer(example: Example) -> str:
    outcome = example.outcome
    if outcome.kind == "raised":
        return f"{outcome.exception}: {outcome.message}"
    return outcome.shown(80)


def _case(example: Example) -> str:
    """The case in a line, as the examples have it."""
    call = example.call
    before = "".join(f"{line.removeprefix('self.')}; " for line in call.before)
    verb = "raises" if example.outcome.kind == "raised" else "gives"
    return f"{before}{call.text} {verb} {_answer(example)}".replace("\n", " ")[:200]
