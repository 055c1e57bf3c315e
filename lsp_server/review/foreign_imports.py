"""Where names come from in languages other than Python: one import statement at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tree_sitter

Import = tuple[str, tuple[str, str]]
"""Local name → (where from, its name there; ``*`` for all that is there)."""


def of(node: tree_sitter.Node, family: str) -> Iterator[Import]:
    """The names that a node imports; nothing if it is no import."""
    if family == "script":
        yield from _script(node)
    elif family == "go" and node.type == "import_spec":
        path = _text(node.child_by_field_name("path")).strip('"`')
        yield _text(node.child_by_field_name("name")) or path.rpartition("/")[2], (path, "*")
    elif family == "c" and node.type == "preproc_include":
        path = _text(node.child_by_field_name("path")).strip('<>"')
        yield path, (path, "*")
    elif family == "rust" and node.type == "use_declaration":
        argument = node.child_by_field_name("argument")
        if argument is not None:
            yield from _rust(argument, "")


def required(node: tree_sitter.Node) -> str:
    """What a ``const … = require("…")`` requires; empty for any other declaration."""
    value = node.child_by_field_name("value")
    if node.type != "variable_declarator" or value is None or value.type != "call_expression":
        return ""
    function, arguments = value.child_by_field_name("function"), value.child_by_field_name("arguments")
    if _text(function) != "require" or arguments is None or len(arguments.named_children) != 1:
        return ""
    return _text(arguments.named_children[0]).strip("\"'`")


def _script(node: tree_sitter.Node) -> Iterator[Import]:
    if node.type == "import_statement":
        source = _text(node.child_by_field_name("source")).strip("\"'")
        stack = list(node.children)
        while stack:
            part = stack.pop()
            if part.type == "import_specifier":
                name = _text(part.child_by_field_name("name"))
                yield _text(part.child_by_field_name("alias")) or name, (source, name)
            elif part.type == "namespace_import":
                yield _text(part.named_children[-1]), (source, "*")
            elif part.type == "import_clause" and part.named_children[0].type == "identifier":
                yield _text(part.named_children[0]), (source, "default")
                stack += part.children
            elif part.type in ("import_clause", "named_imports"):
                stack += part.children
    elif source := required(node):
        target = node.child_by_field_name("name")
        if target is not None and target.type == "identifier":
            yield _text(target), (source, "*")
        for part in target.named_children if target is not None else ():
            if part.type == "shorthand_property_identifier_pattern":
                yield _text(part), (source, _text(part))
            elif part.type == "pair_pattern":
                yield _text(part.child_by_field_name("value")), (source, _text(part.child_by_field_name("key")))


def _rust(node: tree_sitter.Node, above: str) -> Iterator[Import]:
    """``use a::{b, c as d}``, part by part."""
    if node.type == "scoped_use_list":
        path = _text(node.child_by_field_name("path"))
        for part in (node.child_by_field_name("list") or node).named_children:
            yield from _rust(part, f"{above}::{path}".lstrip(":"))
    elif node.type == "use_list":
        for part in node.named_children:
            yield from _rust(part, above)
    elif node.type == "use_as_clause":
        for _, (source, name) in _rust(node.child_by_field_name("path") or node.children[0], above):
            yield _text(node.child_by_field_name("alias")), (source, name)
    elif node.type in ("identifier", "scoped_identifier"):
        path = f"{above}::{_text(node)}".lstrip(":")
        source, _, name = path.rpartition("::")
        yield name, (source, name)


def _text(node: tree_sitter.Node | None) -> str:
    return "" if node is None else (node.text or b"").decode("utf-8", "replace")
