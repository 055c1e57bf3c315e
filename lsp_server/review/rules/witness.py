"""Rule 3: both versions of a changed function are called with the same arguments, and they answer differently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.review.finding import Finding, Place
from famulus.lsp_server.review.rule import Context, Rule, Stage, TimeUp

if TYPE_CHECKING:
    from famulus.lsp_server.execution.calls import Call
    from famulus.lsp_server.execution.interpreter import Interpreter
    from famulus.lsp_server.execution.mining import Mine
    from famulus.lsp_server.execution.pair import Pair
    from famulus.lsp_server.execution.recording import Recording
    from famulus.lsp_server.execution.search import Found, Search
    from famulus.lsp_server.review.rules.witness_changes import Changed

_SECONDS = 1.5
"""The longest that one function is looked at."""
_RECORDED, _WAITED = 15.0, 6.0
"""The longest that tests run to tell with what they call the changed functions, and that they are waited for."""


class _Witness:
    name = "witness"
    title = "calls that the new code answers differently"
    stage = Stage.RUN

    def check(self, context: Context) -> Iterator[Finding]:
        """Runs code of the project, as far as ``context.run_code`` allows it."""
        from famulus import sandbox
        from famulus.lsp_server.execution import interpreter, pair, version
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
            with pair.both(context.change, python.path, run=context.run_code, check=context.clock.check) as versions:
                yield from _Run(context, versions, python, items).findings()
        except (ExecutionFailed, sandbox.SandboxError) as error:
            context.left_out.append(f"{_many(items)} not run: {error}")


class _Run:
    """One function after the other, then once more with what the tests were seen to call them with."""

    def __init__(self, context: Context, versions: Pair, python: Interpreter, items: Sequence[Changed]) -> None:
        from famulus.lsp_server.execution.mining import Mine
        from famulus.lsp_server.execution.search import Search

        self.context, self.versions, self.python, self.items = context, versions, python, items
        self.search: Search = Search(versions.old, versions.new, self._source)
        self.mine: Mine = Mine(context.change.new)
        self.failed: set[str] = set()
        """Paths that were told of, and causes."""
        self.unshown: list[Changed] = []
        self.unusable: list[Changed] = []

    def findings(self) -> Iterator[Finding]:
        """What differs; who is not reached is named."""
        with contextlib.ExitStack() as stack:
            recording = self._recording()
            if recording is not None:
                stack.enter_context(recording)
            for number, item in enumerate(self.items):
                try:
                    yield from self._first(item, len(self.items) - number)
                except TimeUp:
                    self._name_the_rest(self.items[number:])
                    raise
            if recording is not None and self.unshown:
                yield from self._again(recording)
        if self.unusable:
            names = ", ".join(f"{item.new.name}()" for item in self.unusable[:5])
            more = f" and {len(self.unusable) - 5} more" if len(self.unusable) > 5 else ""
            self.context.left_out.append(f"No arguments were found that {names}{more} can be compared with.")

    def _first(self, item: Changed, left: int) -> Iterator[Finding]:
        from famulus.lsp_server.execution.errors import ImportFailed
        from famulus.lsp_server.execution.mining import top_names

        context = self.context
        context.clock.check()
        context.progress(f"running {item.new.name} of {item.file.path}")
        seconds = min(_SECONDS, context.clock.share(1 / left).left)
        try:
            mined = self.mine.of(item.old, item.file.old_path or "", top_names(item.file.old_text))
            result = self._searched(item, mined.calls, seconds)
        except ImportFailed as error:
            yield from self._not_imported(item, error)
            return
        yield from self._told(item, result)
        if not result.witnesses:
            self.unshown.append(item)
            if not result.usable:
                self.unusable.append(item)

    def _again(self, recording: Recording) -> Iterator[Finding]:
        """What was not shown differently, with arguments that tests were seen to use."""
        from famulus.lsp_server.execution.errors import ImportFailed
        from famulus.lsp_server.execution.recording import as_calls

        context = self.context
        recorded = recording.wait(min(_WAITED, context.clock.left / 3), context.clock.check)
        for item in list(self.unshown):
            calls = as_calls(item.old, recorded[list(self.items).index(item)], item.file.old_text)
            if not calls:
                continue
            with contextlib.suppress(ImportFailed):
                result = self._searched(item, calls, min(_SECONDS, context.clock.left / 2))
                yield from self._told(item, result)
                if result.usable and item in self.unusable:
                    self.unusable.remove(item)

    def _told(self, item: Changed, result: Found) -> Iterator[Finding]:
        from famulus.lsp_server.review.rules.witness_wording import finding

        if result.witnesses:
            module = self.versions.old_layout.module(item.file.old_path or "")
            yield finding(item, result, module[0] if module else "", self._callers(item))

    def _searched(self, item: Changed, found: Sequence[Call], seconds: float) -> Found:
        from famulus.lsp_server.execution.constructors import Constructors
        from famulus.lsp_server.execution.inputs import Inputs, names_used, vocabulary
        from famulus.lsp_server.execution.search import Found, Subject

        versions, old_path = self.versions, item.file.old_path or ""
        old, new = versions.old_layout.module(old_path), versions.new_layout.module(item.file.new_path or "")
        if old is None or new is None:
            return Found()
        self.search.open(old[0], new[0])
        known = versions.old.samples(old[0], names_used(item.old))
        words = vocabulary(item.old.node, item.new.node, known=known)
        constructors = Constructors(old_path, item.file.old_text, words, self._found)
        inputs = Inputs(item.old, constructors, words, parameters=item.parameters, found=found)
        if not inputs.possible:
            return Found()
        subject = Subject(old[0], new[0], item.old, item.new, old_path, tuple(constructors.imports))
        return self.search.witness(subject, inputs, seconds=seconds)

    def _not_imported(self, item: Changed, error: Exception) -> Iterator[Finding]:
        """Only the new version fails: that is a finding, unless it needs a package that is not there."""
        from famulus.lsp_server.execution.errors import ImportFailed
        from famulus.lsp_server.review.rules.witness_wording import broken_import

        assert isinstance(error, ImportFailed)
        if item.file.path in self.failed:
            return
        self.failed.add(item.file.path)
        old = self.versions.old_layout.module(item.file.old_path or "")
        new_only = False
        if old is not None and error.kind not in ("", "ModuleNotFoundError"):
            with contextlib.suppress(ImportFailed):
                self.versions.old.open(old[0])
                new_only = True
        if new_only:
            cause = f"{error.at} {error.reason}"  # one broken module takes those with it that import it
            if cause not in self.failed:
                self.failed.add(cause)
                yield broken_import(item, error)
        else:
            reason = error.reason.strip().splitlines()[-1]
            self.context.left_out.append(f"Nothing in {item.file.path} was run: it cannot be imported ({reason}).")

    def _recording(self) -> Recording | None:
        """Tests that speak of the changed functions, about to run beside us."""
        from famulus.lsp_server.execution.recording import Recording

        words = [w for item in self.items for w in (item.old.node.name, item.old.owner.name if item.old.owner else "")]
        tests = self.mine.tests(list(dict.fromkeys(word for word in words if word and not word.startswith("__"))))
        old = self.versions.old
        if not tests or "pytest" not in self.python.has or old.run != "sandboxed" or self.context.clock.left < 5:
            return None
        there = [path for path in tests if (old.root / path).is_file()][:30]
        modules = [self.versions.old_layout.module(item.file.old_path or "") for item in self.items]
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

    def _source(self, path: str) -> str | None:
        """The old version's text of a file."""
        from famulus.lsp_server.review.change import decoded

        content = self.context.change.old.read(path)
        return None if content is None else decoded(content)

    def _found(self, name: str, importer: str) -> tuple[str, str, str] | None:
        """Where a module of the old version is, that another one imports."""
        known = self.versions.old_layout.found(name, importer)
        source = self._source(known[0]) if known else None
        return (known[0], source, known[1]) if known and source is not None else None


def _many(items: Sequence[Changed]) -> str:
    return f"{len(items)} changed function{'s were' if len(items) != 1 else ' was'}"


RULE: Rule = _Witness()
