"""Jinja for templates that come with a model's files, run like a stranger's program.

On top of Jinja's own sandbox (no attribute leads out, nothing is changed) every loop turn, call and operator
is counted, and whatever could build a huge value is measured before it is built. What these bounds do not
cover ends at the worker's watchdog.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_TEXT = 16 << 20
"""Characters; the longest value that a template may build."""
MAX_STEPS = 1_000_000
"""Loop turns, calls and operations of one rendering."""
MAX_SECONDS = 2.0
"""Time of one rendering."""
MAX_WIDTH = 10_000
"""The largest width or count that a filter or a method accepts."""

FILTERS = (
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
    "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min",
    "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort",
    "string", "sum", "title", "trim", "truncate", "unique", "upper",
)  # fmt: skip
_COUNTED = frozenset(("indent", "truncate", "batch", "slice", "center", "ljust", "rjust", "zfill", "expandtabs"))
_PER_VALUE = 64  # what each value counts besides its characters, so that weighing is quick
_LAZY = frozenset(("map", "select", "reject", "selectattr", "rejectattr", "items"))


class TooMuch(Exception):
    """A template went over one of its bounds; the text says which, beginning with "it"."""


class Budget:
    """What one rendering may still use."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.deadline = time.monotonic() + MAX_SECONDS

    def spend(self) -> None:
        """Count one step; raises :class:`TooMuch`."""
        self.steps -= 1
        if self.steps < 0 or (self.steps % 64 == 0 and time.monotonic() > self.deadline):
            raise TooMuch("it runs too long")


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that transformers gives its chat templates, bounded.

    Render with ``budget=Budget()`` among the variables.
    """

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"],
            finalize=_measured,
        )  # fmt: skip
        bounded = {name: _guarded(name, self.filters[name]) for name in FILTERS}
        self.filters = bounded | {"tojson": _guarded("tojson", _tojson)}
        keep = ("range", "namespace", "dict")
        self.globals = {name: self.globals[name] for name in keep}
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        blocks = tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))
        for block in cast(Iterable[nodes.For], blocks):
            block.body.insert(0, nodes.ExprStmt(_call("spend", [nodes.ContextReference()])))
        for joined in list(tree.find_all(nodes.Concat)):
            joined.nodes = [_call("concat", joined.nodes)]  # `~` has no hook of its own
        return tree.set_environment(self)  # type: ignore[return-value]

    @staticmethod
    def spend(context: Context) -> str:
        """Called by every loop turn and macro; ``context.parent`` is out of the template's reach."""
        context.parent["budget"].spend()
        return ""

    @staticmethod
    def concat(*parts: Any) -> str:
        """The operator ``~``."""
        _weigh(parts)
        return "".join(map(str, parts))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Every call that a template makes."""
        __context.parent["budget"].spend()
        # the sandbox hands out str.format in a wrapper of its own
        subject = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if isinstance(subject, str):
            _check(__obj.__name__, (subject, *args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Every arithmetic operation that a template makes."""
        context.parent["budget"].spend()
        if operator == "*":
            _check_product(left, right)
        elif operator == "%" and isinstance(left, str):
            _check("format", (left, right))
        elif operator == "**" and not (abs(left) <= MAX_WIDTH and abs(right) <= 16):
            raise TooMuch("it computes too large a number")
        elif operator == "+":
            _weigh((left, right))
        return super().call_binop(context, operator, left, right)


def _call(method: str, arguments: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), arguments, [], None, None)


class _Generation(Extension):
    """``{% generation %}`` marks the model's own text for training; here its body is simply rendered."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _weigh(values: Iterable[Any]) -> None:
    """Raise :class:`TooMuch` if ``values`` written out are too long; shared parts count each time."""
    total = 0
    todo = list(values)
    while todo:
        value = todo.pop()
        total += _PER_VALUE
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, int):
            total += value.bit_length() // 3
        elif isinstance(value, dict):
            todo += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            todo += list(value)
        if total + _PER_VALUE * len(todo) > MAX_TEXT:
            raise TooMuch("it builds too long a text")


def _measured(value: Any) -> Any:
    if not isinstance(value, str):
        _weigh((value,))
    return value


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > 4096:
            raise TooMuch("it computes too large a number")
        return
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | list | tuple) and isinstance(times, int) and len(value) * times > MAX_TEXT:
            raise TooMuch("it builds too long a text")


def _check(name: str, values: tuple[Any, ...]) -> None:
    """Refuse a filter or string method whose result would be out of bounds, before it is built."""
    _weigh(values)
    subject = values[0]
    if name in _COUNTED and any(isinstance(v, int) and abs(v) > MAX_WIDTH for v in values[1:]):
        raise TooMuch(f"it calls {name} with too large a number")
    longest = max((len(v) for v in values[1:] if isinstance(v, str | list | tuple | dict)), default=0)
    pieces = 0
    if name == "replace" and isinstance(subject, str) and len(values) > 2:
        pieces = subject.count(str(values[1]))
    elif name == "indent":
        pieces, longest = str(subject).count("\n"), MAX_WIDTH if len(str(subject)) > MAX_WIDTH else longest
    elif name == "join":
        pieces = max(len(v) for v in values if isinstance(v, str | list | tuple)) if longest else 0
    elif name in ("format", "format_map"):
        if re.search(r"\d{5}", str(subject)) or ("*" in subject and name == "format"):
            raise TooMuch("it formats with too large a width")
        pieces = str(subject).count("%") + str(subject).count("{")
    if pieces * longest > MAX_TEXT:
        raise TooMuch("it builds too long a text")


def _guarded(name: str, implementation: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts as a step and is checked first; taking the context also stops constant folding."""
    wants = getattr(implementation, "jinja_pass_arg", None)
    first = str(wants.name) if wants is not None else ""

    @jinja2.pass_context
    @functools.wraps(implementation)
    def guarded(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        context.parent["budget"].spend()
        if name not in _LAZY:
            _check(name, (value, *args, *kwargs.values()))
        known = {"context": context, "environment": context.environment, "eval_context": context.eval_ctx}
        arguments = ([known[first]] if first else []) + [value, *args]
        return implementation(*arguments, **kwargs)

    return guarded


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """JSON as the model saw it in training: no HTML escapes. ``options``: separators, sort_keys."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
