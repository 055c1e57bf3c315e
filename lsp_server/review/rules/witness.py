"""Rule 3: both versions of a changed function are called with the same arguments, and they answer differently."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.review.finding import Finding, Place
from famulus.lsp_server.review.rule import Clock, Context, Rule, Stage, TimeUp

if TYPE_CHECKING:
    from famulus.lsp_server.execution.interpreter import Interpreter
    from famulus.lsp_server.execution.lanes import Lanes
    from famulus.lsp_server.execution.mining import Mine
    from famulus.lsp_server.execution.pair import Pair
    from famulus.lsp_server.execution.recording import Recording
    from famulus.lsp_server.execution.search import Found
    from famulus.lsp_server.review.rules.witness_changes import Changed
    from famulus.lsp_server.review.rules.witness_search import Looking

_SECONDS = 1.5
"""The longest that one function is looked at."""
_THROUGH = 0.7
"""The part of that for which it is looked at through functions that come to it, if calls of it show nothing."""
_AROUND = 10.0
"""The longest that all of them together are looked at through others."""
_TOGETHER = 8
"""Functions of a file that one process looks at, one after the other."""
_RECORDED, _WAITED = 15.0, 6.0
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

        items = list(changed(context))
        if not items:
            return
        if context.run_code == "no":
            context.left_out.append(f"{_many(items)} not run: running code was not allowed.")
            return
        if context.run_code == "sandboxed" and (reason := version.can_run()):
            context.left_out.append(f"{_many(items)} not run. {reason}")
            return
        try:
            python = interpreter.find(context.root, context.interpreter, run=context.run_code)
            if python.note:
                context.left_out.append(python.note)
            work: Lanes[Changed, Finding | str] = lanes.Lanes(context.clock.check)
            count = lanes.many(len(items))
            with pair.pairs(context.change, python.path, count, run=context.run_code, check=work.check) as found:
                yield from _Run(context, found, work, python, items).findings()
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
    ) -> None:
        from famulus.lsp_server.execution.mining import Mine
        from famulus.lsp_server.review.rules.witness_search import Looking

        self.context, self.pairs, self.lanes, self.python, self.items = context, pairs, lanes, python, items
        self.layout = pairs[0].old_layout
        self.mine: Mine = Mine(context.change.new)
        self.reading = threading.Lock()
        """For what reads the project, and remembers it: by one lane at a time."""
        self.looking: Looking = Looking(context.change, pairs, self.mine, self.reading)
        self.failed: set[str] = set()
        """Paths that were told of, and causes."""
        self.waiting = {id(item): item for item in items}
        self.unshown: dict[int, Changed] = {}
        self.unusable: dict[int, Changed] = {}

    def findings(self) -> Iterator[Finding]:
        """What differs; who is not reached is named."""
        with contextlib.ExitStack() as stack:
            recording = self._recording()
            if recording is not None:
                stack.enter_context(recording)
            try:
                yield from self._in_lanes(self.items, self._first)
            except TimeUp:
                self._name_the_rest(list(self.waiting.values()))
                raise
            if recording is not None and self.unshown:
                yield from self._again(recording)
            yield from self._around()
        unusable = [item.new.name for item in self.items if id(item) in self.unusable]
        if unusable:
            names = ", ".join(f"{name}()" for name in unusable[:5])
            more = f" and {len(unusable) - 5} more" if len(unusable) > 5 else ""
            self.context.left_out.append(f"No arguments were found that {names}{more} can be compared with.")

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

        yield f"running {item.new.name} of {item.file.path}"
        try:
            with self.reading:
                mined = self.mine.of(item.old, item.file.old_path or "", top_names(item.file.old_text))
            result = self.looking.directly(pair, item, mined.calls, self._seconds())
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
                result = self.looking.directly(pair, item, known[id(item)], self._seconds())
                yield from self._told(item, result)
                if result.usable:
                    self.unusable.pop(id(item), None)
                if result.witnesses:
                    del self.unshown[id(item)]
            del self.waiting[id(item)]

        yield from self._in_lanes(list(self.waiting.values()), again)

    def _around(self) -> Iterator[Finding]:
        """What is still not shown, through functions that come to it: when all were looked at, since it takes long."""
        self.waiting = {id(item): item for item in self.items if id(item) in self.unshown}
        clock = Clock(min(_AROUND, self.context.clock.left / 2))

        def around(pair: Pair, item: Changed) -> Iterator[Finding | str]:
            if clock.left <= 0:
                return
            yield f"running what comes to {item.new.name} of {item.file.path}"
            result = self.looking.through(pair, item, min(self._seconds() * _THROUGH, clock.left))
            if result is not None:
                yield from self._told(item, result)
            del self.waiting[id(item)]

        yield from self._in_lanes(list(self.waiting.values()), around)
        if self.waiting:
            names = ", ".join(f"{item.new.name}()" for item in list(self.waiting.values())[:5])
            more = f" and {len(self.waiting) - 5} more" if len(self.waiting) > 5 else ""
            self.context.left_out.append(f"No time was left to call {names}{more} through the functions around them.")

    def _told(self, item: Changed, result: Found) -> Iterator[Finding]:
        from famulus.lsp_server.review.rules.witness_wording import finding

        if result.witnesses:
            with self.reading:
                callers = self._callers(item)
            yield finding(item, result, result.module, callers)

    def _not_imported(self, pair: Pair, item: Changed, error: Exception) -> Iterator[Finding]:
        """Only the new version fails: that is a finding, unless it needs a package that is not there."""
        from famulus.lsp_server.execution.errors import ImportFailed
        from famulus.lsp_server.review.rules.witness_wording import broken_import

        assert isinstance(error, ImportFailed)
        if not self._first_time(item.file.path):
            return
        old = self.layout.module(item.file.old_path or "")
        new_only = False
        if old is not None and error.kind not in ("", "ModuleNotFoundError"):
            with contextlib.suppress(ImportFailed):
                pair.old.open(old[0])
                new_only = True
        if new_only:
            cause = f"{error.at} {error.reason}"  # one broken module takes those with it that import it
            if self._first_time(cause):
                yield broken_import(item, error)
        else:
            reason = error.reason.strip().splitlines()[-1]
            self.context.left_out.append(f"Nothing in {item.file.path} was run: it cannot be imported ({reason}).")

    def _first_time(self, what: str) -> bool:
        """Whether a path or a cause was not told of before."""
        with self.reading:
            known = what in self.failed
            self.failed.add(what)
            return not known

    def _recording(self) -> Recording | None:
        """Tests that speak of the changed functions, about to run beside us."""
        from famulus.lsp_server.execution.recording import Recording

        words = [w for item in self.items for w in (item.old.node.name, item.old.owner.name if item.old.owner else "")]
        tests = self.mine.tests(list(dict.fromkeys(word for word in words if word and not word.startswith("__"))))
        old = self.pairs[0].old
        if not tests or "pytest" not in self.python.has or old.run != "sandboxed" or self.context.clock.left < 5:
            return None
        there = [path for path in tests if (old.root / path).is_file()][:30]
        modules = [self.layout.module(item.file.old_path or "") for item in self.items]
        targets = [(m[0] if m else "", item.old.name) for m, item in zip(modules, self.items, strict=True)]
        seconds = min(_RECORDED, self.context.clock.left / 2)
        return Recording(old.python, old.root, old.folders, targets, there, seconds) if there else None

    def _callers(self, item: Changed) -> list[Place]:
        """Who calls the function, in the new version."""
        project = self.context.new
        module = project.module(item.file.new_path or "")
        symbol = module.by_qualname.get(item.new.name) if module is not None else None
        uses = project.callers(symbol) if symbol is not None else []
        return [project.place(use.module, use.reference) for use in uses]

    def _name_the_rest(self, rest: Sequence[Changed]) -> None:
        names = ", ".join(f"{item.new.name}()" for item in rest[:5])
        more = f" and {len(rest) - 5} more" if len(rest) > 5 else ""
        self.context.left_out.append(f"No time was left to run {names}{more}.")


def _groups(items: Sequence[Changed]) -> list[list[Changed]]:
    """Functions of one file together, since it is imported once for them, but not so many that others wait."""
    by_file: dict[str, list[Changed]] = {}
    for item in items:
        by_file.setdefault(item.file.path, []).append(item)
    return [own[n : n + _TOGETHER] for own in by_file.values() for n in range(0, len(own), _TOGETHER)]


def _many(items: Sequence[Changed]) -> str:
    return f"{len(items)} changed function{'s were' if len(items) != 1 else ' was'}"


RULE: Rule = _Witness()
