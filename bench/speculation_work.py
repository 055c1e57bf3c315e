"""Five kinds of requests as the front ends send them, for ``famulus bench speculation``."""

from __future__ import annotations

import ast
import contextlib
import random
from collections.abc import Callable
from typing import Any

from famulus.bench.typist import Function, functions
from famulus.engine.errors import EngineUnavailable
from famulus.engine.protocol import Chat, Constraint, Generate, Infill, Message, Text
from famulus.jupyter_kernel import grammar, intent, prompt
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.model import CONTEXT_TOKENS, TOKENS
from famulus.jupyter_kernel.retrieve import index
from famulus.jupyter_kernel.slots import propose
from famulus.jupyter_kernel.writing import STOPS
from famulus.lsp_server.commands.asking import indented
from famulus.lsp_server.commands.rewrite import SYSTEM
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import functions as analysed
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.testgen import wording
from famulus.lsp_server.testgen.case import Aim, Example

Ask = Callable[[str], Generate]
"""A request, but for its id."""

INSTRUCTIONS = (
    "Rename the parameter {name} to {name}_value.",
    "Add a parameter verbose=False to the function.",
    "Add type annotations.",
    "Print the result before it is returned.",
)
QUESTIONS = (
    "What is a list comprehension?",
    "How do I read a file line by line in Python?",
    "Write a function that returns the n-th Fibonacci number.",
    "Explain what a context manager is, with an example.",
    "What is the difference between a list and a tuple?",
    "Write a class for a stack with push and pop.",
)
WORDS = (
    "mean price by region",
    "rows where price is above 100, sorted by date",
    "add a column with the price times the quantity",
    "plot the total per month",
    "the five customers with the largest sum of price",
    "count the missing values of each column",
)


def workloads(count: int, seed: int) -> dict[str, list[Ask]]:
    """About ``count`` requests of each kind, the same for a seed."""
    found = functions(count, seed)
    return {
        "completion": [_completion(f, seed + i) for i, f in enumerate(found)],
        "rewrite": [_rewrite(f, INSTRUCTIONS[i % len(INSTRUCTIONS)]) for i, f in enumerate(found)],
        "notebook cell": [_cell(words) for words in WORDS[:count]],
        "test names": [ask for f in found if (ask := _name(f)) is not None],
        "chat": [_question(said) for said in QUESTIONS[:count]],
    }


def _completion(function: Function, seed: int) -> Ask:
    """Several lines asked for somewhere in a function."""
    cut = random.Random(seed).randrange(len(function.body) // 4, 3 * len(function.body) // 4)
    _, ended, below = function.body[cut:].partition("\n")
    prefix, suffix = function.before + function.body[:cut], ended + below + function.after
    ahead = Infill(prefix, suffix, function.path, "python", [], "invoked")
    return lambda id: Generate(id, ahead, max_tokens=64, lane="key")


def _source(function: Function) -> str:
    """The whole function, without the indentation of a method."""
    head = function.before[function.before.rindex("def ") :]
    start = function.before.rindex("\n", 0, len(function.before) - len(head)) + 1
    return indented(function.before[start:] + function.body, "")


def _rewrite(function: Function, instruction: str) -> Ask:
    own = _source(function)
    names = [a.arg for a in ast.walk(ast.parse(own)) if isinstance(a, ast.arg) and a.arg != "self"] or ["self"]
    asked = f"{instruction.format(name=names[0])}\n\n```python\n{own}\n```"
    chat = Chat([Message("system", SYSTEM), Message("user", asked)], answer_prefix="```python\n")
    room = max(96, len(own) // 2 + 64)
    return lambda id: Generate(id, chat, max_tokens=room, stop=["```"])


def _cell(words: str) -> Ask:
    import pandas as pd  # type: ignore[import-untyped]

    columns = {"date": ["2024-01-05"], "region": ["north"], "customer": ["Ada"], "price": [9.5], "quantity": [3]}
    schema = look({"pd": pd, "sales": pd.DataFrame(columns), "limit": 100})
    told = prompt.build(words, schema, propose(words, schema), index(), budget=CONTEXT_TOKENS)
    rules = Constraint(grammar=grammar.build(words, schema, intent.read(words, schema)))
    return lambda id: Generate(id, Text(told.text), max_tokens=TOKENS, stop=list(STOPS), constraint=rules, logprobs=0)


class _Recorder:
    """Takes down what is asked of an engine that is not there."""

    def __init__(self) -> None:
        self.asked: tuple[str, dict[str, Any]] | None = None

    def generate(self, text: str, **fields: Any) -> Any:
        self.asked = text, fields
        raise EngineUnavailable("Nobody is there.")


def _name(function: Function) -> Ask | None:
    """The name of a test of a call that answers True."""
    own, name = _source(function), function.name.rpartition(".")[2]
    known = analysed(own).get(name)
    if known is None:
        return None
    recorder: Any = _Recorder()
    case = Example(Call(name, ("'a b'", "3")), Outcome({"value": ["bool", "True"]}))
    with contextlib.suppress(EngineUnavailable):
        wording.proposed(recorder, Aim(function.path, "module", own, known), case, 6.0)
    text, fields = recorder.asked
    rules = Constraint(**fields["constraint"])
    return lambda id: Generate(id, Text(text), max_tokens=fields["max_tokens"], constraint=rules)


def _question(said: str) -> Ask:
    chat = Chat([Message("user", said)])
    return lambda id: Generate(id, chat, max_tokens=160)
