"""Edits of real modules that change nothing for anybody: none of them deserves a finding."""

from __future__ import annotations

import ast
import builtins
import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

Files = Mapping[str, str]
"""New texts by path."""
AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef
_READS_NAMES = {"locals", "eval", "exec", "vars", "globals", "dir", "super"}


def formatted(path: str, text: str, dice: random.Random) -> Files | None:
    """The module as ruff formats it, with another length of line and other quotes than are usual."""
    options = [f"--line-length={dice.choice((72, 100, 140))}", f"--config=format.quote-style='{dice.choice(_QUOTES)}'"]
    command = [sys.executable, "-P", "-m", "ruff", "format", "--isolated", *options, "--stdin-filename", path, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return {path: done.stdout} if done.returncode == 0 else None


_QUOTES = ("single", "double")


def renamed_locals(path: str, text: str, dice: random.Random) -> Files | None:
    """Up to five local variables with other names."""
    edits: list[tuple[int, int, str, str]] = []
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, AnyFunction)]
    dice.shuffle(functions)
    for function in functions:
        name = _local(function)
        if name and len(edits) < 5 * 20:
            found = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name]
            edits += [(n.lineno, n.col_offset, name, f"{name}_value") for n in found]
        if len({edit[2] for edit in edits}) >= 5:
            break
    return {path: _edited(text, edits)} if edits else None


def _local(function: AnyFunction) -> str | None:
    """A variable that only the function itself can see."""
    own = list(ast.walk(function))[1:]
    scopes = AnyFunction | ast.ClassDef | ast.Lambda | ast.comprehension | ast.Global | ast.Nonlocal | ast.JoinedStr
    if any(isinstance(n, scopes | ast.ExceptHandler | ast.Match | ast.alias | ast.NamedExpr) for n in own):
        return None
    names = [n for n in own if isinstance(n, ast.Name)]
    if any(n.id in _READS_NAMES for n in names):
        return None
    parameters = {n.arg for n in own if isinstance(n, ast.arg)}
    stored = {n.id for n in names if isinstance(n.ctx, ast.Store)} - parameters
    return min((name for name in stored if not any(n.id == f"{name}_value" for n in names)), default=None)


def _edited(text: str, edits: list[tuple[int, int, str, str]]) -> str:
    lines = text.split("\n")
    for line, column, old, new in sorted(set(edits), reverse=True):
        raw = lines[line - 1].encode()
        assert raw[column:].startswith(old.encode())
        lines[line - 1] = (raw[:column] + new.encode() + raw[column + len(old.encode()) :]).decode()
    return "\n".join(lines)


def reordered(path: str, text: str, dice: random.Random) -> Files | None:
    """Two neighbouring functions without decorators or defaults, or methods, change places."""
    tree = ast.parse(text)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    pairs = [(a, b) for body in bodies for a, b in itertools.pairwise(body) if _still(a) and _still(b)]
    if not pairs:
        return None
    first, second = dice.choice(pairs)
    lines = text.splitlines(keepends=True)
    a, b = (first.lineno - 1, first.end_lineno or 0), (second.lineno - 1, second.end_lineno or 0)
    if not lines[b[1] - 1].endswith("\n"):
        return None
    return {
        path: "".join([*lines[: a[0]], *lines[b[0] : b[1]], *lines[a[1] : b[0]], *lines[slice(*a)], *lines[b[1] :]])
    }


def _still(node: ast.stmt) -> bool:
    """A function whose definition reads nothing."""
    if not isinstance(node, AnyFunction) or node.decorator_list or node.returns or node.name.startswith("_"):
        return False
    arguments = node.args
    hints = [a.annotation for a in [*arguments.args, *arguments.kwonlyargs, *arguments.posonlyargs]]
    return not any([*hints, *arguments.defaults, *arguments.kw_defaults])


def commented(path: str, text: str, dice: random.Random) -> Files | None:
    """Comments before some statements."""
    lines = text.splitlines(keepends=True)
    statements = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign | ast.Return | ast.If | ast.Expr)]
    starts = sorted({n.lineno: n.col_offset for n in statements}.items(), reverse=True)
    chosen = [(line, column) for line, column in starts if not lines[line - 1][:column].strip()]
    picked = sorted(dice.sample(chosen, min(6, len(chosen))), reverse=True)
    for line, column in picked:
        if not lines[line - 1].lstrip().startswith("elif"):
            lines.insert(line - 1, f"{' ' * column}# This is checked by the caller, see the notes above.\n")
    return {path: "".join(lines)} if picked else None


