"""The imports of tests: sorted for a new file, and for one that is there those that it lacks, where they belong."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WIDTH = 88


def gathered(imports: Iterable[str]) -> list[str]:
    """Import statements, one for each module."""
    plain: dict[str, None] = {}
    parts: dict[str, dict[str, None]] = {}
    for line in imports:
        start, found, names = line.partition(" import ")
        if found and start.startswith("from "):
            parts.setdefault(start, {}).update(dict.fromkeys(name.strip() for name in names.split(",")))
        else:
            plain[line] = None
    return [*plain, *(f"{start} import {', '.join(sorted(names, key=_name))}" for start, names in parts.items())]


def block(imports: Iterable[str]) -> str:
    """Imports in the groups of the convention; the project's formatter has the last word."""
    groups: list[list[str]] = [[] for _ in range(5)]
    for line in gathered(imports):
        groups[_section(line, "")].append(line)
    return "\n\n".join("\n".join(sorted(group, key=_key)) for group in groups if group)


def added(before: str, imports: Iterable[str], own: str = "") -> list[str]:
    """The lines of a file with the imports that it lacks. No line of it changes but those that import from the same
    module, which get the further names, below each other if they are too many for a line. ``own``: the package that the
    project's modules belong to."""
    rows = before.removesuffix("\n").split("\n") if before else []  # a form feed ends no line
    try:
        tree = ast.parse(before)
    except (SyntaxError, ValueError):
        return rows
    known = _bound(tree)
    for line in gathered(imports):
        names = _bound(ast.parse(line))
        if names <= known:
            continue
        known |= names
        lacking = sorted(names - _bound(tree), key=_name)
        if not _joined(rows, line, lacking):
            _placed(rows, _with(line, lacking), own)
    width = max(_WIDTH, *map(len, before.split("\n")))
    kept = set(before.split("\n"))
    return [part for row in rows for part in ([row] if row in kept or len(row) <= width else _unfolded(row))]


def _unfolded(row: str) -> list[str]:
    """An import of names that is too long for one line, with one name on each."""
    if not re.fullmatch(r"from \S+ import \w+(, \w+)*", row):
        return [row]
    start, _, names = row.partition(" import ")
    return [f"{start} import (", *(f"    {name}," for name in names.split(", ")), ")"]


def _with(line: str, names: Sequence[str]) -> str:
    start, found, _ = line.partition(" import ")
    return f"{start} import {', '.join(names)}" if found and line.startswith("from ") else line


def _bound(tree: ast.Module) -> set[str]:
    """Names that the imports at the top bind."""
    kinds = (ast.Import, ast.ImportFrom)
    return {(a.asname or a.name).partition(".")[0] for n in tree.body if isinstance(n, kinds) for a in n.names}


def _statements(rows: Sequence[str]) -> list[ast.Import | ast.ImportFrom]:
    """The imports at the beginning of a file."""
    found: list[ast.Import | ast.ImportFrom] = []
    for number, node in enumerate(ast.parse("\n".join(rows)).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif number or not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            break
    return found


def _joined(rows: list[str], line: str, names: Sequence[str]) -> bool:
    """Put names into an import of the same module that is there; whether there is one."""
    module = line.partition(" import ")[0].removeprefix("from ")
    for node in _statements(rows):
        plain = isinstance(node, ast.ImportFrom) and "." * node.level + (node.module or "") == module
        if not line.startswith("from ") or not plain or any(alias.asname or alias.name == "*" for alias in node.names):
            continue
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if first == last and re.fullmatch(r"from \S+ import [\w, ]+", rows[first]):
            start, _, known = rows[first].partition(" import ")
            rows[first] = f"{start} import {', '.join(_merged(known.split(', '), names))}"
            return True
        elif last > first + 1 and all(re.fullmatch(r"\s+\w+,", row) for row in rows[first + 1 : last]):
            indent = rows[first + 1][: len(rows[first + 1]) - len(rows[first + 1].lstrip())]
            merged_names = _merged([row.strip(" ,\t") for row in rows[first + 1 : last]], names)
            rows[first + 1 : last] = [f"{indent}{name}," for name in merged_names]
            return True
    return False


def _merged(known: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names among those that are there, in their place where these are sorted, else at the end."""
    in_order = list(known) == sorted(known, key=_name)
    return sorted([*known, *names], key=_name) if in_order else [*known, *names]


@dataclass(frozen=True)
class _Block:
    """Imports without an empty line between them; ``end``: the row behind."""

    lines: tuple[tuple[int, str], ...]
    end: int


def _placed(rows: list[str], line: str, own: str) -> None:
    """Put an import on a line of its own, in the block of its kind and in its order."""
    blocks = _blocks(rows)
    wanted = _section(line, own)
    sections = [max(_section(text, own) for _, text in one.lines) for one in blocks]
    for one, section in zip(blocks, sections, strict=True):
        if section == wanted or (len(blocks) == 1 and len(one.lines) > 1 and _mixed(one, own)):
            texts = [text for _, text in one.lines]
            later = (
                [row for row, text in one.lines if _key(text) > _key(line)] if texts == sorted(texts, key=_key) else []
            )
            rows.insert(later[0] if later else one.end, line)
            return
    below = [one for one, section in zip(blocks, sections, strict=True) if section < wanted]
    if below:
        rows[below[-1].end : below[-1].end] = ["", line]
    elif blocks:
        at = blocks[0].lines[0][0]
        rows[at:at] = [line, ""]
    else:
        at = _below_docstring(rows)
        rows[at:at] = ["", line] if at else [line]


def _mixed(one: _Block, own: str) -> bool:
    """Whether imports of several kinds stand together."""
    return len({_section(text, own) for _, text in one.lines}) > 1


def _blocks(rows: Sequence[str]) -> list[_Block]:
    found: list[list[tuple[int, str]]] = []
    end = -1
    ends: list[int] = []
    for node in _statements(rows):
        text = ast.unparse(node)
        if node.lineno - 1 == end:
            found[-1].append((node.lineno - 1, text))
            ends[-1] = node.end_lineno or node.lineno
        else:
            found.append([(node.lineno - 1, text)])
            ends.append(node.end_lineno or node.lineno)
        end = node.end_lineno or node.lineno
    return [_Block(tuple(lines), at) for lines, at in zip(found, ends, strict=True)]


def _below_docstring(rows: Sequence[str]) -> int:
    body = ast.parse("\n".join(rows)).body
    first = body[0] if body else None
    documents = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return (first.end_lineno or 0) if first is not None and documents else 0


def _section(line: str, own: str) -> int:
    """0 for ``__future__``, 1 for the standard library, 2 for others, 3 for the project, 4 for what is relative."""
    top = line.split()[1].partition(".")[0]
    if top == "__future__":
        return 0
    if line.split()[1].startswith("."):
        return 4
    if top == own:
        return 3
    return 1 if top in sys.stdlib_module_names else 2 if own or top in ("pytest", "numpy", "pandas") else 3


def _key(line: str) -> tuple[bool, str]:
    """``import a`` before ``from a import b``, by module."""
    return line.startswith("from "), line.split()[1].lower()


def _name(name: str) -> tuple[int, str]:
    """CONSTANTS, Classes, functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name
