"""Everything mutable that a name reaches, noted so that it can be put back into the same objects.

A shallow copy of every object on the way is enough, because what it refers to is reached as well. Nothing is pickled,
so nothing is lost that cannot be pickled.
"""

from __future__ import annotations

import random
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from operator import is_
from typing import Any, Protocol

from famulus.jupyter_kernel import undo_libraries as libraries
from famulus.jupyter_kernel import undo_python as python

MOST_OBJECTS = 50_000
"""Objects that are looked at for one cell: about 0.2 s of work."""


class Content(Protocol):
    """Objects and what was in them."""

    def settle(self) -> bool:
        """The cell has run; has it changed them?"""

    @property
    def touched(self) -> bool:
        """Has somebody changed them since?"""

    @property
    def differs(self) -> bool:
        """Are they other than they were noted? For contents of which no cell ran since."""

    def put_back(self) -> object:
        """Puts back what was noted, into the same objects."""


@dataclass
class One:
    """One object. ``look`` gives something that is equal as long as the object is."""

    put_back: Callable[[], object]
    look: Callable[[], object]
    seen: object

    def settle(self) -> bool:
        """See :class:`Content`."""
        before, self.seen = self.seen, _attempted(self.look)
        return self.seen != before

    @property
    def touched(self) -> bool:
        """See :class:`Content`."""
        return _attempted(self.look) != self.seen

    @property
    def differs(self) -> bool:
        """See :class:`Content`."""
        return self.touched


class Many:
    """Lists, dictionaries and sets, each with a copy."""

    def __init__(self) -> None:
        self.before: list[tuple[Any, Any]] = []
        self._after: list[tuple[Any, Any]] = []

    def settle(self) -> bool:
        """See :class:`Content`; what did not change is let go."""
        self.before = [(value, copy) for value, copy in self.before if not _same(value, copy)]
        self._after = [(value, QUICK[type(value)](value)) for value, _ in self.before]
        return bool(self.before)

    @property
    def touched(self) -> bool:
        """See :class:`Content`."""
        return not all(_same(value, copy) for value, copy in self._after)

    @property
    def differs(self) -> bool:
        """See :class:`Content`."""
        return not all(_same(value, copy) for value, copy in self.before)

    def put_back(self) -> None:
        """See :class:`Content`."""
        for value, copy in self.before:
            PLAIN[type(value)][1](value, copy)


class Walk:
    """What one object reaches, within ``cap`` bytes. ``seen`` is shared by the walks of one cell.

    ``problem`` says what of it could not be kept; where it is ``over``, it was too much and nothing is kept. ``met``:
    what an earlier walk had reached already, by ``id``.
    """

    def __init__(self, seen: dict[int, object], cap: int) -> None:
        self.met: set[int] = set()
        self.contents: list[Content] = []
        self.size = 0
        self.problem = ""
        self.over = False
        self._seen, self._cap = seen, cap
        self._many = Many()
        self._python: dict[type, list[str] | None] = {}

    def reach(self, first: object) -> None:
        """Notes ``first`` and everything that it reaches."""
        waiting = deque([first])
        while waiting and not self.over:
            value = waiting.popleft()
            if isinstance(value, ATOMS):
                continue
            if id(value) in self._seen:
                self.met.add(id(value))
                continue
            self._seen[id(value)] = value
            try:
                inner = self._keep(value)
            except Exception:  # a strange object must not keep a cell from running
                inner = None
            if inner is None:
                self._cannot(type(value).__name__, value is first)
            else:
                waiting.extend(inner)
            if self.size > self._cap:
                self.over, self.problem = True, f"it is too large to keep a copy of (more than {self._cap >> 20} MB)"
            elif len(self._seen) + len(waiting) > MOST_OBJECTS:
                self.over, self.problem = True, f"it holds more objects than copies are kept of ({MOST_OBJECTS:,})"
        if self._many.before:
            self.contents.append(self._many)

    def _cannot(self, kind: str, itself: bool) -> None:
        one = f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
        problem = f"{one} cannot be put back" if itself else f"{one} in it stays as it is"
        self.problem = self.problem or problem

    def _keep(self, value: Any) -> Iterable[object] | None:
        """Notes the contents of one object; returns what else has to be looked at, None if they cannot be kept."""
        kind = type(value)
        if (copy := QUICK.get(kind)) is not None:
            contents = copy(value)
            self._many.before.append((value, contents))
            self.size += sys.getsizeof(contents)
            return [*_no_atoms(contents.values()), *_no_atoms(contents)] if kind is dict else _no_atoms(contents)
        if kind in (tuple, frozenset):
            return _no_atoms(value)
        if (base := next((one for one in kind.__mro__ if one in PLAIN), None)) is not None:
            return self._keep_plain(value, base)
        if isinstance(value, random.Random):
            state = value.getstate()
            return self._note(lambda: value.setstate(state), value.getstate, ())
        if isinstance(value, (tuple, frozenset)):  # of a class of its own, such as a named tuple
            return [*_no_atoms(value), *([own] if (own := getattr(value, "__dict__", None)) else [])]
        known = python.kept(value) or libraries.kept(value, self._cap - self.size)
        if known is not None:
            self.size += known.size
            return self._note(known.put_back, known.look, known.inner) if known.put_back else known.inner
        library = kind.__module__.partition(".")[0]
        if library in UNCHANGING:
            return ()
        if kind not in self._python:
            ours = library not in FOREIGN and _written_in_python(kind)
            self._python[kind] = _slots(kind) if ours else None
        slots = self._python[kind]
        return None if slots is None else self._keep_attributes(value, slots)

    def _note(
        self, put_back: Callable[[], object], look: Callable[[], object], inner: Collection[object]
    ) -> Iterable[object]:
        self.contents.append(One(put_back, look, look()))
        return _no_atoms(inner)

    def _keep_plain(self, value: Any, base: type) -> Iterable[object]:
        """An object of a class that was derived from one of Python's own."""
        # The methods of the base: those of a class of the user's may do anything.
        copy, replace = PLAIN[base]
        contents = copy(value)
        self.size += sys.getsizeof(contents)

        def look() -> object:
            now = copy(value)
            if base is bytearray:
                return bytes(now)
            places = [*map(id, now)]
            if base is set:
                return sorted(places)
            return [*places, *map(id, now.values())] if issubclass(base, dict) else places

        inside = () if base is bytearray else [*contents, *contents.values()] if issubclass(base, dict) else contents
        attributes = [own] if (own := getattr(value, "__dict__", None)) is not None else []
        return [*self._note(lambda: replace(value, contents), look, inside), *attributes]

    def _keep_attributes(self, value: Any, slots: list[str]) -> Iterable[object]:
        """An object of a class that is written in Python: all it has are its attributes."""
        own = [value.__dict__] if type(value).__dictoffset__ else []
        if not slots:
            return own

        def read() -> dict[str, object]:
            return {name: getattr(value, name) for name in slots if hasattr(value, name)}

        def put_back() -> None:
            for name in slots:
                if name in attributes:
                    object.__setattr__(value, name, attributes[name])
                elif hasattr(value, name):
                    object.__delattr__(value, name)

        attributes = read()
        self.size += sys.getsizeof(attributes)
        return [
            *self._note(put_back, lambda: {name: id(one) for name, one in read().items()}, [*attributes.values()]),
            *own,
        ]


