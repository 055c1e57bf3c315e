"""How the tests read: plain pytest, one behaviour each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.lsp_server.execution import pytest_text
from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen.case import Aim, Example

_FLAT = 3
"""So many examples of one form become a table."""


@dataclass(frozen=True)
class Written:
    """One test function. ``name``; its ``text``, which ends with a line end; the ``imports`` that it needs."""

    name: str
    text: str
    imports: tuple[str, ...]


def write(aim: Aim, examples: Sequence[Example], taken: Iterable[str] = ()) -> list[Written]:
    """Test functions for the chosen examples; none has a name of ``taken``."""
    names = set(taken)
    found = []
    for group in _groups(aim, examples):
        written = _table(aim, group, names) if len(group) >= _FLAT else None
        for one in [written] if written else [w for e in group if (w := _single(aim, e, names))]:
            names.add(one.name)
            found.append(one)
    return found


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
    rows = before.splitlines(keepends=True)
    if rows and not rows[-1].endswith("\n"):
        rows[-1] += "\n"
    rows[at:at] = [line + "\n" for line in needed]
    return "".join(rows) + "".join(f"\n\n{one.text}" for one in written)


def names_of(source: str) -> set[str]:
    """Names that a test file defines at its top."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in body if isinstance(node, kinds)}


def _groups(aim: Aim, examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Examples that fit into one table, together; the others alone."""
    tables: dict[tuple[int, tuple[str, ...]], list[Example]] = {}
    alone = []
    for example in examples:
        call, outcome = example.call, example.outcome
        plain = not (call.receiver or call.before or outcome.arguments or outcome.output or call.how == "get")
        if plain and outcome.kind == "value" and expression(outcome.value) not in ("", "nan"):
            tables.setdefault((len(call.args), tuple(name for name, _ in call.kwargs)), []).append(example)
        else:
            alone.append(example)
    for group in tables.values():
        yield sorted(group, key=lambda e: e.call.size)
    for example in alone:
        yield [example]


def _table(aim: Aim, group: Sequence[Example], taken: set[str]) -> Written | None:
    """One parametrized test."""
    call = group[0].call
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either")]
    if len(call.args) > len(own) or "expected" in own:
        return None
    columns = [*own[: len(call.args)], *(name for name, _ in call.kwargs)]
    if not columns:
        return None
    name = _free(f"test_{_slug(call.target)}", taken)
    rows = [(*e.call.args, *(value for _, value in e.call.kwargs), expression(e.outcome.value)) for e in group]
    given = ", ".join([*own[: len(call.args)], *(f"{name}={name}" for name, _ in call.kwargs)])
    listed = ", ".join(f'"{column}"' for column in [*columns, "expected"])
    lines = [
        "@pytest.mark.parametrize(",
        f"    ({listed}),",
        "    [",
        *(f"        ({', '.join(row)})," for row in rows),
        "    ],",
        ")",
        f"def {name}({', '.join([*columns, 'expected'])}):",
        f'    """{_sentence(aim)}"""',
        f"    assert {call.target}({given}) == expected",
    ]
    used: dict[str, None] = {"import pytest": None}
    for example in group:
        body = pytest_text.assertion(example.call, example.outcome, "", example.outcome.value)
        used |= dict.fromkeys(line for line in pytest_text.imports(aim.module, example.call, body) if line)
    return Written(name, "\n".join(lines) + "\n", (*used, *aim.imports))


def _single(aim: Aim, example: Example, taken: set[str]) -> Written | None:
    call, outcome = example.call, example.outcome
    body = pytest_text.assertion(call, outcome, "", outcome.value)
    if "assert" not in body and "pytest.raises" not in body:
        return None
    what = f"raises_{_slug(outcome.exception)}" if outcome.kind == "raised" else _told(example)
    name = _free(f"test_{_slug(call.target)}_{what}".rstrip("_"), taken)
    fixture = "capsys" if "capsys" in body else ""
    lines = [f"def {name}({fixture}):", *("    " + line for line in body.split("\n"))]
    needed = [line for line in pytest_text.imports(aim.module, call, body) if line]
    return Written(name, "\n".join(lines) + "\n", (*needed, *aim.imports))


def _told(example: Example) -> str:
    """What is special about a call, in a word or two."""
    if example.outcome.arguments or example.outcome.receiver:
        return "changes_what_it_is_given" if example.outcome.arguments else "changes_the_object"
    if example.outcome.output:
        return "prints"
    value = expression(example.outcome.value)
    words = re.findall(r"[A-Za-z]+|\d+", value)
    return f"gives_{'_'.join(words[:3]).lower()}" if words else "gives_nothing_else"


def _sentence(aim: Aim) -> str:
    """A line on what the function does: the first sentence of its own documentation, if that is short."""
    first = aim.function.docstring.strip().split("\n\n")[0].replace("\n", " ").strip()
    sentence = re.split(r"(?<=[.!?])\s", first)[0].replace("\\", "").replace('"', "'")
    return sentence if 0 < len(sentence) <= 88 else f"What {aim.function.name} answers."


def _slug(text: str) -> str:
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.replace("__", ""))
    return re.sub(r"\W+|_+", "_", split).strip("_").lower() or "call"


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


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
