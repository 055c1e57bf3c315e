"""Classes, functions and buffers: how what they hold is noted and put back."""

from __future__ import annotations

import array
import functools
import io
import types
from collections.abc import Callable
from typing import Any

from famulus.jupyter_kernel.undo_libraries import Kept

_ITS_OWN = ("__dict__", "__weakref__")
_MADE = ("_abc_impl", "__dataclass_params__", "__dataclass_fields__", "__annotations__", "__parameters__")
"""Members that a class is given by what it is made with."""
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_EMPTY = object()


def kept(value: Any) -> Kept | None:
    """The contents of one of the user's classes or functions, or of a buffer in memory; None for any other object."""
    if isinstance(value, type):
        return _class(value) if value.__module__ == "__main__" else Kept()
    look = _KINDS.get(type(value))
    return look(value) if look is not None else None


def _class(value: type) -> Kept:
    before = {name: member for name, member in vars(value).items() if name not in _ITS_OWN}

    def put_back() -> None:
        for name in [name for name in vars(value) if name not in before and not name.startswith("__")]:
            type.__delattr__(value, name)
        for name, member in before.items():
            if vars(value).get(name, _EMPTY) is not member:
                type.__setattr__(value, name, member)

    def look() -> object:
        return {name: id(member) for name, member in vars(value).items() if name in before or name[:2] != "__"}

    return Kept(put_back, look, [_unwrapped(member) for name, member in before.items() if name not in _MADE])


def _unwrapped(member: object) -> object:
    """What of a member of a class can change: of a method its function, of a slot nothing."""
    if isinstance(member, classmethod | staticmethod):
        return member.__func__
    if isinstance(member, property):
        return (member.fget, member.fset, member.fdel)
    return None if isinstance(member, _SLOTS) else member


def _function(value: types.FunctionType) -> Kept:
    if value.__module__ != "__main__":
        return Kept()
    cells = value.__closure__ or ()
    held, defaults, named, code = list(map(_content, cells)), value.__defaults__, value.__kwdefaults__, value.__code__

    def put_back() -> None:
        value.__defaults__, value.__kwdefaults__, value.__code__ = defaults, named, code
        for cell, content in zip(cells, held, strict=True):
            if content is not _EMPTY:
                cell.cell_contents = content
            elif _content(cell) is not _EMPTY:
                del cell.cell_contents

    def look() -> object:
        parts = (value.__defaults__, value.__kwdefaults__, value.__code__, *map(_content, cells))
        return [*map(id, parts)]

    return Kept(put_back, look, [*held, *(defaults or ()), named, value.__dict__])


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _array(value: array.array[Any]) -> Kept:
    contents = value[:]

    def put_back() -> None:
        value[:] = contents

    return Kept(put_back, value.tobytes, (), value.itemsize * len(value))


def _in_memory(value: io.StringIO | io.BytesIO) -> Kept:
    if value.closed:
        return Kept()
    contents: Any = value.getvalue()
    place = value.tell()

    def put_back() -> None:
        value.seek(0)
        value.truncate()
        value.write(contents)
        value.seek(place)

    return Kept(put_back, lambda: (value.getvalue(), value.tell()), (), len(contents))


_KINDS: dict[type, Callable[[Any], Kept]] = {
    types.FunctionType: _function,
    types.MethodType: lambda method: Kept(inner=(method.__self__, method.__func__)),
    functools.partial: lambda partial: Kept(inner=(partial.func, partial.args, partial.keywords)),
    memoryview: lambda view: Kept(inner=(view.obj,)),
    array.array: _array,
    io.StringIO: _in_memory,
    io.BytesIO: _in_memory,
}