def _refill(clear: Callable[[Any], None], fill: Callable[[Any, Any], object]) -> Callable[[Any, Any], None]:
    def put_back(value: Any, contents: Any) -> None:
        clear(value)
        fill(value, contents)

    return put_back


QUICK: dict[type, Callable[[Any], Any]] = {list: list.copy, dict: dict.copy, set: set.copy}
PLAIN: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    list: (list.copy, lambda value, to: list.__setitem__(value, slice(None), to)),
    bytearray: (bytearray, lambda value, to: bytearray.__setitem__(value, slice(None), to)),
    OrderedDict: (lambda value: dict(OrderedDict.items(value)), _refill(OrderedDict.clear, OrderedDict.update)),
    dict: (dict.copy, _refill(dict.clear, dict.update)),
    set: (set.copy, _refill(set.clear, set.update)),
    deque: (lambda value: list(deque.__iter__(value)), _refill(deque.clear, deque.extend)),
}
"""How objects of Python's own classes are copied and filled again."""
ATOMS = (
    int, float, complex, str, bytes, bool, range, slice, types.NoneType, types.ModuleType, types.BuiltinFunctionType,
    types.EllipsisType, types.GenericAlias,
)  # fmt: skip
_EXACT = frozenset(ATOMS)
UNCHANGING = frozenset({
    "polars", "pyarrow", "datetime", "pathlib", "decimal", "fractions", "re", "uuid", "zoneinfo", "functools",
    "operator", "_operator", "numpy",
})  # fmt: skip
"""Libraries whose other objects are not changed in place."""
FOREIGN = frozenset(
    {"builtins", "matplotlib", "pandas", "IPython", "ipykernel", "threading", "asyncio", "logging", "io"}
)
"""Libraries whose objects are more than their attributes."""


def _same(value: Any, copy: Any) -> bool:
    """The same objects in the same places; no ``__eq__`` of anybody's is called."""
    if len(value) != len(copy):
        return False
    if type(value) is set:
        return {*map(id, value)} == {*map(id, copy)}
    return all(map(is_, value, copy)) and (type(value) is not dict or all(map(is_, value.values(), copy.values())))


def _no_atoms(values: Collection[object]) -> Collection[object]:
    if _EXACT.issuperset(map(type, values)):
        return ()
    return [value for value in values if type(value) not in _EXACT]


def _written_in_python(kind: type) -> bool:
    """No base is written in C and has a state of its own."""
    slots = _slots(kind)
    most = object.__basicsize__ + 16 + 8 * len(slots)  # a dictionary, weak references, slots
    return kind.__basicsize__ <= most and bool(kind.__dictoffset__ or slots)


def _slots(kind: type) -> list[str]:
    return [
        name
        for base in kind.__mro__
        if "__slots__" in vars(base)
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType
    ]


def _attempted(look: Callable[[], object]) -> object:
    try:
        return look()
    except Exception:  # it can no longer be looked into: that is a change as well
        return object()
