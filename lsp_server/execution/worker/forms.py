"""The canonical form of a value: nested lists that are equal for equal structure.

It has no identity, no address, no order of sets and no place of the project. The first item of a form says what it is:
``const bool int float complex str bytes bytearray list tuple deque set frozenset dict ... enum object exception repr
array frame iterator function method class module``; ``again`` stands for an object that contains itself, ``cut`` for
what is too deep or too much.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import datetime
import decimal
import enum
import fractions
import hashlib
import io
import itertools
import json
import pathlib
import re
import sys
import types
import uuid
from typing import Any, List  # noqa: UP035

Form = List[Any]  # noqa: UP006  # an alias is evaluated, and must be so in Python 3.8
DEPTH, ITEMS, NODES, TEXT, DRAWN = 12, 300, 6000, 20_000, 200
"""How far a value is followed: nesting, items of a container, values in all, characters, items of an iterator."""

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_NAMED = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_NOTHING: dict[int, int] = {}
_VIEWS = (type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))
_MAPPINGS = (dict, collections.OrderedDict, collections.Counter, collections.defaultdict, types.MappingProxyType)
_TOLD_BY_REPR = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    pathlib.PurePath,
    re.Pattern,
    range,
    slice,
)
_BASES = (dict, list, tuple, set, frozenset, str, bytes, int, float)


class Writer:
    """Writes forms. ``root``: the folder of the project, which becomes ``<project>`` in texts."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.own = ""
        """A folder that was made for one call; it becomes ``<tmp_path>``."""
        self._inside: list[int] = []
        self._nodes = 0
        self._drain = True
        self._slots: dict[type, list[str]] = {}
        """Of classes whose objects are told by their attributes."""

    def form(self, value: Any, *, drain: bool = True) -> Form:
        """The form of ``value``; an iterator is read, up to a bound, if ``drain``."""
        self._inside, self._nodes, self._drain = [], 0, drain
        return self._form(value, 0)

    def text(self, text: str) -> str:
        """``text`` without addresses and without the project's folder."""
        if "0x" in text:
            text = _ADDRESS.sub("0x…", text)
        if self.own and self.own in text:
            text = text.replace(self.own, "<tmp_path>")
        return text.replace(self.root, "<project>") if self.root in text else text

    def _form(self, value: Any, depth: int) -> Form:
        kind = type(value)
        self._nodes += 1
        if kind is str:
            return ["str", *_short(self.text(value))]
        if value is None or value is Ellipsis or value is NotImplemented:
            return ["const", repr(value)]
        if kind is bool:
            return ["bool", value]
        if kind is int:
            return ["int", str(value) if value.bit_length() < 4000 else hex(value)]
        if kind in (float, complex):
            return [kind.__name__, repr(value)]
        if kind in (bytes, bytearray):
            return [kind.__name__, *_short(self.text(value.decode("latin-1")))]
        if isinstance(value, _NAMED):
            return self._named(value, depth)
        if id(value) in self._inside:
            return ["again", len(self._inside) - self._inside.index(id(value))]
        if depth > DEPTH or self._nodes > NODES:
            return ["cut", kind.__qualname__]
        self._inside.append(id(value))
        try:
            return self._whole(value, kind, depth)
        finally:
            self._inside.pop()

    def _whole(self, value: Any, kind: type, depth: int) -> Form:
        slots = self._slots.get(kind)
        if slots is None:
            for way in (self._container, self._standard, self._foreign):
                form = way(value, kind, depth + 1)
                if form is not None:
                    return form
            slots = _slots_of(kind)
            if not any("__class__" in vars(cls) for cls in kind.__mro__[:-1]):  # a proxy is like what it stands for
                self._slots[kind] = slots
        return self._object(value, kind, slots, depth + 1)

    def _named(self, value: Any, depth: int) -> Form:
        if isinstance(value, types.ModuleType):
            return ["module", value.__name__]
        if isinstance(value, types.MethodType):
            return ["method", value.__name__, self._form(value.__self__, depth + 1)]
        name = value.__qualname__
        return ["class", name] if isinstance(value, type) else ["function", "" if "<locals>" in name else name]

    def _container(self, value: Any, kind: type, depth: int) -> Form | None:
        if kind in (list, tuple, collections.deque) or kind in _VIEWS:
            return [kind.__name__, self._many(value, depth)]
        if kind in (set, frozenset):
            items = [self._form(item, depth) for item in itertools.islice(value, 10 * ITEMS)]
            return [kind.__name__, sorted(items, key=json.dumps)]
        if kind in _MAPPINGS:
            return [kind.__name__, self._pairs(value.items(), depth, sort=kind is not collections.OrderedDict)]
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            names = [str(name) for name in kind._fields]
            return ["object", kind.__qualname__, [[n, self._form(value[i], depth)] for i, n in enumerate(names)]]
        return None

    def _many(self, values: Any, depth: int) -> Form:
        first = [self._form(value, depth) for value in itertools.islice(values, ITEMS)]
        return first if len(values) <= ITEMS else [*first, ["cut", str(len(values))]]

    def _pairs(self, items: Any, depth: int, *, sort: bool) -> Form:
        pairs = [[self._form(k, depth), self._form(v, depth)] for k, v in itertools.islice(items, ITEMS)]
        if len(items) > ITEMS:
            pairs.append([["cut", str(len(items))], ["cut", ""]])
        return _sorted(pairs) if sort else pairs

    def _standard(self, value: Any, kind: type, depth: int) -> Form | None:
        name = kind.__qualname__
        if isinstance(value, enum.Enum):
            return ["enum", name, str(value.name or value.value)]
        if isinstance(value, _TOLD_BY_REPR):
            return ["repr", name, self.text(repr(value))]
        if isinstance(value, BaseException):
            return ["exception", name, self._form(list(value.args), depth)]
        if isinstance(value, io.IOBase):
            if isinstance(value, (io.StringIO, io.BytesIO)) and not value.closed:
                return ["object", name, [["getvalue()", self._form(value.getvalue(), depth)]]]
            return ["object", name, []]
        if name == "Result" and str(kind.__module__).split(".")[0] in ("click", "typer"):
            told = [[part, self._form(getattr(value, part, None), depth)] for part in ("exit_code", "output")]
            return ["object", name, told]
        if isinstance(value, memoryview):
            return [name, self._form(value.tobytes(), depth)]
        if isinstance(value, collections.abc.Iterator):
            return self._iterator(value, depth)
        return None

    def _iterator(self, value: Any, depth: int) -> Form:
        if not self._drain:
            return ["iterator"]
        items: list[Form] = []
        try:
            for item in itertools.islice(value, DRAWN):
                items.append(self._form(item, depth))
        except Exception as error:
            return ["iterator", items, self._form(error, depth)]
        return ["iterator", items]

    def _foreign(self, value: Any, kind: type, depth: int) -> Form | None:
        """Arrays and tables, known by what they can do: their packages need not be there."""
        package = str(kind.__module__).split(".")[0]
        if package in ("numpy", "torch") and hasattr(value, "dtype") and hasattr(value, "tolist"):
            plain = value.detach().cpu() if hasattr(value, "detach") else value
            large = _size(value.shape) > 10 * ITEMS
            content = hashlib.sha1(memoryview(plain).tobytes()).hexdigest() if large else plain.tolist()
            return ["array", str(value.dtype), list(value.shape), self._form(content, depth)]
        if package == "pandas" and kind.__name__ in ("DataFrame", "Series"):
            columns = value.to_dict("list") if kind.__name__ == "DataFrame" else {value.name: value.tolist()}
            dtypes = [str(d) for d in value.dtypes] if kind.__name__ == "DataFrame" else [str(value.dtype)]
            index = self._form(list(value.index[:ITEMS]), depth)
            return ["frame", kind.__name__, dtypes, index, self._pairs(columns.items(), depth, sort=False)]
        if package == "polars" and kind.__name__ in ("DataFrame", "Series"):
            columns = value.to_dict(as_series=False) if kind.__name__ == "DataFrame" else {value.name: value.to_list()}
            return ["frame", kind.__name__, [], [], self._pairs(columns.items(), depth, sort=False)]
        if package in ("numpy", "pandas", "polars", "torch"):
            return ["repr", kind.__qualname__, self.text(repr(value))]
        return None

    def _object(self, value: Any, kind: type, slots: list[str], depth: int) -> Form:
        state: dict[str, Any] = {}
        for slot in slots:
            with contextlib.suppress(AttributeError):
                state[slot] = object.__getattribute__(value, slot)
        with contextlib.suppress(AttributeError):
            state.update(object.__getattribute__(value, "__dict__"))
        names = sorted((name for name in state if name != "__doc__"), key=str)[:ITEMS]
        attributes = [[str(name), self._form(state[name], depth)] for name in names]
        for base in _BASES:
            if isinstance(value, base):  # of a subclass also the content, by the base's own methods
                return ["object", kind.__qualname__, [["", self._form(_content(value, base), depth)], *attributes]]
        built_in = kind.__module__ == "builtins" or kind.__module__ in sys.builtin_module_names
        if not attributes and built_in and getattr(kind, "__repr__", None) is not object.__repr__:
            return ["repr", kind.__qualname__, self.text(repr(value))]
        return ["object", kind.__qualname__, attributes]


