"""Examples of one form as one parametrized test."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from famulus.lsp_server.testgen.assertions import Body, body
from famulus.lsp_server.testgen.case import Aim, Example

_ROW = 88
"""Characters of a row."""
_CONSTANTS = frozenset(("True", "False", "None"))


@dataclass(frozen=True)
class Row:
    """An example whose test is one assertion: ``before`` the call, the call, ``after`` it, and what is expected."""

    example: Example
    text: Body
    before: str
    after: str
    expected: str


def rows(aim: Aim, examples: Sequence[Example], least: int) -> Iterator[list[Row]]:
    """Examples that fit into one table, together, where there are ``least`` of them."""
    tables: dict[tuple[object, ...], list[Row]] = {}
    for example in examples:
        call = example.call
        row = _row(aim, example)
        if row is not None and columns(aim, row):
            form = (
                len(call.args),
                *(name for name, _ in call.kwargs),
                call.target,
                call.receiver,
                row.before,
                row.after,
            )
            tables.setdefault(form, []).append(row)
    for group in tables.values():
        if len(group) >= least:
            yield sorted(group, key=lambda row: row.example.call.size)


def _row(aim: Aim, example: Example) -> Row | None:
    call, outcome = example.call, example.outcome
    if outcome.kind != "value" or call.before or call.how == "get" or not (call.args or call.kwargs):
        return None
    text = body(aim, call, outcome)
    if text is None or len(text.lines) != 1 or text.fixtures or len(text.lines[0]) > _ROW:
        return None
    before, found, rest = text.lines[0].partition(call.text)
    match = re.fullmatch(r"(\)*) (?:==|is) (.+)", rest)
    if not found or not before.startswith("assert ") or match is None:
        return None
    return Row(example, text, before, match[1], match[2])


def columns(aim: Aim, row: Row) -> list[str]:
    """Names of the arguments of a table; none where they would hide others."""
    call = row.example.call
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either")]
    found = [*own[: len(call.args)], *(name for name, _ in call.kwargs)]
    hidden = {"expected", "request", call.target.partition(".")[0]} | set(
        re.findall(r"\w+", row.before + call.receiver)
    )
    return [] if len(call.args) > len(own) or hidden & set(found) else found


def table(aim: Aim, group: Sequence[Row], name: str, *, annotated: bool) -> tuple[str, tuple[str, ...]]:
    """The text of a parametrized test, and its imports."""
    first = group[0]
    names = columns(aim, first)
    call = first.example.call
    given = replace(call, args=tuple(names[: len(call.args)]), kwargs=tuple((key, key) for key, _ in call.kwargs)).text
    constants = {row.expected for row in group} <= _CONSTANTS
    listed = ", ".join(f'"{column}"' for column in [*names, "expected"])
    lines = [
        "@pytest.mark.parametrize(",
        f"    ({listed}),",
        "    [",
        *(f"        ({', '.join((*_values(row), row.expected))})," for row in group),
        "    ],",
        ")",
        f"def {name}({_signature(aim, names, annotated)}){' -> None' if annotated else ''}:",
        f"    {first.before}{given}{first.after} {'is' if constants else '=='} expected",
    ]
    imports = dict.fromkeys(line for row in group for line in row.text.imports)
    text = "\n".join(lines) + "\n"
    return text, (
        "import pytest",
        *(["from typing import Any"] if "Any" in _signature(aim, names, annotated) else []),
        *imports,
    )


def _values(row: Row) -> tuple[str, ...]:
    call = row.example.call
    return (*call.args, *(value for _, value in call.kwargs))


def _signature(aim: Aim, names: Sequence[str], annotated: bool) -> str:
    """Parameters of the test; with ``annotated`` the types that the function itself gives them."""
    if not annotated:
        return ", ".join([*names, "expected"])
    hints = {p.name: _hint(p.annotation) for p in aim.function.parameters}
    back = "Any" if isinstance(aim.function.node, ast.AsyncFunctionDef) else _hint(aim.function.node.returns)
    return ", ".join([*(f"{name}: {hints[name]}" for name in names), f"expected: {back}"])


def _hint(annotation: ast.expr | None) -> str:
    """An annotation that needs no import, ``Any`` for others."""
    text = ast.unparse(annotation) if annotation is not None else "Any"
    return text if all(hasattr(builtins, word) for word in re.findall(r"[A-Za-z_]\w*", text)) else "Any"
