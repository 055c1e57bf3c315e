"""What code did to the user's names: bound, rebound, deleted by identity, and changed in place by looking inside what
the code can reach. Bounded in time; names whose inside was not seen wholly are told as ``unchecked``."""

from __future__ import annotations

import ast
import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from famulus.jupyter_kernel.rehearse import reach, tables
from famulus.jupyter_kernel.rehearse.isolate import SharedFile
from famulus.jupyter_kernel.rehearse.pages import Memory
from famulus.jupyter_kernel.rehearse.states import NOTHING, State, is_atom, state

_SECONDS = 0.04
_MOST_OBJECTS = 50_000


class Comparison:
    """Made before the code runs; :meth:`finish` after it."""

    def __init__(self, shell: Any, tree: ast.Module, shared: Sequence[SharedFile]) -> None:
        self._shell = shell
        self._before = dict(shell.user_ns)
        self._memory = Memory()
        self._files = [(file, self._memory.own(file.start, file.end)) for file in shared]
        self._graph = Graph(self._memory, time.perf_counter() + _SECONDS)
        roots = reach.reachable(tree, shell.user_ns)
        self._roots = [name for name in roots if name not in shell.user_ns_hidden and not is_atom(shell.user_ns[name])]
        for name in self._roots:
            self._graph.add(name, shell.user_ns[name])

    def finish(self) -> dict[str, list[str]]:
        """``bound``, ``rebound``, ``changed``, ``deleted``, ``unchecked``: names, in the order of the namespace."""
        before, after = self._before, self._shell.user_ns
        names = [name for name in {**before, **after} if self._is_users(name)]
        rebound = [name for name in names if name in before and name in after and before[name] is not after[name]]
        altered = self._graph.altered()
        changed = set(self._names_of(altered, after)) - set(rebound)
        return {
            "bound": [name for name in names if name not in before],
            "rebound": rebound,
            "changed": [name for name in names if name in changed and name in before],
            "deleted": [name for name in names if name not in after],
            "unchecked": [name for name in self._roots if name in self._graph.partly and name not in changed],
        }

    def written_files(self) -> list[str]:
        """Files that were mapped and would have been written. SQLite keeps its locks in its own (``-shm``)."""
        return [
            file.path
            for file, own in self._files
            if not file.path.endswith("-shm") and self._memory.own(file.start, file.end) > own
        ]

    def databases(self) -> list[str]:
        """Files of the SQLite connections that the code can reach. From now on none of these waits for a lock, which
        cannot be had on a file that is open for reading."""
        sqlite = sys.modules.get("sqlite3")
        found = []
        for value in map(self._before.get, self._roots):
            if sqlite is not None and isinstance(value, sqlite.Connection):
                with contextlib.suppress(sqlite.Error):
                    value.execute("PRAGMA busy_timeout = 0")
                    found += [row[2] for row in value.execute("PRAGMA database_list") if row[2]]
        return found

    def _is_users(self, name: object) -> bool:
        return isinstance(name, str) and name not in self._shell.user_ns_hidden

    def _names_of(self, altered: Altered, namespace: Mapping[Any, Any]) -> Iterator[str]:
        """Names of what was altered, also of those that the code did not name but that hold the same objects."""
        if not altered.objects:
            return
        end = time.perf_counter() + _SECONDS
        for name, value in self._before.items():
            if not self._is_users(name) or namespace.get(name) is not value or is_atom(value):
                continue
            if id(value) in altered.objects or (name not in self._roots and _shares(value, altered, end)):
                yield name


class Altered:
    """Ids of the objects that were altered or hold one that was, and the memory that was written."""

    def __init__(self) -> None:
        self.objects: set[int] = set()
        self.memory: list[tuple[int, int]] = []


class Graph:
    """The objects that some names reach, with their states when they were added."""

    def __init__(self, memory: Memory, end: float) -> None:
        self.partly: set[str] = set()
        self._memory = memory
        self._end = end
        self._states: dict[int, tuple[Any, State]] = {}

    def add(self, name: str, root: Any) -> None:
        """Everything that ``root`` holds, within the time and number of objects that are left."""
        for value in self._walk([root]):
            if len(self._states) >= _MOST_OBJECTS or time.perf_counter() > self._end:
                self.partly.add(name)
                return
            seen = self._look(value, self._memory)
            self._states[id(value)] = (value, seen)
            if not seen.whole:
                self.partly.add(name)

    def altered(self) -> Altered:
        """Compares. An object that can no longer be looked into, such as a closed database, counts as altered."""
        found = Altered()
        holders: dict[int, list[int]] = {}
        blind = Memory.blind()
        for key, (value, old) in self._states.items():
            for held in old.held:
                holders.setdefault(id(held), []).append(key)
            if old is NOTHING:
                continue
            if self._look(value, blind).token != old.token:
                found.objects.add(key)
            elif written := [part for mark in old.marks for part in self._memory.written(mark)]:
                found.objects.add(key)
                found.memory += written
        waiting = list(found.objects)
        while waiting:
            above = set(holders.get(waiting.pop(), ())) - found.objects
            found.objects |= above
            waiting += above
        return found

    def _look(self, value: Any, memory: Memory) -> State:
        try:
            return state(value, memory)
        except Exception:  # a closed database, a frame of another version of its library
            return State(whole=False)

    def _walk(self, roots: Iterable[Any]) -> Iterator[Any]:
        waiting = deque(roots)
        while waiting:
            value = waiting.popleft()
            if is_atom(value) or id(value) in self._states:
                continue
            yield value
            if id(value) in self._states:
                waiting.extend(self._states[id(value)][1].held)


def _shares(root: Any, altered: Altered, end: float) -> bool:
    """Whether an object that the code did not name holds one that was altered, or memory that was written."""
    memory = Memory.blind()
    seen: set[int] = set()
    waiting = deque([root])
    while waiting and time.perf_counter() < end:
        value = waiting.popleft()
        if id(value) in seen or is_atom(value):
            continue
        seen.add(id(value))
        if id(value) in altered.objects or _overlaps(value, altered.memory):
            return True
        with contextlib.suppress(Exception):  # not whole, as above
            waiting.extend(state(value, memory).held)
    return False


def _overlaps(value: Any, memory: Sequence[tuple[int, int]]) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None or not memory or not isinstance(value, numpy.ndarray):
        return False
    return any(start < high and low < start + size for start, size in tables.extents(value) for low, high in memory)
