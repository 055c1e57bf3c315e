"""Rule 1, names in strings and settings: ``mock.patch("a.b")``, ``getattr``, ``__all__``, entry points."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Related
from famulus.lsp_server.review.index.affected import Affected
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.elsewhere import comes_from_elsewhere
from famulus.lsp_server.review.index.facts import Text
from famulus.lsp_server.review.index.naming import other_names
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Gone, Module, Outside, Symbol, Unknown, Value
from famulus.lsp_server.review.rules import callsites_words as words
from famulus.lsp_server.review.rules.callsites_gone import ready

_SETTINGS = ("pyproject.toml", "setup.cfg", "setup.py")
_ENTRY = re.compile(r"""=\s*["']?([^\W\d][\w.]*):([^\W\d][\w.]*)""")
_DOCUMENTS = (".md", ".rst")
_IMPORTED = re.compile(r"^[\s>]*(?:>>> )?from ([\w.]+) import ([\w, ]+)")
_RESOLVING = {
    "patch",
    "setattr",
    "delattr",
    "import_module",
    "import_string",
    "locate",
    "resolve_name",
    "spy",
    "mocker.patch",
}


def check(changes: Changes, affected: Affected) -> Iterator[Finding]:
    """Strings that named something and name nothing now."""
    wanted = other_names(changes.new, affected.names)
    for module in changes.new.modules:
        facts = module.facts
        if facts is None:
            continue
        if not wanted.isdisjoint(facts.names):
            for text in facts.texts:
                if not wanted.isdisjoint(re.findall(r"\w+", text.value)):
                    yield from _text(changes, module, text)
        if facts.exports is not None:
            yield from _exports(changes, module, facts.exports)
    yield from _entry_points(changes)
    yield from _documents(changes, wanted)


def _text(changes: Changes, module: Module, text: Text) -> Iterator[Finding]:
    if (
        ready(module, text.guard, {"AttributeError", "ImportError", "ModuleNotFoundError", ""})
        or text.callee == "hasattr"
    ):
        return
    place = changes.new.place(module, text)
    if text.owner:
        old_scope = changes.old_scope(module, text.scope)
        now = changes.new.resolver.resolve(module, text.scope, f"{text.owner}.{text.value}")
        was = changes.old.resolver.resolve(*old_scope, f"{text.owner}.{text.value}") if old_scope else ()
    else:
        now, was = named(changes.new, text.value), named(changes.old, text.value)
    if not _lost(changes, was, now) or any(isinstance(v, Gone) and v.through is not None for v in now):
        return
    last = text.callee.rpartition(".")[2]
    sure = bool(text.owner) or last in _RESOLVING or "patch" in text.callee.split(".")
    yield _finding(
        changes, module, place, text.value, was, sure, f"`{text.value}`" if text.owner else f'"{text.value}"'
    )


def _lost(changes: Changes, was: tuple[Value, ...], now: tuple[Value, ...]) -> bool:
    """Whether a name that meant something means nothing now; ``now`` is empty where its first module is gone."""
    if not was or any(isinstance(v, (Gone, Unknown, Outside)) for v in was):
        return False
    if now:
        return all(isinstance(v, Gone) for v in now)
    owner = was[0] if isinstance(was[0], Module) else getattr(was[0], "module", None)
    return owner is not None and not comes_from_elsewhere(changes, owner)


def named(project: Project, name: str) -> tuple[Value, ...]:
    """What a dotted name in a string means; empty if it does not begin with a module of the project."""
    head, _, tail = name.partition(":")
    parts = head.split(".") + (tail.split(".") if tail else [])
    module = project.by_name.get(parts[0])
    start = 1
    if module is None:
        path = project.imports.at(parts[0])
        module = project.module(path) if path is not None else None
    if module is None or len(parts) < 2:
        return ()
    values: tuple[Value, ...] = (module,)
    for part in parts[start:]:
        values = tuple(v for value in values for v in project.resolver.step(value, f".{part}"))
    return values


