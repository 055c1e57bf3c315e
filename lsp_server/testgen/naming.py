"""Names for tests that say what the case shows: what is special about an input, and what comes of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from famulus.lsp_server.execution.functions import raises
from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen import stating
from famulus.lsp_server.testgen.assertions import stable_message
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.settings import RUNNER
from famulus.lsp_server.testgen.special import argument_traits, literal, relations

_LONGEST = 72
"""Characters of a test's name."""
_ANSWERS = {
    "True": "is_true", "False": "is_false", "None": "returns_none", "-1": "returns_minus_one",
    "''": "returns_an_empty_text", "[]": "returns_an_empty_list", "{}": "returns_an_empty_dict",
    "set()": "returns_an_empty_set", "()": "returns_an_empty_tuple",
}  # fmt: skip
"""Answers that have a name."""


def names(aim: Aim, examples: Sequence[Example], taken: set[str], *, short: bool = False) -> list[tuple[str, bool]]:
    """A free name for each example, and whether it says more than which function it is for. ``short``: its class says
    the function, so names do it only where they would be taken."""
    start = f"test_{slug(aim.function.name)}"
    traits = [list(dict.fromkeys(_traits(aim, example, examples))) for example in examples]
    found: list[tuple[str, bool]] = []
    used = set(taken)
    for example, own in zip(examples, traits, strict=True):
        told = [f"{start}_{text}" for text in own if len(start) + len(text) < _LONGEST]
        rare = sorted(told, key=lambda name: sum(name[len(start) + 1 :] in other for other in traits))
        brief = ["test" + name.removeprefix(start) for name in rare] if short else []
        name = next((n for n in [*brief, *rare] if n not in used), "")
        telling = bool(name)
        name = name or (start if start not in used else free(f"{start}_{_plain(aim, example)}".rstrip("_"), used))
        used.add(name)
        found.append((name, telling))
    return found


def _said(text: str) -> str:
    """A literal as it stands in a name."""
    return slug(text.lower())


def slug(text: str) -> str:
    """Words as they stand in a name."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text.replace("__", ""))
    return re.sub(r"\W+|_+", "_", split, flags=re.ASCII).strip("_").lower() or "call"


def camel(text: str) -> str:
    """A function's name as it stands in that of a class."""
    return "".join(part.capitalize() for part in slug(text).split("_"))


def sentence(aim: Aim, name: str) -> str:
    """The name of a test as a sentence."""
    words = name.removeprefix("test_").removeprefix(slug(aim.function.name)).strip("_").replace("_", " ")
    for kind in raises(aim.function):
        words = words.replace(slug(kind).replace("_", " "), kind)
    return f"{words[:1].upper()}{words[1:]}." if words and not words.isdigit() else "Plain arguments."


