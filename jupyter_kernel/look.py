"""Looks at the live namespace and tells what the user's variables are, without disturbing any of them.

Objects of the user's own classes are told by their class alone. What is looked into is Python's own containers, read
by the methods of their base classes, and the known classes of libraries that are already imported. How much is looked
at is bounded by counts, not by the clock, so that the same namespace gives the same :class:`Schema`.
"""

from __future__ import annotations

import collections
import datetime
import io
import itertools
import pathlib
import types
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from famulus.jupyter_kernel import privacy
from famulus.jupyter_kernel.look_callables import CALLABLES, is_class, read_callable, read_class
from famulus.jupyter_kernel.look_frames import Known, genuine, known
from famulus.jupyter_kernel.look_values import (
    FEW,
    SAMPLE,
    Allowance,
    column,
    element,
    elements,
    full_name,
    is_exact,
    lineage,
    shown,
    spread,
)
from famulus.jupyter_kernel.schema import Column, Kind, Schema, Variable

VARIABLES = 1000
"""Names told of one namespace, the most recently bound ones."""

KEYS = 40
"""Keys told of one dictionary."""

TEXT = 60
"""Characters of a text in a preview."""

_Reader = Callable[[str, Any, str, Allowance], Variable]
_MARKS: dict[str, str] = {"list": "[]", "tuple": "()", "set": "{}"}
_MODULE_DICT: Any = vars(types.ModuleType)["__dict__"]


def look(
    namespace: Mapping[str, object], hidden: Container[str] = (), order: Mapping[str, int] | None = None
) -> Schema:
    """What the namespace holds, the most recently bound first.

    ``hidden`` are names that are not the user's; where it is a mapping (``user_ns_hidden``), one that the user has
    bound anew counts as his. ``order`` gives the execution counter at which a name was bound. Never raises, runs no
    code of the user's, and takes a few milliseconds however large the objects are.
    """
    order = order or {}
    ours = [name for name in list(namespace) if type(name) is str and not name.startswith("_") and name.isidentifier()]
    values: dict[str, object] = {}
    imports: dict[str, str] = {}
    for name in ours:
        value = namespace.get(name)
        if name in hidden and (not isinstance(hidden, Mapping) or hidden.get(name) is value):
            continue
        if any(base is types.ModuleType for base in lineage(type(value))):
            imports[name] = _module_name(value)
        else:
            values[name] = value
    position = {name: at for at, name in enumerate(values)}
    recent = sorted(values, key=lambda name: (-order.get(name, 0), -position[name]))
    libraries, left = known(), Allowance()
    found = tuple(_variable(name, values[name], libraries, left) for name in recent[:VARIABLES])
    return Schema(found, imports)


def _module_name(module: object) -> str:
    name = _MODULE_DICT.__get__(module).get("__name__")
    return name if type(name) is str else ""


def _variable(name: str, value: object, libraries: Mapping[int, Known], left: Allowance) -> Variable:
    cls = type(value)
    try:
        for base in lineage(cls):
            if reader := _READERS.get(id(base)) or (_scalar("number") if is_exact(base) else None):
                return reader(name, value, full_name(cls), left)
            if library := libraries.get(id(base)):
                own = library.type if base is cls else full_name(cls)
                if library.read is None or not (base is cls or genuine(cls)):
                    return Variable(name, library.kind, own)
                return _named(library.read(name, value, own, left))
        if is_class(value):
            return read_class(name, value)  # type: ignore[arg-type]
    except Exception:  # a broken or half-closed object of a library must not keep the others from being told
        pass
    return Variable(name, "other", full_name(cls))


def _named(variable: Variable) -> Variable:
    """Without samples of a series where the variable's own name says that they are private."""
    if variable.kind != "series" or not variable.columns:
        return variable
    own = variable.columns[0]
    if not own.private and (reason := privacy.by_name(variable.name, own.kind)):
        own = Column(own.name, own.kind, own.dtype, (), reason, own.distinct, "", own.label)
    fields = {**variable.__dict__, "columns": (own,), "private": own.private, "pattern": own.pattern}
    return Variable(**fields)


def _scalar(kind: Kind) -> _Reader:
    def read(name: str, value: Any, type_: str, left: Allowance) -> Variable:
        own = column(name, (value,))
        length = str.__len__(value) if kind == "text" else None
        reason = own.private or (privacy.in_text(str.__str__(value)) if kind == "text" else "")
        if reason:
            pattern = own.pattern or privacy.pattern([str.__str__(value)] if kind == "text" else [], reason)
            return Variable(name, kind, type_, length, private=reason, pattern=pattern)
        return Variable(name, kind, type_, length, preview=shown(value, TEXT))

    return read


def _sequence(kind: Kind, length: Callable[[Any], int], at: Callable[[Any, int], object]) -> _Reader:
    def read(name: str, value: Any, type_: str, left: Allowance) -> Variable:
        count = length(value)
        told = left.enter()
        sample = [at(value, position) for position in spread(count, SAMPLE if told else FEW)]
        return _container(name, kind, type_, count, sample, told)

    return read


def _set(name: str, value: Any, type_: str, left: Allowance) -> Variable:
    base = set if any(cls is set for cls in lineage(type(value))) else frozenset
    count = base.__len__(value)
    sample = list(itertools.islice(base.__iter__(value), SAMPLE))
    # The order of texts in a set differs between processes: of a large set no values are told.
    sample.sort(key=shown)
    return _container(name, "set", type_, count, sample, left.enter() and count == len(sample))


