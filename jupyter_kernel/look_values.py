"""What plain values tell: their kind, a short ``repr``, and a column of them.

Nothing here runs code of the user's: a class is known by its identity, never by ``isinstance`` (which asks
``__class__``) or by its name, and only values whose own class is Python's or a library's are written out.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import sys
import zoneinfo
from collections.abc import Iterable, Sequence
from typing import Any

from famulus.jupyter_kernel import privacy
from famulus.jupyter_kernel.schema import Column, Element

SAMPLE = 64
"""Values of a column or a list that are looked at, evenly spread over all of them."""

LONGEST = 40
"""Characters of a sample; of a longer text the beginning is shown."""

SAMPLES = 3
DISTINCT = 12
"""Samples shown of a column, and of one that has few different texts."""

_MRO = type.__dict__["__mro__"]
_MODULE = type.__dict__["__module__"]
_QUALNAME = type.__dict__["__qualname__"]
_ZONES = (type(None), datetime.timezone, zoneinfo.ZoneInfo)
_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)

# By id: a metaclass may define what a class hashes to.
_ELEMENTS: dict[int, Element] = {
    id(bool): "bool", id(int): "number", id(float): "number", id(complex): "number", id(decimal.Decimal): "number",
    id(fractions.Fraction): "number", id(str): "text", id(dict): "dict", id(list): "list", id(tuple): "list",
    id(datetime.datetime): "time", id(datetime.date): "time", id(datetime.time): "time",
    id(datetime.timedelta): "time",
}  # fmt: skip
_NUMPY: dict[str, Element] = {
    "bool": "bool", "bool_": "bool", "number": "number", "datetime64": "time", "timedelta64": "time",
}  # fmt: skip


def lineage(cls: type) -> tuple[type, ...]:
    """The class and its bases in order of resolution, whatever its metaclass says."""
    bases: tuple[type, ...] = _MRO.__get__(cls)
    return bases


def one_of(cls: object, *classes: object) -> bool:
    """Is it one of these very classes? (``in`` would ask its metaclass.)"""
    return any(cls is other for other in classes)


def full_name(cls: type) -> str:
    """``module.Name`` of a class as far as both are plain text."""
    try:
        module, name = _MODULE.__get__(cls), _QUALNAME.__get__(cls)
    except AttributeError:
        return "unknown"
    return f"{module}.{name}"[:120] if type(module) is str and type(name) is str else "unknown"


def library(name: str) -> dict[str, Any]:
    """The contents of a module that the user has imported, empty where he has not. Nothing is imported."""
    module = sys.modules.get(name)
    return object.__getattribute__(module, "__dict__") if module is not None else {}


def element(value: object) -> Element:
    """The kind of one value; "" for one that is missing (None, NaN, NaT)."""
    cls = type(value)
    if value is None or (cls is float and value != value):
        return ""
    if kind := _ELEMENTS.get(id(cls)):
        return kind
    if (pandas := library("pandas")) and (value is pandas.get("NaT") or value is pandas.get("NA")):
        return ""
    numpy = library("numpy")
    for base in lineage(cls):
        if kind := _ELEMENTS.get(id(base)):
            return kind
        for name, of_numpy in _NUMPY.items():
            if numpy.get(name) is base:
                return of_numpy
    return "other"


def elements(values: Iterable[object]) -> Element:
    """The kind that all values share, "other" where they share none, "" where there are none."""
    kinds = {kind for kind in map(element, values) if kind}
    return kinds.pop() if len(kinds) == 1 else "other" if kinds else ""


def shown(value: object, longest: int = LONGEST) -> str:
    """A short ``repr`` of a plain value; "" for one that might run somebody's code, and for one that is missing."""
    cls = type(value)
    if cls is str:
        text = str(value)
        return repr(text) if len(text) <= longest else repr(text[: longest - 3]) + "…"
    if cls is bool or value is None:
        return repr(value)
    if type(value) is int:
        return repr(value) if value.bit_length() < 128 else ""
    if one_of(cls, float, complex):
        return repr(value) if value == value else ""
    if one_of(cls, decimal.Decimal, fractions.Fraction):
        return repr(value)[: longest + 20]
    pandas, numpy = library("pandas"), library("numpy")
    if one_of(cls, *_TIMES, pandas.get("Timestamp"), pandas.get("Timedelta")):
        return _shown_time(value)
    if numpy and one_of(numpy["generic"], *lineage(cls)) and full_name(cls).startswith("numpy."):
        plain = value.item()  # type: ignore[attr-defined]
        return shown(plain, longest) if type(plain) is not cls else ""
    return ""


def _shown_time(value: Any) -> str:
    if isinstance(value, datetime.timedelta):
        return repr(str(value))
    if type(value) is not datetime.date and not one_of(type(value.tzinfo), *_ZONES):
        return ""
    return repr(value.isoformat().removesuffix("T00:00:00"))


def spread(length: int, count: int = SAMPLE) -> list[int]:
    """At most ``count`` positions below ``length``, evenly spread, first and last among them."""
    if length <= count:
        return list(range(length))
    return [position * (length - 1) // (count - 1) for position in range(count)]


def column(
    name: str, values: Sequence[object], kind: Element = "", dtype: str = "", *, label: str = "", people: bool = False
) -> Column:
    """A column with a bounded sample of its ``values``. Its kind is theirs where none is given."""
    kinds = [element(value) for value in values]
    present = [value for value, own in zip(values, kinds, strict=True) if own]
    if not kind:
        kind = elements(present)
    reason = privacy.by_name(name, kind, people=people) or privacy.by_values(present)
    texts = [text for text in (shown(value) for value in present) if text]
    different = list(dict.fromkeys(texts))
    distinct = len(different) if len(texts) == len(present) else None
    if reason:
        plain = (text.strip("'\"") for text in texts)
        return Column(name, kind, dtype, (), reason, distinct, privacy.pattern(plain, reason), label)
    few = len(different) <= DISTINCT and kind in ("text", "category", "bool")
    told = [text for text in different if not privacy.in_text(text)]
    return Column(name, kind, dtype, tuple(told[: DISTINCT if few else SAMPLES]), "", distinct, "", label)


def labelled(value: object) -> tuple[str, str] | None:
    """A column's name and, where it is not text, the expression for it. None for one that cannot be written."""
    if type(value) is str:
        return value, ""
    if type(value) is tuple:
        parts = [shown(part, 200) for part in value]
        if not parts or not all(parts) or any(part.endswith("…") for part in parts):
            return None
        written = f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        return written, written
    written = shown(value) if one_of(type(value), int, bool, float) or element(value) == "number" else ""
    return (written, written) if written else None
