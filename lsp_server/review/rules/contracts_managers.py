"""Rule 2, context managers: functions whose result ``with`` or ``async with`` can no longer enter."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Awaitable, Instance, Made, Symbol, Value
from famulus.lsp_server.review.rules.callsites_gone import ready
from famulus.lsp_server.review.rules.callsites_words import called, untouched
from famulus.lsp_server.review.rules.contracts_callers import Callers
from famulus.lsp_server.review.rules.contracts_finding import made

_DECORATORS = {"contextmanager": "with", "asynccontextmanager": "async with"}
_METHODS = {"with": "__enter__", "async with": "__aenter__"}
_PLAIN = {
    f"builtins.{name}"
    for name in ("None", "bool", "bytes", "dict", "float", "generator", "int", "list", "set", "str", "tuple")
}
"""Built-in classes whose objects cannot be entered."""


def changed(pair: Pair) -> bool:
    """Whether a function may give something else to enter."""
    old, new = pair.old.definition, pair.new.definition
    differs = (old.annotation, old.returns, old.generator) != (new.annotation, new.returns, new.generator)
    return differs or _decorated(pair.old) != _decorated(pair.new)


def check(changes: Changes, pair: Pair, callers: Callers) -> Iterator[Finding]:
    """Callers that enter the result."""
    for use in callers.calls(pair.new):
        for kind, where in callers.outcomes(use):
            if kind not in _METHODS or not untouched(changes, use):
                continue
            if _entered(changes.old, pair.old, kind) is not True or _entered(changes.new, pair.new, kind) is not False:
                continue
            if ready(use.module, use.reference.guard, {"AttributeError", "TypeError", "Exception", ""}):
                continue
            now = _decorated(pair.new)
            fate = f"has to be entered with `{now}` now" if now else "gives no context manager now"
            text = f"enters {called(use.reference)}() with `{kind}`, but it {fate}"
            yield made(changes, use.module, where, "protocol", text, pair, fate)


def _decorated(function: Symbol) -> str:
    """How the result of a function that ``contextlib`` decorates is entered; empty for others."""
    names = (d.path.rpartition(".")[2] for d in function.definition.decorators)
    return next((_DECORATORS[name] for name in names if name in _DECORATORS), "")


def _entered(project: Project, function: Symbol, kind: str) -> bool | None:
    """Whether ``with``, or ``async with``, can enter the result of a function; None if that is not known."""
    if decorated := _decorated(function):
        return decorated == kind
    if not project.resolver.classes.keeps_result(function):
        return None
    answers = {_has(project, value, _METHODS[kind]) for value in project.resolver.results.of_call(function)}
    return answers.pop() if len(answers) == 1 else None


def _has(project: Project, value: Value, method: str) -> bool | None:
    if isinstance(value, Instance):
        classes = project.resolver.classes
        if next(classes.members(value.of, method), None) is not None:
            return True
        return False if classes.known(value.of) else None
    return False if isinstance(value, Awaitable) or (isinstance(value, Made) and value.name in _PLAIN) else None
