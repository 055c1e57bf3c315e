"""A call with its answer as a small pytest test that a person can paste."""

from __future__ import annotations

import re
from collections.abc import Sequence

from famulus.lsp_server.execution.calls import MODULES, STANDARD, Call, names_in
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import Form, expression


def as_test(
    module: str,
    call: Call,
    outcome: Outcome,
    path: str = "",
    form: Form | tuple[object, ...] = (),
    *,
    exact: bool = False,
) -> str:
    """A test that holds as long as ``call`` has this ``outcome``; empty if that cannot be written.

    ``path`` and ``form``: what to look at in the result, and what stands there; without them the whole of it.
    ``exact``: 1 is not 1.0."""
    body = assertion(call, outcome, path, list(form) or outcome.value, exact)
    if not body:
        return ""
    name = re.sub(r"\W+", "_", call.target.replace("__", "")).strip("_").lower() or "call"
    fixture = "capsys" if "capsys" in body else ""
    lines = [f"def test_{name}_keeps_its_answer({fixture}):", *("    " + line for line in body.split("\n"))]
    heads = imports(module, call, body)
    return "\n".join([*heads, "", "", *lines, ""])


def assertion(call: Call, outcome: Outcome, path: str, form: Form, exact: bool = False) -> str:
    """The statements of such a test; empty if it cannot be written."""
    prefix = ""
    text = call.text
    if call.before:
        prefix = "\n".join([f"it = {call.receiver}", *(re.sub(r"\bself\b", "it", line) for line in call.before)]) + "\n"
        text = Call(call.target, call.args, call.kwargs, "it", (), call.how).text
    if outcome.kind == "raised":
        kinds = [kind for kind in outcome.kinds if kind in _BUILTIN_ERRORS] or ["Exception"]
        return f"{prefix}with pytest.raises({kinds[0]}):\n    {text}"
    if outcome.kind != "value":
        return ""
    if outcome.answer.get("args") or outcome.receiver:
        return prefix + _changed(call, outcome)
    value = expression(form)
    if outcome.output and expression(["str", outcome.output]):
        return f"{prefix}{text}\nassert capsys.readouterr().out == {outcome.output!r}"
    if form and form[0] == "iterator" and len(form) == 2:
        text, value = f"list({text})", expression(["list", form[1]])
    if not value:
        return ""
    if value == "nan":
        return f"{prefix}assert math.isnan({text}{path})"
    if exact:
        return f"{prefix}assert repr({text}{path}) == {value!r}"
    if value in ("None", "True", "False"):
        return f"{prefix}assert {text}{path} is {value}"
    return f"{prefix}assert {text}{path} == {value}"


def _changed(call: Call, outcome: Outcome) -> str:
    """For a call that changes an argument or its object."""
    lines, args = [], list(call.args)
    checks = []
    for name, form in outcome.arguments.items():
        value = expression(form)
        if not (name.isdigit() and value):
            return ""
        lines.append(
            f"argument = {args[int(name)]}" if len(outcome.arguments) == 1 else f"argument_{name} = {args[int(name)]}"
        )
        args[int(name)] = lines[-1].split(" = ")[0]
        checks.append(f"assert {args[int(name)]} == {value}")
    receiver = call.receiver
    if outcome.receiver:
        if outcome.receiver[:1] != ["object"] or call.before:
            return ""
        lines.append(f"it = {receiver}")
        receiver = "it"
        values = [(attribute, expression(form)) for attribute, form in outcome.receiver[2]]
        checks += [
            f"assert it.{attribute} == {value}" for attribute, value in values if attribute.isidentifier() and value
        ]
    result = expression(outcome.value)
    made = Call(call.target, tuple(args), call.kwargs, receiver, (), call.how).text
    lines.append(f"assert {made} == {result}" if result not in ("", "None", "nan") else made)
    return "\n".join([*lines, *checks]) if checks else ""


_BUILTIN_ERRORS = frozenset(
    name
    for name, kind in vars(__import__("builtins")).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
)


def imports(module: str, call: Call, body: str) -> Sequence[str]:
    """The imports that the statements need, in the groups of the convention, with empty lines between these."""
    names = set(call.names()) | {call.target.partition(".")[0]} if not call.receiver else set(call.names())
    used = {name for line in body.split("\n") for name in names_in(re.sub(r"^(assert |with )|:$", "", line.strip()))}
    names |= used & (set(STANDARD) | MODULES | {"pytest"})
    lines = {f"import {name}" for name in names & MODULES}
    for name in sorted(names & set(STANDARD)):
        lines.add(f"from {STANDARD[name]} import {name}")
    third = ["import pytest"] if "pytest." in body else []
    if "math.isnan" in body:
        lines.add("import math")
    builtin = set(vars(__import__("builtins")))
    own = sorted(names - MODULES - set(STANDARD) - builtin - {"it", "pytest", "capsys", "math"})
    mine = [f"from {module} import {', '.join(own)}"] if own else []
    heads: list[str] = []
    for group in (sorted(lines), third, mine):
        if group:
            heads += ["", *group] if heads else group
    return heads
