"""A variable on one line of comment, as a small model reads it best::

# df: DataFrame 1000×3: date time ('2024-01-01'), region text ('north', 'south'), revenue number (12.5, 8.0)
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from keyword import iskeyword
from typing import Literal

from famulus.jupyter_kernel import defuse, privacy
from famulus.jupyter_kernel.schema import Column, Schema, Variable

Detail = Literal["full", "brief", "short"]

SHOWN: dict[Detail, int] = {"full": 24, "brief": 12, "short": 0}
"""Columns told at most."""

VALUES = 4
_ALONE = frozenset(("builtins", "pandas", "numpy", "matplotlib", "datetime", "pathlib", "__main__"))
"""Libraries whose classes are known by their bare names."""


def line(variable: Variable, detail: Detail = "full", wanted: Container[str] = ()) -> str:
    """One line about a variable, "" if its name must not be told. Columns in ``wanted`` are told first of all."""
    told = defuse.name(variable.name)
    if not told or told != variable.name:
        return ""
    if variable.kind == "callable":
        return f"# function {told}{_signature(variable)}"
    if variable.kind == "class":
        return f"# class {told}{_signature(variable)}"
    head = f"# {told}: {_type(variable)}{_size(variable)}"
    if variable.private and variable.kind != "series":
        return f"{head} ({_private(variable)})"
    if detail == "short":
        return head
    rest = _rest(variable, detail, wanted)
    return head + rest


def imports(schema: Schema) -> str:
    """The imports of the namespace as code, sorted."""
    lines = set()
    for alias, module in schema.imports.items():
        if _dotted(alias) and _dotted(module):
            lines.add(f"import {module}" + (f" as {alias}" if alias != module else ""))
    for variable in schema.variables:
        if imported(variable):
            lines.add(f"from {variable.module} import {variable.name}")
    return "\n".join(sorted(lines))


def imported(variable: Variable) -> bool:
    """Is it a function or class that came by an import?"""
    module = variable.module
    if variable.kind not in ("callable", "class") or any(part.startswith("_") for part in module.split(".")):
        return False
    return module != "builtins" and _dotted(module) and _dotted(variable.name)


def _rest(variable: Variable, detail: Detail, wanted: Container[str]) -> str:
    samples = VALUES if detail == "full" else 0
    if variable.kind == "series" and variable.columns:
        values = _values(variable.columns[0], samples)
        return f" of {variable.columns[0].kind or 'other'}{values}{_index(variable, samples)}"
    if variable.tables:
        tables = (_table(table.name, table.columns) for table in variable.tables)
        return ": " + "; ".join(filter(None, tables))
    if variable.columns:
        return f": {_columns(variable, detail, wanted, samples)}{_index(variable, samples)}"
    preview = defuse.value(variable.preview, 80)
    if variable.kind in ("number", "text", "bool", "time", "path"):
        return f" = {preview}" if preview else ""
    of = f" of {variable.element}" if variable.element else ""
    return of + (f" {preview}" if preview and detail == "full" else "")


def _columns(variable: Variable, detail: Detail, wanted: Container[str], samples: int) -> str:
    room = SHOWN[detail]
    places = list(enumerate(variable.columns))
    places.sort(key=lambda place: place[1].name not in wanted)
    chosen = sorted(places[:room], key=lambda place: place[0])
    parts = [f"{_name(column, place, variable)} {column.kind or 'other'}{_values(column, samples)}"
             for place, column in chosen]  # fmt: skip
    more = max(variable.shape[1] if len(variable.shape) == 2 else 0, len(places)) - len(chosen)
    return ", ".join(parts) + (f", … {more} more" if more > 0 else "")


def _name(column: Column, place: int, variable: Variable) -> str:
    """The column's name, or its place if the name must not be told."""
    if column.label:
        return defuse.value(column.label, 60) or f"columns[{place}]"
    told = "" if privacy.in_text(column.name) else defuse.name(column.name)
    return told or (f"columns[{place}]" if variable.kind == "frame" else f"key {place}")


def _values(column: Column, samples: int) -> str:
    if column.private:
        return f" ({_private(column)})"
    told = [text for text in map(defuse.value, column.samples) if text][:samples]
    return f" ({', '.join(told)})" if told else ""


def _private(told: Column | Variable) -> str:
    pattern = defuse.value(repr(told.pattern))[1:-1] if told.pattern else ""
    return f"private {pattern}" if pattern else "private"


def _index(variable: Variable, samples: int) -> str:
    levels = []
    for level in variable.index:
        name = f" {defuse.name(level.name)}" if level.name and not level.label and defuse.name(level.name) else ""
        levels.append(f"index{name} {level.kind or 'other'}{_values(level, min(samples, 2))}")
    return "".join(f", {level}" for level in levels)


def _table(name: str, columns: Iterable[Column]) -> str:
    told = defuse.name(name)
    inner = [f"{defuse.name(column.name)} {column.kind}" for column in columns if defuse.name(column.name)]
    return f"table {told} ({', '.join(inner[: SHOWN['full']])})" if told else ""


def _type(variable: Variable) -> str:
    own = variable.type.rpartition(".")[2]
    if not own.isidentifier() or not defuse.name(own):
        own = "object"
    library = variable.library
    if library in _ALONE or not library.isidentifier() or not defuse.name(library) or library.startswith("_"):
        return own
    return f"{library} {own}"


def _size(variable: Variable) -> str:
    if variable.kind == "frame" and variable.shape:
        return f" {'×'.join(map(str, variable.shape))}"
    if variable.kind == "array" and variable.shape:
        return f" {'×'.join(map(str, variable.shape))}"
    if variable.length is None or variable.kind in ("text", "number"):
        return ""
    return f" [{variable.length}]"


def _signature(variable: Variable) -> str:
    text = variable.signature
    return defuse.unmarked(text) if text and text.isprintable() and not defuse.instructs(text) else "(…)"


def _dotted(name: str) -> bool:
    """May it stand in an import?"""
    return all(part.isidentifier() and not iskeyword(part) and defuse.name(part) for part in name.split("."))
