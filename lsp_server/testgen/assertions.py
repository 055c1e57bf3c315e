"""What a test says about an answer: the statements of its body, with the imports and fixtures that they need."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from famulus.lsp_server.execution import pytest_text
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import Form, expression
from famulus.lsp_server.execution.worker.scene import FOLDER
from famulus.lsp_server.testgen.case import Aim
from famulus.lsp_server.testgen.fixtures import name_in

FIXTURES = ("capsys", "monkeypatch", "tmp_path")
"""Of pytest, as far as tests use them."""
_MOST = 6
"""Assertions in one test."""
_WRITTEN = 160
"""Characters of a value that a reader still takes in."""
_DIGITS = 9
"""Digits of a float from which on it is the result of inexact arithmetic."""
_MATCHED = 8, 60
"""Characters of a message that are worth matching."""


@dataclass(frozen=True)
class Body:
    """Lines of a test without indent; ``imports``: statements; ``fixtures``: of pytest or of the project."""

    lines: tuple[str, ...]
    imports: tuple[str, ...]
    fixtures: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def body(aim: Aim, call: Call, outcome: Outcome) -> Body | None:
    """The statements that hold as long as ``call`` has this ``outcome``; None if it cannot be written so that it can
    be read."""
    setup, made, checks = _arranged(aim, call, outcome)
    checks += _written(call, outcome)
    imports: set[str] = set()
    if call.how == "with":
        return _entered(aim, call, outcome, setup, made, checks)
    if _is_async(aim, call):
        imports.add("import asyncio")
        if any(isinstance(node, ast.Yield) for node in ast.walk(aim.function.node)):
            setup += ["async def collected():", f"    return [item async for item in {made}]", ""]
            made = "collected()"
        made = f"asyncio.run({made})"
    if outcome.kind == "raised":
        kind = _kind(aim, outcome, imports)
        if not kind:
            return None
        if kind == "SystemExit":
            return _left(aim, call, outcome, [*setup], made)
        found = stable_message(aim, outcome)
        match = f", match={found!r}" if found else ""
        lines = [*setup, f"with pytest.raises({kind}{match}):", f"    {made}"]
        return _finished(aim, call, lines, imports | {"import pytest"})
    if outcome.kind != "value" or (outcome.output and not _short(repr(outcome.output))):
        return None
    said = list(_said(aim, made, outcome.value, imports))
    nothing = outcome.value == ["const", "None"]
    if outcome.output:
        checks.append(f"assert capsys.readouterr().out == {outcome.output!r}")
    silent = aim.is_procedure and call.target == aim.function.name and call.how == "call"
    if nothing and not checks and (outcome.receiver or outcome.arguments or silent):
        return None  # what it did cannot be seen
    if checks and nothing:
        lines = [*setup, made, *checks]
    elif said:
        lines = [*setup, *said, *checks] if len(said) == 1 else [*setup, f"result = {made}", *said, *checks]
    elif checks:
        lines = [*setup, made, *checks]
    else:
        return None
    return _finished(aim, call, lines, imports)


def _left(aim: Aim, call: Call, outcome: Outcome, setup: list[str], made: str) -> Body | None:
    """For a call that ends the program: with which code, and what it said on standard output."""
    code = expression(outcome.value[2][1][0]) if outcome.value[2][1] else "None"
    if not code or not _short(code):
        return None
    lines = [*setup, "with pytest.raises(SystemExit) as ended:", f"    {made}"]
    lines.append(_compared("ended.value.code", code))
    if outcome.output and _short(repr(outcome.output)) and not outcome.output.startswith("usage:"):
        lines.append(f"assert capsys.readouterr().out == {outcome.output!r}")
    return _finished(aim, call, lines, {"import pytest"})


def _entered(aim: Aim, call: Call, outcome: Outcome, setup: list[str], made: str, checks: list[str]) -> Body | None:
    """For a context manager: what it gives, and what is left behind it."""
    if outcome.kind == "raised":
        kind = _kind(aim, outcome, imports := {"import pytest"})
        inner = call.inside or ("pass",)
        lines = [*setup, f"with pytest.raises({kind}), {made}:", *(f"    {line}" for line in inner)]
        return _finished(aim, call, lines, imports) if kind else None
    if outcome.kind != "value":
        return None
    value = expression(outcome.value)
    said = [_compared("entered", value)] if value and _short(value) and value != "None" else []
    within = [*said, *call.inside] or ["pass"]
    if outcome.output:
        checks.append(f"assert capsys.readouterr().out == {outcome.output!r}")
    if not said and not checks:
        return None
    used = " as entered" if "entered" in " ".join(within) else ""
    return _finished(aim, call, [*setup, f"with {made}{used}:", *(f"    {line}" for line in within), *checks], set())


def _written(call: Call, outcome: Outcome) -> list[str]:
    """Assertions about the files that a call wrote."""
    bound = [re.match(r'(\w+) = tmp_path / "(.*)"$', line) for line in call.setting]
    names = {match[2]: match[1] for match in bound if match}
    found = []
    for path, text in list(outcome.files.items())[:2]:
        place = names.get(path, f"(tmp_path / {path!r})")
        if _short(repr(text)):
            exact = "\r" in text
            found.append(
                f"assert {place}.read_{'bytes' if exact else 'text'}() == {text.encode() if exact else text!r}"
            )
    return found


def _finished(aim: Aim, call: Call, lines: list[str], imports: set[str]) -> Body | None:
    text = "\n".join(lines)
    if FOLDER in text:
        lines = [_placed(line) for line in lines]
        text = "\n".join(lines)
        if FOLDER in text:
            return None
    provided = {name for line in aim.imports for name in re.findall(r"\w+", line.rpartition("import ")[2])}
    provided |= {f"conftest_{one.name}" for one in aim.fixtures}
    found = {line for line in pytest_text.imports(aim.module, call, text) if line}
    found = {line for line in (_without(line, provided, aim.module) for line in found) if line}
    if re.search(r"\bmath\.", text):
        imports.add("import math")
    if "pytest." in text:
        imports.add("import pytest")
    used = set(re.findall(r"\w+", text))
    others = [line for line in aim.imports if used & set(re.findall(r"\w+", line.partition("import ")[2]))]
    own = [name for line in call.setting if (name := name_in(line))]
    fixtures = (*own, *(name for name in FIXTURES if re.search(rf"\b{name}\b", text)))
    return Body(tuple(lines), (*sorted(found | imports), *others), fixtures)


def _placed(line: str) -> str:
    """A line in which paths in the test's folder are told by it."""
    line = re.sub(rf"Path\('{FOLDER}/([^']*)'\)", r"tmp_path / '\1'", line).replace(f"Path('{FOLDER}')", "tmp_path")
    return re.sub(rf"'{FOLDER}/([^']*)'", r"str(tmp_path / '\1')", line).replace(f"'{FOLDER}'", "str(tmp_path)")


