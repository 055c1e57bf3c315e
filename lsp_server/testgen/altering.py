"""Changes of values: what makes an argument such that an expression of it has a wanted value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Change = Callable[[Any], Any]
"""From the value that stands there, :data:`NOTHING` if that is not known, to another one."""
NOTHING = object()
_LONG, _MOST_ITEMS = 40, 100_000
_FULL: Mapping[type, object] = {
    list: [1, 2], dict: {"a": 1}, tuple: (1, 2), set: {1}, int: 3, float: 2.5, bool: True, bytes: b"abc",
}  # fmt: skip
EMPTY = (str, list, dict, tuple, set, bytes, int, float, bool)


@dataclass(frozen=True)
class Written:
    """An expression that is no literal."""

    text: str

    def __repr__(self) -> str:
        return self.text


def always(value: object) -> Change:
    """Whatever stood there."""
    return lambda _: value


def hashed(value: object) -> object:
    """The value in a form that can be a key."""
    return tuple(value) if isinstance(value, list) else value


def full(value: object) -> object:
    """The same if it is true, else something of its type that is."""
    if value is not NOTHING and value:
        return value
    return _FULL.get(type(value), "abc")


def different(value: object) -> object:
    """Something else of its type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "z" if value else "abc"
        case bytes():
            return value + b"z"
    return "abc" if value is None else None


def holding(item: Any, inside: bool) -> Change:
    """Put an item into what stands there, or take it out."""

    def change(value: Any) -> Any:
        match value:
            case str() if isinstance(item, str):
                middle = len(value) // 2
                return value[:middle] + item + value[middle:] if inside else value.replace(item, "")
            case list():
                return [*value, item] if inside else [v for v in value if v != item]
            case tuple():
                return (*value, item) if inside else tuple(v for v in value if v != item)
            case set():
                return value | {item} if inside else value - {item}
            case dict():
                return {**value, item: 1} if inside else {k: v for k, v in value.items() if k != item}
        return [item] if inside else []

    return change


def ended(sign: Any, first: bool, wanted: bool) -> Change:
    """Give a text a beginning or an end, or take it away."""

    def change(value: Any) -> Any:
        kept = value if isinstance(value, type(sign)) else type(sign)()
        if wanted:
            return sign + kept if first else kept + sign
        return kept.removeprefix(sign) if first else kept.removesuffix(sign)

    return change


def at(place: Any, change: Change) -> Change:
    """Change what is held under an index or a key."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict) or isinstance(place, str):
            held = value if isinstance(value, dict) else {}
            return {**held, place: change(held.get(place, NOTHING))}
        if not isinstance(place, int) or not isinstance(value, str | list | tuple):
            return value
        items: list[Any] = list(value)
        while len(items) < (place + 1 if place >= 0 else -place):
            items.append("a" if isinstance(value, str) else 0)
        items[place] = change(items[place])
        return "".join(map(str, items)) if isinstance(value, str) else type(value)(items)

    return changed


def in_slice(bounds: slice, change: Change) -> Change:
    """Change the part in a slice."""

    def changed(value: Any) -> Any:
        part = change(value[bounds])
        return value[: bounds.start or 0] + part + (value[bounds.stop :] if bounds.stop is not None else value[:0])

    return changed


def split(sign: str, change: Change) -> Change:
    """Change the parts of a text."""

    def changed(value: Any) -> Any:
        parts = value.split(sign) if isinstance(value, str) else ["a", "b"]
        return sign.join(map(str, change(parts)))

    return changed


def sized(change: Change) -> Change:
    """Change the length."""

    def changed(value: Any) -> Any:
        value = "abc" if value is NOTHING else value
        size = change(len(value))
        if (
            not isinstance(size, int)
            or not 0 <= size <= _MOST_ITEMS
            or not isinstance(value, str | list | tuple | bytes)
        ):
            return value
        filler: Any = {str: "a", bytes: b"a", list: [1], tuple: (1,)}[type(value)]
        if size > _LONG:
            return Written(f"{(value or filler)[:1]!r} * {size}")
        repeated = (value or filler) * (size // max(1, len(value)) + 1)
        return repeated[:size]

    return changed


def shifted(number: float, back: Callable[..., Any], forth: Callable[..., Any], change: Change) -> Change:
    """Change what is a number away."""
    return lambda value: back(change(forth(value, number) if isinstance(value, int | float) else NOTHING), number)


def remainder(number: int, change: Change) -> Change:
    """Change the remainder of a division."""

    def changed(value: Any) -> Any:
        value = value if isinstance(value, int) else 0
        return value - value % number + change(value % number)

    return changed


STEPS: Mapping[str, Callable[[Change], Change]] = {
    "len": sized,
    "ord": lambda change: lambda value: chr(change(NOTHING)),
    "chr": lambda change: lambda value: ord(change(NOTHING)),
    "int": lambda change: lambda value: str(change(0)) if isinstance(value, str) else change(value),
    "float": lambda change: lambda value: str(change(0.0)) if isinstance(value, str) else change(value),
    "str": lambda change: lambda value: change(str(value)),
    "bool": lambda change: change,
    "abs": lambda change: change,
    "list": lambda change: change,
    "tuple": lambda change: change,
    "set": lambda change: change,
    "sorted": lambda change: change,
    "iter": lambda change: change,
    "lower": lambda change: change,
    "upper": lambda change: change,
    "keys": lambda change: change,
    "items": lambda change: change,
    "values": lambda change: change,
}
