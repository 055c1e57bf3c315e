"""Proposals for an instruction that goes on from the cell before: on what was said, or on what came out."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from famulus.jupyter_kernel import changed, finish, follow, mentions
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.options import free_name
from famulus.jupyter_kernel.schema import Schema

Propose = Callable[[str, Schema], list[Candidate]]
ALONE = 0.75
"""What is left of the match of words by themselves, where they go on from others."""
CLEAR = 0.9
UNSAID = " "
"""What stands for an instruction that nothing can go on from."""
SHORT = 90
"""Characters; a longer expression is bound to a name before it is used."""
SAVED = 0.96
_MUTATORS = frozenset(
    ("append", "pop", "remove", "clear", "extend", "insert", "update", "popitem", "write", "send", "read", "readline",
     "post", "commit", "execute", "__next__", "show", "savefig", "to_csv", "to_json", "to_excel", "to_parquet",
     "write_text", "write_bytes", "next", "print", "input", "open", "exec", "eval")
)  # fmt: skip


def continued(
    words: str, schema: Schema, previous: Previous, alone: list[Candidate], propose: Propose
) -> list[Candidate]:
    """``alone`` and, where the words go on from ``previous``, what they come to after it, the best first. ``propose``:
    what words by themselves come to."""
    if not follow.follows(words, schema):
        return alone
    found = {c.code: replace(c, match=c.match * ALONE) for c in alone}
    text = changed.merged(words, schema, previous.words) if previous.words else ""
    again = propose(text, schema) if text else []
    clear = bool(again) and again[0].match >= CLEAR
    # Where what was said cannot be said again with the change, the next words cannot go on from it.
    whole = follow.lasting(text, words) if clear else UNSAID
    said = [replace(c, meant=follow.lasting(text, words)) for c in again]
    about = [replace(c, meant=whole) for c in _about_result(words, schema, previous, propose)]
    for candidate in [*said, *about]:
        known = found.get(candidate.code)
        if known is None or known.match <= candidate.match:
            found[candidate.code] = candidate
    return sorted(found.values(), key=lambda c: -(c.match + 0.25 * c.coverage))


def _about_result(words: str, schema: Schema, previous: Previous, propose: Propose) -> Iterator[Candidate]:
    """What the words come to where *it* is the variable that the cell before bound, or else the value it showed."""
    if follow.removes(words, schema):
        return
    path = follow.saving(words, schema)
    bound = schema.variable(previous.bound) if previous.bound else None
    if path and (value := bound or previous.value):
        source = bound.name if bound else shown(previous.code)
        tabular = value.kind in ("frame", "series")
        rows = value.kind == "frame" and not value.index
        code = finish.save_result(source, "value", repr(path), tabular, rows) if source else None
        if code:
            yield Candidate(finish.with_imports(code, schema), "recipe", "save", 1.0, SAVED)
            return
    if bound is not None:
        for candidate in propose(_naming(words, schema, previous.bound), schema):
            if previous.bound in _loaded(candidate.code):
                yield candidate
        return
    expression = shown(previous.code)
    if previous.value is None or not expression:
        return
    name = free_name("result", schema)
    there = Schema((replace(previous.value, name=name), *schema.variables), schema.imports)
    for candidate in propose(_naming(words, schema, name), there):
        if name in _loaded(candidate.code):
            yield replace(candidate, code=using(candidate.code, name, expression), match=0.98 * candidate.match)


def _naming(words: str, schema: Schema, name: str) -> str:
    """The words with the name of what they are about: for their *it*, or behind their verb."""
    text = follow.about(words, name)
    if name in text.split():
        return text
    if re.search(r"[\u3400-\u9fff]", words):
        return f"把 {name} {words}"
    said = mentions.read(words, schema)
    verb = mentions.command(said)
    if verb is None:
        return f"{words} {name}"
    end = said.tokens[verb].end
    return f"{words[:end]} {name}{words[end:]}"


def shown(code: str) -> str:
    """The last expression of a cell that may be worked out once more, "" if there is none."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    if not body or not isinstance(body[-1], ast.Expr):
        return ""
    last = body[-1].value
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(last)
        if isinstance(node, ast.Call)
    }
    bound = any(isinstance(node, ast.NamedExpr | ast.Await | ast.Yield) for node in ast.walk(last))
    return "" if bound or called & _MUTATORS else ast.get_source_segment(code, last) or ""


def using(code: str, name: str, expression: str) -> str:
    """``code`` with ``expression`` for ``name``: in its place if it is used once and short, else bound to it first."""
    tree = ast.parse(code)
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    inner = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.For, ast.While)
    nested = any(node in ast.walk(scope) for scope in ast.walk(tree) if isinstance(scope, inner) for node in uses)
    once = len(uses) == 1 and isinstance(uses[0].ctx, ast.Load) and not nested
    if once and len(expression) <= SHORT and "\n" not in expression:
        simple = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)
        whole = isinstance(ast.parse(expression, mode="eval").body, simple)
        return finish.rename(code, {name: expression if whole else f"({expression})"})
    head, tail = imports_of(code)
    wrapped = expression if "\n" not in expression else f"({expression})"
    return "\n".join([*head, f"{name} = {wrapped}", *tail])


def imports_of(code: str) -> tuple[list[str], list[str]]:
    """The lines of the imports that code begins with, and the others."""
    lines = code.splitlines()
    end = 0
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            break
        end = statement.end_lineno or 0
    return lines[:end], lines[end:]


def _loaded(code: str) -> set[str]:
    return {n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
