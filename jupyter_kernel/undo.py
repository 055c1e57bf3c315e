"""Taking back what a words cell changed in the namespace.

Before the cell runs, the bindings of all names are noted and, for the names that the cell will change in place, a
shallow snapshot of every mutable object that they reach. Restoring puts those contents back into the *same* objects, so
whatever else refers to them, in the namespace or inside other objects, sees the old state too, and sharing stays as it
was. Nothing is pickled, so nothing is lost that cannot be pickled.
"""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

CAP = 512 << 20
"""Bytes that the copies of one cell may take."""
MOST_OBJECTS = 2_000_000

Restore = Callable[[], object]
MISSING = object()


@dataclass(frozen=True)
class Undone:
    """What :meth:`Snapshot.restore` did: names put back, names left as they are with the reason."""

    restored: tuple[str, ...]
    removed: tuple[str, ...]
    left: dict[str, str]


@dataclass
class Snapshot:
    """The namespace before a cell. ``unsaved``: names whose contents could not be kept, with the reason."""

    names: dict[str, object]
    contents: dict[str, list[Restore]] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)
    size: int = 0
    after: dict[str, object] = field(default_factory=dict)

    def settle(self, namespace: MutableMapping[str, object], skip: Iterable[str] = ()) -> None:
        """The cell has run: what it bound, rebound and deleted is now known."""
        skipped = set(skip)
        now = {name: value for name, value in namespace.items() if _is_users(name) and name not in skipped}
        names = {name: value for name, value in self.names.items() if name not in skipped}
        touched = {name for name in (*now, *names) if now.get(name, MISSING) is not names.get(name, MISSING)}
        self.after = {name: now.get(name, MISSING) for name in touched}
        # The other names have their objects still; holding on to all of them would keep memory for nothing.
        self.names = {name: names[name] for name in touched if name in names}

    def restore(self, namespace: MutableMapping[str, object]) -> Undone:
        """Puts everything back that nobody has bound anew since."""
        restored, removed, left = [], [], dict(self.unsaved)
        for name, mine in self.after.items():
            if namespace.get(name, MISSING) is not mine:
                left[name] = "it was bound anew since"
            elif name in self.names:
                namespace[name] = self.names[name]
                restored.append(name)
            else:
                namespace.pop(name, None)
                removed.append(name)
        for name, contents in self.contents.items():
            failed = [error for put_back in contents if (error := _attempt(put_back))]
            if failed:
                left[name] = failed[0]
            elif name not in restored:
                restored.append(name)
        return Undone(tuple(restored), tuple(removed), left)


def take(namespace: MutableMapping[str, object], changing: Iterable[str], *, cap: int = CAP) -> Snapshot:
    """Notes all bindings, and the contents of what the names ``changing`` reach, within ``cap`` bytes."""
    snapshot = Snapshot({name: value for name, value in namespace.items() if _is_users(name)})
    seen: set[int] = set()
    for name in changing:
        if name in snapshot.names:
            walk = _Walk(seen, cap - snapshot.size)
            walk.reach(snapshot.names[name])
            if walk.problem:
                snapshot.unsaved[name] = walk.problem
            if not walk.over:
                snapshot.contents[name] = walk.restores
                snapshot.size += walk.size
    return snapshot


class _Walk:
    """Everything mutable that one object reaches."""

    def __init__(self, seen: set[int], cap: int) -> None:
        self.restores: list[Restore] = []
        self.size = 0
        self.problem = ""
        self.over = False
        self._seen, self._cap = seen, cap

    def reach(self, first: object) -> None:
        waiting = deque([first])
        while waiting and not self.over:
            value = waiting.popleft()
            if id(value) in self._seen or isinstance(value, ATOMS):
                continue
            self._seen.add(id(value))
            waiting.extend(self._keep(value))
            if self.size > self._cap or len(self._seen) > MOST_OBJECTS:
                self.problem = f"it is too large to keep a copy of (more than {self._cap >> 20} MB)"
                self.over = True

    def _keep(self, value: Any) -> Iterable[object]:
        """Notes the contents of one object; returns what it refers to."""
        kind = type(value)
        if kind in (tuple, frozenset):
            return tuple(value)
        if kind in PLAIN:
            contents: Any = kind(value) if kind is not deque else deque(value, value.maxlen)
            self._note(PLAIN[kind](value, contents), sys.getsizeof(value))
            if isinstance(value, dict):
                return (*contents.keys(), *contents.values())
            return () if kind is bytearray else tuple(contents)
        module = kind.__module__.partition(".")[0]
        if module == "numpy" and kind.__name__ in ("ndarray", "MaskedArray", "matrix"):
            return self._keep_array(value)
        if module == "pandas" and kind.__name__ in ("DataFrame", "Series"):
            return self._keep_frame(value)
        if kind.__module__ == "__main__" and hasattr(value, "__dict__") and not isinstance(value, type):
            attributes = dict(vars(value))
            self._note(lambda: _replace_dict(vars(value), attributes), sys.getsizeof(attributes))
            return tuple(attributes.values())
        if module not in ("polars", "pyarrow", "datetime", "pathlib", "decimal", "fractions", "re", "uuid"):
            self.problem = self.problem or f"a {kind.__name__} cannot be put back"
        return ()

    def _keep_array(self, value: Any) -> Iterable[object]:
        contents, shape = value.copy(), value.shape

        def put_back() -> None:
            if value.shape != shape:
                value.resize(shape, refcheck=False)
            value[...] = contents

        self._note(put_back, contents.nbytes)
        return ()

    def _keep_frame(self, value: Any) -> Iterable[object]:
        # Since pandas 3 a shallow copy shares its data until one side is written to.
        lazily = int(sys.modules["pandas"].__version__.partition(".")[0]) >= 3
        contents = value.copy(deep=not lazily)
        used = 0 if lazily else int(contents.memory_usage(deep=False).sum())
        self._note(lambda: value._update_inplace(contents.copy(deep=not lazily)), used)
        return ()

    def _note(self, restore: Restore, size: int) -> None:
        self.restores.append(restore)
        self.size += size


def _replace_list(value: Any, contents: Any) -> Restore:
    return lambda: value.__setitem__(slice(None), contents)


def _replace_dict(value: Any, contents: Any) -> None:
    value.clear()
    value.update(contents)


def _refill(value: Any, contents: Any) -> Restore:
    def put_back() -> None:
        value.clear()
        (value.extend if isinstance(value, deque) else value.update)(contents)

    return put_back


PLAIN: dict[type, Callable[[Any, Any], Restore]] = {
    list: _replace_list,
    bytearray: _replace_list,
    dict: _refill,
    set: _refill,
    deque: _refill,
}
ATOMS = (
    int, float, complex, str, bytes, bool, range, slice, type, types.NoneType, types.ModuleType, types.FunctionType,
    types.BuiltinFunctionType, types.MethodType, types.EllipsisType,
)  # fmt: skip


def _attempt(put_back: Restore) -> str:
    try:
        put_back()
    except Exception as error:
        return f"it could not be put back ({type(error).__name__}: {error})"
    return ""


def _is_users(name: str) -> bool:
    return not name.startswith("_") and name not in ("In", "Out", "exit", "quit", "get_ipython", "open")
