"""When two dataframes are the same answer, and when a name of the user has stayed exactly as it was."""

from __future__ import annotations

import pickle
from typing import Any

from famulus.bench.notebook_same import near, plain, same

Ordered = bool | list[str]


def is_frame(value: Any, expected: Any, *, ordered: Ordered = False, names: bool = True, index: bool = False) -> bool:
    """Whether a dataframe has the expected columns and rows.

    The order of columns and a numbering of rows do not matter; a named index may have become a column. ``ordered``:
    rows in the same order (True), or at least these columns; ``names`` False: columns by position instead of name;
    ``index`` True: the index must be the index.
    """
    if type(value).__name__ != "DataFrame" or value.shape[0] != expected.shape[0]:
        return False
    if index and not same(list(value.index), list(expected.index)):
        return False
    found, wanted = _columns(value), _columns(expected)
    if names:
        for extra in ("index", "level_0"):
            if extra not in wanted:
                found.pop(extra, None)
        if found.keys() != wanted.keys():
            return False
        ours, theirs = [found[name] for name in wanted], list(wanted.values())
    else:
        ours, theirs = list(found.values()), list(wanted.values())
        if len(ours) != len(theirs):
            return False
    if isinstance(ordered, list) and not all(same(found[name], wanted[name]) for name in ordered):
        return False
    rows, others = list(zip(*ours, strict=True)), list(zip(*theirs, strict=True))
    if ordered is not True:
        rows, others = sorted(rows, key=_rank), sorted(others, key=_rank)
    return all(near(a, b) for row, other in zip(rows, others, strict=True) for a, b in zip(row, other, strict=True))


def _columns(frame: Any) -> dict[str, list[Any]]:
    """Columns by name; a meaningful index counts as the first."""
    if frame.index.nlevels > 1 or frame.index.dtype.kind not in "iu":
        frame = frame.reset_index()
    labels = [str(name[-1] if isinstance(name, tuple) and name[-1] else name) for name in frame.columns]
    if len(set(labels)) < len(labels):
        labels = [str(name) for name in frame.columns]
    return {label: [plain(x) for x in frame.iloc[:, i]] for i, label in enumerate(labels)}


def _rank(row: tuple[Any, ...]) -> list[str]:
    return [f"{x:.6g}" if isinstance(x, (int, float)) else str(x) for x in row]


def extends(new: Any, old: Any) -> bool:
    """Whether every column of the old dataframe is in the new one, as it was."""
    return (
        len(new) == len(old)
        and all(name in new.columns for name in old.columns)
        and all(identical(new[name].reset_index(drop=True), old[name].reset_index(drop=True)) for name in old.columns)
    )


def identical(a: Any, b: Any) -> bool:
    """Whether nothing of a value has changed: its type, labels, types of columns and every item."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if hasattr(a, "equals") and hasattr(a, "index"):
        labels = getattr(a, "columns", a.index).equals(getattr(b, "columns", b.index))
        return bool(a.equals(b) and a.index.equals(b.index) and labels)
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(identical(x, y) for x, y in zip(a, b, strict=True))
    if type(a).__module__ == "numpy" and getattr(a, "shape", None) is not None:
        return a.shape == b.shape and a.dtype == b.dtype and same(a, b)
    if type(a).__module__.startswith("matplotlib."):
        return _drawn(a) == _drawn(b)
    try:
        if not any("__eq__" in vars(kind) for kind in type(a).__mro__[:-1]):
            return pickle.dumps(a) == pickle.dumps(b)
        return bool(a == b) or same(a, b)
    except Exception:  # things that cannot be compared were not copied either
        return True


def _drawn(picture: Any) -> list[object]:
    """What a figure or its axes show; nothing of other artists. Pictures never equal their copies by themselves."""
    if hasattr(picture, "get_axes"):
        return [part for axes in picture.get_axes() for part in _drawn(axes)]
    if not hasattr(picture, "get_lines"):
        return []
    words = [picture.get_title(), picture.get_xlabel(), picture.get_ylabel(), *(t.get_text() for t in picture.texts)]
    shapes = [len(picture.patches), len(picture.collections), len(picture.images)]
    return [*words, *shapes, *(line.get_xydata().tolist() for line in picture.get_lines())]
