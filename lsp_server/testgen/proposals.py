"""Arguments that the model proposes for a function. What is worth a test of them is decided as of all others: by what
the code answers, and by mutants."""

from __future__ import annotations

import ast
import contextlib
import json
from typing import TYPE_CHECKING

from famulus.engine.errors import DeadlineExceeded
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen.forecast import LITERALS

if TYPE_CHECKING:
    from famulus.engine.client import Client

_MOST = 6
_TOKENS = 120
_SOURCE = 1800
"""Characters of a function that the model reads."""


def proposals(engine: Client, function: Function, seconds: float) -> list[Call]:
    """Calls that the model writes after it has read the function, as far as it comes in the time; none of methods, and
    of functions that need arguments by their name. Raises the engine's typed errors."""
    placed = [p for p in function.parameters if p.kind in ("position", "either")]
    named = any(p.required and p.kind == "keyword" for p in function.parameters)
    if function.how != "function" or named or not placed:
        return []
    prompt = f"{ast.unparse(function.node)[:_SOURCE]}\n\n\n# Calls that show all that {function.name} does:\n"
    constraint = {"grammar": grammar(function.name, sum(p.required for p in placed), len(placed))}
    text = ""
    with (
        contextlib.suppress(DeadlineExceeded),
        engine.generate(
            prompt, max_tokens=_TOKENS, temperature=0.7, seed=0, constraint=constraint, deadline=seconds
        ) as writing,
    ):
        for delta in writing:
            text += delta.text
    return list(dict.fromkeys(_call(function.name, line) for line in text.split("\n")[:-1] if line))


def grammar(name: str, least: int, most: int) -> str:
    """Calls of a function, each on a line, with so many literals, in Lark's form."""
    rows = " | ".join(' ", " '.join(["value"] * number) for number in range(max(least, 1), most + 1))
    arguments = f"({rows})" if least else f"({rows})?"
    return f'start: call{{1,{_MOST}}} "\\n"\ncall: {json.dumps(name + "(")} {arguments} ")\\n"\n{LITERALS}'


def _call(name: str, line: str) -> Call:
    made = ast.parse(line, mode="eval").body
    assert isinstance(made, ast.Call)
    return Call(name, tuple(map(ast.unparse, made.args)), source="hint")