def _container(name: str, kind: Kind, type_: str, count: int, sample: Sequence[object], told: bool) -> Variable:
    """A list, tuple or set: the kind of its elements, the keys that dictionaries in it share, its first few values."""
    inner = elements(sample)
    if inner == "dict":
        return Variable(name, kind, type_, count, _shared(sample, told), inner)
    if not told:
        return Variable(name, kind, type_, count, element=inner, private=privacy.by_name(name, inner))
    own = column(name, sample)
    if own.private:
        return Variable(name, kind, type_, count, element=inner, private=own.private, pattern=own.pattern)
    first = sample[:4]
    if any(type(value) is str and privacy.in_text(value) for value in first):
        first = ()
    return Variable(name, kind, type_, count, element=inner, preview=_preview(first, count, _MARKS[kind]))


def _preview(first: Sequence[object], count: int, marks: str) -> str:
    texts = [shown(value, TEXT // 2) or _short(value) for value in first]
    while len(texts) > 1 and len(", ".join(texts)) > TEXT:
        texts.pop()
    return f"{marks[0]}{', '.join(texts)}{', …' if len(texts) < count else ''}{marks[1]}"


def _short(value: object) -> str:
    kind = element(value)
    return {"list": "[…]", "dict": "{…}", "": "None"}.get(kind, "…")


def _shared(sample: Sequence[Any], told: bool) -> tuple[Column, ...]:
    """The text keys that every dictionary of the sample has, with the kinds of their values."""
    rows = [row for row in sample if any(cls is dict for cls in lineage(type(row)))]
    first: list[tuple[object, object]] = list(itertools.islice(dict.items(rows[0]), KEYS))
    keys = [key for key, _ in first if type(key) is str and all(dict.__contains__(row, key) for row in rows)]
    people = privacy.of_people(keys)
    return tuple(
        column(key, values if told else (), elements(values), people=people)
        for key in keys
        if not privacy.in_text(key) and (values := [dict.__getitem__(row, key) for row in rows])
    )


def _dict(name: str, value: Any, type_: str, left: Allowance) -> Variable:
    count = dict.__len__(value)
    told = left.enter()
    items = list(itertools.islice(dict.items(value), SAMPLE if told else FEW))
    inner = elements(own for _, own in items)
    keys = [key for key, _ in items if type(key) is str]
    if reason := privacy.by_name(name) or privacy.by_values(keys):
        pattern = privacy.pattern(keys, reason)
        return Variable(name, "dict", type_, count, element=inner, private=reason, pattern=pattern)
    people = privacy.of_people(keys)
    columns = tuple(
        column(key, (own,), people=people) for key, own in items[:KEYS] if type(key) is str and not privacy.in_text(key)
    )
    preview = "" if keys or not told else _pairs(items[:3], count)
    return Variable(name, "dict", type_, count, columns, inner, preview)


def _pairs(items: Sequence[tuple[object, object]], count: int) -> str:
    texts = []
    for key, own in items:
        if type(own) is str and privacy.in_text(own):
            return ""
        texts.append(f"{shown(key, TEXT // 3) or '…'}: {shown(own, TEXT // 3) or _short(own)}")
    return "{" + ", ".join(texts) + (", …" if len(texts) < count else "") + "}"


def _path(name: str, value: Any, type_: str, left: Allowance) -> Variable:
    if not type_.startswith("pathlib."):
        return Variable(name, "path", type_)
    text = str(value)
    return Variable(name, "path", type_, preview="" if privacy.in_text(text) else shown(text, 2 * TEXT))


def _range(name: str, value: range, type_: str, left: Allowance) -> Variable:
    try:
        return Variable(name, "tuple", type_, len(value), element="number", preview=repr(value)[:TEXT])
    except (OverflowError, ValueError):  # longer than a length may be
        return Variable(name, "tuple", type_, element="number")


def _plain(kind: Kind, length: Callable[[Any], int] | None = None) -> _Reader:
    return lambda name, value, type_, left: Variable(name, kind, type_, length(value) if length else None)


_FILE = io.FileIO.__mro__[-2]  # the class below `io.IOBase`, which open files only pretend to inherit from
# By id, because a metaclass may define what a class hashes to.
_READERS: dict[int, _Reader] = {
    id(cls): reader
    for cls, reader in (
        (bool, _scalar("bool")), (int, _scalar("number")), (float, _scalar("number")), (complex, _scalar("number")),
        (str, _scalar("text")),
        (datetime.datetime, _scalar("time")), (datetime.date, _scalar("time")), (datetime.time, _scalar("time")),
        (datetime.timedelta, _scalar("time")), (list, _sequence("list", list.__len__, list.__getitem__)),
        (tuple, _sequence("tuple", tuple.__len__, tuple.__getitem__)),
        (collections.deque, _sequence("list", collections.deque.__len__, collections.deque.__getitem__)),
        (set, _set), (frozenset, _set), (dict, _dict), (range, _range), (pathlib.PurePath, _path),
        (bytes, _plain("other", bytes.__len__)), (bytearray, _plain("other", bytearray.__len__)),
        (_FILE, _plain("file")),
        *((cls, read_callable) for cls in CALLABLES),
    )
}  # fmt: skip
