"""How the tests read: plain pytest, one behaviour each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen import naming
from famulus.lsp_server.testgen.assertions import Body, body
from famulus.lsp_server.testgen.case import Aim, Example, Result
from famulus.lsp_server.testgen.style import Style

PLAIN = Style()
_FLAT = 3
"""So many examples of one form become a table."""
_ROW = 80
"""Characters of a row of a table."""


@dataclass(frozen=True)
class Written:
    """One test function. ``name``; its ``text``, which ends with a line end; the ``imports`` that it needs."""

    name: str
    text: str
    imports: tuple[str, ...]


def write(aim: Aim, examples: Sequence[Example], taken: Iterable[str] = (), style: Style = PLAIN) -> list[Written]:
    """Test functions for the chosen examples; none has a name of ``taken``."""
    bodies = [(example, body(aim, example.call, example.outcome)) for example in examples]
    kept = [(example, text) for example, text in bodies if text is not None]
    kept.sort(key=lambda pair: (pair[0].outcome.kind == "raised", pair[0].call.size))
    used = set(taken)
    listed = naming.names(aim, [example for example, _ in kept], used)
    rows = [n for n, (_, telling) in enumerate(listed) if not telling]
    tables = _tables(aim, [kept[n][0] for n in rows]) if style.tables else []
    found = []
    for group in tables:
        written = _table(aim, group, used)
        if written:
            used.add(written.name)
            found.append(written)
            kept = [pair for pair in kept if all(pair[0] is not example for example in group)]
    named = naming.names(aim, [example for example, _ in kept], used)
    return found + [_single(aim, text, name, style) for (_, text), (name, _) in zip(kept, named, strict=True)]


def headed(result: Result, written: Sequence[Written]) -> list[Written]:
    """The tests of a function, with a comment before the first that says how much they reach and notice."""
    if not written or not result.mutants:
        return list(written)
    lines = frozenset().union(*(example.outcome.lines for example in result.examples))
    spans = list(_statements(result.aim))
    reached = sum(not lines.isdisjoint(span) for span in spans)
    before = f" ({result.killed_before} before)" if result.killed_before is not None else ""
    told = f"{reached} of {len(spans)} statements, {result.killed} of {result.mutants} mutants{before}"
    first = written[0]
    comment = f"# {result.aim.function.name}: {told}\n"
    return [Written(first.name, comment + first.text, first.imports), *written[1:]]


def _statements(aim: Aim) -> Iterator[range]:
    """Lines of each statement of a function, of compound ones those of the head."""
    for node in ast.walk(aim.function.node):
        documents = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.stmt) or node is aim.function.node or documents:
            continue
        inner = getattr(node, "body", None)
        end = inner[0].lineno - 1 if inner else node.end_lineno or node.lineno
        if not isinstance(node, ast.Try | ast.Global | ast.Nonlocal):
            yield range(node.lineno, max(end, node.lineno) + 1)


def module(written: Sequence[Written], head: str = "") -> str:
    """A new test file. ``head``: its docstring."""
    top = f'"""{head}"""\n\n' if head else ""
    return top + _sorted(written) + "\n" + "".join(f"\n\n{one.text}" for one in written)


def appended(before: str, written: Sequence[Written]) -> str:
    """The tests at the end of a file that is there; none of its lines changes, imports that it lacks are added below
    its own."""
    known = _imported(before)
    lines = [line for line in _lines(written) if not _names(line) <= known]
    needed = []
    for line in lines:
        start, _, names = line.partition(" import ")
        missing = [name for name in names.split(", ") if name not in known] if start.startswith("from ") else []
        needed.append(f"{start} import {', '.join(missing)}" if missing else line)
    at = _below_imports(before)
    rows = [row + "\n" for row in before.removesuffix("\n").split("\n")] if before else []  # a form feed ends no line
    rows[at:at] = [line + "\n" for line in needed]
    return "".join(rows) + "".join(f"\n\n{one.text}" for one in written)


def parses(source: str) -> bool:
    """Whether a test file is Python, so that tests can be added to it."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def names_of(source: str) -> set[str]:
    """Names that a test file defines at its top."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in body if isinstance(node, kinds)}


def _tables(aim: Aim, examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Examples that fit into one table, together, if there are enough of them."""
    tables: dict[tuple[int, tuple[str, ...]], list[Example]] = {}
    for example in examples:
        call, outcome = example.call, example.outcome
        plain = not (call.receiver or call.before or outcome.arguments or outcome.output or call.how == "get")
        value = expression(outcome.value)
        if plain and outcome.kind == "value" and value not in ("", "nan") and len(call.text) + len(value) <= _ROW:
            simple = body(aim, call, outcome)
            if simple and len(simple.lines) == 1 and "approx" not in simple.text and "asyncio" not in simple.text:
                tables.setdefault((len(call.args), tuple(name for name, _ in call.kwargs)), []).append(example)
    for group in tables.values():
        if len(group) >= _FLAT:
            yield sorted(group, key=lambda e: e.call.size)


