"""What tables and arrays of the known libraries tell: columns with kinds, and samples of a few rows.

Only public, cheap calls that copy at most :data:`~famulus.jupyter_kernel.look_values.SAMPLE` rows. Of polars nothing
may be called that starts its threads (``gather`` does): a forked rehearsal would hang. A memory map is never read,
because its file may be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from famulus.jupyter_kernel import privacy
from famulus.jupyter_kernel.look_databases import read_sqlite
from famulus.jupyter_kernel.look_values import (
    SAMPLE,
    Allowance,
    column,
    full_name,
    labelled,
    library,
    lineage,
    one_of,
    shown,
    spread,
)
from famulus.jupyter_kernel.schema import Column, Element, Kind, Variable

COLUMNS = 100
"""Columns told of one frame."""

_KINDS: dict[str, Element] = {
    "b": "bool", "i": "number", "u": "number", "f": "number", "c": "number", "M": "time", "m": "time", "U": "text",
    "T": "text", "S": "other", "V": "other",
}  # fmt: skip


Reader = Callable[[str, Any, str, Allowance], Variable]


@dataclass(frozen=True)
class Known:
    """A class of a library: its kind, its public name, and who reads its objects (nobody: the kind is all)."""

    kind: Kind
    type: str
    read: Reader | None = None


def known() -> dict[int, Known]:
    """The classes of libraries that the user has imported, by their id."""
    found: dict[int, Known] = {}
    for module, name, kind, reader in _CLASSES:
        cls = library(module).get(name)
        if cls is not None:
            found[id(cls)] = Known(kind, f"{module}.{name}", reader)
    return found


def genuine(cls: type) -> bool:
    """Is the class what its module has under its name, and the module not the user's own notebook?"""
    module, _, name = full_name(cls).rpartition(".")
    return module.partition(".")[0] in _LIBRARIES and library(module).get(name) is cls


def _pandas_frame(name: str, frame: Any, type_: str, left: Allowance) -> Variable:
    rows, width = frame.shape
    head = frame.iloc[:, :COLUMNS] if width > COLUMNS else frame
    dtypes = [_dtype(dtype, left) for dtype in head.dtypes.tolist()]
    labels = [labelled(label) for label in head.columns.tolist()]
    people = privacy.of_people(label[0] for label in labels if label)
    readable = [i for i, (safe, _, _) in enumerate(dtypes) if labels[i] and safe]
    # Rows are taken with a deep copy of `attrs`, which may hold anything.
    sampled = readable[: left.take(len(readable))] if not frame.attrs else []
    values = {}
    if sampled:
        part = (head if len(sampled) == len(dtypes) else head.iloc[:, sampled]).iloc[spread(rows)]
        values = {i: series.tolist() for i, (_, series) in zip(sampled, part.items(), strict=True)}
    columns = tuple(
        column(label[0], values.get(i, ()), *dtypes[i][1:], label=label[1], people=people)
        for i, label in enumerate(labels)
        if label
    )
    return Variable(name, "frame", type_, rows, columns, shape=(rows, width), index=_pandas_index(frame.index, left))


def _pandas_series(name: str, series: Any, type_: str, left: Allowance) -> Variable:
    label = labelled(series.name) or ("", "")
    safe, kind, dtype = _dtype(series.dtype, left)
    readable = safe and not series.attrs and left.take()
    values = series.iloc[spread(len(series))].tolist() if readable else ()
    own = column(label[0], values, kind, dtype, label=label[1])
    return Variable(
        name, "series", type_, len(series), (own,), own.kind, shape=(len(series),),
        index=_pandas_index(series.index, left),
    )  # fmt: skip


def _pandas_values(name: str, values: Any, type_: str, left: Allowance) -> Variable:
    label = labelled(getattr(values, "name", None)) or ("", "")
    safe, kind, dtype = _dtype(values.dtype, left)
    own = column(label[0], values.take(spread(len(values))).tolist() if safe and left.take() else (), kind, dtype)
    return Variable(name, "series", type_, len(values), (own,), own.kind, shape=(len(values),))


