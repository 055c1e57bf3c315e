"""Tests that turn red, changed lines that no test runs, and those that tests run without looking at what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from famulus.lsp_server.execution import interpreter
from famulus.lsp_server.execution.layout import is_test
from famulus.lsp_server.execution.testserver import TOO_LONG, NoPytest
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Certainty, Finding, Grade, Place, Proof
from famulus.lsp_server.review.importers import related_tests
from famulus.lsp_server.review.rule import NOTHING_RUN, Context, Rule, Stage
from famulus.lsp_server.review.rules.unnoticed_bench import Bench
from famulus.lsp_server.review.rules.unnoticed_kept import Tests
from famulus.lsp_server.review.rules.unnoticed_mutants import Changed, Mutation, Seen
from famulus.lsp_server.review.statements import bodies_of
from famulus.lsp_server.review.turned_red import findings, turned_red

_NAMED = 3  # functions that a message names


class Unnoticed:
    """The rule."""

    name = "tests"
    title = "tests that turn red, and changed lines that no test would notice"
    stage = Stage.RUN

    def idle(self, context: Context) -> bool:
        """Without tests there is nothing to run."""
        return context.run_code == "no" or not any(is_test(path) for path in context.change.new.paths())

    def check(self, context: Context) -> Iterator[Finding]:
        """What turned red first, then what no test runs, then what tests run and do not check."""
        files = [file for file in context.change.python() if _is_code(file)]
        parts = [part for file in files for part in _changed(file, context.neutral.get(file.path, frozenset()))]
        names = {part.function.own_name for part in parts}
        were = {
            body.code for file in context.change.python() for body in bodies_of(file, "old") if body.own_name in names
        }
        changed = [part for part in parts if part.function.code not in were]  # the others only moved
        if not changed:
            return
        if context.run_code == "no":
            context.left_out.append(NOTHING_RUN)
            return
        tests = related_tests(context.new, [part.file.path for part in changed])
        if not tests:
            if not any(is_test(path) for path in context.change.new.paths()):
                context.left_out.append("Which changed lines no test notices was not looked at: there are no tests.")
                return
            yield from _never_run([replace(part, unknown=True) for part in changed], "no test imports the file")
            return
        path, origin = interpreter.located(context.root, context.interpreter)
        if note := interpreter.Interpreter(path, origin, (), frozenset()).note:
            context.left_out.append(note)
        kept = Tests(context, path, tests) if context.run_code == "sandboxed" else None
        try:
            with Bench(context, tests, sorted({part.file.path for part in changed})) as bench:
                yield from _looked_at(context, bench, kept, changed)
        except NoPytest as error:
            context.left_out.append(f"The tests were not run: {error}")
        except (KeyboardInterrupt, GeneratorExit):
            kept = None  # somebody waits for the end; what was found holds as long as no file changes
            raise
        finally:
            if kept is not None:
                kept.end()


def _looked_at(context: Context, bench: Bench, kept: Tests | None, changed: Sequence[Changed]) -> Iterator[Finding]:
    known = kept.ran(changed) if kept is not None else None
    if known is not None:
        seen: Seen | None = Seen(known.tests, known.imported, True, known.blind)
        red = known.red
    else:
        seen = _run(context, bench)
        red = ()
        if seen is not None:
            red = tuple(turned_red(context.change, bench.open()[0], [t for t in seen.tests if t.red], bench.seconds))
            if kept is not None and seen.complete and not any(test.type == TOO_LONG for test in seen.tests):
                kept.keep(seen, red, sorted({part.file.path for part in changed}))
    if seen is None:
        return
    yield from findings(context.change, [test for test in seen.tests if test.node in red])
    not_run = [
        replace(part, statements=missing, unknown=not seen.knows(part.file.path, part.function))
        for part in changed
        if part.file.path not in seen.blind
        and (missing := tuple(s for s in part.statements if not seen.ran(part.file.path, s)))
    ]
    lines = sum(len(part.statements) for part in changed)
    if seen.complete:
        gone = sum(len(part.statements) for part in not_run)
        context.facts["tests"] = f"{lines - gone} of {lines} changed statements are run by tests"
        certainty: Certainty = "possible" if any(test.red for test in seen.tests) else "certain"
        yield from _never_run(not_run, f"{len(seen.tests)} test{'' if len(seen.tests) == 1 else 's'} ran", certainty)
    yield from Mutation(context, bench, seen, changed, kept).findings()


def _run(context: Context, bench: Bench) -> Seen | None:
    """Run what is held once, with its lines. None if there is nothing to go by."""
    opened, held = bench.open()
    if not held.collected:
        told = held.errors[0].message if held.errors else held.said or held.broken
        late = "pytest was not done with importing them in the time there was" if held.ended == "wall" else ""
        reason = told or late or "pytest found none in the files that import the code"
        context.left_out.append(f"Which changed lines no test notices was not looked at: no test could run ({reason}).")
        return None
    run = opened.server.again(held.collected, wall=bench.seconds, trace=True)
    if run.ended:
        context.left_out.append(
            f"Of {len(held.collected)} tests that import the changed code {len(run.tests)} ran in the time there was, "
            "so nothing is said on lines that no test runs."
        )
    elif held.errors:
        context.left_out.append(
            f"{len(held.errors)} test files that import the changed code could not be collected "
            f"({held.errors[0].node}: {held.errors[0].message}), so nothing is said on lines that no test runs."
        )
    blind = frozenset(path for test in run.red for path in test.lines)
    return Seen(run.tests, dict(held.imported), not run.ended and not held.errors, blind)


def _is_code(file: FileChange) -> bool:
    folders = file.path.split("/")
    if file.new is None or not file.path.endswith(".py") or is_test(file.path) or folders[-1] == "conftest.py":
        return False
    return not {"tests", "test", "testing", "docs", "doc", "examples", "benchmarks"} & set(folders[:-1])


def _changed(file: FileChange, neutral: frozenset[int]) -> Iterator[Changed]:
    lines = file.changed_new_lines - neutral
    for function in bodies_of(file, "new"):
        statements = tuple(s for s in function.statements if not lines.isdisjoint(s.lines))
        if statements:
            yield Changed(file, function, statements)


# -- not run


def _never_run(parts: Sequence[Changed], proof: str, certainty: Certainty = "certain") -> Iterator[Finding]:
    """One finding for each function, or one for all functions of a file that are not run at all.

    Not certain where a test failed: it might have run them."""
    by_file: dict[str, list[Changed]] = {}
    for part in parts:
        by_file.setdefault(part.file.path, []).append(part)
    for path, own in by_file.items():
        unknown = [part for part in own if part.unknown]
        if len(unknown) > 1:
            names = ", ".join(part.function.name for part in unknown[:_NAMED])
            more = ", …" if len(unknown) > _NAMED else ""
            message = f"No test runs {len(unknown)} changed functions of {path}: {names}{more}."
            yield _not_run(path, unknown[0], message, proof, certainty)
            own = [part for part in own if not part.unknown]
        for part in own:
            first, last = part.statements[0].first, part.statements[-1].last
            where = f"line {first}" if first == last else f"{len(part.statements)} changed lines"
            what = f"`{part.function.name}`" if part.unknown else f"{where} of `{part.function.name}`"
            yield _not_run(path, part, f"No test runs {what}.", proof, certainty)


def _not_run(path: str, part: Changed, message: str, proof: str, certainty: Certainty) -> Finding:
    lines = [statement.first for statement in part.statements]
    return Finding(
        rule="tests/not-run",
        message=message,
        grade=Grade.MEASURED,
        severity="note",
        certainty=certainty,
        place=Place(path=path, line=lines[0], end_line=part.statements[-1].last, symbol=part.function.name),
        key=f"{path} {part.function.name} not run",
        proof=Proof(kind="runs", text=f"not run: {_ranges(lines)}; {proof}", data={"lines": lines}),
    )


def _ranges(lines: Iterable[int]) -> str:
    """``4-6, 9``."""
    found: list[list[int]] = []
    for line in sorted(set(lines)):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


RULE: Rule = Unnoticed()
