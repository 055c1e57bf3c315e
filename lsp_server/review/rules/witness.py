"""Rule 3: both versions of a changed function are called with the same arguments, and they answer differently."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import NOTHING_RUN, Clock, Context, Rule, Stage, TimeUp

if TYPE_CHECKING:
    from famulus.lsp_server.execution.calls import Call
    from famulus.lsp_server.execution.interpreter import Interpreter
    from famulus.lsp_server.execution.lanes import Lanes
    from famulus.lsp_server.execution.mining import Mine
    from famulus.lsp_server.execution.pair import Pair
    from famulus.lsp_server.execution.recording import Recording
    from famulus.lsp_server.execution.search import Found
    from famulus.lsp_server.review.rules.witness_changes import Changed
    from famulus.lsp_server.review.rules.witness_kept import Late
    from famulus.lsp_server.review.rules.witness_known import Known
    from famulus.lsp_server.review.rules.witness_search import Looking

_SECONDS = 1.5
"""The longest that one function is looked at."""
_THROUGH = 0.7
"""The part of that for which it is looked at through functions that come to it, if calls of it show nothing."""
_AROUND = 6.0
"""The longest that all of them together are looked at through others."""
_IN_VAIN = 12
"""Functions in a row for which that shows nothing, before it is given up."""
_TOGETHER = 8
"""Functions of a file that one process looks at, one after the other."""
_RECORDED, _WAITED = 15.0, 4.0
"""The longest that tests run to tell with what they call the changed functions, and that they are waited for."""


class _Witness:
    name = "witness"
    title = "calls that the new code answers differently"
    stage = Stage.RUN

    def check(self, context: Context) -> Iterator[Finding]:
        """Runs code of the project, as far as ``context.run_code`` allows it."""
        from famulus import sandbox
        from famulus.lsp_server.execution import interpreter, lanes, pair, version
        from famulus.lsp_server.execution.errors import ExecutionFailed
        from famulus.lsp_server.review.rules.witness_changes import changed
        from famulus.lsp_server.review.rules.witness_known import Known

        items = list(changed(context))
        if not items:
            return
        if context.run_code == "no":
            context.left_out.append(NOTHING_RUN)
            return
        if context.run_code == "sandboxed" and (reason := version.can_run()):
            context.left_out.append(f"{_many(items)} not run. {reason}")
            return
        try:
            path, origin = interpreter.located(context.root, context.interpreter)
            known = Known(context, path if context.run_code == "sandboxed" else None, _IN_VAIN)
            yield from known.findings(items)
            items = [item for item in items if id(item) not in known.settled]
            if not items:
                if note := interpreter.Interpreter(path, origin, (), frozenset()).note:
                    context.left_out.append(note)
                known.end()
                return
            python = interpreter.find(context.root, context.interpreter, run=context.run_code)
            if python.note:
                context.left_out.append(python.note)
            work: Lanes[Changed, Finding | str] = lanes.Lanes(context.clock.check)
            count = lanes.many(len(items))
            with pair.pairs(context.change, python.path, count, run=context.run_code, check=work.check) as found:
                try:
                    yield from _Run(context, found, work, python, items, known).findings()
                except TimeUp:
                    known.end()
                    raise
            known.end()
        except (ExecutionFailed, sandbox.SandboxError) as error:
            context.left_out.append(f"{_many(items)} not run: {error}")


class _Run:
    """One function after the other, then once more with what the tests were seen to call them with."""

    def __init__(
        self,
        context: Context,
        pairs: Sequence[Pair],
        lanes: Lanes[Changed, Finding | str],
        python: Interpreter,
        items: Sequence[Changed],
        known: Known,
    ) -> None:
        from famulus.lsp_server.execution.mining import Mine
        from famulus.lsp_server.review.rules.witness_search import Looking

        self.context, self.pairs, self.lanes, self.python, self.items = context, pairs, lanes, python, items
        self.layout = pairs[0].old_layout
        self.mine: Mine = Mine(context.change.new)
        self.reading = threading.Lock()
        """For what reads the project, and remembers it: by one lane at a time."""
        self.looking: Looking = Looking(context.change, pairs, self.mine, self.reading)
        self.known = known
        self.cut: set[int] = set()
        """Functions for which there would have been more to try."""
        self.waiting = {id(item): item for item in items}
        self.unshown: dict[int, Changed] = {}
        self.unusable = known.unusable

    def findings(self) -> Iterator[Finding]:
        """What differs; who is not reached is named."""
        with contextlib.ExitStack() as stack:
            recording = self._recording()
            if recording is not None:
                stack.enter_context(recording)
            all_were_called = False
            try:
                yield from self._in_lanes(self.items, self._first)
                all_were_called = True
                if recording is not None and self.unshown:
                    yield from self._again(recording)
                    if not recording.done:
                        self.cut.update(self.unshown)
                yield from self._around()
            except TimeUp:
                if not all_were_called:
                    self._name_the_rest(list(self.waiting.values()))
                for item in self.unshown.values():
                    self.known.nothing(item, (), late="around")
                raise

    def _in_lanes(
        self, items: Sequence[Changed], work: Callable[[Pair, Changed], Iterator[Finding | str]]
    ) -> Iterator[Finding]:
        """What ``work`` finds; the sentences that it gives besides are the progress."""
        for result in self.lanes.each(self.pairs, _groups(items), work):
            if isinstance(result, str):
                self.context.progress(result)
            else:
                yield result

    def _seconds(self) -> float:
        """For one function: of the time that is left an equal part for all that wait."""
        share = self.context.clock.share(min(1.0, len(self.pairs) / max(1, len(self.waiting))))
        return min(_SECONDS, share.left)

    def _first(self, pair: Pair, item: Changed) -> Iterator[Finding | str]:
        from famulus.lsp_server.execution.errors import ImportFailed
        from famulus.lsp_server.execution.mining import top_names

        yield f"running {item.name} of {item.file.path}"
        try:
            with self.reading:
                mined = self.mine.of(item.old, item.file.old_path or "", top_names(item.file.old_text))
            result = self._directly(pair, item, mined.calls)
        except ImportFailed as error:
            del self.waiting[id(item)]
            yield from self._not_imported(pair, item, error)
            return
        del self.waiting[id(item)]
        yield from self._told(item, result)
        if not result.witnesses:
            self.unshown[id(item)] = item
            if not result.usable:
                self.unusable[id(item)] = item

    def _directly(self, pair: Pair, item: Changed, calls: Sequence[Call]) -> Found:
        seconds, began = self._seconds(), time.monotonic()
        result = self.looking.directly(pair, item, calls, seconds)
        if seconds < _SECONDS and time.monotonic() - began > seconds / 2:  # it might have gone on
            self.cut.add(id(item))
        return result

    def _again(self, recording: Recording) -> Iterator[Finding]:
        """What was not shown differently, with arguments that tests were seen to use."""
        from famulus.lsp_server.execution.errors import ImportFailed
        from famulus.lsp_server.execution.recording import as_calls

        recorded = recording.wait(min(_WAITED, self.context.clock.left / 3), self.context.clock.check)
        known = {
            id(item): calls
            for item, own in zip(self.items, recorded, strict=True)
            if id(item) in self.unshown and (calls := as_calls(item.old, own, item.file.old_text))
        }
        self.waiting = {id(item): item for item in self.items if id(item) in known}

        def again(pair: Pair, item: Changed) -> Iterator[Finding | str]:
            with contextlib.suppress(ImportFailed):
                result = self._directly(pair, item, known[id(item)])
                yield from self._told(item, result)
                if result.usable:
                    self.unusable.pop(id(item), None)
                if result.witnesses:
                    del self.unshown[id(item)]
            del self.waiting[id(item)]

        yield from self._in_lanes(list(self.waiting.values()), again)

    def _around(self) -> Iterator[Finding]:
        """What is still not shown, through functions that come to it: when all were looked at, since it takes long.

        Those come first that no call could be made of."""
        last = sorted(self.unshown.values(), key=lambda item: id(item) not in self.unusable)
        self.waiting = {id(item): item for item in last}
        clock = Clock(min(_AROUND, self.context.clock.left / 2))
        vain: list[Changed] = []

        def around(pair: Pair, item: Changed) -> Iterator[Finding | str]:
            if clock.left <= 0 or len(vain) >= _IN_VAIN:
                return
            yield f"running what comes to {item.name} of {item.file.path}"
            seconds, began = min(self._seconds() * _THROUGH, clock.left), time.monotonic()
            result = self.looking.through(pair, item, seconds)
            if seconds < _SECONDS * _THROUGH and time.monotonic() - began > seconds / 2:
                self.cut.add(id(item))
            if result is None:
                vain.append(item)
            else:
                vain.clear()
                yield from self._told(item, result)
                if result.witnesses:
                    self.unshown.pop(id(item), None)
            del self.waiting[id(item)]

        yield from self._in_lanes(list(self.waiting.values()), around)
        given_up = len(vain) >= _IN_VAIN
        for item in self.unshown.values():
            not_called, cut = id(item) in self.waiting, id(item) in self.cut
            late: Late = "around" if not_called and not given_up else "itself" if cut else ""
            own = self.looking.around.get(id(item), ())
            self.known.nothing(item, own, given_up=not_called and given_up, late=late)

    def _told(self, item: Changed, result: Found) -> Iterator[Finding]:
        from famulus.lsp_server.review.rules.witness_wording import finding

        if result.witnesses:
            with self.reading:
                callers = self.known.callers(item)
            found = finding(item, result, result.module, callers)
            self.known.shown(item, found)
            yield found

    def _not_imported(self, pair: Pair, item: Changed, error: Exception) -> Iterator[Finding]:
        """Only the new version fails: that is a finding, unless it needs a package that is not there."""
        from famulus.lsp_server.execution.errors import ImportFailed

        assert isinstance(error, ImportFailed)
        old = self.layout.module(item.file.old_path or "")
        new_only = False
        if old is not None and error.kind not in ("", "ModuleNotFoundError"):
            with contextlib.suppress(ImportFailed):
                pair.old.open(old[0])
                new_only = True
        yield from self.known.not_imported(item, error, new_only=new_only)

    def _recording(self) -> Recording | None:
        """Tests that speak of the changed functions, about to run beside us."""
        from famulus.lsp_server.execution.recording import Recording

        words = [word for item in self.items for word in item.name.split(".")[-2:]]
        tests = self.mine.tests(list(dict.fromkeys(word for word in words if word and not word.startswith("__"))))
        old = self.pairs[0].old
        if not tests or "pytest" not in self.python.has or old.run != "sandboxed" or self.context.clock.left < 5:
            return None
        there = [path for path in tests if (old.root / path).is_file()][:30]
        modules = [self.layout.module(item.file.old_path or "") for item in self.items]
        targets = [(m[0] if m else "", item.name) for m, item in zip(modules, self.items, strict=True)]
        seconds = min(_RECORDED, self.context.clock.left / 2)
        return Recording(old.python, old.root, old.folders, targets, there, seconds) if there else None

    def _name_the_rest(self, rest: Sequence[Changed]) -> None:
        from famulus.lsp_server.review.rules.witness_known import named

        self.context.left_out.append(f"No time was left to run {named([item.name for item in rest])}.")


def _groups(items: Sequence[Changed]) -> list[list[Changed]]:
    """Functions of one file together, since it is imported once for them, but not so many that others wait."""
    by_file: dict[str, list[Changed]] = {}
    for item in items:
        by_file.setdefault(item.file.path, []).append(item)
    return [own[n : n + _TOGETHER] for own in by_file.values() for n in range(0, len(own), _TOGETHER)]


def _many(items: Sequence[Changed]) -> str:
    return f"{len(items)} changed function{'s were' if len(items) != 1 else ' was'}"


RULE: Rule = _Witness()
