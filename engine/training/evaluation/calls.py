"""Calls that a function is tried with: the examples of its docstring first, then plain values of the types it names."""

from __future__ import annotations

import ast
import contextlib
import doctest
import random
import re
from collections.abc import Iterator

TRIES = 80
"""Calls beside the examples."""

VALUES = (
    "0", "1", "3", "-2", "7", "2.5", "'a'", "'Hello, World'", "'some_name-2.py'", "''", "b'ab\\x00'", "[3, 1, 2]",
    "['b', 'a', 'b']", "[]", "(1, 2)", "{'a': 1, 'b': 2}", "None", "True", "[[1, 2], [3, 4]]",
    "__import__('numpy').arange(6.0).reshape(2, 3)", "__import__('numpy').eye(3)",
)  # fmt: skip
"""For an argument of which nothing is said."""

_ARRAYS = (
    "array([3.0, 1.0, 2.5])", "eye(3)", "arange(6.0).reshape(2, 3)", "array([0.5, 0.5, -0.5, 0.5])", "eye(4)",
    "array([[0, 1], [1, 0]])", "array([1, 0, 2])",
)  # fmt: skip
_WHOLE = ("0", "1", "3", "-2", "7")
TYPED = (
    (r"array|matrix|matrices|quaternion|\(\w+, ?\w*\)", tuple(f"__import__('numpy').{made}" for made in _ARRAYS)),
    (r"bool", ("True", "False")),
    (r"callable|function", ("str", "abs", "len", "lambda *a: a[0]", "lambda *a: bool(a[0])")),
    (r"\bint|number of", _WHOLE),
    (r"float|numeric|number|scalar", ("2.5", "0.25", "-1.5", "10.0", *_WHOLE)),
    (r"\bstr|text|path", ("'a'", "'Hello, World'", "'some_name-2.py'", "''", "'a=1, b=2'", "'http://a.b/c?d=1'")),
    (r"dict|mapping", ("{'a': 1, 'b': 2}", "{}", "{'b': {'c': [1]}}")),
    (r"bytes", ("b'ab\\x00'", "b''", "b'Hello'")),
    (
        r"list|tuple|sequence|iter|collection|\bset\b",
        ("[3, 1, 2]", "['b', 'a', 'b']", "[]", "(1, 2)", "[1.5, 0.5, 1.0]", "[[1, 2], [3, 4]]",
         "(0.5, 0.5, -0.5, 0.5)", "range(5)"),
    ),
)  # fmt: skip
"""What an annotation or a docstring may say of an argument, and values for it; the first that is found counts."""


def calls(function: ast.FunctionDef) -> list[str]:
    """Expressions, each once; many of them fail."""
    docstring = ast.get_docstring(function) or ""
    return list(dict.fromkeys([*_shown(function.name, docstring), *_made(function, docstring)]))


def _shown(name: str, docstring: str) -> Iterator[str]:
    """The examples of a docstring that are expressions with a call of the function."""
    with contextlib.suppress(ValueError):
        for example in doctest.DocTestParser().get_examples(docstring):
            with contextlib.suppress(SyntaxError):
                said = ast.parse(example.source.strip(), mode="eval").body
                called = [n.func.id for n in ast.walk(said) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
                if name in called and "print" not in called:
                    yield ast.unparse(said)


def _made(function: ast.FunctionDef, docstring: str) -> Iterator[str]:
    """Calls with what has no default, at least with the first; of a generator its first values."""
    a = function.args
    every = [*a.posonlyargs, *a.args]
    needed = every[: max(1, len(every) - len(a.defaults))]
    if not needed or any(default is None for default in a.kw_defaults):
        return
    chance = random.Random(function.name)
    meant = [_meant(argument, docstring) for argument in needed]
    yields = any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(function))
    for at in range(TRIES):
        if at % 4 == 1:  # alike, as two points or two sequences of one length must be
            given = [values[at // 4 % len(values)] for values in meant]
        elif at % 4 == 3:
            given = [chance.choice(values) for values in meant]
        else:
            given = [VALUES[at // 2 % len(VALUES)], *(chance.choice(VALUES) for _ in needed[1:])]
        call = f"{function.name}({', '.join(given)})"
        yield f"[v for _, v in zip(range(9), {call})]" if yields else call


def _meant(argument: ast.arg, docstring: str) -> tuple[str, ...]:
    """Values of the type that the annotation or else the docstring gives."""
    said = ast.unparse(argument.annotation) if argument.annotation else ""
    if not said:
        line = re.search(rf"^\s*(?::type |:param )?{argument.arg}\s*(?:\((.*?)\)\s*)?:(.*)$", docstring, re.MULTILINE)
        said = " ".join(filter(None, line.groups())) if line else ""
    return next((values for word, values in TYPED if re.search(word, said, re.IGNORECASE)), VALUES)
