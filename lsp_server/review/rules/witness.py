"""Rule 3: both versions of a changed function are called with the same arguments, and they answer differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related
from famulus.lsp_server.review.rule import Context, Rule, Stage

if TYPE_CHECKING:
    from famulus.lsp_server.execution.calls import Call
    from famulus.lsp_server.execution.functions import Function, Parameter
    from famulus.lsp_server.execution.mining import Site
    from famulus.lsp_server.execution.pair import Pair
    from famulus.lsp_server.execution.search import Found, Search, Witness

_SECONDS = 1.5
"""The longest that one function is looked at."""


@dataclass(frozen=True)
class _Changed:
    """A function whose code differs, and what the project itself calls it with."""

    file: FileChange
    old: Function
    new: Function
    parameters: Sequence[Parameter]


class _Witness:
    name = "witness"
    title = "calls that the new code answers differently"
    stage = Stage.RUN

    def check(self, context: Context) -> Iterator[Finding]:
        """Runs code of the project, as far as ``context.run_code`` allows it."""
        from famulus import sandbox
        from famulus.lsp_server.execution import interpreter, pair, version
        from famulus.lsp_server.execution.errors import ExecutionFailed

        changed = list(_changed(context))
        if not changed:
            return
        if context.run_code == "no":
            context.left_out.append(f"{_many(changed)} not run: running code was not allowed.")
            return
        if context.run_code == "sandboxed" and (reason := version.can_run()):
            context.left_out.append(f"{_many(changed)} not run. {reason}")
            return
        try:
            python = interpreter.find(context.root, context.interpreter, run=context.run_code)
            if python.note:
                context.left_out.append(python.note)
            with pair.both(context.change, python.path, run=context.run_code, check=context.clock.check) as versions:
                yield from _compared(context, versions, changed)
        except (ExecutionFailed, sandbox.SandboxError) as error:
            context.left_out.append(f"{_many(changed)} not run: {error}")


def _compared(context: Context, versions: Pair, changed: Sequence[_Changed]) -> Iterator[Finding]:
    """Look at one function after the other; who is not reached is named."""
    from famulus.lsp_server.execution.errors import ImportFailed
    from famulus.lsp_server.execution.mining import Mine, top_names
    from famulus.lsp_server.execution.search import Search
    from famulus.lsp_server.review.change import decoded
    from famulus.lsp_server.review.rule import TimeUp

    def source(path: str) -> str | None:
        content = context.change.old.read(path)
        return None if content is None else decoded(content)

    search = Search(versions.old, versions.new, source)
    mine = Mine(context.change.new)
    failed: dict[str, str] = {}
    for number, item in enumerate(changed):
        try:
            context.clock.check()
            context.progress(f"running {item.new.name} of {item.file.path}")
            seconds = min(_SECONDS, context.clock.share(1 / (len(changed) - number)).left)
            mined = mine.of(item.old, item.file.old_path or "", top_names(item.file.old_text))
            result = _witness(search, versions, item, mined.calls, seconds)
        except ImportFailed as error:
            if error.module not in failed:
                failed[error.module] = error.reason
                context.left_out.append(
                    f"Nothing in {item.file.path} was run: {error.module} cannot be imported ({error.reason})."
                )
            continue
        except TimeUp:
            names = ", ".join(f"{c.new.name}()" for c in changed[number : number + 5])
            context.left_out.append(f"No time was left to run {len(changed) - number} changed functions: {names}.")
            raise
        if result.witnesses:
            yield _finding(item, result, versions, mined.sites)
        elif not result.usable:
            context.left_out.append(
                f"{item.new.name}() in {item.file.path} was not compared: no arguments were found that it takes."
            )


def _witness(search: Search, versions: Pair, item: _Changed, found: Sequence[Call], seconds: float) -> Found:
    from famulus.lsp_server.execution.constructors import Constructors
    from famulus.lsp_server.execution.inputs import Inputs, names_used, vocabulary
    from famulus.lsp_server.execution.search import Found, Subject

    old_path, new_path = item.file.old_path or "", item.file.new_path or ""
    old_module, new_module = versions.old_layout.module(old_path), versions.new_layout.module(new_path)
    if old_module is None or new_module is None:
        return Found(usable=1)
    search.open(old_module[0], new_module[0])
    known = versions.old.samples(old_module[0], names_used(item.old))
    words = vocabulary(item.old.node, item.new.node, known=known)

    def find(name: str, importer: str) -> tuple[str, str, str] | None:
        known = versions.old_layout.found(name, importer)
        source = search.source(known[0]) if known else None
        return (known[0], source, known[1]) if known and source is not None else None

    constructors = Constructors(old_path, item.file.old_text, words, find)
    inputs = Inputs(item.old, constructors, words, parameters=item.parameters, found=found)
    if not inputs.possible:
        return Found()
    subject = Subject(old_module[0], new_module[0], item.old, item.new, old_path, tuple(constructors.imports))
    return search.witness(subject, inputs, seconds=seconds)


def _changed(context: Context) -> Iterator[_Changed]:
    """Functions whose code differs and that calls of one shape reach in both versions."""
    from famulus.lsp_server.execution.functions import functions
    from famulus.lsp_server.execution.layout import is_test

    for file in context.change.python():
        if file.old is None or file.new is None or is_test(file.path) or not file.path.endswith(".py"):
            continue
        was, now = functions(file.old_text), functions(file.new_text)
        neutral = context.neutral.get(file.path, frozenset())
        for name in (name for name in now if name in was):
            old, new = was[name], now[name]
            lines = file.changed_new_lines & frozenset(new.lines)
            if old.shape == new.shape or old.how != new.how or (lines and lines <= neutral):
                continue
            shared = _shared(old, new)
            if shared is not None:
                yield _Changed(file, old, new, shared)


def _shared(old: Function, new: Function) -> tuple[Parameter, ...] | None:
    """Parameters that calls may give in both versions; None if no call fits both."""
    if old.parameters == new.parameters:
        return old.parameters
    shared: list[Parameter] = []
    positional = ("position", "either")
    places = [[p for p in function.parameters if p.kind in positional] for function in (old, new)]
    for left, right in zip(*places, strict=False):
        if left.name != right.name and right.default is not None and left.default is not None:
            break  # other optional parameters: a value for one means nothing for the other
        shared.append(left if left.required or not right.required else right)
    named = {p.name: p for p in new.parameters if p.kind == "keyword"}
    shared += [p for p in old.parameters if p.kind == "keyword" and p.name in named]
    given = {id(p) for p in shared}
    missing = [p for p in places[0][len(shared) :] if p.required and id(p) not in given]
    missing += [p for p in places[1][len([s for s in shared if s.kind in positional]) :] if p.required]
    missing += [p for p in named.values() if p.required and p.name not in {s.name for s in shared}]
    return None if missing else tuple(shared)


def _finding(item: _Changed, result: Found, versions: Pair, sites: Sequence[Site]) -> Finding:
    from famulus.lsp_server.execution import pytest_text

    first = min(result.witnesses, key=lambda w: w.difference.what == "message")
    what = first.difference.what
    path = item.file.path
    lines = sorted(item.file.changed_new_lines & frozenset(item.new.lines))
    line = lines[0] if lines else item.new.node.lineno
    module = versions.old_layout.module(item.file.old_path or "")
    in_value = what == "value"
    difference = first.difference
    code = pytest_text.as_test(
        module[0] if module else "",
        first.call,
        first.old,
        difference.path if in_value else "",
        difference.old_form if in_value else (),
    )
    certain = first.call.source != "guess" and what != "message"
    return Finding(
        rule=f"witness/{what}",
        message=_sentence(first),
        grade=Grade.WITNESSED,
        place=Place(path=path, line=line, symbol=item.new.name),
        old_place=Place(path=item.file.old_path or path, line=item.old.node.lineno, symbol=item.old.name, side="old"),
        key=f"{item.new.name} {what}",
        proof=Proof(
            kind="witness",
            text="\n".join(_shown(witness) for witness in result.witnesses[:3]),
            code=code,
            data={
                "calls": [
                    {"call": w.call.text, "old": w.old.shown(), "new": w.new.shown(), "kind": w.difference.what}
                    for w in result.witnesses
                ],
                "tried": result.tried,
            },
        ),
        severity="note" if what == "message" else "warning",
        certainty="certain" if certain else "possible" if what == "message" else "likely",
        related=tuple(
            Related(place=Place(path=site.path, line=site.line), message=f"Calls {item.new.name}().")
            for site in sites[:5]
        ),
        reach=len(sites),
    )


def _shown(witness: Witness) -> str:
    """``clamp(5, 0, 5): 5 → 4``."""
    call, difference = witness.call, witness.difference
    text = "; ".join([*(line.replace("self", "it") for line in call.before), call.text])
    if difference.what == "argument":
        name = difference.name
        which = call.args[int(name)] if name.isdigit() and int(name) < len(call.args) else name
        return f"{text}: leaves {which}{difference.path} as {difference.old} → {difference.new}"
    if difference.what == "state":
        return f"{text}: leaves the object{difference.path} as {difference.old} → {difference.new}"
    if difference.what == "output":
        return f"{text}: prints {difference.old} → {difference.new}"
    return f"{text}{difference.path}: {difference.old} → {difference.new}"


def _sentence(witness: Witness) -> str:
    call, difference = witness.call, witness.difference
    new, old = difference.new, difference.old
    text = f"{call.text}{difference.path}"
    match difference.what:
        case "value":
            return f"{text} is now {new}; it was {old}."
        case "exception" | "end":
            verb = "" if new.startswith(("raises", "does not")) else "answers "
            was = f"it {old}" if old.startswith(("raises", "does not")) else f"it answered {old}"
            return f"{call.text} now {verb}{new}; before, {was}."
        case "argument" | "state":
            thing = "its argument" if difference.what == "argument" else "the object"
            return f"{call.text} now leaves {thing} as {new}; before, as {old}."
        case "output":
            return f"{call.text} now prints {new}; before, {old}."
    return f"{call.text} still raises {witness.new.exception}, but with another text."


def _many(changed: Sequence[_Changed]) -> str:
    return f"{len(changed)} changed function{'s were' if len(changed) != 1 else ' was'}"


RULE: Rule = _Witness()