def _slots_of(kind: type) -> list[str]:
    found: list[str] = []
    for cls in reversed(kind.__mro__):
        slots = cls.__dict__.get("__slots__", ())
        found += (slots,) if isinstance(slots, str) else slots
    return found


def _sorted(pairs: list[Form]) -> list[Form]:
    """By the keys, and only where these are told alike also by the values: to write them all down takes long."""
    if all(key[0] == "str" for key, _ in pairs):
        keys: list[Any] = [tuple(key[1:]) for key, _ in pairs]
    else:
        keys = [json.dumps(key) for key, _ in pairs]
    order = sorted(range(len(pairs)), key=keys.__getitem__)
    if len(set(keys)) < len(keys):
        order.sort(key=lambda n: (keys[n], json.dumps(pairs[n])))
    return [pairs[n] for n in order]


def _size(shape: Any) -> int:
    """How many values an array of this shape has."""
    product = 1
    for size in shape:
        product *= int(size)
    return product


def _short(text: str) -> list[Any]:
    if len(text) <= TEXT:
        return [text]
    return [text[:200], len(text), hashlib.sha1(text.encode("utf-8", "surrogatepass")).hexdigest()]


def _content(value: Any, base: Any) -> Any:
    if base is dict:
        return dict(dict.items(value))
    if base in (str, bytes):
        return base.__getnewargs__(value)[0]
    return base(base.__repr__(value)) if base in (int, float) else base(base.__iter__(value))
