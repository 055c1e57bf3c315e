"""What could be added to a test: assertions about values that it has in hand, and rows of its table."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.review.suite.assertions import name_of
from famulus.lsp_server.review.suite.collected import Test
from famulus.lsp_server.testgen.placing import Insertion

MARK = "famulus saw "
"""Begins the message with which a test tells the values that it has."""
_MOST = 12
_LONGEST = 90
"""Characters of a value that a reader still takes in."""
_DIGITS = 9
"""Digits of a float from which on it is the result of inexact arithmetic."""
_FIXTURES = frozenset({"self", "cls", "capsys", "capfd", "caplog", "monkeypatch", "request", "mocker"})


@dataclass(frozen=True)
class Extra:
    """``lines`` without indent that come to the end of a test, or with ``row`` into its table; ``imports``: statements
    that they need."""

    lines: tuple[str, ...]
    imports: tuple[str, ...] = ()
    row: bool = False


def can_grow(test: Test) -> bool:
    """Whether lines can be put to the end of a test: not where all of it stands in one line."""
    return test.node.body[0].lineno > test.node.lineno


def indent(test: Test, rows: Sequence[str]) -> str:
    """What stands before the statements of a test."""
    first = rows[test.node.body[0].lineno - 1]
    return "".join(takewhile(str.isspace, first))


def imported(before: str, lines: Sequence[str]) -> list[Insertion]:
    """The imports that a file lacks, below its own."""
    at, known = 0, set()
    for node in ast.parse(before).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            known |= _bound(node)
            at = node.end_lineno or at
        elif not at and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            at = node.end_lineno or at
    missing = [line for line in lines if any(not _bound(node) <= known for node in ast.parse(line).body)]
    return [Insertion(at, "".join(f"{line}\n" for line in missing))] if missing else []


def _bound(node: ast.stmt) -> set[str]:
    """Names that an import binds."""
    return {(alias.asname or alias.name).partition(".")[0] for alias in getattr(node, "names", [])}


def probe(test: Test, names: Collection[str]) -> list[str]:
    """Lines that make a test tell what it has in hand at its end: its variables, their attributes, and what calls of
    ``names`` give."""
    lines = ["_famulus = []"]
    for variable in _variables(test):
        lines += ["try:", f"    _famulus.append(({variable!r}, repr({variable})))", "except Exception:", "    pass"]
        inner = f"({variable!r} + '.' + k, repr(v)) for k, v in sorted(vars({variable}).items())"
        lines += ["try:", f"    _famulus.extend({inner} if k[:1] != '_')", "except Exception:", "    pass"]
    for call in _calls(test, names):
        lines += ["try:", f"    _famulus.append(({call!r}, repr({call})))", "except Exception:", "    pass"]
    kept = f"[pair for pair in _famulus if len(pair[1]) <= {_LONGEST}][:{_MOST}]"
    return [*lines, f"raise AssertionError({MARK!r} + repr({kept}))"]


def _variables(test: Test) -> Iterator[str]:
    """Names that a test gives values to which are not written there, and what it is given."""
    given = [argument.arg for argument in (*test.node.args.args, *test.node.args.kwonlyargs)]
    tables = {name.strip() for names in test.cases for name in re.findall(r"\w+", names)}
    yield from (name for name in given if name not in _FIXTURES | tables)
    found: dict[str, bool] = {}
    for statement in test.node.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                plain = _literal(node.value)
                for target in node.targets:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                            found[name.id] = found.get(name.id, True) and plain
            elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                found[node.optional_vars.id] = False
    yield from (name for name, plain in found.items() if not plain and name not in given)


def _calls(test: Test, names: Collection[str]) -> Iterator[str]:
    """Calls of these functions in assertions: their value is there, and little is said of it."""
    seen = set()
    for statement in test.node.body:
        alone = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await)
        if not isinstance(statement, ast.Assert) and not alone:
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Await) and isinstance(node.value, ast.Call) and name_of(node.value) in names:
                seen.add(node.value)
                yield ast.unparse(node)
            elif isinstance(node, ast.Call) and name_of(node) in names and node not in seen:
                yield ast.unparse(node)


def demands(test: Test, messages: Sequence[str]) -> list[Extra]:
    """Assertions about values that were told the same in every run of :func:`probe`."""
    told = [dict(pairs) for message in messages if (pairs := _told(message)) is not None]
    if not told or len(told) < len(messages):
        return []
    unit = bool(test.owner) and any("TestCase" in name_of(base) for base in test.owner[-1].bases)
    there = {ast.unparse(statement) for statement in test.node.body}
    found = []
    for text, value in told[0].items():
        if any(one.get(text) != value for one in told[1:]):
            continue
        line = _demand(text, value, unit)
        if line and line not in there and ast.unparse(ast.parse(line)) not in there:
            found.append(Extra((line,), ("import pytest",) if "pytest." in line else ()))
    return found


def _told(message: str) -> list[tuple[str, str]] | None:
    if not message.startswith(MARK):
        return None
    try:
        pairs: list[tuple[str, str]] = ast.literal_eval(message.removeprefix(MARK))
    except (ValueError, SyntaxError):
        return None
    return pairs


def _demand(text: str, value: str, unit: bool) -> str:
    """The assertion; empty for a value that cannot be written."""
    try:
        known = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    single = isinstance(known, bool) or known is None
    if isinstance(known, float) and _inexact(known):
        near = float(f"{known:.{_DIGITS}g}")
        return f"self.assertAlmostEqual({text}, {near!r})" if unit else f"assert {text} == pytest.approx({near!r})"
    if any(isinstance(n, ast.Constant) and _inexact(n.value) for n in ast.walk(ast.parse(value))):
        return ""
    if unit:
        return f"self.assert{'Is' if single else 'Equal'}({text}, {value})"
    return f"assert {text} {'is' if single else '=='} {value}"


def _inexact(value: object) -> bool:
    return isinstance(value, float) and len(re.sub(r"e.*|\W", "", repr(value)).strip("0")) > _DIGITS


def _literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False
    return True


def table_end(test: Test, rows: Sequence[str]) -> int | None:
    """The line (from 0) of the bracket that closes the table of a test, if it stands alone and the test is one
    comparison; else None."""
    found = _table(test)
    if found is None:
        return None
    values, _, _ = found
    end = (values.end_lineno or 0) - 1
    last = values.elts[-1] if values.elts else None
    alone = 0 <= end < len(rows) and rows[end].strip() in ("]", "],", ")", "),")
    return end if alone and last is not None and (last.end_lineno or 0) - 1 < end else None


def row(test: Test, call: Call, value: str, own: Sequence[str]) -> Extra | None:
    """The row of a test's table for a call that gives ``value``; None where it has no place there. ``own``: names of
    the function's positional parameters."""
    found = _table(test)
    if found is None or call.before or call.receiver:
        return None
    _, columns, comparison = found
    made, expected = comparison.left, comparison.comparators[0]
    if not isinstance(made, ast.Call) or not isinstance(expected, ast.Name):
        return None
    given = {**dict(zip(own, call.args, strict=False)), **dict(call.kwargs)}
    if len(call.args) > len(own):
        return None
    wanted = {**dict(zip(own, made.args, strict=False)), **{k.arg or "": k.value for k in made.keywords}}
    cells = {expected.id: value}
    for parameter, node in wanted.items():
        if isinstance(node, ast.Name) and node.id in columns and parameter in given:
            cells[node.id] = given.pop(parameter)
        elif not (parameter in given and given.pop(parameter) == ast.unparse(node)):
            return None
    if given or set(cells) != set(columns):
        return None
    return Extra((f"({', '.join(cells[column] for column in columns)}),",), row=True)


_Table = tuple[ast.List | ast.Tuple, list[str], ast.Compare]


def _table(test: Test) -> _Table | None:
    """Values and columns of the only ``parametrize`` of a test, and the comparison that is all of its body."""
    decorators = [d for d in test.node.decorator_list if isinstance(d, ast.Call) and name_of(d) == "parametrize"]
    body = test.node.body
    if len(decorators) != 1 or len(body) != 1 or not isinstance(body[0], ast.Assert):
        return None
    comparison, arguments = body[0].test, decorators[0].args
    if not isinstance(comparison, ast.Compare) or len(arguments) < 2 or len(comparison.ops) != 1:
        return None
    try:
        named = ast.literal_eval(arguments[0])
    except (ValueError, TypeError):
        return None
    columns = re.findall(r"\w+", named) if isinstance(named, str) else list(named)
    values = arguments[1]
    plain = isinstance(values, ast.List | ast.Tuple) and isinstance(comparison.ops[0], ast.Eq)
    if not plain or len(columns) < 2 or not all(isinstance(item, ast.Tuple) for item in getattr(values, "elts", [])):
        return None
    assert isinstance(values, ast.List | ast.Tuple)
    return values, columns, comparison
