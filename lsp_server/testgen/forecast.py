"""What the model expects of a call from the function's name and documentation alone, compared with the run."""

from __future__ import annotations

import ast
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen.case import Aim, Example

if TYPE_CHECKING:
    from famulus.engine.client import Client

CONFIDENT = 0.9
"""Mean probability of the tokens of an expectation from which on it is worth a user's look."""
_MOST = 6
"""Calls of one function that the model is asked about."""
_LONGEST = 40
"""Characters of an answer that a small model can be right about."""
_TOKENS = 24
LITERALS = r"""value: NUMBER | STRING | "True" | "False" | "None" | list | tuple | dict
list: "[" (value (", " value)*)? "]"
tuple: "(" value ("," | (", " value)+) ")"
dict: "{" (STRING ": " value (", " STRING ": " value)*)? "}"
NUMBER: /-?[0-9]{1,9}(\.[0-9]{1,6})?/
STRING: /'[^'\n\\]{0,30}'/
"""
"""Rules of a grammar in Lark's form for ``value``, a plain literal."""


def surprises(engine: Client, aim: Aim, examples: Sequence[Example], until: float) -> list[str]:
    """Sentences about the calls whose answer is another one than the model is sure of.

    ``until``: when the time is over, as of ``time.monotonic``. Raises the engine's typed errors."""
    found = []
    for example in [e for e in examples if _askable(aim, e)][:_MOST]:
        left = until - time.monotonic()
        if left <= 0:
            break
        said, sure = expected(engine, aim, example, left)
        answer = expression(example.outcome.value)
        if said and sure >= CONFIDENT and not _equal(said, answer):
            found.append(f"{example.call.text} gives {answer}, where the model expects {said}")
    return found


def expected(engine: Client, aim: Aim, example: Example, seconds: float) -> tuple[str, float]:
    """A literal, and how sure the model is of it (0 to 1); an empty one if it did not come to an end."""
    prompt = question(aim.function.node, aim.function.docstring, example.call.text)
    constraint = {"grammar": f'start: value "\\n"\n{LITERALS}'}
    text, scores = "", []
    with engine.generate(
        prompt, max_tokens=_TOKENS, temperature=0.0, constraint=constraint, deadline=seconds, logprobs=0
    ) as writing:
        for delta in writing:
            text += delta.text
            scores += [score.logprob for score in delta.logprobs or () if score.logprob is not None]
    if not text.endswith("\n"):
        return "", 0.0
    return text.strip(), math.exp(sum(scores) / len(scores)) if scores else 0.0


def question(node: ast.FunctionDef | ast.AsyncFunctionDef, docstring: str | None, call: str) -> str:
    """The text that the model continues: the function without its body, and what is asserted of a call."""
    known = ast.Expr(ast.Constant(docstring or ...))
    bare = ast.FunctionDef(node.name, node.args, [known], [], node.returns, lineno=1, col_offset=0)
    return f"{ast.unparse(bare)}\n\n\nassert {call} == "


def _askable(aim: Aim, example: Example) -> bool:
    """Whether it is a plain call with a short answer, of a function that is neither a method nor asynchronous."""
    call, outcome = example.call, example.outcome
    plain = not (call.receiver or call.before or call.setting or outcome.arguments or outcome.output)
    answer = expression(outcome.value) if outcome.kind == "value" else ""
    return plain and call.how == "call" and call.target == aim.function.name and 0 < len(answer) <= _LONGEST


def _equal(said: str, answer: str) -> bool:
    """Whether two literals are equal, or cannot be compared."""
    try:
        return bool(ast.literal_eval(said) == ast.literal_eval(answer))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return True
