"""What a test says about an answer: the statements of its body, with the imports and fixtures that they need."""

from __future__ import annotations

import ast
import builtins
import contextlib
import re
from dataclasses import dataclass, replace

from famulus.lsp_server.execution import pytest_text
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.execution.worker.scene import FOLDER
from famulus.lsp_server.testgen import stating
from famulus.lsp_server.testgen.case import Aim
from famulus.lsp_server.testgen.fixtures import name_in
from famulus.lsp_server.testgen.protocols import is_async_manager

FIXTURES = ("capsys", "monkeypatch", "tmp_path")
"""Of pytest, as far as tests use them."""
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
        made = f"list({made})" if outcome.drawn else made
        lines = [*setup, f"with pytest.raises({kind}{match}):", f"    {_called(made)}"]
        return _finished(aim, call, lines, imports | {"import pytest"})
    if outcome.kind != "value" or (outcome.output and not stating.short(repr(outcome.output))):
        return None
    if outcome.warned:
        return _warned(aim, call, outcome, setup, made, checks, imports)
    said = list(stating.said(aim, made, outcome.value, imports, outcome.looks))
    nothing = outcome.value == ["const", "None"]
    if outcome.output:
        checks.append(f"assert capsys.readouterr().out == {outcome.output!r}")
    silent = aim.is_procedure and call.target == aim.function.name and call.how == "call"
    changing = aim.is_procedure and (outcome.receiver or outcome.arguments)
    if nothing and not checks and (changing or silent):
        return None  # what it did cannot be seen
    if checks and nothing:
        lines = [*setup, _bare(made), *checks]
    elif said:
        lines = [*setup, *said, *checks] if len(said) == 1 else [*setup, f"result = {_bare(made)}", *said, *checks]
    elif checks:
        lines = [*setup, _bare(made), *checks]
    else:
        return None
    return _finished(aim, call, lines, imports)


def _warned(
    aim: Aim, call: Call, outcome: Outcome, setup: list[str], made: str, checks: list[str], imports: set[str]
) -> Body | None:
    """For a call that warns."""
    kinds = [kind for kind in outcome.warned if isinstance(getattr(builtins, kind, None), type)]
    if len(kinds) != 1 or len(outcome.warned) != 1 or outcome.output:
        return None
    if outcome.value[:1] == ["iterator"] and len(outcome.value) > 2:
        return None  # it ends with an exception
    if outcome.value[:1] == ["iterator"] and len(outcome.value) == 2:
        made, form = f"list({made})", ["list", outcome.value[1]]
    else:
        form = outcome.value
    said = list(stating.said(aim, "result", form, imports, outcome.looks)) if form != ["const", "None"] else []
    named = f"result = {_bare(made)}" if said else _bare(made)
    lines = [*setup, f"with pytest.warns({kinds[0]}):", f"    {named}", *said, *checks]
    return _finished(aim, call, lines, imports | {"import pytest"})


def _left(aim: Aim, call: Call, outcome: Outcome, setup: list[str], made: str) -> Body | None:
    """For a call that ends the program: with which code, and what it said on standard output."""
    code = expression(outcome.value[2][1][0]) if outcome.value[2][1] else "None"
    if not code or not stating.short(code):
        return None
    lines = [*setup, "with pytest.raises(SystemExit) as ended:", f"    {made}"]
    lines.append(stating.compared("ended.value.code", code))
    if outcome.output and stating.short(repr(outcome.output)) and not outcome.output.startswith("usage:"):
        lines.append(f"assert capsys.readouterr().out == {outcome.output!r}")
    return _finished(aim, call, lines, {"import pytest"})


def _entered(aim: Aim, call: Call, outcome: Outcome, setup: list[str], made: str, checks: list[str]) -> Body | None:
    """For a context manager: what it gives, and what is left behind it."""
    later = is_async_manager(aim.function)
    if outcome.kind == "raised":
        kind = _kind(aim, outcome, imports := {"import pytest"})
        inner = [f"    {line}" for line in call.inside or ("pass",)]
        if later:
            lines = [*_async_with(made, inner), f"with pytest.raises({kind}):", "    asyncio.run(used())"]
            return _finished(aim, call, [*setup, *lines], imports | {"import asyncio"}) if kind else None
        lines = [*setup, f"with pytest.raises({kind}), {made}:", *inner]
        return _finished(aim, call, lines, imports) if kind else None
    if outcome.kind != "value":
        return None
    value = expression(outcome.value)
    said = [stating.compared("entered", value)] if value and stating.short(value) and value != "None" else []
    within = [*said, *call.inside] or ["pass"]
    if outcome.output:
        checks.append(f"assert capsys.readouterr().out == {outcome.output!r}")
    if not said and not checks:
        return None
    made += " as entered" if "entered" in " ".join(within) else ""
    inner = [f"    {line}" for line in within]
    if later:
        lines = [*setup, *_async_with(made, inner), "asyncio.run(used())", *checks]
        return _finished(aim, call, lines, {"import asyncio"})
    return _finished(aim, call, [*setup, f"with {made}:", *inner, *checks], set())


def _async_with(made: str, inner: list[str]) -> list[str]:
    """A function that enters an asynchronous context manager."""
    return ["async def used():", f"    async with {made}:", *(f"    {line}" for line in inner), ""]


def _written(call: Call, outcome: Outcome) -> list[str]:
    """Assertions about the files that a call wrote."""
    bound = [re.match(r'(\w+) = tmp_path / "(.*)"$', line) for line in call.setting]
    names = {match[2]: match[1] for match in bound if match}
    found = []
    for path, text in list(outcome.files.items())[:2]:
        place = names.get(path, f"(tmp_path / {path!r})")
        if stating.short(repr(text)):
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
            was = dict((outcome.receiver_before or ["", "", []])[2])
            for attribute, form in outcome.receiver[2]:
                value = expression(stating.plain(form)) if was.get(attribute) != form else ""
                if attribute.isidentifier() and not attribute.startswith("_") and value and stating.short(value):
                    checks.append(stating.compared(f"{name}.{attribute}", value))
        if not checks:
            checks += [
                stating.compared(text.replace("{}", name, 1), value)
                for text, value in stating.told(outcome.receiver_looks)
            ]
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either")]
    for place, form in outcome.arguments.items():
        value = expression(stating.plain(form))
        if not place.isdigit() or not value or not stating.short(value):
            continue
        position = int(place)
        if args[position].isidentifier() and args[position] not in aim.names:
            checks.append(stating.compared(args[position], value))  # the setting has a name for it
            continue
        name = own[position] if position < len(own) and own[position] not in taken else f"argument_{place}"
        setup.append(f"{name} = {args[position]}")
        args[position] = name
        checks.append(stating.compared(name, value))
    made = replace(call, args=tuple(args), receiver=receiver, before=()).text
    return setup, made, checks[: stating.MOST]


def _bare(made: str) -> str:
    """An operation that stands alone, without the parentheses around all of it."""
    with contextlib.suppress(SyntaxError):
        if made.startswith("(") and ast.dump(ast.parse(made[1:-1])) == ast.dump(ast.parse(made)):
            return made[1:-1]
    return made


def _called(made: str) -> str:
    """An expression that is a statement: one that looks as if it did nothing is given to a name."""
    alone = _bare(made)
    idle = isinstance(ast.parse(alone).body[0], ast.Expr) and isinstance(
        ast.parse(alone, mode="eval").body, ast.Attribute | ast.Compare
    )
    return f"_ = {alone}" if idle else alone


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