def _pandas_index(index: Any, left: Allowance) -> tuple[Column, ...]:
    pandas = library("pandas")
    if not genuine(type(index)) or (type(index) is pandas.get("RangeIndex") and index.name is None):
        return ()
    if type(index) is pandas.get("MultiIndex"):
        names = [labelled(level) or ("", "") for level in index.names]
        return tuple(
            column(level[0], (), *_dtype(dtype, left)[1:], label=level[1])
            for level, dtype in zip(names, index.dtypes.tolist(), strict=True)
        )
    label = labelled(index.name) or ("", "")
    safe, kind, dtype = _dtype(index.dtype, left)
    values = index.take(spread(len(index))).tolist() if safe and left.take() else ()
    return (column(label[0], values, kind, dtype, label=label[1]),)


def _dtype(dtype: Any, left: Allowance) -> tuple[bool, Element, str]:
    """Is a dtype numpy's or pandas' own? Its kind ("" where only the values tell) and its name."""
    if id(dtype) in left.dtypes:
        return left.dtypes[id(dtype)][1:]
    whole = full_name(type(dtype))
    own = whole.rpartition(".")[2]
    kind: Element = "other"
    if not (safe := whole.startswith("numpy.") or genuine(type(dtype))):
        name = own
    elif own == "CategoricalDtype":
        kind, name = "category", "category"
    else:
        named: dict[str, Element] = {
            "StringDtype": "text", "PeriodDtype": "time", "IntervalDtype": "other", "SparseDtype": "other",
        }  # fmt: skip
        kind, name = named[own] if own in named else _KINDS.get(dtype.kind, ""), str(dtype)[:40]
    # The object is kept, so that no other can get its id.
    left.dtypes[id(dtype)] = (dtype, safe, kind, name)
    return safe, kind, name


def _polars_frame(name: str, frame: Any, type_: str, left: Allowance) -> Variable:
    rows, width = frame.height, frame.width
    schema = list(frame.schema.items())[:COLUMNS]
    people = privacy.of_people(label for label, _ in schema)
    sampled = left.take(len(schema))
    columns = tuple(
        column(label, _chunks(frame.to_series(i)) if i < sampled else (), *_polars_dtype(dtype), people=people)
        for i, (label, dtype) in enumerate(schema)
    )
    return Variable(name, "frame", type_, rows, columns, shape=(rows, width))


def _polars_series(name: str, series: Any, type_: str, left: Allowance) -> Variable:
    own = column(series.name, _chunks(series) if left.take() else (), *_polars_dtype(series.dtype))
    return Variable(name, "series", type_, len(series), (own,), own.kind, shape=(len(series),))


def _polars_dtype(dtype: Any) -> tuple[Element, str]:
    own = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    if own == "Object":
        return "other", own
    kinds: dict[str, Element] = {
        "String": "text", "Utf8": "text", "Boolean": "bool", "Categorical": "category", "Enum": "category",
        "Date": "time", "Datetime": "time", "Time": "time", "Duration": "time", "List": "list", "Array": "list",
        "Struct": "dict", "Decimal": "number",
    }  # fmt: skip
    return kinds.get(own) or ("number" if own.startswith(("Int", "UInt", "Float")) else "other"), own


def _arrow_table(name: str, table: Any, type_: str, left: Allowance) -> Variable:
    names = table.schema.names[:COLUMNS]
    people = privacy.of_people(names)
    columns = []
    for i, label in enumerate(names):
        kind, dtype = _arrow_dtype(table.schema.field(i).type)
        values = _chunks(table.column(i)) if kind != "other" and left.take() else ()
        columns.append(column(label, values, kind, dtype, people=people))
    return Variable(name, "frame", type_, table.num_rows, tuple(columns), shape=(table.num_rows, table.num_columns))


def _arrow_array(name: str, array: Any, type_: str, left: Allowance) -> Variable:
    kind, dtype = _arrow_dtype(array.type)
    own = column("", _chunks(array) if kind != "other" and left.take() else (), kind, dtype)
    return Variable(name, "series", type_, len(array), (own,), own.kind, shape=(len(array),))


def _arrow_dtype(dtype: Any) -> tuple[Element, str]:
    if not genuine(type(dtype)):  # an extension type may be written in Python
        return "other", full_name(type(dtype)).rpartition(".")[2]
    own = str(dtype)[:40]
    kinds: dict[str, Element] = {
        "int": "number", "uint": "number", "float": "number", "double": "number", "half": "number",
        "decimal": "number", "string": "text", "large_string": "text", "bool": "bool", "date": "time",
        "timestamp": "time", "time": "time", "duration": "time", "dictionary": "category", "list": "list",
        "struct": "dict",
    }  # fmt: skip
    stem = own.split("<")[0].split("[")[0].split("(")[0].rstrip("0123456789_").removesuffix("_view")
    return kinds.get(stem, "other"), own


