"""Finds things in the modules of a project without running its code."""

from __future__ import annotations

import inspect
import itertools
import re
import types
from typing import Any


def samples(module: Any, names: list[str]) -> list[Any]:
    """Constants in the plain containers and patterns under these names. Runs no code of the project."""
    found: list[Any] = []
    for name in names:
        try:
            todo = [static(module, name)]
        except AttributeError:
            continue
        most = len(found) + 40
        while todo and len(found) < most:
            value = todo.pop(0)
            kind = type(value)
            if kind in (int, str, float):
                found.append(["constant", value if kind is not str else value[:200]])
            elif kind is re.Pattern and isinstance(value.pattern, str):
                found.append(["pattern", [value.pattern, value.flags]])
            elif kind is dict:
                todo += [*itertools.islice(value, 30), *itertools.islice(value.values(), 15)]
            elif kind in (list, tuple, set, frozenset):
                todo += itertools.islice(value, 0, None, max(1, len(value) // 15))
    return found


def static(holder: Any, name: str) -> Any:
    """What stands under a dotted name, without asking descriptors."""
    for part in name.split("."):
        holder = inspect.getattr_static(holder, part)
    return holder


def unwrapped(function: Any) -> Any:
    """The function that its author wrote, below descriptors and decorators."""
    for _ in range(20):
        if isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        elif isinstance(function, property):
            function = function.fget
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "func") and not isinstance(function, types.FunctionType):
            function = function.func  # functools.cached_property, partial
        elif callable(getattr(function, "callback", None)) and not isinstance(function, types.FunctionType):
            function = function.callback  # a command of click
        else:
            break
    return function
