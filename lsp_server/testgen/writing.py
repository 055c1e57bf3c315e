"""How the tests read: as those of the project, one behaviour each."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from famulus.lsp_server.testgen import importing, naming, tables
from famulus.lsp_server.testgen.assertions import Body, body
from famulus.lsp_server.testgen.case import Aim, Example, Property, Result
from famulus.lsp_server.testgen.coverage import Coverage
from famulus.lsp_server.testgen.style import Style
from famulus.lsp_server.testgen.testcase import as_method

PLAIN = Style()
_FLAT, _MANY = 2, 4
"""So many examples of one form become a table: those that have nothing special; all of them."""
_COMMENT = 79
"""Characters of a line of the comment above the tests."""
_HINTS = {
    "capsys": ("pytest.CaptureFixture[str]", "import pytest"),
    "monkeypatch": ("pytest.MonkeyPatch", "import pytest"),
    "tmp_path": ("Path", "from pathlib import Path"),
}
"""Annotations of fixtures, and the imports that these need."""


@dataclass(frozen=True)
class Written:
    """One test function. ``name``; its ``text``, which ends with a line end; the ``imports`` that it needs; the
    ``holder`` whose class it stands in where tests stand in classes, ``own``: the package of what it tests,
    ``examples``: what it says, ``telling``: whether its name says more than the function's."""

    name: str
    text: str
    imports: tuple[str, ...]
    holder: str = ""
    own: str = ""
    examples: tuple[Example | Property, ...] = ()
    telling: bool = True


def write(aim: Aim, examples: Sequence[Example], taken: Iterable[str] = (), style: Style = PLAIN) -> list[Written]:
    """Test functions for the chosen examples; none has a name of ``taken``."""
    bodies = [(example, body(aim, example.call, example.outcome)) for example in examples]
    kept = [(example, text) for example, text in bodies if text is not None]
    kept.sort(key=lambda pair: (pair[0].outcome.kind == "raised", pair[0].call.size))
    used = set(taken)
    short = style.form != "functions"
    found = []
    for group in _tables(aim, [example for example, _ in kept], used) if style.tables else ():
        name = naming.free(f"test_{naming.slug(group[0].example.call.target)}", used)
        text, imports = tables.table(aim, group, name, annotated=style.annotated)
        used.add(name)
        documented = _documented(text, "Several arguments.", style)
        found.append(Written(name, documented, imports, examples=tuple(row.example for row in group)))
        kept = [pair for pair in kept if all(pair[0] is not row.example for row in group)]
    named = naming.names(aim, [example for example, _ in kept], used, short=short)
    for (example, said), (name, telling) in zip(kept, named, strict=True):
        found.append(replace(_single(aim, said, name, style), examples=(example,), telling=telling))
    holder = aim.function.owner.name if aim.function.owner else naming.camel(aim.function.node.name)
    package = aim.module.partition(".")[0]
    return [replace(one, holder=holder if short else "", own=package) for one in found]


def _tables(aim: Aim, examples: Sequence[Example], taken: set[str]) -> list[list[tables.Row]]:
    """All examples of one form where they are many, else those of which a name would say nothing."""
    listed = naming.names(aim, examples, taken)
    plain = [example for example, (_, telling) in zip(examples, listed, strict=True) if not telling]
    return list(tables.rows(aim, examples, _MANY)) or list(tables.rows(aim, plain, _FLAT))


def headed(results: Sequence[Result], written: Sequence[Written]) -> list[Written]:
    """The tests, with a comment before the first that says how much they reach and notice, and what was so before."""
    told = [result for result in results if result.mutants and result.examples]
    if not written or not told:
        return list(written)
    before, after = Coverage(), Coverage()
    for result in told:
        was, now = result.coverage
        before, after = before + was, after + now
    parts = [f"statements {before.statements_run} → {after.statements_run} of {after.statements}"]
    if after.branches:
        parts.append(f"branches {before.branches_run} → {after.branches_run} of {after.branches}")
    known, killed = sum(r.killed_before or 0 for r in told), sum(r.killed for r in told)
    parts.append(f"mutants {known} → {killed} of {sum(r.mutants for r in told)}")
    first = written[0]
    comment = f"# famulus testgen: {', '.join(parts)}."
    if len(comment) > _COMMENT:
        comment = ",\n# mutants".join(comment.split(", mutants"))
    return [replace(first, text=f"{comment}\n{first.text}"), *written[1:]]