def _finding(
    changes: Changes, module: Module, place: Place, name: str, was: tuple[Value, ...], sure: bool, shown: str
) -> Finding:
    old = next((v if isinstance(v, Symbol) else getattr(v, "function", None) for v in was), None)
    now = changes.successor(old) if old is not None else None
    fate = f"which is now {now.dotted}" if now is not None else "which is not there any more"
    related: tuple[Related, ...] = ()
    if old is not None:
        there = changes.old.place(old.module, old.definition, "old")
        related = (Related(place=there, message=f"`{old.qualname}` was defined here."),)
    return Finding(
        rule="call-site/missing-in-string",
        message=f"{place} names {shown}, {fate}.",
        grade=Grade.PROVED if sure else Grade.MEASURED,
        certainty="certain" if sure else "likely",
        severity="error" if sure else "warning",
        place=place,
        old_place=words.old_place(changes, module, place),
        key=f"{place.symbol or module.name} names {name}",
        proof=Proof(kind="bind", text=f"{name} is found on the old side and not on the new one.", data={"name": name}),
        related=related,
    )


def _exports(changes: Changes, module: Module, exports: list[str]) -> Iterator[Finding]:
    """Names in ``__all__`` that the module no longer has: a star import of it fails."""
    before = changes.old_module(module)
    for name in exports:
        if changes.change.file(module.path) is None and not _imports_gone(module, name):
            continue
        values = changes.new.resolver.attribute(module, name)
        if not all(isinstance(v, Gone) and v.through is None for v in values) or before is None or before.facts is None:
            continue
        was = changes.old.resolver.attribute(before, name)
        if any(isinstance(v, (Gone, Unknown)) for v in was) or name not in (before.facts.exports or []):
            continue
        place = _line_with(changes.new, module.path, re.compile(rf"""["']{re.escape(name)}["']"""))
        if place is not None:
            yield _finding(changes, module, place, f"{module.name}.{name}", was, True, f"`{name}` in __all__")


def _imports_gone(module: Module, name: str) -> bool:
    return module.facts is not None and name not in module.facts.scopes[0].bindings


def _line_with(project: Project, path: str, pattern: re.Pattern[str]) -> Place | None:
    for number, line in enumerate(project.lines(path), 1):
        if match := pattern.search(line):
            return Place(path=path, line=number, column=match.start() + 1, end_line=number, end_column=match.end() + 1)
    return None


def _entry_points(changes: Changes) -> Iterator[Finding]:
    """``name = "package.module:function"`` in the project's own settings."""
    for path in changes.new.files(_SETTINGS):
        for number, line in enumerate(changes.new.lines(path), 1):
            for match in _ENTRY.finditer(line):
                name = f"{match[1]}:{match[2]}"
                now, was = named(changes.new, name), named(changes.old, name)
                if _lost(changes, was, now):
                    column = match.start(1) + 1
                    place = Place(path=path, line=number, column=column, end_line=number, end_column=match.end() + 1)
                    holder = Module(path, path, None)
                    yield _finding(changes, holder, place, name.replace(":", "."), was, True, f'"{name}"')


def _documents(changes: Changes, wanted: frozenset[str]) -> Iterator[Finding]:
    """``from package import name`` in the examples of the documentation."""
    for path in changes.new.files(_DOCUMENTS):
        for number, line in enumerate(changes.new.lines(path), 1):
            match = _IMPORTED.match(line)
            for item in match[2].split(",") if match else ():
                last = item.split()[0] if item.split() else ""
                if match is None or last not in wanted:
                    continue
                name = f"{match[1]}.{last}"
                now, was = named(changes.new, name), named(changes.old, name)
                if _lost(changes, was, now):
                    column = line.index(last, match.start(2)) + 1
                    place = Place(path=path, line=number, column=column, end_line=number, end_column=column + len(last))
                    yield _finding(changes, Module(path, path, None), place, name, was, False, f"`{name}`")