def _without(line: str, names: set[str], module: str) -> str:
    """An import from the module under test without names that come from elsewhere."""
    start = f"from {module} import "
    if not line.startswith(start):
        return line
    kept = [name for name in line[len(start) :].split(", ") if name not in names]
    return start + ", ".join(kept) if kept else ""


def _arranged(aim: Aim, call: Call, outcome: Outcome) -> tuple[list[str], str, list[str]]:
    """What is made first, the call itself, and what is looked at afterwards besides its result."""
    lines = [line for line in call.setting if not name_in(line)]
    setup = [row for line in lines for row in ([*line.split("\n"), ""] if "\n" in line else [line])]
    checks: list[str] = []
    taken = call.names() | {call.target.partition(".")[0], aim.function.node.name}
    receiver, args = call.receiver, list(call.args)
    if receiver and (call.before or outcome.receiver):
        name = _object(receiver, taken)
        setup += [f"{name} = {receiver}", *(re.sub(r"\bself\b", name, line) for line in call.before)]
        receiver = name
        if outcome.receiver[:1] == ["object"]:
            was = dict((outcome.answer.get("receiver_before") or ["", "", []])[2])
            for attribute, form in outcome.receiver[2]:
                value = expression(form) if was.get(attribute) != form else ""
                if attribute.isidentifier() and not attribute.startswith("_") and value and _short(value):
                    checks.append(_compared(f"{name}.{attribute}", value))
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either")]
    for place, form in outcome.arguments.items():
        value = expression(form)
        if not place.isdigit() or not value or not _short(value):
            continue
        position = int(place)
        if args[position].isidentifier() and args[position] not in aim.names:
            checks.append(_compared(args[position], value))  # the setting has a name for it
            continue
        name = own[position] if position < len(own) and own[position] not in taken else f"argument_{place}"
        setup.append(f"{name} = {args[position]}")
        args[position] = name
        checks.append(_compared(name, value))
    made = replace(call, args=tuple(args), receiver=receiver, before=()).text
    return setup, made, checks[:_MOST]


def _object(receiver: str, taken: frozenset[str]) -> str:
    """A name for an object: that of its class."""
    words = re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", receiver.partition("(")[0].rpartition(".")[2]
    ).lower()
    return words if words.isidentifier() and words not in taken and not hasattr(builtins, words) else "it"


def _is_async(aim: Aim, call: Call) -> bool:
    return isinstance(aim.function.node, ast.AsyncFunctionDef) and call.target == aim.function.name


def _kind(aim: Aim, outcome: Outcome, imports: set[str]) -> str:
    """The class of the exception, or its nearest base, by a name that a test can import; empty if that is none but
    ``Exception``, which says nothing."""
    known = aim.names
    for kind in outcome.kinds:
        if isinstance(getattr(builtins, kind, None), type):
            return kind if kind != "Exception" or outcome.exception == kind else ""
        if kind in known:
            imports.add(f"from {aim.module} import {kind}")
            return kind
    return ""