def documented(path: str, text: str, dice: random.Random) -> Files | None:
    """A sentence more in some docstrings."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, AnyFunction | ast.ClassDef) and ast.get_docstring(node):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.append((first.end_lineno or 0, first.end_col_offset or 0))
    lines = text.split("\n")
    for line, column in dice.sample(found, min(3, len(found))):
        raw = lines[line - 1].encode()[:column].decode()
        rest = lines[line - 1].encode()[column:].decode()
        if raw.endswith('"""'):
            lines[line - 1] = f"{raw[:-3]} See also the manual.{raw[-3:]}{rest}"
    changed = "\n".join(lines)
    return {path: changed} if changed != text else None


def typed(path: str, text: str, dice: random.Random) -> Files | None:
    """Type comments at the ends of some lines."""
    lines = text.split("\n")
    found = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign) and n.lineno == n.end_lineno]
    chosen = [n.lineno for n in found if "#" not in lines[n.lineno - 1] and not lines[n.lineno - 1].endswith("\\")]
    picked = dice.sample(chosen, min(5, len(chosen)))
    for line in picked:
        lines[line - 1] += "  # type: ignore[assignment]"
    return {path: "\n".join(lines)} if picked and _parses("\n".join(lines)) else None


def moved(path: str, text: str, dice: random.Random) -> Files | None:
    """A function that needs nothing of its module goes to a new one and is imported from there."""
    tree = ast.parse(text)
    alone = [node for node in tree.body if isinstance(node, AnyFunction) and _alone(node)]
    if not alone or path.endswith("__init__.py") or "/" not in path:
        return None
    node = dice.choice(alone)
    lines = text.splitlines(keepends=True)
    body = "".join(lines[node.lineno - 1 : node.end_lineno])
    lines[node.lineno - 1 : node.end_lineno] = [f"from ._{node.name}_only import {node.name}  # noqa: E402, F401\n"]
    other = f"{path.rpartition('/')[0]}/_{node.name}_only.py"
    future = "from __future__ import annotations\n\n\n" if "from __future__ import annotations" in text else ""
    return {path: "".join(lines), other: f'"""One function."""\n\n{future}{body}'}


def _alone(node: AnyFunction) -> bool:
    if node.decorator_list or any(isinstance(n, ast.Global | ast.Import | ast.ImportFrom) for n in ast.walk(node)):
        return False
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    known = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {
        a.arg for a in ast.walk(node) if isinstance(a, ast.arg)
    }
    known |= {n.name for n in ast.walk(node) if isinstance(n, AnyFunction | ast.ClassDef)} - {node.name}
    return all(n.id in known or hasattr(builtins, n.id) for n in names)


def rewritten(path: str, text: str, dice: random.Random) -> Files | None:
    """All returned values have a name first: other instructions, the same answers. Must be run to be known."""
    edits = list(_named_returns(text))
    picked = dice.sample(edits, min(4, len(edits)))
    lines = text.split("\n")
    for line, end, column, source in sorted(picked, reverse=True):
        space = " " * column
        lines[line - 1 : end] = [f"{space}answer_ = ({source})", f"{space}return answer_"]
    changed = "\n".join(lines)
    return {path: changed} if picked and _parses(changed) else None


def _named_returns(text: str) -> Iterator[tuple[int, int, int, str]]:
    lines = text.split("\n")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
            alone = not lines[node.lineno - 1][: node.col_offset].strip()
            if alone and len(lines[(node.end_lineno or 0) - 1].encode()) == node.end_col_offset:
                yield node.lineno, node.end_lineno or 0, node.col_offset, ast.get_source_segment(text, node.value) or ""


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


KINDS: dict[str, Callable[[str, str, random.Random], Files | None]] = {
    "formatted": formatted,
    "locals renamed": renamed_locals,
    "functions reordered": reordered,
    "comments": commented,
    "docstrings": documented,
    "type comments": typed,
    "function moved": moved,
    "written otherwise": rewritten,
}
