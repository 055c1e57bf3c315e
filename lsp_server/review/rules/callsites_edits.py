"""Edits that put a broken call right, where only one is thinkable."""

from __future__ import annotations

from famulus.lsp_server.review.finding import Edit, Suggestion
from famulus.lsp_server.review.index.annotations import same_source
from famulus.lsp_server.review.index.binding import Trouble
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.facts import KEYWORD_ONLY, Import
from famulus.lsp_server.review.index.signatures import Signature
from famulus.lsp_server.review.index.values import Module, Symbol, Use


def renamed_keyword(
    changes: Changes, use: Use, before: Signature, now: Signature, trouble: Trouble
) -> Suggestion | None:
    """The keyword under its new name, if one parameter took the place of the one that is gone."""
    if trouble.kind != "unknown-keyword":
        return None
    name = successor(before, now, trouble.name)
    call = changes.new.nodes(use.module).call(use.reference) if name else None
    keyword = next((k for k in call.keywords if k.arg == trouble.name), None) if call is not None else None
    if name is None or keyword is None:
        return None
    line = changes.new.lines(use.module.path)[keyword.lineno - 1]
    start = len(line.encode()[: keyword.col_offset].decode("utf-8", "ignore"))
    if line[start : start + len(trouble.name)] != trouble.name:
        return None
    text = line[:start] + name + line[start + len(trouble.name) :]
    edit = Edit(path=use.module.path, line=keyword.lineno, end_line=keyword.lineno, text=text)
    return Suggestion(title=f"Rename `{trouble.name}` to `{name}`", edits=(edit,))


def successor(before: Signature, now: Signature, name: str) -> str | None:
    """The new name of a parameter: the only new one, or the one at its position."""
    was, is_now = {p.name: p for p in before.parameters}, {p.name: p for p in now.parameters}
    lost = [n for n in was if n not in is_now]
    fresh = [n for n in is_now if n not in was and is_now[n].kind <= KEYWORD_ONLY]
    if name not in lost or not fresh:
        return None
    if len(lost) == len(fresh):
        candidate = fresh[lost.index(name)]
        one, two = was[name], is_now[candidate]
        alike = list(was).index(name) == list(is_now).index(candidate) or one.kind == two.kind == KEYWORD_ONLY
        if alike and (same_source(one.default, two.default) or (one.default is None) == (two.default is None)):
            return candidate
    return None


def moved_import(changes: Changes, module: Module, found: Import, now: Symbol) -> Suggestion | None:
    """``from new.place import name`` for the import of something that moved or was renamed, when it stands alone."""
    lines = changes.new.lines(module.path)
    line = lines[found.line - 1] if found.line <= len(lines) else ""
    stripped = line.strip()
    if found.attribute is None or now.owner is not None or "," in stripped or "(" in stripped or "\\" in stripped:
        return None
    if not stripped.startswith("from ") or ";" in stripped or "#" in stripped:
        return None
    source = now.module.name
    if found.level and now.module.path == (changes.new.imported(module, found) or module).path:
        source = "." * found.level + found.module
    indent = line[: len(line) - len(line.lstrip())]
    name = now.name if now.name == found.name else f"{now.name} as {found.name}"
    edit = Edit(path=module.path, line=found.line, end_line=found.line, text=f"{indent}from {source} import {name}")
    return Suggestion(title=f"Import it from `{source}`", edits=(edit,))