def stable_message(aim: Aim, outcome: Outcome) -> str:
    """The part of an exception's message that a test may rely on: the words that fewest other messages have."""
    least, most = _MATCHED
    runs = re.findall(r"[A-Za-z][A-Za-z ,'-]*[A-Za-z]", outcome.message.partition("\n")[0])
    runs = [run for run in runs if least <= len(run) <= most and " " in run]
    given = {str(part[1]) for part in (outcome.value[2][1] if len(outcome.value) > 2 else []) if len(part) > 1}
    if given and outcome.message not in given:
        return ""
    own = [run for run in runs if run in aim.source]
    return min(own, key=lambda run: (aim.source.count(run), -len(run)), default=max(runs, key=len, default=""))


def _said(aim: Aim, made: str, form: Form, imports: set[str]) -> Iterator[str]:
    """Assertions about a value; those about its parts speak of ``result``."""
    if form and form[0] in ("iterator", "dict_keys", "dict_values", "dict_items") and len(form) == 2:
        made, form = f"list({made})", ["list", form[1]]
    value = expression(form)
    if value and _short(value):
        yield _compared(made, value)
        return
    if form and form[0] == "array":
        yield from _array(made, form, imports)
        return
    if form and form[0] == "frame":
        yield from _frame(made, form, imports)
        return
    if form and form[0] == "enum" and str(form[1]) in aim.names:
        imports.add(f"from {aim.module} import {form[1]}")
        yield f"assert {made} is {form[1]}.{form[2]}"
        return
    parts = [(path, value) for path, value in _parts(form, 0) if _short(value)][:_MOST]
    if len(parts) == 1:
        yield _compared(made + parts[0][0], parts[0][1])
    else:
        yield from (_compared(f"result{path}", value) for path, value in parts)


def _parts(form: Form, depth: int) -> Iterator[tuple[str, str]]:
    """The parts of a value that has no expression itself: items and public attributes, each with its expression."""
    if depth > 2 or not form:
        return
    inside: list[tuple[str, Form]] = []
    if form[0] in ("tuple", "list") and len(form[1]) <= _MOST:
        inside = [(f"[{n}]", item) for n, item in enumerate(form[1])]
    elif form[0] == "dict" and len(form[1]) <= _MOST:
        inside = [(f"[{expression(key)}]", item) for key, item in form[1] if expression(key)]
    elif form[0] == "object" and form[1] == "Result" and form[2][:1] == [["exit_code", ["int", "2"]]]:
        inside = [(".exit_code", form[2][0][1])]  # what click says of a wrong usage is its own affair
    elif form[0] == "object" and len(form) == 3:
        inside = [(f".{name}", item) for name, item in form[2] if name.isidentifier() and not name.startswith("_")]
    for path, item in inside:
        value = expression(item)
        if value:
            yield path, value
        else:
            yield from ((path + below, value) for below, value in _parts(item, depth + 1))


def _compared(made: str, value: str) -> str:
    if value in ("None", "True", "False"):
        return f"assert {made} is {value}"
    if value == "nan":
        return f"assert math.isnan({made})"
    return f"assert {made} == {_approximate(value)}"


def _approximate(value: str) -> str:
    """The expected value; floats that no arithmetic gives exactly stand in ``pytest.approx``."""
    try:
        tree = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError):
        return value
    floats = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    inexact = [n for n in floats if len(re.sub(r"e.*|\W", "", repr(n.value)).strip("0")) > _DIGITS]
    if not inexact or not _approximable(tree):
        return value
    for node in inexact:
        if isinstance(node.value, float):
            node.value = float(f"{node.value:.{_DIGITS}g}")
    return f"pytest.approx({ast.unparse(tree)})"


def _approximable(tree: ast.expr) -> bool:
    """Whether approx takes it: a number, or a flat list, tuple or dict of numbers."""
    items = (
        tree.elts if isinstance(tree, (ast.List, ast.Tuple)) else tree.values if isinstance(tree, ast.Dict) else [tree]
    )
    plain = (item.operand if isinstance(item, ast.UnaryOp) else item for item in items)
    return all(isinstance(i, ast.Constant) and type(i.value) in (int, float) for i in plain)


def _array(made: str, form: Form, imports: set[str]) -> Iterator[str]:
    values = expression(form[3])
    if not values or not _short(values):
        return
    imports.add("import numpy as np")
    if str(form[1]).startswith(("float", "complex")):
        yield f"np.testing.assert_allclose({made}, {values})"
    else:
        yield f"np.testing.assert_array_equal({made}, {values})"


def _frame(made: str, form: Form, imports: set[str]) -> Iterator[str]:
    _, kind, dtypes, index, pairs = form
    rows, columns = expression(index), expression(["dict", pairs])
    if kind not in ("DataFrame", "Series") or not dtypes or not rows or not columns or not _short(columns):
        return
    imports.add("import pandas as pd")
    if kind == "DataFrame":
        yield f"pd.testing.assert_frame_equal({made}, pd.DataFrame({columns}, index={rows}))"
        return
    name, values = expression(pairs[0][0]), expression(pairs[0][1])
    named = "" if name == "None" else f", name={name}"
    yield f"pd.testing.assert_series_equal({made}, pd.Series({values}, index={rows}, dtype={dtypes[0]!r}{named}))"


def _short(text: str) -> bool:
    return 0 < len(text) <= _WRITTEN
