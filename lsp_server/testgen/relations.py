"""How the values of a call stand to each other and to its answer: what tells cases apart that run the same lines."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from typing import Any

from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen.case import Example


def relations(example: Example, function: Function) -> frozenset[object]:
    """Facts about an example: which argument is the greater, which are constants of the function, how long things are
    and whether they repeat, whether the answer is one of the arguments. Arguments that are no literals, and are not
    made of literals, have none."""
    call, outcome = example.call, example.outcome
    constants = {repr(node.value) for node in ast.walk(function.node) if isinstance(node, ast.Constant)}
    given = {f"{n}": text for n, text in enumerate(call.args)} | dict(call.kwargs)
    values = {name: value for name, text in given.items() if (value := _value(text)) is not None}
    found: set[object] = {(name, fact) for name, value in values.items() for fact in _facts(value)}
    for (one, a), (other, b) in itertools.combinations(values.items(), 2):
        if _comparable(a, b):
            found.add((one, other, (a > b) - (a < b)))
    for name, value in values.items():
        parts = value if isinstance(value, tuple) else (value,)
        found |= {(name, n, repr(part)) for n, part in enumerate(parts) if repr(part) in constants}
    steps = [step.partition("(")[0] for step in call.before]
    found |= {("after", n) for n in range(len(steps))} | {("after", *pair) for pair in itertools.pairwise(steps)}
    if outcome.kind == "value":
        answer = outcome.shown(200)
        found |= {("answer", name) for name, value in values.items() if repr(value) == answer}
        told = _value(answer)
        found |= {("answer", fact) for fact in _facts(told)} if told is not None else set()
    return frozenset(found)


def _value(text: str) -> Any:
    """The value of a literal; the arguments of a call with nothing but literals; None for all else."""
    try:
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Call) and not tree.keywords:
            return tuple(ast.literal_eval(argument) for argument in tree.args)
        return ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _comparable(a: Any, b: Any) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in (a, b))


def _facts(value: Any) -> Iterator[object]:
    if isinstance(value, bool):
        yield value
    elif isinstance(value, int | float):
        yield (value > 0) - (value < 0)
        yield sum(abs(value) > step for step in _STEPS)
    elif isinstance(value, str):
        yield min(len(value), 2)
        yield from ((kind, any(map(test, value))) for kind, test in _KINDS)
        yield "repeats", len(set(value)) < len(value)
        yield "words", min(len(value.split()), 3)
        yield from ((name, bool(form.search(value))) for name, form in _FORMS)
    elif isinstance(value, list | tuple):
        yield min(len(value), 3)
        yield from ((n, fact) for n, one in enumerate(value[:3]) if isinstance(one, int) for fact in _facts(one))
        texts = [repr(one) for one in value]
        yield "repeats", len(set(texts)) < len(texts)
        numbers = [one for one in value if isinstance(one, int | float)]
        if len(numbers) == len(value) > 1:
            yield "order", numbers == sorted(numbers), numbers == sorted(numbers, reverse=True)
    elif isinstance(value, dict | set | frozenset):
        yield min(len(value), 3)


_STEPS = (1, 9, 27, 99, 999)
"""Sizes of numbers: few things, digits, days of a month, percents, years."""
_FORMS = tuple(
    (name, re.compile(form))
    for name, form in (
        ("mark first", r"^[^\w\s]"), ("mark last", r"[^\w\s]$"), ("marks", r"[^\w\s]{2}"), ("blanks", r"\s{2}"),
        ("padded", r"^\s|\s$"), ("capital inside", r"\w[A-Z]"), ("capital first", r"^[A-Z]"), ("twins", r"(\w)\1"),
        ("numbered", r"[^\W\d]\d"), ("many marks", r"[^\w\s].*\w.*[^\w\s]"),
    )
)  # fmt: skip
"""Forms of texts in which code that looks at parts of them goes different ways."""
_KINDS = (("upper", str.isupper), ("digit", str.isdigit), ("space", str.isspace), ("mark", lambda c: not c.isalnum()))
