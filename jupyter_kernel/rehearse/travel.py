"""Takes the objects that code needs to another process, as data and source text. What has neither cannot travel:
connections, open files, models on a device. Nothing is pickled, so unpacking runs no code but the user's own."""

from __future__ import annotations

import ast
import datetime
import decimal
import fractions
import importlib
import inspect
import io
import json
import linecache
import marshal
import pathlib
import sys
import textwrap
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from famulus.jupyter_kernel.rehearse import reach

MOST_BYTES = 256 << 20
_HEADER = 8
_PLAIN = (type(None), bool, int, float, complex, str, bytes, range)
_AS_TEXT: dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    datetime.datetime: (datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    datetime.date: (datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: (datetime.time.isoformat, datetime.time.fromisoformat),
    datetime.timedelta: (
        lambda value: f"{value.days} {value.seconds} {value.microseconds}",
        lambda text: datetime.timedelta(*map(int, text.split())),
    ),
    decimal.Decimal: (str, decimal.Decimal),
    fractions.Fraction: (str, fractions.Fraction),
    uuid.UUID: (str, uuid.UUID),
    type(pathlib.Path()): (str, pathlib.Path),
}


class CannotTravel(Exception):
    """Says which name holds what."""


Spec = list[Any]


class Packer:
    """Collects what the names of ``namespace`` hold."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._plain: list[Any] = []
        self._blobs: list[bytes] = []
        self._size = 0

    def pack(self, tree: ast.Module) -> bytes:
        """Everything that the code of ``tree`` names. Raises :class:`CannotTravel`."""
        required = reach.read(tree)
        specs: dict[str, Spec] = {}
        waiting = reach.reachable(tree, self._namespace)
        required |= {name for name in waiting if isinstance(self._namespace[name], types.FunctionType)}
        for name in waiting:  # grows while it is read
            if name in specs or name.startswith("_") or name in ("In", "Out", "exit", "quit", "get_ipython"):
                continue
            try:
                specs[name] = self._spec(self._namespace[name])
            except CannotTravel as reason:
                if name in required:
                    raise CannotTravel(f"{name} {reason}") from None
                continue
            if specs[name][0] == "source":
                more = reach.reachable(ast.parse(specs[name][1]), self._namespace)
                required.update(more)
                waiting += more
        order = {name: place for place, name in enumerate(self._namespace)}
        named = dict(sorted(specs.items(), key=lambda item: order.get(item[0], 0)))
        return self._join(named)

    def _spec(self, value: Any, depth: int = 0) -> Spec:
        kind = type(value)
        if kind in _PLAIN and kind is not range:
            return self._keep(value)
        if kind in (list, tuple, set, frozenset, dict, bytearray) and _is_plain(value):
            return self._keep(value)
        if kind in _AS_TEXT:
            return ["text", kind.__name__, _AS_TEXT[kind][0](value)]
        if isinstance(value, types.ModuleType):
            return ["module", value.__name__]
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            return _code(value, self._namespace.get("In", ()))
        if kind in (list, tuple) and depth < 3 and len(value) <= 1000:
            return [kind.__name__, [self._spec(part, depth + 1) for part in value]]
        if kind is dict and depth < 3 and len(value) <= 1000 and _is_plain(list(value)):
            return ["dict", self._keep(list(value)), [self._spec(part, depth + 1) for part in value.values()]]
        table = _TABLES.get(kind.__module__.partition(".")[0])
        if table is not None:
            return self._table(value, table)
        raise CannotTravel(f"is a {kind.__module__}.{kind.__qualname__}, which cannot be taken to another process")

    def _table(self, value: Any, table: Callable[[Any], tuple[str, int, Callable[[], bytes]] | None]) -> Spec:
        kind = f"{type(value).__module__.partition('.')[0]} {type(value).__name__}"
        try:
            found = table(value)
            if found is None:
                raise CannotTravel(f"is a {kind}, which cannot be taken to another process")
            how, size, encode = found
            self._weigh(size)
            self._blobs.append(encode())
        except (CannotTravel, MemoryError):
            raise
        except Exception as error:  # Arrow has no type for it
            raise CannotTravel(f"is a {kind} that Arrow cannot hold ({type(error).__name__})") from None
        return [how, len(self._blobs) - 1]

    def _keep(self, value: Any) -> Spec:
        if isinstance(value, str | bytes | bytearray | list | tuple | set | frozenset | dict):
            self._weigh(len(value) * 16)
        self._plain.append(value)
        return ["plain", len(self._plain) - 1]

    def _weigh(self, size: int) -> None:
        self._size += size
        if self._size > MOST_BYTES:
            raise CannotTravel(f"is too large to be taken to another process (over {MOST_BYTES >> 20} MiB)")

    def _join(self, named: Mapping[str, Spec]) -> bytes:
        try:
            plain = marshal.dumps(self._plain)  # in one piece, so that what is shared stays shared
        except ValueError as error:
            raise CannotTravel(f"a value cannot be taken to another process ({error})") from None
        manifest = json.dumps({"names": named, "sizes": [len(plain), *map(len, self._blobs)]}).encode()
        return b"".join([len(manifest).to_bytes(_HEADER, "big"), manifest, plain, *self._blobs])


def _is_plain(value: Any) -> bool:
    """Whether a container holds nothing but values that can be marshalled; a long one is judged by its first part."""
    waiting, seen = [value], 0
    while waiting and seen < 100_000:
        one = waiting.pop()
        seen += 1
        kind = type(one)
        if kind in (list, tuple, set, frozenset):
            waiting += one
        elif kind is dict:
            waiting += [*one, *one.values()]
        elif kind not in _PLAIN and kind is not bytearray:
            return False
    return True


def _code(value: Any, cells: Sequence[str]) -> Spec:
    """A function or class: by its place in a module, or by its source."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module and module != "__main__":
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value:
            return ["attribute", module, name]
        raise CannotTravel("is a function that no module names")
    if getattr(value, "__closure__", None):
        raise CannotTravel("is a function that was made inside another")
    text = _class_source(name, cells) if isinstance(value, type) else _function_source(value)
    if not text:
        raise CannotTravel("has no source")
    return ["source", text]


def _function_source(function: Any) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(function))
        ast.parse(text)
    except (OSError, TypeError, SyntaxError):
        return ""
    return text


