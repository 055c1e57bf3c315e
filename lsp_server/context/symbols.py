"""Definitions in a file, as short as a person would quote them: the signature and what the docstring begins with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.places import function_name
from famulus.lsp_server.syntax.tree import Tree

if TYPE_CHECKING:
    import tree_sitter

SIGNATURE = 200
"""Characters of a signature."""
SHAPE = 400
"""Characters of a type that is quoted whole."""
MOST = 400
"""Definitions of one file."""

_BLANKS = re.compile(r"\s+")
_CONSTANT = re.compile(r"_*[A-Z][A-Z0-9_]*$")
_SHAPES = frozenset(
    (
        "interface_declaration", "type_alias_declaration", "enum_declaration", "type_spec", "struct_item", "enum_item",
        "struct_specifier", "enum_specifier", "record_declaration",
    )
)  # fmt: skip
"""Types whose members are their meaning."""
_CONSTANTS = frozenset(
    ("const_item", "static_item", "const_spec", "variable_declarator", "preproc_def", "preproc_function_def")
)
_DEEPEST = 6


@dataclass(frozen=True)
class Definition:
    """``name`` is what code calls it; ``owner`` the class it belongs to, or ""; ``line`` counts from 0."""

    name: str
    owner: str
    text: str
    line: int


def definitions(tree: Tree) -> list[Definition]:
    """What other code can use of a file: functions, classes, methods, constants; not what is inside of functions."""
    found = []
    for definition in _within(tree, tree.root, "", 0):
        found.append(definition)
        if len(found) == MOST:
            break
    return found


def _within(tree: Tree, node: tree_sitter.Node, owner: str, depth: int) -> Iterator[Definition]:
    grammar = tree.grammar
    for child in node.named_children:
        kind = child.type
        if kind in grammar.functions:
            yield from _function(tree, child, owner)
        elif kind in _SHAPES:
            yield from _shape(tree, child)
        elif kind in grammar.classes:
            yield from _class(tree, child, depth)
        elif kind in _CONSTANTS or (kind == "assignment" and tree.language == "python"):
            yield from _constant(tree, child, owner)
        elif depth < _DEEPEST and _may_define(tree, kind, depth):
            yield from _within(tree, child, owner, depth + 1)


def _may_define(tree: Tree, kind: str, depth: int) -> bool:
    """Whether other code can use what is defined inside a node that is no definition itself."""
    grammar = tree.grammar
    if kind in grammar.blocks:
        return depth <= 1 or kind == "declaration_list"
    return kind not in grammar.strings and kind not in grammar.comments


def _function(tree: Tree, node: tree_sitter.Node, owner: str) -> Iterator[Definition]:
    name = function_name(tree, node).rpartition("::")[2]
    if name.isidentifier():
        text = signature(tree, node)
        if doc := docstring(tree, node):
            text += f'\n    """{doc}"""'
        yield Definition(name, owner, text, node.start_point[0])


def _class(tree: Tree, node: tree_sitter.Node, depth: int) -> Iterator[Definition]:
    name = function_name(tree, node)
    body = node.child_by_field_name("body")
    members = list(_within(tree, body, name, depth + 1)) if body is not None and depth < _DEEPEST else []
    if name.isidentifier() and node.type not in ("impl_item", "mod_item", "namespace_definition"):
        text = signature(tree, node)
        if doc := docstring(tree, node):
            text += f'\n    """{doc}"""'
        made = next((m for m in members if m.name in ("__init__", "constructor")), None)
        if made is not None:
            text += "\n    " + made.text.split("\n", 1)[0]
        yield Definition(name, "", text, node.start_point[0])
    yield from members


def _shape(tree: Tree, node: tree_sitter.Node) -> Iterator[Definition]:
    name = function_name(tree, node)
    text = tree.source_of(node)
    if name.isidentifier() and "{" in text + "{":
        text = text if len(text) <= SHAPE else signature(tree, node)
        yield Definition(name, "", text, node.start_point[0])


def _constant(tree: Tree, node: tree_sitter.Node, owner: str) -> Iterator[Definition]:
    target = node.child_by_field_name("left") or node.child_by_field_name("name")
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    name = tree.source_of(target) if target is not None else ""
    if value is not None and value.type in tree.grammar.functions:
        yield from _function(tree, value, owner)
    elif name.isidentifier() and not (tree.language == "python" and not _CONSTANT.match(name)):
        yield Definition(name, owner, _short(tree.source_of(node), SIGNATURE // 2), node.start_point[0])


def signature(tree: Tree, node: tree_sitter.Node) -> str:
    """The head of a function or class on one line, without its body."""
    body = node.child_by_field_name("body")
    outer = node.parent if node.type == "arrow_function" and node.parent is not None else node
    end = body.start_byte if body is not None else node.end_byte
    head = tree.text.value[outer.start_byte : end]
    if tree.language == "python":
        head = head.rpartition(":")[0] + ":"
    return _short(head, SIGNATURE)


def docstring(tree: Tree, node: tree_sitter.Node) -> str:
    """The first line of a Python docstring; "" if there is none."""
    body = node.child_by_field_name("body") if tree.language == "python" else None
    first = body.named_child(0) if body is not None and body.named_child_count else None
    inner = first.named_child(0) if first is not None and first.named_child_count else None
    if inner is None or inner.type != "string" or first is None or first.type != "expression_statement":
        return ""
    text = tree.source_of(inner).lstrip("rRbBuU").strip("\"'").strip()
    return _short(text.partition("\n")[0], SIGNATURE // 2)


def _short(text: str, size: int) -> str:
    text = _BLANKS.sub(" ", text).strip().rstrip("{").rstrip()
    return text if len(text) <= size else text[: size - 1] + "…"
