"""The inside of the objects of libraries, if the user has loaded them: token, marks, held objects, whole; see
:class:`famulus.jupyter_kernel.rehearse.states.State`. Nothing here imports a library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from famulus.jupyter_kernel.rehearse.pages import Mark, Memory
from famulus.jupyter_kernel.undo_libraries import ClonedPicture

Inside = tuple[object, tuple[Mark, ...], tuple[Any, ...], bool]
_NOTHING: Inside = (None, (), (), True)
_FEW = 2_000
_MOST_COMPARED = 5_000_000


def of_numpy(value: Any, memory: Memory) -> Inside:
    """An array: its shape, its place in memory, and the objects in it."""
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.ndarray):
        spans = extents(value)
        token = (value.shape, value.strides, value.dtype.str, spans)
        marks = tuple(memory.mark(start, size) for start, size in spans)
        held: tuple[Any, ...] = ()
        if value.dtype.hasobject:
            held = tuple(value.flat[:_FEW])
        return token, marks, held, all(mark.whole for mark in marks) and (not held or value.size <= _FEW)
    if hasattr(value, "bit_generator"):
        return repr(value.bit_generator.state), (), (), True
    if type(value).__name__ == "RandomState":
        return repr(value.get_state(legacy=False)), (), (), True
    return _NOTHING


def extents(array: Any) -> list[tuple[int, int]]:
    """Address and size of the memory that an array spans."""
    if not array.size:
        return []
    low = high = array.__array_interface__["data"][0]
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += stride * (length - 1)
        else:
            high += stride * (length - 1)
    return [(low, high - low + array.itemsize)]


def of_pandas(value: Any, memory: Memory) -> Inside:
    """Frames and series are their blocks and axes; whatever else pandas has is immutable or keeps caches."""
    manager = getattr(value, "_mgr", None)
    if manager is None:
        arrays = _arrays_inside(value)
        return (None, (), arrays, True) if arrays else _NOTHING
    axes = [(axis, tuple(axis.names)) for axis in manager.axes]
    places = (manager.blknos.copy(), manager.blklocs.copy()) if len(axes) == 2 else ([0], [0])
    blocks = list(manager.arrays)
    name = repr(getattr(value, "_name", None))
    return Frame(blocks, places, axes, name, repr(value.attrs) if value.attrs else ""), (), tuple(blocks), True


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame's parts. Equal if they are the same objects, or hold the same columns: pandas gathers the blocks of a
    frame anew when it computes."""

    blocks: list[Any]
    places: tuple[Any, Any]
    axes: list[tuple[Any, tuple[Any, ...]]]
    name: str
    attrs: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame) or (self.name, self.attrs) != (other.name, other.attrs):
            return False
        for (mine, names), (others, other_names) in zip(self.axes, other.axes, strict=True):
            if names != other_names or not (mine is others or mine.equals(others)):
                return False
        if list(map(id, self.blocks)) == list(map(id, other.blocks)):
            return True
        if len(self.places[0]) != len(other.places[0]) or sum(block.size for block in self.blocks) > _MOST_COMPARED:
            return False
        return all(_same(self.column(place), other.column(place)) for place in range(len(self.places[0])))

    def __hash__(self) -> int:
        return id(self)

    def column(self, place: int) -> Any:
        """The array of one column."""
        block = self.blocks[self.places[0][place]]
        return block[self.places[1][place]] if block.ndim == 2 else block


def _same(mine: Any, others: Any) -> bool:
    if mine is others:
        return True
    if type(mine) is not type(others) or mine.dtype != others.dtype or len(mine) != len(others):
        return False
    if isinstance(mine, sys.modules["numpy"].ndarray):
        if mine.dtype.hasobject:
            return all(one is other for one, other in zip(mine, others, strict=True))
        return bool(mine.tobytes() == others.tobytes())
    return bool(mine.equals(others))


def _arrays_inside(value: Any) -> tuple[Any, ...]:
    """What the array of a column is made of: codes, values, masks. Strings and lists of Arrow are never altered."""
    parts = (getattr(value, name, None) for name in ("_ndarray", "_data", "_mask", "_pa_array"))
    return tuple(part for part in parts if part is not None and type(part).__module__.partition(".")[0] == "numpy")


def of_polars(value: Any, memory: Memory) -> Inside:
    """A column is replaced when it is changed, never written: a clone costs nothing."""
    if type(value).__name__ not in ("DataFrame", "Series"):
        return _NOTHING
    columns = value.get_columns() if hasattr(value, "get_columns") else [value]
    return (tuple((column.name, str(column.dtype)) for column in columns), ClonedPicture(value)), (), (), True


def of_matplotlib(value: Any, memory: Memory) -> Inside:
    """A figure or axes: how much is in them, texts and limits."""
    figure = sys.modules.get("matplotlib.figure")
    axes = sys.modules.get("matplotlib.axes")
    if figure is not None and isinstance(value, figure.FigureBase):
        title = getattr(value, "_suptitle", None)
        size = tuple(value.get_size_inches()) if hasattr(value, "get_size_inches") else ()
        return (len(value.get_children()), title and title.get_text(), size), (), tuple(value.axes), True
    if axes is not None and isinstance(value, axes.Axes):
        texts = (value.get_title(), value.get_xlabel(), value.get_ylabel(), value.get_xscale(), value.get_yscale())
        return (len(value.get_children()), texts, value.get_xlim(), value.get_ylim()), (), (), True
    return _NOTHING


def of_duckdb(value: Any, memory: Memory) -> Inside:
    """A connection tells nothing of what was done through it."""
    return None, (), (), type(value).__name__ != "DuckDBPyConnection"


def of_sqlite(value: Any, memory: Memory) -> Inside:
    """A connection counts what was changed through it."""
    if hasattr(value, "total_changes"):
        return (value.total_changes, value.in_transaction), (), (), True
    return None, (), (), not hasattr(value, "fetchone")  # what a cursor has handed out is not to be seen
