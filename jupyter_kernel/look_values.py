"""What plain values tell: their kind, a short ``repr``, and a column of them.

Nothing here runs code of the user's: a class is known by its identity, never by ``isinstance`` (which asks
``__class__``) or by its name, and only values whose own class is Python's or a library's are written out.
"""

from __future__ import annotations

import datetime
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from famulus.jupyter_kernel import privacy
from famulus.jupyter_kernel.schema import Column, Element

SAMPLE = 64
"""Values of a column or a list that are looked at, evenly spread over all of them."""

FEW = 6
"""The same when much has been looked at already."""

ONE_FRAME = 40
"""Columns sampled of one frame."""

JUDGED = 16
"""Values by which a column is found private."""

LONGEST = 40
"""Characters of a sample; of a longer text the beginning is shown."""

SAMPLES = 3
DISTINCT = 12
"""Samples shown of a column, and of one that has few different texts."""

_MRO = type.__dict__["__mro__"]
_MODULE = type.__dict__["__module__"]
_QUALNAME = type.__dict__["__qualname__"]
_WRITTEN = (str, bool, int, float, complex, datetime.date, datetime.timedelta)
_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)

# By id: a metaclass may define what a class hashes to.
_ELEMENTS: dict[int, Element] = {
    id(bool): "bool", id(int): "number", id(float): "number", id(complex): "number",
    id(str): "text", id(dict): "dict", id(list): "list", id(tuple): "list",
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


def is_exact(cls: type) -> bool:
    """Is it the class of decimal numbers or of fractions?"""
    return one_of(cls, library("decimal").get("Decimal"), library("fractions").get("Fraction"))


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
    return "" if missing(value) else _kind(type(value))


def missing(value: object) -> bool:
    """Is it None, NaN, or what pandas has in their place?"""
    if value is None or (type(value) is float and value != value):
        return True
    pandas = library("pandas")
    return bool(pandas) and (value is pandas.get("NaT") or value is pandas.get("NA"))


def present(values: Sequence[object]) -> list[object]:
    """The values that are not missing."""
    if all(one_of(cls, str, int, bool) for cls in _classes(values)):
        return list(values)
    return [value for value in values if not missing(value)]


def elements(values: Iterable[object]) -> Element:
    """The kind that all values share, "other" where they share none, "" where there are none."""
    pandas = library("pandas")
    absent = (type(None), type(pandas.get("NaT")), type(pandas.get("NA")))
    kinds = {_kind(cls) for cls in _classes(values) if not one_of(cls, *absent)}
    return kinds.pop() if len(kinds) == 1 else "other" if kinds else ""


def _classes(values: Iterable[object]) -> list[type]:
    return list({id(cls): cls for cls in map(type, values)}.values())


def _kind(cls: type) -> Element:
    if kind := _ELEMENTS.get(id(cls)):
        return kind
    numpy = library("numpy")
    for base in lineage(cls):
        if is_exact(base):
            return "number"
        if kind := _ELEMENTS.get(id(base)):
            return kind
        for name, of_numpy in _NUMPY.items():
            if numpy.get(name) is base:
                return of_numpy
    return "other"


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
    if is_exact(cls):
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
    if type(value) is not datetime.date and not one_of(
        type(value.tzinfo), type(None), datetime.timezone, library("zoneinfo").get("ZoneInfo")
    ):
        return ""
    return repr(value.isoformat().removesuffix("T00:00:00"))


@dataclass
class Allowance:
    """What may still be looked at in one look, the most recent variables first.

    It counts columns and containers, not time, so that a busy machine sees the same. When it is used up, frames give
    names and types alone, and containers the kind of a few elements.
    """

    columns: int = 80
    containers: int = 80
    dtypes: dict[int, tuple[object, bool, Element, str]] = field(default_factory=dict)

    def take(self, wanted: int = 1) -> int:
        """How many of ``wanted`` columns of one frame may be sampled."""
        taken = min(wanted, self.columns, ONE_FRAME)
        self.columns -= taken
        return taken

    def enter(self) -> bool:
        """May values of one more container be told?"""
        self.containers -= 1
        return self.containers >= 0


def spread(length: int, count: int = SAMPLE) -> list[int]:
    """At most ``count`` positions below ``length``, evenly spread, first and last among them."""
    if length <= count:
        return list(range(length))
    return [position * (length - 1) // (count - 1) for position in range(count)]


def column(
    name: str, values: Sequence[object], kind: Element = "", dtype: str = "", *, label: str = "", people: bool = False
) -> Column:
    """A column with a bounded sample of its ``values``. Its kind is theirs where none is given."""
    given = present(values)
    kind = kind or elements(given)
    reason = privacy.by_name(name, kind, people)
    if not given:
        return Column(name, kind, dtype, (), reason, None, "", label)
    judged = [given[at] for at in spread(len(given), JUDGED)]
    reason = privacy.by_values(judged) if not reason or (kind == "number" and privacy.counts(judged)) else reason
    distinct, different = _different(given)
    if reason:
        shapes = privacy.pattern((text.strip("'\"") for text in map(shown, different[:JUDGED]) if text), reason)
        return Column(name, kind, dtype, (), reason, distinct, shapes, label)
    few = distinct is not None and distinct <= DISTINCT and kind in ("text", "category", "bool")
    told = (value for value in different if not (type(value) is str and privacy.in_text(value)))
    texts = itertools.islice(filter(None, map(shown, told)), DISTINCT if few else SAMPLES)
    return Column(name, kind, dtype, tuple(texts), "", distinct, "", label)


def _different(values: Sequence[object]) -> tuple[int | None, list[object]]:
    """How many different values there are, None where that cannot be told safely, and these in order."""
    classes = _classes(values)
    if len(classes) == 1 and one_of(classes[0], str, int, float, bool):
        different = list(dict.fromkeys(values))
        return len(different), different
    texts = {text: value for value in values if (text := shown(value))}
    complete = all(one_of(cls, *_WRITTEN, library("pandas").get("Timestamp")) for cls in classes)
    return len(texts) if complete else None, list(texts.values())


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