def free(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken: ``test_price_2``, ``CartTest2``."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}{number}" if name[:1].isupper() else f"{name}_{number}"
    return found


def given(aim: Aim, example: Example) -> list[tuple[str, str]]:
    """Parameters and the expressions that they got; nothing where something else is called at last."""
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either", "star")]
    if example.call.target not in (aim.function.name, aim.function.name.removesuffix(".__init__")):
        return []
    positional = [
        (own[min(place, len(own) - 1)] if own else "argument", text) for place, text in enumerate(example.call.args)
    ]
    return [*positional, *example.call.kwargs]


def _traits(aim: Aim, example: Example, examples: Sequence[Example]) -> Iterator[str]:
    """What may be said of an example, best first."""
    if example.outcome.kind == "raised":
        yield from _refusals(aim, example, examples)
        return
    outcome = example.outcome
    if example.call.receiver == RUNNER:
        yield from _of_command(example)
    if example.call.target == f"{aim.function.name}.__call__":
        yield "gives_a_function"
    yield from _sequences(aim, example)
    arguments = given(aim, example)
    optional = {p.name: p.default for p in aim.function.parameters if p.default is not None}
    silent = outcome.arguments or outcome.output or (aim.is_procedure and outcome.receiver)
    answer = "" if silent else _ANSWERS.get(expression(outcome.value), "")
    for name, text in arguments:
        if name in optional and text in ("True", "False") and text != ast.unparse(optional[name]):
            yield f"with_{slug(name)}" if text == "True" else f"without_{slug(name)}"
    for relation in relations(arguments, aim.function.node):
        yield f"{answer}_when_{relation}" if answer else f"when_{relation}"
    several = len(arguments) > 1
    for name, text in arguments:
        for trait in argument_traits(text, slug(name) if several else ""):
            if answer and not (answer.endswith(trait) or several):
                yield f"{answer}_for_{trait}"
            yield f"with_{trait}" if several else f"of_{trait}"
    yield from _effects(example, arguments)
    others = {name for other in examples for name, _ in given(aim, other)}
    if len(arguments) == 1 and re.fullmatch(r"\d{1,6}", arguments[0][1]):
        yield f"of_{arguments[0][1]}"
    if others & set(optional) and not {name for name, _ in arguments} & set(optional):
        yield "by_default"
    for name, text in arguments:
        if name in optional:
            yield f"with_{slug(name)}_{_said(text)}" if _wordy(text) else f"with_{slug(name)}"


def _of_command(example: Example) -> Iterator[str]:
    """The options that a command got, or that it got none."""
    given = literal(example.call.args[-1]) if example.call.args else None
    words = [word for word in given if isinstance(word, str)] if isinstance(given, list) else []
    options = [slug(word.partition("=")[0]) for word in words if re.match(r"--?[a-z]", word)]
    if example.outcome.value[2:3] and ["exit_code", ["int", "2"]] in example.outcome.value[2]:
        yield "refuses_what_it_does_not_know" if words else "needs_arguments"
    if options and len(options) < 3:
        yield f"with_{'_and_'.join(options)}"
    elif not options:
        yield "without_options" if words else "without_arguments"


def _sequences(aim: Aim, example: Example) -> Iterator[str]:
    """What was called before, or afterwards to see it."""
    call = example.call
    methods = [m[1] for line in call.before if (m := re.match(r"self\.(\w+)\(", line))]
    if not methods:
        return
    if call.target == aim.function.name:
        last = slug(methods[-1])
        same = set(methods) == {methods[-1]}
        times = {1: f"after_{last}", 2: f"after_{last}_twice"}
        yield times.get(len(methods), f"after_{last}_{len(methods)}_times") if same else f"after_{len(methods)}_calls"
    else:
        times = {1: "", 2: "twice_"}
        prefix = times.get(len(methods), f"{len(methods)}_times_")
        if len(set(methods)) > 1:
            prefix = f"after_{slug(methods[0])}_" if len(methods) == 2 else ""
        yield f"{prefix}shows_in_{slug(call.target.rpartition('.')[2])}"


def _effects(example: Example, arguments: Sequence[tuple[str, str]]) -> Iterator[str]:
    outcome = example.outcome
    if outcome.arguments:
        changed = [name for place, (name, _) in enumerate(arguments) if str(place) in outcome.arguments]
        yield f"changes_{slug(changed[0])}_in_place" if changed else "changes_what_it_is_given"
    elif outcome.receiver[:1] == ["object"]:
        was = dict((outcome.receiver_before or ["", "", []])[2])
        now = [
            name
            for name, form in outcome.receiver[2]
            if was.get(name) != form and not name.startswith("_") and stating.short(expression(form))
        ]
        if now:
            yield f"updates_{slug(now[0])}"
    if outcome.output:
        yield "prints"
    value = expression(outcome.value)
    if value and arguments and value == arguments[0][1] and value not in _ANSWERS and not value.isdigit():
        yield f"leaves_{slug(arguments[0][0])}_unchanged"
    if value == "None" and not (outcome.arguments or outcome.receiver or outcome.output):
        yield "returns_none"


def _refusals(aim: Aim, example: Example, examples: Sequence[Example]) -> Iterator[str]:
    """What an exception is for: the special argument that the condition before ``raise`` asks about, else its words."""
    outcome = example.outcome
    start = f"raises_{slug(outcome.exception)}"
    arguments = given(aim, example)
    asked = _asked(aim, example)
    causes = [(name, text) for name, text in arguments if name in asked]
    said = stable_message(aim, outcome)
    if said and not causes:
        yield f"raises_{slug(said)}"
    causes = causes or arguments
    for relation in relations(causes, aim.function.node):
        yield f"{start}_when_{relation}"
    for name, text in causes:
        for trait in argument_traits(text, "", bare=True):
            yield f"{start}_when_{slug(name)}_is_{trait}"
        if isinstance(literal(text), int | float) and _wordy(text):
            yield f"{start}_when_{slug(name)}_is_{_said(text)}"
    if said and (sum(e.outcome.kind == "raised" for e in examples) > 1 or len(causes) != 1):
        yield f"raises_{slug(said)}"
    if len(causes) == 1:
        name, text = causes[0]
        yield f"{start}_for_{_said(text)}" if _wordy(text) else f"{start}_for_invalid_{slug(name)}"
        yield f"{start}_for_invalid_{slug(name)}"
    if said:
        yield f"raises_{slug(said)}"
    yield start


def _asked(aim: Aim, example: Example) -> set[str]:
    """Names in the condition of the ``raise`` that was reached."""
    at = example.outcome.at
    if at is None or at[0] != aim.path:
        return set()
    found: set[str] = set()
    for node in ast.walk(aim.function.node):
        if isinstance(node, ast.If | ast.Assert) and node.lineno <= at[1] <= (node.end_lineno or 0):
            found = {inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name)}  # the innermost is last
    return found


def _wordy(text: str) -> bool:
    """Whether a literal is a word or a number that a name can hold and a reader knows again."""
    return bool(re.fullmatch(r"['\"][A-Za-z0-9]\w{0,15}['\"]|\d{1,6}", text))


def _plain(aim: Aim, example: Example) -> str:
    """The input, or the answer, as words; where something else is called at last, what that is."""
    if example.call.target not in (aim.function.name, aim.function.name.removesuffix(".__init__")):
        return f"shows_in_{slug(example.call.target.rpartition('.')[2])}" if example.call.before else ""
    text = " ".join(example.call.args[:1])
    if _wordy(text):
        return f"of_{_said(text)}"
    value = expression(example.outcome.value)
    answer = literal(value)
    if (
        isinstance(answer, int | float | str)
        and len(value) < 12
        and (said := re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_"))
    ):
        return f"returns_{'minus_' if value.startswith('-') else ''}{said}"
    if isinstance(answer, list | tuple | dict | set) and answer:
        return f"returns_{len(answer)}_item{'s' * (len(answer) > 1)}"
    return ""
