"""What a failed attempt needs to run: the nearest name, column, attribute or import, a conversion, a bracket.

By program and without a model. Each repair is a proposal: it is tried on a copy like everything else.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from famulus.jupyter_kernel import finish, grammar, repair_syntax
from famulus.jupyter_kernel.candidate import Rehearsal
from famulus.jupyter_kernel.schema import Schema, Variable

MOST = 3
CLOSE = 0.6
LIKE = 0.6
"""Likeness of two cells from which on one is a repair of the other."""

_NAME = re.compile(r"name '(\w+)' is not defined")
_ATTRIBUTE = re.compile(r"'?(?:type object ')?([\w.]+)'? object has no attribute '(\w+)'")
_MODULE_ATTRIBUTE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NUMBER = re.compile(
    r"unsupported operand|can only concatenate str|could not convert|dtype 'str|string dtype|dtype->(?:object|str)"
    r"|not supported between instances|must be str, not|can't multiply sequence|Cannot perform reduction|no numeric"
    r"|does not support (?:operation|reduction)|to numeric", re.IGNORECASE
)  # fmt: skip
_NO_TIME = re.compile(r"\.dt accessor|datetimelike|strftime|timedelta|to_period|Timestamp")
_MODULES = (
    "pandas",
    "numpy",
    "matplotlib",
    "matplotlib.pyplot",
    "polars",
    "seaborn",
    "scipy",
    "sklearn",
    "requests",
    "collections",
    "datetime",
    "itertools",
    "functools",
    "statistics",
    "pathlib",
    "random",
    "math",
    "json",
    "re",
)


@dataclass(frozen=True)
class Repair:
    """Code that may run, and what was done to it in one clause."""

    code: str
    reason: str


def repairs(code: str, error: str, message: str, schema: Schema) -> list[Repair]:
    """Proposals for ``code`` that failed with ``error`` (the name of its class) and ``message``; none that are equal
    to ``code`` or that Python cannot read."""
    found: dict[str, Repair] = {}
    for repair in _proposed(code, error, message, schema):
        if repair.code != code and repair.code not in found and _parses(repair.code):
            found[repair.code] = repair
            if len(found) >= MOST:
                break
    return list(found.values())


def of(code: str, seen: Rehearsal, schema: Schema) -> list[Repair]:
    """Proposals for code whose rehearsal ended in an error."""
    return repairs(code, seen.error, seen.message, schema) if seen.status == "error" else []


def likeness(code: str, other: str) -> float:
    """How much of two cells is the same, 0–1."""
    return difflib.SequenceMatcher(None, code, other, autojunk=False).ratio()


def _proposed(code: str, error: str, message: str, schema: Schema) -> Iterator[Repair]:
    if error in ("SyntaxError", "IndentationError", "TabError", "_IncompleteInputError"):
        yield from (Repair(fixed, reason) for fixed, reason in repair_syntax.fixes(code))
        return
    if not _parses(code):
        return
    if error in ("NameError", "UnboundLocalError"):
        yield from _names(code, message, schema)
    elif error in ("KeyError", "ColumnNotFoundError", "IndexError", "ValueError", "KeyColumnError"):
        yield from _columns(code, message, schema)
    elif error == "AttributeError":
        yield from _attributes(code, message, schema)
    elif error in ("ModuleNotFoundError", "ImportError"):
        yield from _modules(code, message, schema)
    if _NO_NUMBER.search(message) and error in ("TypeError", "ValueError", "DataError"):
        yield from _converted(code, schema, "pd.to_numeric({}, errors='coerce')", "number")
    if _NO_TIME.search(message):
        yield from _converted(code, schema, "pd.to_datetime({}, errors='coerce')", "time")


def _names(code: str, message: str, schema: Schema) -> Iterator[Repair]:
    found = _NAME.search(message)
    if found is None:
        return
    name = found[1]
    if (imported := finish.with_imports(code, schema)) != code:
        yield Repair(imported, f"imports what {name} is")
    own = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)} - {name}
    for other in _nearest(name, [v.name for v in schema.variables] + [*schema.imports] + sorted(own)):
        yield Repair(finish.rename(code, {name: other}), f"{other} in place of {name}, which does not exist")


def _columns(code: str, message: str, schema: Schema) -> Iterator[Repair]:
    """A text that is no column becomes the nearest one."""
    texts = {
        node.value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    missing = [text for text in texts if text and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", message)]
    columns = [column.name for variable in _used(code, schema) for column in (*variable.columns, *variable.index)]
    for text in missing:
        for other in _nearest(text, columns) if text not in columns else ():
            yield Repair(_constant(code, text, other), f"the column {other} in place of {text}, which does not exist")


def _attributes(code: str, message: str, schema: Schema) -> Iterator[Repair]:
    found = _ATTRIBUTE.search(message)
    if found is not None:
        kind, name = found[1].rpartition(".")[2], found[2]
        alike = [v for v in schema.variables if v.type.rpartition(".")[2] == kind]
        members = [member for variable in alike[:1] for member in grammar.attributes(variable)]
        columns = [c.name for v in alike for c in v.columns if c.name.isidentifier()]
        if not alike:
            members = list(grammar.of_class(kind))
        for other in _nearest(name, [*columns, *members]):
            yield Repair(_attribute(code, name, other), f".{other} in place of .{name}, which does not exist")
    elif (found := _MODULE_ATTRIBUTE.search(message)) is not None:
        for other in _nearest(found[2], grammar.of_module(found[1])):
            yield Repair(_attribute(code, found[2], other), f".{other} in place of .{found[2]}, which does not exist")


def _modules(code: str, message: str, schema: Schema) -> Iterator[Repair]:
    found = _MODULE.search(message)
    if found is None:
        return
    for other in _nearest(found[1], [*schema.imports.values(), *_MODULES]):
        pattern = rf"(?m)^(\s*(?:import|from)\s+){re.escape(found[1])}\b"
        yield Repair(re.sub(pattern, rf"\g<1>{other}", code), f"{other} in place of {found[1]}, which does not exist")


def _converted(code: str, schema: Schema, how: str, kind: str) -> Iterator[Repair]:
    """Text columns that the code uses are read as numbers or times: in place where they are looked up, else in a copy
    of the frame that goes into the rest."""
    tree = ast.parse(code)
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for variable in _used(code, schema):
        if variable.library != "pandas" or variable.kind != "frame":
            continue
        columns = [c for c in variable.columns if c.kind in ("text", "category", "other") and c.name in texts]
        for column in columns:
            looked_up = f"{variable.name}[{column.key}]"
            reason = f"reads {column.name} as {'numbers' if kind == 'number' else 'times'}: it is text"
            if (direct := _wrapped(code, variable.name, column.name, how)) != code:
                yield Repair(finish.with_imports(direct, schema), reason)
            copy = f"{variable.name}.assign(**{{{column.key}: {how.format(looked_up)}}})"
            yield Repair(finish.with_imports(_loaded(code, variable.name, copy), schema), reason)


def _wrapped(code: str, frame: str, column: str, how: str) -> str:
    """The code with ``frame[column]``, where it is read, put into ``how``."""
    spots = [
        node for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name)
        and node.value.id == frame and isinstance(node.slice, ast.Constant) and node.slice.value == column
    ]  # fmt: skip
    return _spliced(code, [(node, how.format(ast.get_source_segment(code, node))) for node in spots])


def _loaded(code: str, name: str, text: str) -> str:
    """The code with the first use of a name, where it is read, replaced."""
    spots = [
        node for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
    ]  # fmt: skip
    return _spliced(code, [(node, text) for node in spots[:1]])


def _constant(code: str, text: str, other: str) -> str:
    spots = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant) and node.value == text]
    return _spliced(code, [(node, repr(other)) for node in spots])


def _attribute(code: str, name: str, other: str) -> str:
    spots = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute) and node.attr == name]
    changed = [(node, f"{ast.get_source_segment(code, node.value)}.{other}") for node in spots]
    return _spliced(code, changed[:1])


def _spliced(code: str, changes: Iterable[tuple[ast.expr, str]]) -> str:
    """The code with the source of nodes replaced; offsets of Python's trees are in bytes."""
    lines = code.splitlines()
    for node, text in sorted(changes, key=lambda change: (-change[0].lineno, -change[0].col_offset)):
        if node.end_lineno != node.lineno or node.end_col_offset is None:
            continue
        line = lines[node.lineno - 1].encode()
        lines[node.lineno - 1] = (line[: node.col_offset] + text.encode() + line[node.end_col_offset :]).decode()
    return "\n".join(lines)


def _used(code: str, schema: Schema) -> list[Variable]:
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    return [variable for variable in schema.variables if variable.name in names]


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are near, the nearest first: letters of another case count least."""
    folded: dict[str, str] = {}
    for other in known:
        if other != name and not (other.startswith("_") and not name.startswith("_")):
            folded.setdefault(_folded(other), other)
    return [folded[near] for near in difflib.get_close_matches(_folded(name), list(folded), 2, CLOSE)]


def _folded(name: str) -> str:
    return name.lower().replace(" ", "_")


def _parses(code: str) -> bool:
    try:
        return bool(ast.parse(code).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