def _chunks(values: Any) -> list[object]:
    """The beginning, middle and end of a column that can be sliced without a copy."""
    size = SAMPLE // 3
    if len(values) <= SAMPLE:
        return list(_listed(values))
    starts = (0, len(values) // 2, len(values) - size)
    return [value for start in starts for value in _listed(values.slice(start, size))]


def _listed(values: Any) -> Sequence[object]:
    listed: Sequence[object] = values.to_list() if hasattr(values, "to_list") else values.to_pylist()
    return listed


def _numpy_array(name: str, array: Any, type_: str, left: Allowance) -> Variable:
    shape: tuple[int, ...] = array.shape
    fields = array.dtype.names or ()
    mapped = any(full_name(owner) in ("numpy.memmap", "mmap.mmap") for owner in _owners(array))
    readable = bool(array.size) and not mapped and left.take(max(1, len(fields)))
    values: Any = array.flat[spread(array.size)] if readable else ()
    length = shape[0] if shape else None
    if fields:
        columns = tuple(
            column(label, values[label].tolist() if readable else (), *_dtype(array.dtype.fields[label][0], left)[1:])
            for label in fields[:COLUMNS]
        )
        return Variable(name, "array", type_, length, columns, "dict", shape=shape)
    own = column(name, values.tolist() if readable else (), *_dtype(array.dtype, left)[1:])
    preview = f"{own.dtype} {shape}" + (f" [{', '.join(own.samples)}, …]" if own.samples and len(shape) == 1 else "")
    return Variable(
        name, "array", type_, length, (), own.kind, preview, private=own.private, pattern=own.pattern, shape=shape
    )


def _owners(array: Any) -> Iterator[type]:
    """The classes of an array and of what its memory belongs to."""
    for _ in range(20):
        yield type(array)
        if not one_of(library("numpy").get("ndarray"), *lineage(type(array))):
            return
        array = array.base
        if array is None:
            return


def _numpy_scalar(name: str, value: Any, type_: str, left: Allowance) -> Variable:
    own = column(name, (value,))
    kind: Kind = own.kind if own.kind in ("number", "bool", "time", "text") else "other"
    return Variable(name, kind, type_, preview=shown(value), private=own.private, pattern=own.pattern)


def _tensor(name: str, tensor: Any, type_: str, left: Allowance) -> Variable:
    shape = tuple(tensor.shape)
    preview = f"{str(tensor.dtype).removeprefix('torch.')} {shape}"
    return Variable(name, "array", type_, shape[0] if shape else None, (), "number", preview, shape=shape)


_CLASSES: tuple[tuple[str, str, Kind, Reader | None], ...] = (
    ("pandas", "DataFrame", "frame", _pandas_frame),
    ("pandas", "Series", "series", _pandas_series),
    ("pandas", "Index", "series", _pandas_values),
    ("pandas", "MultiIndex", "series", None),
    ("pandas", "Categorical", "series", _pandas_values),
    ("polars", "DataFrame", "frame", _polars_frame),
    ("polars", "LazyFrame", "frame", None),
    ("polars", "Series", "series", _polars_series),
    ("pyarrow", "Table", "frame", _arrow_table),
    ("pyarrow", "RecordBatch", "frame", _arrow_table),
    ("pyarrow", "ChunkedArray", "series", _arrow_array),
    ("pyarrow", "Array", "series", _arrow_array),
    ("numpy", "ndarray", "array", _numpy_array),
    ("numpy", "generic", "other", _numpy_scalar),
    ("torch", "Tensor", "array", _tensor),
    ("matplotlib.figure", "Figure", "figure", None),
    ("matplotlib.axes", "Axes", "figure", None),
    ("plotly.graph_objs", "Figure", "figure", None),
    ("seaborn", "FacetGrid", "figure", None),
    ("sqlite3", "Connection", "database", read_sqlite),
    ("duckdb", "DuckDBPyConnection", "database", None),
    ("sqlalchemy.engine", "Engine", "database", None),
    ("sqlalchemy.engine", "Connection", "database", None),
)
_LIBRARIES = frozenset(("pandas", "polars", "pyarrow", "numpy", "torch", "geopandas", "builtins"))