def _class_source(name: str, cells: Sequence[str]) -> str:
    """From the last cell that defined it: :mod:`inspect` finds no classes of a notebook."""
    for cell in reversed(cells):
        if f"class {name}" not in cell:
            continue
        try:
            tree = ast.parse(cell)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == name:
                lines = cell.splitlines(keepends=True)
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
    return ""


# -- tables: how, bytes in memory, encoder


def _numpy(value: Any) -> tuple[str, int, Callable[[], bytes]] | None:
    numpy = sys.modules["numpy"]
    if not isinstance(value, numpy.ndarray | numpy.generic) or value.dtype.hasobject:
        return None

    def encode() -> bytes:
        buffer = io.BytesIO()
        numpy.save(buffer, value, allow_pickle=False)
        return buffer.getvalue()

    return ("array" if isinstance(value, numpy.ndarray) else "scalar"), value.nbytes, encode


def _pandas(value: Any) -> tuple[str, int, Callable[[], bytes]] | None:
    pandas = sys.modules["pandas"]
    frame = value.to_frame("_") if isinstance(value, pandas.Series) else value
    if not isinstance(frame, pandas.DataFrame):
        return None
    how = "pandas"
    if isinstance(value, pandas.Series):
        how = "pandas series" if value.name is None else "pandas named series"
        frame = value.to_frame() if value.name is not None else frame
    arrow = importlib.import_module("pyarrow")
    size = int(frame.memory_usage(deep=False).sum())
    return how, size, lambda: _ipc(arrow.Table.from_pandas(frame))


