"""What a call did, and how two answers to one call differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from famulus.lsp_server.execution import rendering
from famulus.lsp_server.execution.rendering import Form

_ROUNDING = 1e-12
Kind = Literal["value", "raised", "ended", "invalid"]
What = Literal["value", "type", "exception", "message", "argument", "state", "output", "end"]


@dataclass(frozen=True)
class Outcome:
    """The worker's answer to one call.

    ``value``: it returned. ``raised``: an exception. ``ended``: its process did not survive it, or was stopped.
    ``invalid``: its arguments could not be made.
    """

    answer: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """Which of the four it is."""
        kinds: tuple[Kind, ...] = ("value", "raised", "ended")
        for kind in kinds:
            if kind in self.answer:
                return kind
        return "invalid"

    @property
    def value(self) -> Form:
        """Form of the result, or of the exception."""
        form: Form = self.answer.get("value") or self.answer.get("raised") or []
        return form

    @property
    def exception(self) -> str:
        """Name of the exception's class; empty if there is none."""
        return str(self.answer["raised"][1]) if self.kind == "raised" else ""

    @property
    def message(self) -> str:
        """The exception's text."""
        return str(self.answer.get("message", ""))

    @property
    def drawn(self) -> bool:
        """Whether the exception came when the first item was asked for."""
        return bool(self.answer.get("drawn"))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the exception's class and its bases, up to ``Exception``."""
        return tuple(self.answer.get("kinds", ()))

    @property
    def at(self) -> tuple[str, int] | None:
        """Path and line of the project's innermost frame of the exception, if the exception began there."""
        at = list(self.answer.get("at", []))
        return (str(at[0]), int(at[1])) if len(at) == 3 and at[2] else None

    @property
    def ended(self) -> str:
        """``cpu``, ``wall``, ``died`` or ``skipped``; empty if it came to its end."""
        return str(self.answer.get("ended", ""))

    @property
    def detail(self) -> str:
        """How its process ended, or why it is invalid."""
        return str(self.answer.get("detail") or self.answer.get("invalid") or "")

    @property
    def cpu(self) -> float:
        """CPU seconds."""
        return float(self.answer.get("cpu", 0.0))

    @property
    def wall(self) -> float:
        """Seconds that passed."""
        return float(self.answer.get("wall", 0.0))

    @property
    def lines(self) -> frozenset[int]:
        """Lines of the module that it reached, if they were asked for."""
        return frozenset(self.answer.get("lines", ()))

    @property
    def arcs(self) -> frozenset[tuple[int, int]]:
        """Pairs of lines that were run one after the other in one frame, if they were asked for; 0 is its end."""
        return frozenset((int(a), int(b)) for a, b in self.answer.get("arcs", ()))

    @property
    def asked(self) -> frozenset[str]:
        """What else than its arguments it asked, if that was traced: ``clock``, ``random``, ``entropy``."""
        return frozenset(self.answer.get("asked", ()))

    @property
    def files(self) -> Mapping[str, str]:
        """Text of the files that it wrote in the folder that was made for it, by their path in there."""
        return dict(self.answer.get("files", {}))

    @property
    def output(self) -> str:
        """What it printed."""
        return str(self.answer.get("out", ""))

    @property
    def arguments(self) -> Mapping[str, Form]:
        """Arguments that it changed, by position or name, as they are afterwards."""
        return dict(self.answer.get("args", {}))

    @property
    def receiver(self) -> Form:
        """The object after the call, if that changed it; else empty."""
        return list(self.answer.get("receiver", []))

    @property
    def receiver_before(self) -> Form:
        """The object before the call, if that changed it; else empty."""
        return list(self.answer.get("receiver_before", []))

    @property
    def looks(self) -> Sequence[tuple[str, Form]]:
        """What its result tells to others, if that was asked: an expression with ``{}`` for it, and what that gives."""
        return [(str(text), form) for text, form in self.answer.get("looks", ())]

    @property
    def receiver_looks(self) -> Sequence[tuple[str, Form]]:
        """The same of the object that it changed."""
        return [(str(text), form) for text, form in self.answer.get("receiver_looks", ())]

    @property
    def warned(self) -> tuple[str, ...]:
        """Classes of the warnings that it gave."""
        return tuple(dict.fromkeys(str(kind) for kind, _ in self.answer.get("warned", ())))

    @property
    def effects(self) -> tuple[str, ...]:
        """What it tried to do outside its process: ``open:w``, ``socket.connect``, ``os.remove``, ..."""
        return tuple(self.answer.get("effects", ()))

    def same(self, other: Outcome) -> bool:
        """Whether both are alike in everything that a caller sees."""
        names = ("value", "raised", "message", "ended", "args", "receiver", "out", "files", "looks", "receiver_looks")
        return all(self.answer.get(name) == other.answer.get(name) for name in names)

    @property
    def key(self) -> str:
        """Text that is the same for outcomes of one kind, value, effect and output."""
        return json.dumps([self.kind, self.value, self.ended, self.arguments, self.receiver, self.output])

    def shown(self, limit: int = 100) -> str:
        """In a few words: a value, ``raises KeyError('a')``, ``does not end``."""
        if self.kind == "value":
            return rendering.shown(self.value, limit)
        if self.kind == "raised":
            return f"raises {rendering.shown(self.value, limit)}"
        if self.ended == "cpu":
            return "does not end"
        return self.detail or self.ended


