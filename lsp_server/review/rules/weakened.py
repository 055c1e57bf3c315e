"""Tests that demand less than before: they stay green where they would have turned red."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.equality.canonical import Definition, Function
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof
from famulus.lsp_server.review.rule import Context, Rule, Stage
from famulus.lsp_server.review.suite.assertions import name_of
from famulus.lsp_server.review.suite.collected import Mark, Test, file_marks
from famulus.lsp_server.review.suite.pairing import Suite, TestFile, subject, suite
from famulus.lsp_server.review.suite.weaker import Weakening, weakenings

_SHOWN = 3


class Weakened:
    """Compares each changed test with its old version."""

    name = "weakened-test"
    title = "tests that check less than before"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """See the class."""
        context.progress("Reading the changed tests")
        try:
            yield from self._all(context, suite(context.change))
        except RecursionError:
            context.left_out.append("weakened-test: the code of a test is nested too deeply to be read.")

    def _all(self, context: Context, tests: Suite) -> Iterator[Finding]:
        told: set[tuple[str, int, str]] = set()
        for old, new in tests.pairs:
            file = tests.file(new)
            for weakening in weakenings(tests, old, new) if _touched(tests, old, new) else ():
                finding = _finding(self.name, file, old, new, weakening)
                mark = (file.path, finding.place.line, weakening.after or weakening.before)
                if mark not in told:
                    told.add(mark)
                    yield finding
        for entry in tests.files:
            yield from self._file(entry)
        yield from self._gone(context, tests)

    def _file(self, entry: TestFile) -> Iterator[Finding]:
        """Marks on a whole file, and files that are no longer collected."""
        before = {mark.name for mark in file_marks(entry.old)}
        for mark in file_marks(entry.new):
            if entry.file.status != "added" and entry.old_tests and mark.name not in before:
                yield self._whole(entry, mark)
        if entry.file.status == "renamed" and entry.old_tests:
            was, now = PurePosixPath(entry.file.old_path or ""), PurePosixPath(entry.file.path)
            if is_test(str(was)) and not is_test(str(now)):
                message = f"The {_tests(len(entry.old_tests))} of {was} are no longer run: {now.name} is not collected."
                yield Finding(
                    rule=f"{self.name}/not-collected",
                    message=message,
                    grade=Grade.PROVED,
                    place=Place(path=str(now), line=1),
                    key=f"{was.name}:not-collected",
                    proof=Proof(kind="comparison", text=f"{was} → {now}"),
                )

    def _whole(self, entry: TestFile, mark: Mark) -> Finding:
        return Finding(
            rule=f"{self.name}/skipped",
            message=f"The {_tests(len(entry.new_tests))} of {entry.file.path} are no longer run (`{mark.text}`).",
            grade=Grade.PROVED,
            place=Place(path=entry.file.path, line=mark.line),
            key=f"{PurePosixPath(entry.file.path).name}:skipped",
            proof=Proof(kind="comparison", text=f"added: {mark.text}", data={"after": mark.text}),
            severity="warning" if mark.always else "note",
            certainty="certain" if mark.always else "likely",
        )

    def _gone(self, context: Context, tests: Suite) -> Iterator[Finding]:
        """Tests that are not there any more although what they test is."""
        room = Counter({id(t): max(1, len(t.demands), *map(len, t.cases.values())) for t in tests.come})
        for entry in tests.files:
            lost: list[tuple[Test, str]] = []
            for test in tests.gone:
                if test.path != entry.file.path:
                    continue
                namesake = _uncollected(entry, test)
                if namesake is not None:
                    yield self._renamed(entry.file, test, *namesake)
                elif test.demands and not _stands_in(tests, test, room):
                    name = subject(context.change, entry.old, test)
                    if name:
                        lost.append((test, name))
            if entry.file.status == "deleted" and len(lost) > 1:
                yield self._removed(entry.file, lost, f"{entry.file.path} is gone with {_tests(len(lost))}")
            else:
                for test, name in lost:
                    yield self._removed(entry.file, [(test, name)], f"The test {test.name} is gone")

    def _removed(self, file: FileChange, lost: list[tuple[Test, str]], what: str) -> Finding:
        names = list(dict.fromkeys(f"`{name}`" for _, name in lost))
        first = lost[0][0]
        demands = [d.text for test, _ in lost for d in test.demands]
        shown = "\n".join(demands[:_SHOWN]) + ("\n…" if len(demands) > _SHOWN else "")
        return Finding(
            rule=f"{self.name}/test-removed",
            message=f"{what}, though {', '.join(names[:_SHOWN])} {'is' if len(names) == 1 else 'are'} still there.",
            grade=Grade.PROVED,
            place=_near(file, first.node.lineno),
            old_place=_old_place(file, first),
            key=f"{first.name}:test-removed",
            proof=Proof(kind="comparison", text=f"no longer checked:\n{shown}", data={"before": demands}),
            certainty="likely",
        )

    def _renamed(self, file: FileChange, test: Test, now: str, line: int) -> Finding:
        return Finding(
            rule=f"{self.name}/not-collected",
            message=f"{test.name} is no longer run: under its new name `{now}` it is not collected.",
            grade=Grade.PROVED,
            place=Place(path=file.path, line=line, symbol=now),
            old_place=_old_place(file, test),
            key=f"{test.name}:not-collected",
            proof=Proof(kind="comparison", text=f"{test.name} → {now}"),
        )


def _touched(tests: Suite, old: Test, new: Test) -> bool:
    """Whether a line of a test, or of a decorator of its classes, changed."""
    if old.path != new.path:
        return True
    file = tests.file(new)
    return any(
        not changed.isdisjoint(range(_start(node), end + 1))
        for test, changed in ((old, file.changed_old_lines), (new, file.changed_new_lines))
        for node, end in [(test.node, test.node.end_lineno or 0), *((c, c.lineno) for c in test.owner)]
    )


def _start(node: Function | ast.ClassDef) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _finding(rule: str, file: FileChange, old: Test, new: Test, weakening: Weakening) -> Finding:
    before, after = weakening.before, weakening.after
    text = f"{before} → {after}" if before and after else f"added: {after}" if after else f"removed: {before}"
    return Finding(
        rule=f"{rule}/{weakening.kind}",
        message=f"{new.name} {weakening.text}.",
        grade=Grade.PROVED,
        place=Place(path=file.path, line=weakening.line or new.node.lineno, symbol=new.name),
        old_place=Place(
            path=file.old_path or file.path, line=weakening.old_line or old.node.lineno, symbol=old.name, side="old"
        ),
        key=f"{new.name}:{weakening.kind}:{before or after}",
        proof=Proof(kind="comparison", text=text, data={"before": before, "after": after}),
        severity="warning" if weakening.certainty == "certain" else "note",
        certainty=weakening.certainty,
    )


def _near(file: FileChange, old_line: int) -> Place:
    """The new side's line next to where an old one stood; the old one of a file that is gone."""
    if file.new is None:
        return Place(path=file.path, line=old_line, side="old")
    for line in range(old_line, 0, -1):
        now = file.new_line(line)
        if now is not None:
            return Place(path=file.path, line=now)
    return Place(path=file.path, line=1)


