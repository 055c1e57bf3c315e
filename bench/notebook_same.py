"""When two results of a cell are the same answer: loosely, as a reader would say, or exactly, as an untouched name.

Runs inside the kernel that is measured, so it imports only the standard library; pandas and numpy only if the user's
code has loaded them.
"""

from __future__ import annotations

import ast
import math
import numbers
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")


def plain(value: object) -> Any:
    """Arrays, series and the like as lists, and their numbers as Python's."""
    if hasattr(value, "to_list"):
        return [plain(item) for item in value.to_list()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist()) if getattr(value, "ndim", 0) else value.item()  # type: ignore[attr-defined]
    return value


def same(a: object, b: object) -> bool:
    """Equal as answers: numbers to six digits, containers of any sort by their items, NaN like NaN."""
    a, b = plain(a), plain(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, list) or isinstance(b, list):
        return False
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool) and a == b
    if isinstance(a, numbers.Real) and isinstance(b, numbers.Real):
        return (_missing(a) and _missing(b)) or math.isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1e-9)
    if _missing(a) or _missing(b):
        return _missing(a) and _missing(b)
    try:
        return bool(a == b)
    except Exception:  # whatever a library raises for things it cannot compare
        return False


def _missing(value: object) -> bool:
    return (
        value is None or type(value).__name__ in ("NaTType", "NAType") or (isinstance(value, float) and value != value)
    )


def near(found: object, expected: object) -> bool:
    """The same, or rounded to at least one decimal."""
    found, expected = plain(found), plain(expected)
    if same(found, expected):
        return True
    if not isinstance(found, float) or isinstance(expected, bool) or not isinstance(expected, (int, float)):
        return False
    return any(math.isclose(found, round(expected, digits), abs_tol=1e-12) for digits in range(1, 9))


def in_text(text: str, expected: object) -> bool:
    """Whether a short text says ``expected``: a number, perhaps rounded, among at most four; or the words of it."""
    expected = plain(expected)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        written = [float(found.replace(",", "")) for found in NUMBER.findall(text)]
        return len(written) <= 4 and any(near(number, expected) for number in written)
    words = re.escape(str(expected))
    return len(text.split()) <= 25 + len(words.split()) and bool(re.search(rf"(?<!\w){words}(?!\w)", text))


def is_scalar_answer(value: object, expected: object, headers: Iterable[list[str]]) -> bool:
    """Whether a value holds one expected thing and little else: itself, a container of one, a row of a table."""
    if near(value, expected):
        return True
    kind = type(value).__name__
    if kind == "DataFrame":
        return len(value) == 1 and _among([*value.index, *plain(value.iloc[0])], expected)  # type: ignore
    if kind == "Series":
        row = list(map(str, value.index)) in list(headers)  # type: ignore
        return (len(value) == 1 or row) and _among([*value.index, value.name, *plain(value)], expected)  # type: ignore
    if isinstance(value, Mapping):
        return len(value) == 1 and _among([*value.keys(), *value.values()], expected)
    items = _items(value)
    if items is None:
        return False
    pair = len(items) == 2 and isinstance(items[0], str) != isinstance(items[1], str)
    return (len(items) == 1 or pair) and _among(items, expected)


def _among(items: Iterable[object], expected: object) -> bool:
    return any(near(item, expected) for item in items)


def _items(value: object) -> list[Any] | None:
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in value]
    kind = type(value).__name__
    if kind in ("dict_keys", "dict_values", "Index") or kind.endswith("StringArray"):
        return [plain(item) for item in value]  # type: ignore
    found = plain(value)
    return found if isinstance(found, list) else None


def is_sequence(value: object, expected: Iterable[object], ordered: bool) -> bool:
    """Whether the items of a value, or of one column of a table, are the expected ones."""
    wanted = list(expected)
    if isinstance(value, str):
        if all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in wanted):
            return _alike([float(found.replace(",", "")) for found in NUMBER.findall(value)], wanted, ordered)
        return any(_alike(items, [str(item) for item in wanted], ordered) for items in _listed(value))
    if type(value).__name__ == "DataFrame":
        columns = [value.index, *(value[name] for name in value.columns)]  # type: ignore
        return any(_alike([plain(x) for x in column], wanted, ordered) for column in columns)
    if isinstance(value, Mapping):
        return _alike(list(value), wanted, ordered)
    items = _items(value)
    return items is not None and _alike(items, wanted, ordered)


def _listed(text: str) -> Iterable[list[str]]:
    """Readings of a text as a list: a literal, lines, things between commas or spaces."""
    for start in (position for position, character in enumerate(text[:300]) if character in "[({"):
        try:
            literal = ast.literal_eval(text[start:].strip().rstrip("."))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(literal, (list, tuple, set)):
            yield [str(item) for item in literal]
    for separator in ("\n", ",", None):
        yield [item.strip(" -*•\t'\"") for item in text.strip().split(separator)]


def _alike(items: list[Any], wanted: list[Any], ordered: bool) -> bool:
    if len(items) != len(wanted):
        return False
    if not ordered:
        items, wanted = sorted(items, key=_rank), sorted(wanted, key=_rank)
    pairs = zip(items, wanted, strict=True)
    return all(same(a, b) if isinstance(b, (tuple, list)) else near(a, b) for a, b in pairs)


def _rank(item: object) -> tuple[str, float, str]:
    item = plain(item)
    if isinstance(item, (int, float)) and not isinstance(item, bool) and item == item:
        return ("", round(float(item), 6), "")
    return (type(item).__name__ if isinstance(item, PurePath) else "s", 0.0, str(item))


def is_mapping(value: object, expected: Mapping[Any, object]) -> bool:
    """Whether a value relates the expected keys, and no other, to the expected values, in whatever shape."""
    wanted = {str(key): item for key, item in expected.items()}
    if isinstance(value, str):
        return _told(value, wanted)
    return any(
        found.keys() == wanted.keys() and all(near(found[key], wanted[key]) for key in wanted)
        for found in _relations(value)
    )


def _told(text: str, wanted: Mapping[str, object]) -> bool:
    """Whether a text gives each key followed by its value."""
    if len(NUMBER.findall(text)) > 2 * len(wanted):
        return False
    for key, item in wanted.items():
        after = re.search(rf"(?<!\w){re.escape(key)}(?!\w)\W*?([-+]?\d[\d,]*(?:\.\d+)?)", text)
        if after is None or not near(float(after[1].replace(",", "")), item):
            return False
    return True


def _relations(value: object) -> Iterable[dict[str, Any]]:
    kind = type(value).__name__
    if isinstance(value, Mapping):
        yield {str(key): item for key, item in value.items()}
    elif kind == "Series":
        yield dict(zip(map(str, value.index), plain(value), strict=True))  # type: ignore
    elif kind == "DataFrame":
        columns = [list(value.index), *(plain(value.iloc[:, i]) for i in range(value.shape[1]))]  # type: ignore
        for keys in columns:
            if len(set(map(str, keys))) == len(keys):
                yield from (dict(zip(map(str, keys), items, strict=True)) for items in columns)
    elif not isinstance(value, (list, tuple)) or not value:
        return
    elif all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value):
        yield {str(key): item for key, item in value}
    elif all(isinstance(item, Mapping) for item in value):
        frames = sys.modules.get("pandas")
        if frames is not None:
            yield from _relations(frames.DataFrame(value))