def module(written: Sequence[Written], style: Style = PLAIN) -> str:
    """A new test file."""
    tests = rendered(written, style)
    return importing.block(_needed(written, tests)) + "\n" + tests


def appended(before: str, written: Sequence[Written], tail: str) -> str:
    """The tests at the end of a file that is there, as ``tail``, which :func:`rendered` made. None of its lines changes
    but imports, to which those that it lacks are added."""
    rows = importing.added(before, _needed(written, tail), written[0].own if written else "")
    return "".join(row + "\n" for row in rows) + tail


def _needed(written: Sequence[Written], tests: str) -> list[str]:
    """The imports that tests need in the form that they got."""
    frameworks = [f"import {name}" for name in ("pytest", "unittest") if re.search(rf"\b{name}\.", tests)]
    return [line for one in written for line in one.imports if line != "import pytest"] + frameworks


def rendered(written: Sequence[Written], style: Style = PLAIN, taken: Iterable[str] = ()) -> str:
    """The tests below each other, in classes where the project has them there. ``taken``: names of the file."""
    used = set(taken)
    parts: list[str] = []
    open_ = ""
    for one in written:
        comment, text = _apart(one.text)
        method = as_method(text, cased=style.form == "unittest") if one.holder else ""
        if not method:
            parts.append(f"\n\n{comment}{text}")
            open_ = ""
            continue
        if one.holder != open_:
            title = f"{one.holder}{style.ending}" if style.ending else f"Test{one.holder}"
            name = naming.free(title, used)
            used.add(name)
            bases = "(unittest.TestCase)" if style.form == "unittest" else ""
            parts.append(f"\n\n{comment}class {name}{bases}:")
            open_ = one.holder
        else:
            parts.append("")
        parts.append(textwrap.indent(method, "    ").rstrip())
    return "\n".join(parts).rstrip("\n").replace("\n\n\n\n\n", "\n\n\n") + "\n"


def _apart(text: str) -> tuple[str, str]:
    """The comment above a test, and the test."""
    comment = re.match(r"(?:#[^\n]*\n)*", text)
    end = comment.end() if comment else 0
    return text[:end], text[end:]


def parses(source: str) -> bool:
    """Whether a test file is Python, so that tests can be added to it."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def names_of(source: str) -> set[str]:
    """Names of the functions and classes of a test file, methods among them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    inside = [node for holder in tree.body if isinstance(holder, ast.ClassDef) for node in holder.body]
    return {node.name for node in [*tree.body, *inside] if isinstance(node, kinds)}


def _single(aim: Aim, text: Body, name: str, style: Style) -> Written:
    annotated = style.annotated
    hints = {name: _HINTS[name] for name in text.fixtures if annotated and name in _HINTS}
    fixtures = ", ".join(f"{name}: {hints[name][0]}" if name in hints else name for name in text.fixtures)
    imports = (*text.imports, *(hint[1] for hint in hints.values()))
    head = f"def {name}({fixtures}){' -> None' if annotated else ''}:"
    lines = "\n".join([head, *("    " + line if line else "" for line in text.lines)]) + "\n"
    return Written(name, _documented(lines, naming.sentence(aim, name), style), imports)


def _documented(text: str, sentence: str, style: Style) -> str:
    """The test with a docstring, where the project's tests have such."""
    if not style.documented:
        return text
    rows = text.split("\n")
    at = next(number for number, row in enumerate(rows) if row.startswith("def "))
    return "\n".join([*rows[: at + 1], f'    """{sentence}"""', *rows[at + 1 :]])
