"""Arrays and frames: how their contents are noted and put back. Libraries are used only where the user has them."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

SAMPLE = 1 << 20
"""Elements of a large array that are compared to see whether it changed."""


@dataclass(frozen=True)
class Kept:
    """How to put an object back (None: nothing can change it), something to compare, and what else it holds. ``size``:
    bytes of the copy."""

    put_back: Callable[[], object] | None = None
    look: Callable[[], object] = tuple
    inner: Collection[object] = ()
    size: int = 0


def kept(value: Any, cap: int) -> Kept | None:
    """The contents of an array, a frame or a generator of random numbers; None for any other object. A copy of more
    than ``cap`` bytes is not made, only its size told."""
    kind = type(value)
    library, name = kind.__module__.partition(".")[0], kind.__name__
    if library == "numpy" and name in ("ndarray", "MaskedArray", "matrix", "recarray"):
        return _array(value, cap)
    if library == "numpy" and name in ("Generator", "RandomState"):
        bits = value.bit_generator if name == "Generator" else value._bit_generator
        state = bits.state
        return Kept(lambda: setattr(bits, "state", state), lambda: repr(bits.state))
    if library == "pandas" and name in ("DataFrame", "Series"):
        return _pandas(value, cap)
    if library == "pandas" and name.endswith("Index"):
        names = list(value.names)
        return Kept(lambda: setattr(value, "names", names), lambda: list(value.names))
    if library == "polars" and name in ("DataFrame", "Series"):
        return _polars(value, "_df" if name == "DataFrame" else "_s")
    return None


def size(value: Any) -> int:
    """Bytes of an object, near enough; 0 where they are not known."""
    library, name = type(value).__module__.partition(".")[0], type(value).__name__
    try:
        if library == "pandas" and name in ("DataFrame", "Series"):
            used = value.memory_usage(deep=False)
            return int(used if name == "Series" else used.sum())
        if library == "polars" and name in ("DataFrame", "Series"):
            return int(value.estimated_size())
        if library in ("numpy", "pyarrow", "torch"):
            return int(getattr(value, "nbytes", 0))
        return sys.getsizeof(value)
    except Exception:  # nothing hangs on it
        return 0


def _array(value: Any, cap: int) -> Kept:
    if not _writable(value):
        return Kept()
    if value.nbytes > cap:
        return Kept(size=value.nbytes)
    contents, shape = value.copy(), value.shape

    def put_back() -> None:
        if value.size != contents.size:
            value.resize(shape, refcheck=False)
        value.shape = shape
        value[...] = contents

    return Kept(put_back, lambda: _sum(value), _objects(value), value.nbytes)


def _objects(array: Any) -> list[object]:
    """The objects that an array holds, those in its fields among them."""
    if not array.dtype.hasobject:
        return []
    if array.dtype.names:
        return [one for name in array.dtype.names for one in _objects(array[name])]
    return list(array.ravel().tolist())


def _writable(array: Any) -> bool:
    """Can its elements be changed, through itself or through what it is a view of?"""
    while array is not None:
        flags = getattr(array, "flags", None)
        if flags is not None and flags.writeable:
            return True
        array = getattr(array, "base", None)
    return False


def _sum(array: Any) -> object:
    if array.dtype.names and array.dtype.hasobject:
        return [_sum(array[name]) for name in array.dtype.names]
    if array.dtype.hasobject:
        return array.shape, [*map(id, array.ravel().tolist()[:SAMPLE])]
    step = max(1, array.size // SAMPLE)
    return array.shape, str(array.dtype), zlib.crc32(array.flat[::step].tobytes())


def _pandas(value: Any, cap: int) -> Kept:
    # Since pandas 3 a shallow copy shares its data until one side is written to, which then gets data of its own.
    lazily = int(sys.modules["pandas"].__version__.partition(".")[0]) >= 3
    used = 0 if lazily else size(value)
    if used > cap:
        return Kept(size=used)
    contents, attributes = value.copy(deep=not lazily), dict(value.attrs)

    def put_back() -> None:
        value._update_inplace(contents.copy(deep=not lazily))
        value.attrs = dict(attributes)

    kinds = [value.dtype] if value.ndim == 1 else value.dtypes
    columns = [value if value.ndim == 1 else value.iloc[:, at] for at, kind in enumerate(kinds) if kind.kind == "O"]
    strange = [one for column in columns if column.dtype == "object" for one in column.tolist()]
    picture = SharedPicture if lazily else Picture
    return Kept(put_back, lambda: picture(value), [*strange, *value.axes], used)


class Picture:
    """A frame or series at one moment."""

    def __init__(self, value: Any) -> None:
        self._copy = value.copy()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and bool(self._copy.equals(other._copy))

    __hash__ = None  # type: ignore[assignment]


class SharedPicture:
    """The same without copying: as long as this is there, whoever writes to the frame gets data of its own, so that
    equal means the very same data."""

    def __init__(self, value: Any) -> None:
        self._copy = value.copy(deep=False)
        self._data = [block.values for block in value._mgr.blocks]
        self._axes = list(value.axes)
        self._rest = (getattr(value, "name", None), repr(value.attrs))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SharedPicture)
            and len(self._data) == len(other._data)
            and all(mine is theirs for mine, theirs in zip(self._data, other._data, strict=True))
            and all(mine.identical(theirs) for mine, theirs in zip(self._axes, other._axes, strict=True))
            and self._rest == other._rest
        )

    __hash__ = None  # type: ignore[assignment]


def _polars(value: Any, inner: str) -> Kept:
    contents = value.clone()  # shares the data; what is changed in place gets data of its own
    return Kept(
        lambda: setattr(value, inner, getattr(contents.clone(), inner)),
        lambda: (
            getattr(value, "name", None),
            str(value.dtype if inner == "_s" else value.schema),
            ClonedPicture(value),
        ),
    )


class ClonedPicture:
    """A frame or series of polars at one moment; copies nothing."""

    def __init__(self, value: Any) -> None:
        self._copy = value.clone()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClonedPicture) and bool(self._copy.equals(other._copy))

    __hash__ = None  # type: ignore[assignment]
