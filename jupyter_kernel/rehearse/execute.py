"""Runs a cell as IPython would: its magics, its top-level await, the value of its last expression."""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import traceback
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

FILE = "<rehearsal>"
_MOST_VALUE = 4_000
_MOST_TRACEBACK = 16_000


@dataclass
class Outcome:
    """``error`` is what the code raised; ``value`` is of the last expression if ``has_value``."""

    error: BaseException | None = None
    has_value: bool = False
    value: Any = None


def parse(shell: Any, code: str) -> ast.Module:
    """The cell as IPython compiles it, by the rules of plain IPython whatever the shell overrides. Raises what Python
    raises for it."""
    text: str = shell.input_transformer_manager.transform_cell(code)
    linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
    return ast.parse(text, FILE)


def run(shell: Any, tree: ast.Module) -> Outcome:
    """Runs it in the shell's namespace. Nothing that it raises leaves this function."""
    outcome = Outcome()
    try:
        tree = shell.transform_ast(tree)
        body, end, last = tree.body, tree.body[-1] if tree.body else None, None
        if isinstance(end, ast.Expr) and not _is_quiet(end):
            body, last = body[:-1], ast.Expression(end.value)
        flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        parts = [compile(ast.Module(body, tree.type_ignores), FILE, "exec", flags, dont_inherit=True)]
        if last is not None:
            parts.append(compile(last, FILE, "eval", flags, dont_inherit=True))
        values = _run(shell, parts)
        if last is not None and values[-1] is not None:
            outcome.has_value, outcome.value = True, values[-1]
    except BaseException as error:
        outcome.error = error
    return outcome


def _is_quiet(statement: ast.Expr) -> bool:
    """IPython shows no value where the line ends with a semicolon."""
    lines = linecache.cache[FILE][2]  # type: ignore[misc]  # typeshed: may be lazy; `parse` put it in
    line = lines[statement.end_lineno - 1] if statement.end_lineno else ""
    rest = line.encode()[statement.end_col_offset :].decode(errors="replace")
    return rest.lstrip().startswith(";")


def _run(shell: Any, parts: list[CodeType]) -> list[Any]:
    if not any(code.co_flags & inspect.CO_COROUTINE for code in parts):
        return [eval(code, shell.user_global_ns, shell.user_ns) for code in parts]
    values = []
    with asyncio.Runner() as runner:
        for code in parts:
            value = eval(code, shell.user_global_ns, shell.user_ns)
            values.append(runner.run(value) if code.co_flags & inspect.CO_COROUTINE else value)
    return values


def shorten(shell: Any, value: Any) -> str:
    """The text that IPython shows for a value, shortened. Never raises."""
    try:
        if isinstance(value, str | bytes | bytearray):
            text = repr(value[:_MOST_VALUE])
        else:
            text = shell.display_formatter.formatters["text/plain"](value) or f"<{type(value).__name__}>"
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= _MOST_VALUE else text[:_MOST_VALUE] + "…"


def type_name(value: Any) -> str:
    """A type as users write it, with its module unless it is Python's own."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message(error: BaseException) -> str:
    """Never raises."""
    try:
        return str(error)[:2000]
    except Exception:
        return ""


def report(error: BaseException) -> str:
    """The traceback from the cell's own frames on. Never raises."""
    try:
        lines = traceback.format_exception(type(error), error, _own(error.__traceback__))
    except Exception:
        lines = [f"{type(error).__name__}: {message(error)}"]
    text = "".join(lines)
    return (
        text if len(text) <= _MOST_TRACEBACK else text[: _MOST_TRACEBACK // 2] + "\n…\n" + text[-_MOST_TRACEBACK // 2 :]
    )


def _own(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames of the rehearsal itself."""
    one = trace
    while one is not None and one.tb_frame.f_code.co_filename != FILE:
        one = one.tb_next
    return one
