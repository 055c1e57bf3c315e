"""Variations of the best candidates: another column, the value shown, a copy changed in place of the original.

Each is one change that the words or the rehearsal give a reason for; it is then tried like everything else.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from famulus.jupyter_kernel import finish, mentions, rank, slots
from famulus.jupyter_kernel.candidate import Candidate, Want
from famulus.jupyter_kernel.options import free_name
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.schema import Column, Schema, Variable

MOST = 4
LESS = 0.97
"""How much less a variation matches than what it varies."""
MEANT = 0.6
"""From this score on, the words mean a column."""


def mutations(words: str, schema: Schema, want: Want, attempt: Attempt) -> list[Candidate]:
    """Variations of one attempt, the most promising first; none that are equal to it."""
    source = attempt.candidate
    found: dict[str, Candidate] = {}
    for code in _varied(words, schema, want, attempt):
        if code != source.code and code not in found:
            better = slots.coverage(code, want, "")
            found[code] = replace(
                source, code=code, source="mutation", coverage=better, match=LESS * source.match, likelihood=None
            )
            if len(found) >= MOST:
                break
    return list(found.values())


def _varied(words: str, schema: Schema, want: Want, attempt: Attempt) -> Iterator[str]:
    code, seen = attempt.candidate.code, attempt.rehearsal
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    if not tree.body:
        return
    last = tree.body[-1]
    if isinstance(last, ast.Expr) and want.kind == "bind" and want.name and not _binds(tree, want.name):
        yield finish.name_result(code, "value", want.name, ())
    if isinstance(last, ast.Assign) and want.kind in ("value", "any") and not want.name:
        names = [target.id for target in last.targets if isinstance(target, ast.Name)]
        if names and (seen is None or seen.value is None):
            yield f"{code}\n{names[0]}"
    if seen is not None and rank.objection(attempt, want).endswith("unasked"):
        for name in (*seen.changed, *seen.rebound)[:1]:
            yield _on_a_copy(code, name, want, schema)
    yield from _columns(words, schema, code, tree)


def _binds(tree: ast.Module, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in ast.walk(tree))


def _on_a_copy(code: str, name: str, want: Want, schema: Schema) -> str:
    """The code working on a copy of ``name``, whose name is that of the result, and which is shown if it has none."""
    new = want.name or free_name(f"new_{name}", schema)
    changed = f"{new} = {name}.copy()\n{finish.rename(code, {name: new})}"
    return changed if want.name else f"{changed}\n{new}"


def _columns(words: str, schema: Schema, code: str, tree: ast.Module) -> Iterator[str]:
    """A column that the words mean and the code lacks takes the place of one that they do not mean."""
    used = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    said = meant(words, schema)
    for variable in schema.variables:
        if variable.name not in loaded:
            continue
        missing = [column for owner, column in said if owner.name == variable.name and column.name not in used]
        idle = [c for c in variable.columns if c.name in used and not any(c.name == m.name for _, m in said)]
        for column in missing:
            for other in idle:
                if other.kind == column.kind:
                    yield _other_column(code, tree, other, column)


def meant(words: str, schema: Schema) -> list[tuple[Variable, Column]]:
    """The columns that the words mean, in their order."""
    found = mentions.read(words, schema).mentions
    return [(m.variable, m.column) for m in found if m.kind == "column" and m.column and m.score >= MEANT]


def _other_column(code: str, tree: ast.Module, old: Column, new: Column) -> str:
    lines = code.splitlines()
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == old.name]
    for node in sorted(nodes, key=lambda node: (-node.lineno, -node.col_offset)):
        line = lines[node.lineno - 1].encode()
        lines[node.lineno - 1] = (line[: node.col_offset] + new.key.encode() + line[node.end_col_offset :]).decode()
    return "\n".join(lines)
