"""Which functions are asked about, and what is remembered of the answers.

Asked about are functions that changed since their file was opened, a few at each pause. A function whose text was
judged once is not judged again, wherever it moves.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass

from famulus.lsp_server.documents import Change, Snapshot, Text
from famulus.lsp_server.prediction.finding import Finding, Fix
from famulus.lsp_server.prediction.surprise.decide import Hint, Rule, choose, first_weight, weight
from famulus.lsp_server.prediction.surprise.scoring import FOLLOWING, Asker, context, contrast, examine
from famulus.lsp_server.prediction.surprise.source import Function, Source
from famulus.lsp_server.syntax.python import parses

LINES = 80
"""A longer function is not looked at."""
AT_ONCE = 3
"""Functions that one pause is spent on, nearest to the last edit first."""
REMEMBERED = 512
"""Functions of one document whose answers are kept."""


@dataclass(frozen=True)
class _Remark:
    """A hint, with offsets from the start of its function."""

    start: int
    end: int
    original: str
    replacement: str
    sure: bool


class Memory:
    """What is known of one document. ``opened``: its text when it was opened, which is not judged."""

    def __init__(self, opened: Text) -> None:
        self._opened = opened
        self._ready = False
        self.remarks = False
        """Whether there ever was a hint."""
        self._known: OrderedDict[str, tuple[_Remark, ...]] = OrderedDict()

    def known(self, text: str) -> tuple[_Remark, ...] | None:
        """The remarks on a function of this text; None: it was not judged."""
        if text in self._known:
            self._known.move_to_end(text)
        return self._known.get(text)

    def keep(self, text: str, remarks: tuple[_Remark, ...]) -> None:
        """Remember the answer."""
        self._known[text] = remarks
        self.remarks = self.remarks or bool(remarks)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def prepare(self) -> None:
        """Look at the text as it was opened, once."""
        if not self._ready:
            source = await asyncio.to_thread(parsed, self._opened)
            if source is not None:
                for function in source.functions[-REMEMBERED:]:
                    self._known.setdefault(_text(source, function), ())
            self._ready, self._opened = True, Text()


def parsed(text: Text) -> Source | None:
    """The source with its functions; None if it does not parse."""
    try:
        source = Source(text)
        _ = source.functions
    except SyntaxError:
        return None
    return source


async def recalled(memory: Memory, seen: Snapshot) -> list[Finding]:
    """The hints for functions that were judged before; asks nobody."""
    if not memory.remarks:
        return []
    source = await asyncio.to_thread(parsed, seen.text)
    return _all(memory, source) if source is not None else []


async def findings(asker: Asker, rule: Rule, memory: Memory, seen: Snapshot, edited: int) -> list[Finding]:
    """The hints for a text; ``edited``: where it was changed last. Asks the model about functions that are new.

    Raises the engine's typed errors. Cancelling stops the model as well; what it said so far is remembered.
    """
    await memory.prepare()
    source = await asyncio.to_thread(parsed, seen.text)
    if source is None:
        return []
    fresh = [f for f in source.functions if memory.known(_text(source, f)) is None and _short(source, f)]
    fresh.sort(key=lambda f: max(f.start - edited, edited - f.end, 0))
    for function in fresh[:AT_ONCE]:
        remarks = await _judge(asker, rule, source, function, seen)
        memory.keep(_text(source, function), remarks)
    return _all(memory, source)


def _all(memory: Memory, source: Source) -> list[Finding]:
    return [
        _finding(remark, function.start)
        for function in source.functions
        for remark in memory.known(_text(source, function)) or ()
    ]


async def _judge(asker: Asker, rule: Rule, source: Source, function: Function, seen: Snapshot) -> tuple[_Remark, ...]:
    name = seen.path.name if seen.path is not None else "untitled.py"
    evidence = await examine(asker, source, function, context(source, function, name), kinds=rule.kinds)
    worth = [e for e in evidence if first_weight(e) >= rule.threshold]
    if not worth:
        return ()
    other = await contrast(asker, source, function, name, worth)
    gains = {alternative: found.gain(FOLLOWING) for alternative, found in other.items()}
    hints = choose(evidence, lambda e: weight(e, gains.get(e.alternative, -math.inf)), rule.threshold)
    valid = await asyncio.to_thread(
        lambda: [hint for hint in hints if parses(hint.evidence.alternative.applied(source.text.value))]
    )
    return tuple(_remark(hint, rule, function.start) for hint in valid)


def _remark(hint: Hint, rule: Rule, start: int) -> _Remark:
    change = hint.evidence.alternative
    sure = hint.weight >= rule.sure
    return _Remark(change.start - start, change.end - start, change.original, change.replacement, sure)


def _finding(remark: _Remark, start: int) -> Finding:
    old, new = remark.original.strip(), remark.replacement.strip()
    degree = "very likely" if remark.sure else "likely"
    if not old:
        said, title = f"`{new}` may be missing here", f"Insert {new}"
    elif not new:
        said, title = f"`{old}` may be one too many", f"Remove {old}"
    else:
        said, title = f"`{new}` may be meant here instead of `{old}`", f"Change to {new}"
    fix = Fix(title, (Change(start + remark.start, start + remark.end, remark.replacement),))
    end = start + max(remark.end, remark.start + 1)
    message = f"{said} (the model finds it {degree})."
    return Finding(start + remark.start, end, message, "surprise", "hint", "surprise", fixes=(fix,))


def _text(source: Source, function: Function) -> str:
    return source.text.value[function.start : function.end]


def _short(source: Source, function: Function) -> bool:
    return source.text.place(function.end)[0] - source.text.place(function.start)[0] < LINES
