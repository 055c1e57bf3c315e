"""Taking back what a words cell changed in the namespace.

Before the cell runs, the bindings of all names are noted, and the contents of every mutable object that the names
reach which the cell will change. Restoring puts those contents back into the *same* objects, so whatever else refers to
them, in the namespace or inside other objects, sees the old state too, and sharing stays as it was.
"""

from __future__ import annotations

import gc
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field

from famulus.jupyter_kernel import undo_libraries as libraries
from famulus.jupyter_kernel.undo_contents import Content, Walk
from famulus.jupyter_kernel.undo_surroundings import Surroundings

CAP = 256 << 20
"""Bytes that the copies of one cell may take."""
LIGHT = 16 << 20
"""Bytes that copies of what a cell only reads may take."""
HELD = 1 << 30
"""Bytes that several cells may keep for ``%undo``; of the oldest it is given up first."""
CHANGED = "its contents were changed since"
IPYTHONS = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|_[iod]h|__\w+__|_exit_code|In|Out|exit|quit|get_ipython|open")
"""Names in the namespace that the shell binds."""
MISSING = object()


@dataclass(frozen=True)
class Undone:
    """What :meth:`Snapshot.restore` did: names put back, names removed, what is as the cell left it and why, and what
    was done around the namespace."""

    restored: tuple[str, ...]
    removed: tuple[str, ...]
    left: dict[str, str]
    around: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What was done to the namespace, in one line."""
        names = [name for name in (*self.restored, *self.removed) if not name.startswith("_")]
        parts = [
            (what, [name for name in done if name in names or not names])
            for what, done in (("put back", self.restored), ("removed", self.removed))
        ]
        done = " and ".join(f"{what} {', '.join(some)}" for what, some in parts if some)
        return done or "nothing in the namespace " + ("was put back" if self.left else "had changed")

    @property
    def more(self) -> list[str]:
        """What could not be done and what was done around the namespace, in lines."""
        partly = set(self.restored) & set(self.left)
        lines = [
            f"{name} {'came back only in part' if name in partly else 'was left as it is'}: {reason}."
            for name, reason in self.left.items()
        ]
        return [*lines, *self.around]


@dataclass
class Snapshot:
    """The namespace before a cell. ``unsaved``: names whose contents could not be kept, with the reason; ``unsure``:
    the same for names that the cell was not expected to change. ``size``: bytes of the copies. ``same``: names whose
    objects were reached from other names first, with these."""

    names: dict[str, object]
    contents: dict[str, list[Content]] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, str] = field(default_factory=dict)
    size: int = 0
    after: dict[str, object] = field(default_factory=dict)
    made: dict[str, list[Content]] = field(default_factory=dict)
    around: Surroundings = field(default_factory=Surroundings)
    same: dict[str, set[str]] = field(default_factory=dict)

    def settle(self, namespace: MutableMapping[str, object], skip: Iterable[str] = (), *, failed: bool = False) -> None:
        """The cell has run, or ``failed`` half way: what it bound, rebound, deleted and changed is now known."""
        skipped = set(skip)
        now = {name: value for name, value in namespace.items() if _is_users(name) and name not in skipped}
        names = {name: value for name, value in self.names.items() if name not in skipped}
        touched = {name for name in (*now, *names) if now.get(name, MISSING) is not names.get(name, MISSING)}
        self.after = {name: now.get(name, MISSING) for name in touched}
        self.made = _contents({name: value for name, value in self.after.items() if value is not MISSING})
        # Whatever the cell left alone is not held on to: that would keep memory for nothing.
        self.names = {name: names[name] for name in touched if name in names}
        changed = {name: [one for one in contents if one.settle()] for name, contents in self.contents.items()}
        self.contents = {name: contents for name, contents in changed.items() if contents}
        if failed:
            self.unsaved = {**self.unsure, **self.unsaved}
        self.unsure = {}
        self.around.settle()

    @property
    def held(self) -> int:
        """Bytes that are kept for this cell: copies, and objects that it replaced, as far as their size is known."""
        return (self.size if self.contents else 0) + sum(
            map(libraries.size, {id(one): one for one in self.names.values()}.values())
        )

    def restore(self, namespace: MutableMapping[str, object]) -> Undone:
        """Puts everything back that nobody has bound or changed anew since."""
        restored, removed, left = [], [], dict(self.unsaved)
        edited = {name for name, contents in self.made.items() if any(one.differs for one in contents)}
        for name, mine in self.after.items():
            if namespace.get(name, MISSING) is not mine:
                left[name] = "it was bound anew since"
            elif name in edited:
                left[name] = CHANGED
            elif name in self.names:
                namespace[name] = self.names[name]
                restored.append(name)
            else:
                namespace.pop(name, None)
                removed.append(name)
        # All are looked at before any is put back: a view shows what happens to its array.
        touched = {name for name, contents in self.contents.items() if any(one.touched for one in contents)}
        left |= dict.fromkeys(touched, CHANGED)
        for name, contents in self.contents.items():
            if name in touched:
                continue
            failures = [error for one in contents if (error := _attempt(one.put_back))]
            if failures:
                left[name] = failures[0]
            elif name not in restored:
                restored.append(name)
        back = set(restored)
        restored += [name for name, others in self.same.items() if others & back and name not in {*back, *left}]
        return Undone(tuple(restored), tuple(removed), left, self.around.restore())


def take(
    namespace: MutableMapping[str, object], changing: Iterable[str], perhaps: Iterable[str] = (), *, cap: int = CAP
) -> Snapshot:
    """Notes all bindings, and the contents of what the names ``changing`` reach, within ``cap`` bytes. Names that the
    cell reads and should not change, ``perhaps``, are noted as well where that costs little: it may do more than its
    rehearsal showed."""
    # The copies are many objects and none of them is garbage.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _take(namespace, changing, perhaps, cap)
    finally:
        if collecting:
            gc.enable()


def _take(
    namespace: MutableMapping[str, object], changing: Iterable[str], perhaps: Iterable[str], cap: int
) -> Snapshot:
    snapshot = Snapshot({name: value for name, value in namespace.items() if _is_users(name)})
    seen: dict[int, object] = {}
    owners: dict[int, str] = {}
    for names, most, problems in ((changing, cap, snapshot.unsaved), (perhaps, min(LIGHT, cap), snapshot.unsure)):
        for name in names:
            if name in snapshot.names and name not in snapshot.contents and name not in snapshot.unsaved:
                walk = Walk(seen, max(most - snapshot.size, 0))
                known = len(seen)
                walk.reach(snapshot.names[name])
                owners |= dict.fromkeys(itertools.islice(seen, known, None), name)
                if names is changing and (met := {owners[one] for one in walk.met if owners[one] != name}):
                    snapshot.same[name] = met
                if walk.problem:
                    problems[name] = walk.problem
                if not walk.over:
                    snapshot.contents[name] = walk.contents
                    snapshot.size += walk.size
    return snapshot


def _contents(values: Mapping[str, object]) -> dict[str, list[Content]]:
    """What the cell made, as far as looking at it costs little: to see later whether the user went on with it."""
    walks = {name: Walk({}, LIGHT) for name in values}
    for name, walk in walks.items():
        walk.reach(values[name])
    return {name: walk.contents for name, walk in walks.items() if not walk.over}


def within(snapshots: list[Snapshot], most: int = HELD) -> int:
    """How many of these, counted from the newest, may be kept in ``most`` bytes. The newest always may."""
    total = 0
    for number, snapshot in enumerate(reversed(snapshots)):
        total += snapshot.held
        if total > most and number:
            return number
    return len(snapshots)


def _attempt(put_back: Callable[[], object]) -> str:
    try:
        put_back()
    except Exception as error:
        return f"it could not be put back ({type(error).__name__}: {error})"
    return ""


def _is_users(name: str) -> bool:
    return not IPYTHONS.fullmatch(name)