@dataclass(frozen=True)
class Difference:
    """How two answers differ. ``path``: where in the value, as Python that follows an expression (``[0].name``);
    ``old`` and ``new``: what stands there, in words; ``name``: of the argument that differs."""

    what: What
    old: str
    new: str
    path: str = ""
    name: str = ""
    old_form: tuple[Any, ...] = ()

    @property
    def slight(self) -> bool:
        """Whether only the sign of a zero differs, which few readers would take for an answer of its own."""
        return {self.old, self.new} == {"0.0", "-0.0"}


def difference(old: Outcome, new: Outcome) -> Difference | None:
    """How ``new`` differs from ``old`` in what a caller sees; None if it does not."""
    if old.kind == "invalid" or new.kind == "invalid" or "skipped" in (old.ended, new.ended):
        return None
    if old.kind != new.kind or old.kind == "ended":
        if old.kind == new.kind:
            return None
        what: What = "end" if "ended" in (old.kind, new.kind) else "exception"
        return Difference(what, old.shown(), new.shown())
    if old.kind == "raised" and old.exception != new.exception:
        return Difference("exception", old.shown(), new.shown())
    for what, name, left, right in _seen(old, new):
        found = unlike(left, right)
        if found is not None:
            path, was, now = found
            what = "type" if what == "value" and _equal_numbers(was, now) else what
            return Difference(what, rendering.shown(was), rendering.shown(now), path, name, tuple(was))
    if old.output != new.output:
        return Difference("output", repr(old.output)[:200], repr(new.output)[:200])
    if old.kind == "raised" and old.message != new.message:
        return Difference("message", old.shown(), new.shown())
    return None


def _seen(old: Outcome, new: Outcome) -> list[tuple[What, str, Form, Form]]:
    pairs: list[tuple[What, str, Form, Form]] = []
    if old.kind == "value":
        pairs.append(("value", "", old.value, new.value))
    before, after = old.arguments, new.arguments
    for name in sorted(before.keys() | after.keys()):
        pairs.append(("argument", name, before.get(name, []), after.get(name, [])))
    pairs.append(("state", "", old.receiver, new.receiver))
    return pairs


def unlike(old: Form, new: Form) -> tuple[str, Form, Form] | None:
    """The first place where two forms differ for a caller, and what stands there; None if there is none.

    Private attributes count only as long as both sides have the same ones, of the same types: how an object keeps what
    it knows is its own affair. So does not whether an iterator is a generator, a ``map`` or a ``zip``.
    """
    if old == new:
        return None
    if not old or not new or old[0] != new[0] or old[0] == "cut" or new[0] == "cut":
        return None if "cut" in (old[:1] + new[:1]) else ("", old, new)
    match old[0]:
        case "list" | "tuple" | "deque" | "iterator":
            if len(old[1]) == len(new[1]) and len(old) == len(new):
                for position, (left, right) in enumerate(zip(old[1], new[1], strict=True)):
                    found = unlike(left, right)
                    if found is not None and old[0] == "iterator":
                        break  # it cannot be indexed: the whole is shown
                    if found is not None:
                        return f"[{position}]{found[0]}", found[1], found[2]
                else:
                    return None
            return "", old, new
        case "dict" | "OrderedDict" | "Counter" | "defaultdict" | "mappingproxy":
            if [key for key, _ in old[1]] == [key for key, _ in new[1]]:
                for (key, left), (_, right) in zip(old[1], new[1], strict=True):
                    found = unlike(left, right)
                    if found is not None:
                        return f"[{rendering.shown(key, 1000)}]{found[0]}", found[1], found[2]
                return None
            return "", old, new
        case "object":
            return _unlike_objects(old, new)
        case "function" | "again":
            return None
        case "float" if float(old[1]) and math.isclose(float(old[1]), float(new[1]), rel_tol=_ROUNDING):
            return None  # the order of a sum is no behaviour
        case _:
            return "", old, new


def _equal_numbers(old: Form, new: Form) -> bool:
    """Whether two numbers differ in their type only: ``1``, ``1.0`` and ``True``."""
    if not {old[0], new[0]} <= {"int", "float", "bool"} or old[0] == new[0]:
        return False
    return float(old[1]) == float(new[1])


def _unlike_objects(old: Form, new: Form) -> tuple[str, Form, Form] | None:
    if old[1] != new[1]:
        return "", old, new
    was, now = dict(old[2]), dict(new[2])
    hidden = {name for name in was.keys() | now.keys() if name.startswith("_")}
    representation = [{name: form[0] for name, form in side.items() if name in hidden} for side in (was, now)]
    compared = was.keys() | now.keys() if representation[0] == representation[1] else (was.keys() | now.keys()) - hidden
    for name in sorted(compared):
        if name not in was or name not in now:
            return "", old, new
        found = unlike(was[name], now[name])
        if found is not None:
            return (f".{name}" if name else "") + found[0], found[1], found[2]
    return None
