"""What anybody can ask of an object from outside: its content, its length, its text, and what its properties say."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import io
import itertools
import types
from typing import Any, List  # noqa: UP035

from .forms import Form, Writer

_ITEMS = 20
_ASKED = 8
"""Properties and methods of one object that are asked, at most."""
_TELLING = ("is_", "has_", "get_", "as_", "to_")
_PLAIN = (str, bytes, int, float, complex, bool, type(None), list, tuple, dict, set, frozenset, io.IOBase)


def looks(value: Any, writer: Writer) -> List[Form]:  # noqa: UP006
    """Expressions, in which ``{}`` stands for the object, each with the form of what it gives; those that raise
    something are left out."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (type, types.ModuleType, io.IOBase, collections.abc.Iterator)):
        return []
    found: List[Form] = []  # noqa: UP006
    for text, ask in [*_content(value, kind), *_told(value, kind)]:
        try:
            form = writer.form(ask(), drain=False)
        except Exception:
            continue
        found.append([text, form])
    return found


def _content(value: Any, kind: type) -> List[Any]:  # noqa: UP006
    asked: List[Any] = []  # noqa: UP006
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
        asked.append(("dict({})", lambda: _few(dict(value))))
    elif hasattr(kind, "__iter__") and not isinstance(value, (str, bytes)):
        asked.append(("list({})", lambda: _few(list(itertools.islice(iter(value), _ITEMS + 1)))))
    if hasattr(kind, "__len__"):
        asked.append(("len({})", lambda: len(value)))
    if _is_written(kind, "__str__"):
        asked.append(("str({})", lambda: str(value)))
    elif _is_written(kind, "__repr__") and not hasattr(kind, "__dataclass_fields__"):
        asked.append(("repr({})", lambda: repr(value)))
    return asked


def _few(content: Any) -> Any:
    if len(content) > _ITEMS:
        raise ValueError("too much to be written down")
    return content


def _is_written(kind: type, name: str) -> bool:
    """Whether a class, or one that it inherits from, defines a special method in Python."""
    return next((isinstance(vars(c)[name], types.FunctionType) for c in kind.__mro__ if name in vars(c)), False)


def _told(value: Any, kind: type) -> List[Any]:  # noqa: UP006
    """Properties, and methods without arguments whose names say that they only tell."""
    asked: List[Any] = []  # noqa: UP006
    known: set[str] = set()
    for cls in kind.__mro__:
        for name, member in vars(cls).items():
            if name.startswith("_") or name in known or len(asked) >= _ASKED:
                continue
            known.add(name)
            if isinstance(member, (property, functools.cached_property)):
                asked.append(("{}." + name, functools.partial(getattr, value, name)))
            elif isinstance(member, types.FunctionType) and name.startswith(_TELLING) and _asks_nothing(member):
                asked.append(("{}." + name + "()", functools.partial(member, value)))
    return asked


def _asks_nothing(function: types.FunctionType) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return False
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
