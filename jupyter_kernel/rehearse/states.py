"""What an object is like inside, in a form that is quickly taken and compared, and which objects it holds.

A state never calls code of the user's: no ``__eq__``, ``__hash__``, ``__getattr__`` or property of their classes.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import io
import itertools
import os
import random
import struct
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from famulus.jupyter_kernel.rehearse import tables
from famulus.jupyter_kernel.rehearse.pages import Mark, Memory

_ATOMS = frozenset({
    int, float, complex, bool, str, bytes, type(None), range, slice, type(Ellipsis), type(NotImplemented),
    types.BuiltinFunctionType, types.ModuleType, types.CodeType, types.MemberDescriptorType, types.GetSetDescriptorType,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, property, staticmethod,
    classmethod,
})  # fmt: skip
_IMMUTABLE = frozenset({
    "datetime", "decimal", "fractions", "pathlib", "re", "uuid", "zoneinfo", "ipaddress", "functools", "operator",
    "typing", "pyarrow", "logging", "weakref", "threading", "asyncio", "_thread", "IPython", "ipykernel", "traitlets",
})  # fmt: skip
"""Packages whose objects do not change, or change without anybody's intention."""
_FEW, _SAMPLE = 2_000, 500
_MOST_COPIED = 50_000
_PLAIN_LISTS = (
    sys.implementation.name == "cpython"
    and struct.calcsize("P") == 8
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
_LIST_SIZE, _LIST_ITEMS = 16, 24  # offsets in PyListObject


class State(NamedTuple):
    """``token`` is compared by value; ``marks`` are memory that is the object's own as long as the token stays equal;
    ``held`` are the objects inside that can change by themselves. ``whole`` is False if a change may go unseen."""

    token: object = None
    marks: tuple[Mark, ...] = ()
    held: tuple[Any, ...] = ()
    whole: bool = True


NOTHING = State()


def is_atom(value: object) -> bool:
    """Whether it can never change, nor hold anything that does."""
    return type(value) in _ATOMS


def state(value: Any, memory: Memory) -> State:
    """Raises what the libraries of the objects raise; such an object is not whole."""
    kind = type(value)
    if kind in _ATOMS:
        return NOTHING
    package = kind.__module__.partition(".")[0]
    if package in _TABLES:
        return State(*_TABLES[package](value, memory))
    for base, look in _KINDS:
        if issubclass(kind, base):  # isinstance would ask the object's own __class__
            return look(value, memory)
    if package in _IMMUTABLE or isinstance(value, BaseException):
        return NOTHING
    return _instance(value)


def _list(value: list[Any], memory: Memory) -> State:
    length = list.__len__(value)
    if length <= _MOST_COPIED or not _PLAIN_LISTS:
        elements = list.__getitem__(value, slice(None))
        return State(_identities(elements), (), _mutable(elements))
    # Looking at millions of elements would write to each one's reference count, and so copy them all.
    address = id(value)
    size, items = (ctypes.c_ssize_t.from_address(address + offset).value for offset in (_LIST_SIZE, _LIST_ITEMS))
    if size != length:
        return State(length, (), (), False)
    mark = memory.mark(items, size * 8)
    step = max(length // _SAMPLE, 1)
    held, whole = _sampled([*list.__getitem__(value, slice(_SAMPLE)), *list.__getitem__(value, slice(0, None, step))])
    return State((size, items), (mark,), held, whole and mark.whole)


def _sampled(sample: list[Any]) -> tuple[tuple[Any, ...], bool]:
    """What is mutable in a long list: if a sample holds only atoms, so does the rest."""
    held = _mutable(sample)
    return held, not held


def _dict(value: dict[Any, Any], memory: Memory) -> State:
    if dict.__len__(value) > _MOST_COPIED:
        some = list(itertools.islice(dict.items(value), _SAMPLE))
        last = list(itertools.islice(reversed(dict.items(value)), _SAMPLE)) if type(value) is dict else []
        return State((dict.__len__(value), _identities(itertools.chain(*some, *last))), (), (), False)
    pairs = _identities(itertools.chain(dict.keys(value), dict.values(value)))
    rest = vars(value) if type(value) is not dict and hasattr(value, "__dict__") else None
    return State(pairs, (), (*_mutable(dict.values(value)), *([rest] if rest else [])))


def _set(value: set[Any], memory: Memory) -> State:
    if len(value) > _MOST_COPIED:
        return State((len(value), _identities(itertools.islice(value, _SAMPLE))), (), (), False)
    return State(frozenset(map(id, value)))


def _deque(value: Any, memory: Memory) -> State:
    return State(_identities(value), (), _mutable(value))


def _tuple(value: tuple[Any, ...], memory: Memory) -> State:
    return State(None, (), _mutable(value if len(value) <= _FEW else value[:_FEW]), len(value) <= _FEW)


def _buffer(value: Any, memory: Memory) -> State:
    view = memoryview(value)
    if view.readonly or not view.contiguous or not view.nbytes:
        return State(view.nbytes)
    address = ctypes.addressof(ctypes.c_char.from_buffer(view.cast("B")))
    return State((view.nbytes, address), (memory.mark(address, view.nbytes),))


def _function(value: types.FunctionType, memory: Memory) -> State:
    cells = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
    held = [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), value.__dict__]
    return State(_identities([*cells, value.__code__, value.__defaults__]), (), _mutable(held))


def _is_full(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _method(value: types.MethodType, memory: Memory) -> State:
    return State(None, (), (value.__self__,))


def _class(value: type, memory: Memory) -> State:
    if value.__module__ != "__main__":
        return NOTHING
    members = [member for name, member in vars(value).items() if name not in ("__dict__", "__weakref__")]
    return State(_identities(members), (), _mutable(members))


def _generator(value: Any, memory: Memory) -> State:
    frame = getattr(value, "gi_frame", None) or getattr(value, "cr_frame", None) or getattr(value, "ag_frame", None)
    held = tuple(frame.f_locals.values()) if frame else ()
    return State((frame is None, frame.f_lasti if frame else 0, _identities(held)), (), _mutable(held))


def _random(value: random.Random, memory: Memory) -> State:
    return State(hash(random.Random.getstate(value)))


def _text(value: io.StringIO | io.BytesIO, memory: Memory) -> State:
    return NOTHING if value.closed else State((value.tell(), hash(value.getvalue())))


def _file(value: io.IOBase, memory: Memory) -> State:
    try:
        return State((value.closed, os.lseek(value.fileno(), 0, os.SEEK_CUR)))
    except (OSError, ValueError):
        return State(True)


def _iterator(value: Any, memory: Memory) -> State:
    return State(value.__length_hint__())


def _instance(value: Any) -> State:
    """An object of any class: its attributes, as far as they are stored where Python puts them."""
    kind = type(value)
    if (numpy := sys.modules.get("numpy")) is not None and isinstance(value, numpy.generic):
        return NOTHING
    held = []
    with contextlib.suppress(AttributeError):
        held.append(object.__getattribute__(value, "__dict__"))
    for base in kind.__mro__:
        for member in vars(base).values():
            if isinstance(member, types.MemberDescriptorType) and base.__module__ != "builtins":
                with contextlib.suppress(AttributeError):  # not set
                    held.append(member.__get__(value, kind))
    token = _identities(held)
    enough = bool(held) or not kind.__flags__ & (1 << 14)  # Py_TPFLAGS_HAVE_GC: it can hold other objects
    return State(token, (), _mutable(held), enough)


def _identities(values: Iterable[Any]) -> tuple[int, int]:
    ids = tuple(map(id, values))
    return len(ids), hash(ids)


def _mutable(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(value for value in values if type(value) not in _ATOMS)


_EMPTY: tuple[Any, ...] = ([], (), {}, set(), range(0), {}.values(), {}.items())
_ITERATORS = (*(type(iter(empty)) for empty in _EMPTY), type(reversed([])))
_KINDS: tuple[tuple[Any, Callable[[Any, Memory], State]], ...] = (
    (list, _list),
    (dict, _dict),
    (tuple, _tuple),
    ((set, frozenset), _set),
    (collections.deque, _deque),
    ((bytearray, memoryview), _buffer),
    (types.FunctionType, _function),
    (types.MethodType, _method),
    (type, _class),
    ((types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType), _generator),
    (_ITERATORS, _iterator),
    (random.Random, _random),
    ((io.StringIO, io.BytesIO), _text),
    (io.IOBase, _file),
)
_TABLES: dict[str, Callable[[Any, Memory], tuple[Any, ...]]] = {
    "array": lambda value, memory: _buffer(value, memory),
    "mmap": lambda value, memory: _buffer(value, memory),
    "numpy": tables.of_numpy,
    "pandas": tables.of_pandas,
    "polars": tables.of_polars,
    "matplotlib": tables.of_matplotlib,
    "sqlite3": tables.of_sqlite,
    "_duckdb": tables.of_duckdb,
    "duckdb": tables.of_duckdb,
}