def _ipc(table: Any) -> bytes:
    arrow = importlib.import_module("pyarrow")
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _polars(value: Any) -> tuple[str, int, Callable[[], bytes]] | None:
    polars = sys.modules["polars"]
    frame = value.to_frame() if isinstance(value, polars.Series) else value
    if not isinstance(frame, polars.DataFrame):
        return None

    def encode() -> bytes:
        buffer = io.BytesIO()
        frame.write_ipc(buffer)
        return buffer.getvalue()

    return ("polars" if frame is value else "polars series"), int(frame.estimated_size()), encode


def _arrow(value: Any) -> tuple[str, int, Callable[[], bytes]] | None:
    if type(value).__name__ != "Table":
        return None
    return "arrow", int(value.nbytes), lambda: _ipc(value)


_TABLES: dict[str, Callable[[Any], tuple[str, int, Callable[[], bytes]] | None]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _arrow,
}


# -- on the other side


def unpack(data: memoryview, namespace: MutableMapping[str, Any]) -> None:
    """Put everything into ``namespace``, in the order in which it was bound there. Raises what importing modules and
    running the sources raises."""
    length = int.from_bytes(data[:_HEADER], "big")
    manifest = json.loads(bytes(data[_HEADER : _HEADER + length]))
    blobs = list(_split(data[_HEADER + length :], manifest["sizes"]))
    plain = marshal.loads(blobs[0])
    late = []
    for name, spec in manifest["names"].items():
        if spec[0] == "source":
            late.append((name, spec[1]))
        else:
            namespace[name] = _made(spec, plain, blobs[1:])
    for name, text in late:
        file = f"<source of {name}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec", dont_inherit=True), namespace)  # type: ignore[arg-type]


def modules(data: memoryview) -> list[str]:
    """The modules that the packed names need."""
    length = int.from_bytes(data[:_HEADER], "big")
    names = json.loads(bytes(data[_HEADER : _HEADER + length]))["names"].values()
    needed = {spec[1] for spec in names if spec[0] in ("module", "attribute")}
    return sorted(needed | {spec[0].split()[0] for spec in names if spec[0].split()[0] in ("pandas", "polars")})


def _split(data: memoryview, sizes: list[int]) -> Iterator[memoryview]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size


def _made(spec: Spec, plain: list[Any], blobs: list[memoryview]) -> Any:
    how, *rest = spec
    if how == "plain":
        return plain[rest[0]]
    if how == "text":
        return next(decode for kind, (_, decode) in _AS_TEXT.items() if kind.__name__ == rest[0])(rest[1])
    if how == "module":
        return importlib.import_module(rest[0])
    if how == "attribute":
        found: Any = importlib.import_module(rest[0])
        for part in rest[1].split("."):
            found = getattr(found, part)
        return found
    if how in ("list", "tuple"):
        parts = [_made(part, plain, blobs) for part in rest[0]]
        return tuple(parts) if how == "tuple" else parts
    if how == "dict":
        values = [_made(part, plain, blobs) for part in rest[1]]
        return dict(zip(_made(rest[0], plain, blobs), values, strict=True))
    return _table_of(how, blobs[rest[0]])


def _table_of(how: str, blob: memoryview) -> Any:
    if how in ("array", "scalar"):
        array = importlib.import_module("numpy").load(io.BytesIO(blob), allow_pickle=False)
        return array if how == "array" else array[()]
    if how.startswith("polars"):
        frame = importlib.import_module("polars").read_ipc(io.BytesIO(blob))
        return frame if how == "polars" else frame.to_series()
    table = importlib.import_module("pyarrow").ipc.open_stream(blob).read_all()
    if how == "arrow":
        return table
    frame = table.to_pandas()
    if how == "pandas":
        return frame
    series = frame.iloc[:, 0]
    return series.rename(None) if how == "pandas series" else series