def _table(aim: Aim, group: Sequence[Example], taken: set[str]) -> Written | None:
    """One parametrized test."""
    call = group[0].call
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either")]
    if len(call.args) > len(own) or {"expected", "request"} & {*own, *dict(call.kwargs)}:
        return None
    columns = [*own[: len(call.args)], *(name for name, _ in call.kwargs)]
    if not columns or call.target.partition(".")[0] in columns:
        return None
    stem = f"test_{naming.slug(call.target)}"
    name = next(name for name in (stem, *(f"{stem}_{n}" for n in range(2, 1000))) if name not in taken)
    rows = [(*e.call.args, *(value for _, value in e.call.kwargs), expression(e.outcome.value)) for e in group]
    given = ", ".join([*own[: len(call.args)], *(f"{key}={key}" for key, _ in call.kwargs)])
    listed = ", ".join(f'"{column}"' for column in [*columns, "expected"])
    lines = [
        "@pytest.mark.parametrize(",
        f"    ({listed}),",
        "    [",
        *(f"        ({', '.join(row)})," for row in rows),
        "    ],",
        ")",
        f"def {name}({', '.join([*columns, 'expected'])}):",
        f"    assert {call.target}({given}) == expected",
    ]
    used: dict[str, None] = {"import pytest": None}
    for example in group:
        one = body(aim, example.call, example.outcome)
        used |= dict.fromkeys(one.imports if one else ())
    return Written(name, "\n".join(lines) + "\n", tuple(used))


def _single(aim: Aim, text: Body, name: str, style: Style) -> Written:
    annotated = style.annotated
    fixture = text.fixture + (": pytest.CaptureFixture[str]" if annotated and text.fixture else "")
    imports = (*text.imports, "import pytest") if annotated and text.fixture else text.imports
    head = f"def {name}({fixture}){' -> None' if annotated else ''}:"
    return Written(name, "\n".join([head, *("    " + line if line else "" for line in text.lines)]) + "\n", imports)


def _lines(written: Sequence[Written]) -> list[str]:
    """Their imports, one line for each module."""
    plain: dict[str, None] = {}
    parts: dict[str, dict[str, None]] = {}
    for line in (line for one in written for line in one.imports):
        start, found, names = line.partition(" import ")
        if found and start.startswith("from "):
            parts.setdefault(start, {}).update(dict.fromkeys(name.strip() for name in names.split(",")))
        else:
            plain[line] = None
    return [*plain, *(f"{start} import {', '.join(sorted(names))}" for start, names in parts.items())]


def _sorted(written: Sequence[Written]) -> str:
    """Imports in the groups of the convention; the project's formatter has the last word."""
    import sys

    groups: list[list[str]] = [[], [], []]
    for line in _lines(written):
        top = line.split()[1].partition(".")[0]
        groups[0 if top in sys.stdlib_module_names else 1 if top == "pytest" else 2].append(line)
    return "\n\n".join("\n".join(sorted(group)) for group in groups if group)


def _names(line: str) -> set[str]:
    """Names that an import binds."""
    return {(a.asname or a.name).partition(".")[0] for n in ast.parse(line).body for a in getattr(n, "names", [])}


def _imported(source: str) -> set[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()
    kinds = (ast.Import, ast.ImportFrom)
    return {(a.asname or a.name).partition(".")[0] for node in body if isinstance(node, kinds) for a in node.names}


def _below_imports(source: str) -> int:
    """Lines above which nothing but imports and the docstring stands."""
    at = 0
    for node in ast.parse(source).body:
        docstring = at == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, (ast.Import, ast.ImportFrom)) or docstring:
            at = node.end_lineno or at
        else:
            break
    return at


def formatted(text: str, path: Path) -> str:
    """The text as the project's formatter would have it: ruff, with the configuration that holds at ``path``.

    As it is, where ruff is missing or fails."""
    import shutil
    import subprocess
    import sys

    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    folder = next((parent for parent in path.parents if parent.is_dir()), None)
    if ruff is None or folder is None:
        return text
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", "--stdin-filename", str(path), "-"],
            input=text.encode(), capture_output=True, cwd=folder, timeout=20, check=False,
        )  # fmt: skip
        if done.returncode == 0 and done.stdout:
            text = done.stdout.decode()
    return text