def _old_place(file: FileChange, test: Test) -> Place:
    return Place(path=file.old_path or file.path, line=test.node.lineno, symbol=test.name, side="old")


def _uncollected(entry: TestFile, test: Test) -> tuple[str, int] | None:
    """The dotted name and line at which a test's body stands in its file, out of reach of the collection."""
    known = {id(t.node) for t in entry.new_tests}
    for name, node in _functions(entry.new.body, ""):
        fixture = any(name_of(d) == "fixture" for d in node.decorator_list)
        if id(node) in known or fixture or _used(entry.new, node.name):
            continue
        if Test(name, node, "").body == test.body:
            return name, node.lineno
    return None


def _functions(body: list[ast.stmt], scope: str) -> Iterator[tuple[str, Function]]:
    for statement in body:
        if isinstance(statement, Definition):
            name = f"{scope}.{statement.name}".lstrip(".")
            if isinstance(statement, ast.ClassDef):
                yield from _functions(statement.body, name)
            else:
                yield name, statement


def _used(tree: ast.Module, name: str) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == name) or (isinstance(n, ast.Attribute) and n.attr == name)
        for n in ast.walk(tree)
    )


def _stands_in(tests: Suite, test: Test, room: Counter[int]) -> bool:
    """Whether what a test checked is gone as well, or is checked by a new test."""
    if test.names & tests.lost_names or any(tests.gained[d.text] for d in test.demands):
        return True
    for new in tests.come:
        if room[id(new)] > 0 and (new.called & test.called) - _COMMON:
            room[id(new)] -= 1
            return True
    return False


_COMMON = frozenset({"", "len", "list", "dict", "set", "str", "int", "sorted", "range", "raises", "approx", "print"})


def _tests(count: int) -> str:
    return "one test" if count == 1 else f"{count} tests"


RULE: Rule = Weakened()
