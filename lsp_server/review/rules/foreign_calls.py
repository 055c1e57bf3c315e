"""Calls that a change breaks in JavaScript, TypeScript, Go, Java, C, C++ and Rust, by name and number of arguments.

Only what a syntax tree can tell is told: the function's name is defined once in the project, the caller can mean no
other (it imports the file, or stands in the same file, package or class), and the call fitted before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.lsp_server.review.change import FileChange, Tree, decoded
from famulus.lsp_server.review.equality.trees import language_of
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related
from famulus.lsp_server.review.foreign import FAMILIES, Call, ForeignFile, Function, reaches, read
from famulus.lsp_server.review.rule import Context, Rule, Stage

_LARGEST = 2 * 2**20
"""Bytes of a file that is still read: larger ones are made by programs."""


class ForeignCalls:
    """See the module."""

    name = "foreign-call"
    title = "calls that no longer fit, in languages other than Python"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """See the module."""
        sides = _Side(context.change.old), _Side(context.change.new)
        for file in context.change.files:
            language = language_of(file.path)
            if language not in FAMILIES or file.binary or file.old_path is None:
                continue
            context.progress(f"Reading the callers of {file.path}")
            for old, new in _changed(file, *sides):
                for caller, call in _callers(context, file, old, new, sides[1]):
                    yield self._finding(file, old, new, caller, call)

    def _finding(
        self, file: FileChange, old: Function, new: Function | None, caller: ForeignFile, call: Call
    ) -> Finding:
        callee = f"{old.owner}.{old.name}" if old.owner else old.name
        given = _count(call.given or 0)
        related: tuple[Related, ...] = ()
        if new is None:
            kind, what = "gone", f"calls {callee}(), which {file.old_path} no longer defines"
            proof = f"{old.text}: gone"
        else:
            few = (call.given or 0) < new.needed
            kind = "too-few-arguments" if few else "too-many-arguments"
            wanted = f"needs {new.needed}" if few else f"takes {new.most or 'none'}"
            what = f"calls {callee}() with {given}, but it now {wanted}"
            place = Place(path=file.path, line=new.line, column=new.column, symbol=callee)
            related = (Related(place=place, message="Changed here."),)
            proof = f"before: {old.text}\nnow: {new.text}\ngiven: {given}"
        # A missing argument is `undefined` in JavaScript, which may be meant.
        lenient = new is not None and caller.language.startswith("javascript")
        return Finding(
            rule=f"{self.name}/{kind}",
            message=f"{caller.path}:{call.line} {what}.",
            grade=Grade.MEASURED,
            place=Place(
                path=caller.path, line=call.line, column=call.column, end_line=call.end_line,
                end_column=call.end_column, symbol=call.symbol,
            ),
            key=f"{caller.path}:{call.symbol} calls {callee}: {kind}",
            proof=Proof(kind="bind", text=proof, data={"old": old.text, "new": new.text if new else ""}),
            severity="error",
            certainty="possible" if lenient else "likely",
            related=related,
        )  # fmt: skip


class _Side:
    """One version of the project; files are read when a name in them is asked for."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: dict[str, ForeignFile | None] = {}
        self._texts: dict[str, bytes] = {}

    def file(self, path: str | None) -> ForeignFile | None:
        """What a file defines and calls; None if it cannot be read."""
        if path is None:
            return None
        if path not in self._files:
            language = language_of(path)
            content = self._content(path)
            usable = language is not None and 0 < len(content) <= _LARGEST
            self._files[path] = read(path, language, decoded(content)) if usable and language else None
        return self._files[path]

    def naming(self, name: str, family: str, context: Context) -> Iterator[ForeignFile]:
        """The files of a family in which a name occurs."""
        pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
        for path in self._tree.paths():
            if FAMILIES.get(language_of(path) or "") != family:
                continue
            context.clock.check()
            if pattern.search(self._content(path)):
                file = self.file(path)
                if file is not None:
                    yield file

    def _content(self, path: str) -> bytes:
        if path not in self._texts:
            self._texts[path] = self._tree.read(path) or b""
        return self._texts[path]


def _changed(file: FileChange, old: _Side, new: _Side) -> Iterator[tuple[Function, Function | None]]:
    """The functions of a file that take other numbers of arguments, or are gone."""
    before, after = old.file(file.old_path), new.file(file.new_path)
    if before is None or (after is None and file.new_path is not None):
        return
    for function in before.functions:
        same = [f for f in before.functions if (f.name, f.owner) == (function.name, function.owner) and f.body]
        now = [f for f in (after.functions if after else ()) if (f.name, f.owner) == (function.name, function.owner)]
        now = [f for f in now if f.body]
        if len(same) != 1 or not function.body or len(now) > 1:
            continue
        if not now:
            if not re.search(rf"\b{re.escape(function.name)}\b", file.new_text):  # else it became something else
                yield function, None
        elif (now[0].needed, now[0].most) != (function.needed, function.most):
            yield function, now[0]


def _callers(
    context: Context, file: FileChange, old: Function, new: Function | None, side: _Side
) -> Iterator[tuple[ForeignFile, Call]]:
    family = FAMILIES[language_of(file.path) or ""]
    files = list(side.naming(old.name, family, context))
    homes = [(f.path, g) for f in files for g in f.functions if g.name == old.name and g.owner == old.owner]
    if family == "java":
        homes = [(path, g) for path, g in homes if path == file.path]
    if [path for path, g in homes if g.body] != ([file.path] if new is not None else []):
        return  # another function has this name
    if new is None and (homes or family == "c"):
        return  # it is still declared, or a library may have it
    target = file.path if new is not None else (file.old_path or "")
    for caller in files:
        for call in caller.calls:
            if call.given is None or not reaches(caller, call, target, old):
                continue
            if new is None or not _fits(new, call.given):
                change = context.change.file(caller.path)
                fresh = change is not None and call.line in change.changed_new_lines
                if fresh or new is None or _fits(old, call.given):
                    yield caller, call


def _fits(function: Function, given: int) -> bool:
    return function.needed <= given and (function.most is None or given <= function.most)


def _count(number: int) -> str:
    return "one argument" if number == 1 else f"{number or 'no'} arguments"


RULE: Rule = ForeignCalls()
