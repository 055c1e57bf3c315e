"""What functions and classes tell: a signature, read from their code object.

``inspect.signature`` is not asked: it follows what objects say of themselves, and newer Pythons evaluate annotations
in it. Defaults that are plain values are written out, others as ``...``.
"""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any

from famulus.jupyter_kernel.look_values import Allowance, full_name, lineage, one_of, shown
from famulus.jupyter_kernel.schema import Variable

LONGEST = 160
"""Characters of a signature."""

CALLABLES: tuple[type, ...] = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial,
    type(functools.lru_cache(lambda: None)), types.MethodDescriptorType, types.MethodWrapperType,
)  # fmt: skip
_DICT = type.__dict__["__dict__"]


def read_callable(name: str, value: Any, type_: str, left: Allowance) -> Variable:
    """A function, a method, a partial or a cached function."""
    if type_.endswith("lru_cache_wrapper"):
        value = object.__getattribute__(value, "__dict__").get("__wrapped__")
    method = type(value) is types.MethodType
    if method:
        value = value.__func__
    if type(value) is types.FunctionType:
        return Variable(name, "callable", type_, signature=_signature(value, skip=method), module=_module(value, name))
    if type(value) is types.BuiltinFunctionType:
        text = getattr(value, "__text_signature__", None)
        written = text.replace("$self, ", "").replace("$module, ", "")[:LONGEST] if type(text) is str else ""
        return Variable(name, "callable", type_, signature=written, module=_module(value, name))
    return Variable(name, "callable", type_)


def read_class(name: str, value: type) -> Variable:
    """A class; its signature is that of an ``__init__`` written in Python."""
    signature = ""
    for base in lineage(value):
        made = _DICT.__get__(base).get("__init__")
        if made is not None:
            signature = _signature(made, skip=True) if type(made) is types.FunctionType else ""
            break
    own = full_name(value)
    return Variable(
        name, "class", own, signature=signature, module=own.removesuffix(f".{name}") if own.endswith(f".{name}") else ""
    )


def is_class(value: object) -> bool:
    """Whether it is a class, though its metaclass may claim something else."""
    return one_of(type, *lineage(type(value)))


def _signature(function: types.FunctionType, *, skip: bool) -> str:
    """``(a, b: int = 2, *rest, key=..., **more)``, without the first parameter where ``skip``."""
    code = function.__code__
    annotations = _annotations(function)
    count, named = code.co_argcount, code.co_varnames
    defaults = function.__defaults__ or ()
    keywords = function.__kwdefaults__ or {}

    def written(parameter: str, default: tuple[object, ...] = ()) -> str:
        kind = annotations.get(parameter, "")
        text = f"{parameter}: {kind}" if kind else parameter
        if not default:
            return text
        return f"{text} = {shown(default[0]) or '...'}" if kind else f"{text}={shown(default[0]) or '...'}"

    parts = []
    for at, parameter in enumerate(named[:count]):
        behind = at - (count - len(defaults))
        parts.append(written(parameter, (defaults[behind],) if behind >= 0 else ()))
        if at + 1 == code.co_posonlyargcount:
            parts.append("/")
    only = named[count : count + code.co_kwonlyargcount]
    rest = count + len(only)
    if code.co_flags & inspect.CO_VARARGS:
        parts.append(f"*{named[rest]}")
        rest += 1
    elif only:
        parts.append("*")
    parts += [written(parameter, (keywords[parameter],) if parameter in keywords else ()) for parameter in only]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parts.append(f"**{named[rest]}")
    text = f"({', '.join(parts[1:] if skip else parts)})"
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + "…)"


def _annotations(function: types.FunctionType) -> dict[str, str]:
    """Annotations that are names. Where they are made only when asked for (Python 3.14), there are none."""
    if hasattr(types.FunctionType, "__annotate__"):
        return {}
    found = {}
    for parameter, value in function.__annotations__.items():
        text = value if type(value) is str else full_name(value).removeprefix("builtins.") if is_class(value) else ""
        if text.replace(".", "").replace("_", "").isalnum() and len(text) <= 30:
            found[parameter] = text.removeprefix("__main__.")
    return found


def _module(function: Any, name: str) -> str:
    """The module from which ``name`` can be imported, "" where the function has another name there."""
    module = function.__module__
    return module if type(module) is str and function.__name__ == name else ""
