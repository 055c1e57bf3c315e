"""Canonical forms as text: for people, and as Python where that is possible."""

from __future__ import annotations

import re
from typing import Any

Form = list[Any]
_SEQUENCES = {"list": "[]", "tuple": "()"}


def shown(form: Form | tuple[Any, ...], limit: int = 100) -> str:
    """The form as a person writes it, at most ``limit`` characters."""
    text = expression(form) or _told(list(form))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def expression(form: Form | tuple[Any, ...]) -> str:
    """Python that makes the value again; empty where there is none.

    It uses the names of :data:`.calls.STANDARD`, and nothing of the project."""
    try:
        return _expression(list(form))
    except _NoExpression:
        return ""


class _NoExpression(Exception):
    pass


def _expression(form: Form) -> str:
    match form:
        case ["const", text]:
            return str(text)
        case ["bool", value]:
            return str(value)
        case ["int" | "complex", text]:
            return str(text)
        case ["float", text]:
            return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(text, str(text))
        case ["str", text]:
            return repr(text)
        case ["bytes", text]:
            return repr(text.encode("latin-1"))
        case ["bytearray", text]:
            return f"bytearray({text.encode('latin-1')!r})"
        case ["list", items]:
            return f"[{_joined(items)}]"
        case ["tuple", [only]]:
            return f"({_expression(only)},)"
        case ["tuple", items]:
            return f"({_joined(items)})"
        case ["set", []]:
            return "set()"
        case ["set", items]:
            return "{" + _joined(items) + "}"
        case ["frozenset" | "deque" as kind, items]:
            return (
                f"{kind}([{_joined(items)}])"
                if kind == "deque"
                else f"frozenset({{{_joined(items)}}})"
                if items
                else "frozenset()"
            )
        case ["dict", pairs]:
            return "{" + ", ".join(f"{_expression(key)}: {_expression(value)}" for key, value in pairs) + "}"
        case ["OrderedDict", pairs]:
            return f"OrderedDict([{', '.join(f'({_expression(key)}, {_expression(value)})' for key, value in pairs)}])"
        case ["Counter", pairs]:
            return f"Counter({_expression(['dict', pairs])})"
        case [
            "repr",
            "Decimal" | "Fraction" | "timedelta" | "datetime" | "date" | "time" | "UUID" | "range" | "slice",
            text,
        ]:
            return str(text)
        case ["repr", "PosixPath" | "PurePosixPath", text]:
            return re.sub(r"^\w+", "Path", str(text))
        case _:
            raise _NoExpression


def _joined(items: list[Form]) -> str:
    return ", ".join(_expression(item) for item in items)


def _told(form: Form) -> str:
    """For people only."""
    match form:
        case []:
            return "unchanged"
        case ["str" | "bytes" | "bytearray", text, size, _]:
            return f"{text!r}… ({size} characters)"
        case ["list" | "set" | "frozenset" | "deque" | "dict_keys" | "dict_values" | "dict_items" as kind, items]:
            inner = ", ".join(map(shown, items))
            return f"[{inner}]" if kind == "list" else f"{kind}({inner})"
        case ["tuple", items]:
            return f"({', '.join(map(shown, items))}{',' * (len(items) == 1)})"
        case ["dict" | "OrderedDict" | "Counter" | "defaultdict" | "mappingproxy" as kind, pairs]:
            inner = "{" + ", ".join(f"{shown(k)}: {shown(v)}" for k, v in pairs) + "}"
            return inner if kind == "dict" else f"{kind}({inner})"
        case ["object", kind, attributes]:
            return (
                f"{kind}({', '.join(f'{name}={shown(value)}' if name else shown(value) for name, value in attributes)})"
            )
        case ["enum", kind, name]:
            return f"{kind}.{name}"
        case ["exception", kind, ["list", arguments]]:
            return f"{kind}({', '.join(map(shown, arguments))})"
        case ["iterator", items]:
            return f"yields {', '.join(map(shown, items)) or 'nothing'}"
        case ["iterator", items, error]:
            return f"yields {', '.join(map(shown, items)) or 'nothing'}, then raises {shown(error)}"
        case ["iterator"]:
            return "an iterator"
        case ["array", dtype, _, values]:
            return f"array({shown(values)}, dtype={dtype})"
        case ["frame", kind, _, _, pairs]:
            return f"{kind}({{{', '.join(f'{shown(k)}: {shown(v)}' for k, v in pairs)}}})"
        case ["class" | "module", name]:
            return str(name)
        case ["function", name]:
            return f"function {name}".strip()
        case ["method", name, owner]:
            return f"{shown(owner)}.{name}"
        case ["repr", _, text]:
            return str(text)
        case ["again", _]:
            return "..."
        case _:
            return "…"
