"""Which names mean something at a place of a Python text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.tree import Tree

if TYPE_CHECKING:
    import tree_sitter

Binding = tuple[int, str]
"""From which offset a name is bound, and the name."""

_COMPREHENSIONS = frozenset(
    ("list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression")
)
_SCOPES = frozenset(("function_definition", "class_definition", "lambda"))
_TARGETS = frozenset(("identifier", "pattern_list", "tuple_pattern", "list_pattern", "list_splat_pattern"))


def python_names(tree: Tree, offset: int) -> list[str]:
    """Names that resolve at ``offset``, nearest first: what the innermost scope has bound before, then what the
    functions around it and the module bind anywhere. Classes show their names to their own statements only."""
    found: dict[str, None] = {}
    called = False
    for node in tree.around(offset):
        bound: list[Binding] = []
        if node.type in _COMPREHENSIONS:
            bound = [b for clause in node.named_children for b in _targets(tree, clause, "left")]
        elif node.type == "lambda" and _in_body(node, offset):
            bound = _parameters(tree, node)
        elif node.type == "function_definition" and _in_body(node, offset):
            bound = _seen(_bindings(tree, node), offset, called)
            found.update((name, None) for _, name in sorted(bound, reverse=True) if name)
            bound, called = _parameters(tree, node), True
        elif (node.type == "class_definition" and not called and _in_body(node, offset)) or node.parent is None:
            bound = _seen(_bindings(tree, node), offset, called)
        found.update((name, None) for _, name in sorted(bound, reverse=True) if name)
    return list(found)


def _seen(bound: list[Binding], offset: int, called: bool) -> list[Binding]:
    """What a scope shows: all of it to functions that are called later, else what stands before."""
    return bound if called else [b for b in bound if b[0] < offset]


def _in_body(node: tree_sitter.Node, offset: int) -> bool:
    body = node.child_by_field_name("body")
    parameters = node.child_by_field_name("parameters")
    if node.type == "lambda" or body is None:
        return parameters is None or offset > parameters.end_byte
    colon = body.prev_sibling
    while colon is not None and colon.type != ":":
        colon = colon.prev_sibling
    return offset >= (colon.end_byte if colon is not None else body.start_byte)


def _parameters(tree: Tree, node: tree_sitter.Node) -> list[Binding]:
    bound: list[Binding] = []
    for field in ("parameters", "type_parameters"):
        inner = node.child_by_field_name(field)
        for child in inner.named_children if inner is not None else ():
            name = child.child_by_field_name("name") or next(_identifiers(child), None)
            if name is not None:
                bound.append((-name.start_byte, tree.source_of(name)))
    return bound


def _identifiers(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    if node.type == "identifier":
        yield node
        return
    for child in node.named_children:
        yield from _identifiers(child)


def _bindings(tree: Tree, scope: tree_sitter.Node) -> list[Binding]:
    """Every name that the statements of a scope bind; remembered by the tree."""
    known = tree.bindings.get(scope.id)
    if known is None:
        body = scope.child_by_field_name("body") if scope.parent is not None else scope
        known = tree.bindings[scope.id] = list(_walk(tree, body)) if body is not None else []
    return known


def _walk(tree: Tree, body: tree_sitter.Node) -> Iterator[Binding]:
    cursor = body.walk()
    while True:
        node = cursor.node
        assert node is not None
        yield from _bound(tree, node)
        if node.type not in _SCOPES and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _bound(tree: Tree, node: tree_sitter.Node) -> Iterator[Binding]:
    """The names that this one node binds in its scope."""
    kind = node.type
    if kind in ("function_definition", "class_definition"):
        yield from ((node.end_byte, name) for _, name in _targets(tree, node, "name"))
    elif kind == "named_expression":
        yield from _targets(tree, node, "name")
    elif kind == "assignment":
        yield from ((node.end_byte, name) for _, name in _targets(tree, node, "left"))
    elif kind == "for_statement":
        right = node.child_by_field_name("right")
        after = right.end_byte if right is not None else node.end_byte
        yield from ((after, name) for _, name in _targets(tree, node, "left"))
    elif kind in ("import_statement", "import_from_statement", "future_import_statement"):
        yield from _imported(tree, node)
    elif kind in ("as_pattern_target", "global_statement", "nonlocal_statement"):
        yield from ((n.end_byte, tree.source_of(n)) for n in _identifiers(node))
    elif kind == "case_pattern":
        yield from _captured(tree, node)
    elif kind == "type_alias_statement":
        left = node.child_by_field_name("left") or node
        yield from ((n.end_byte, tree.source_of(n)) for n in list(_identifiers(left))[:1])
    elif kind == "parameters" and node.parent is not None and node.parent.is_error:
        yield from ((n.end_byte, tree.source_of(n)) for n in _identifiers(node))


def _targets(tree: Tree, node: tree_sitter.Node, field: str) -> Iterator[Binding]:
    """Names in the target ``field`` of a node, not those in ``a[i]`` or ``a.b``."""
    for target in node.children_by_field_name(field):
        if target.type == "identifier":
            yield target.end_byte, tree.source_of(target)
        elif target.type in _TARGETS:
            yield from (
                (n.end_byte, tree.source_of(n))
                for child in target.named_children
                if child.type in _TARGETS
                for n in _identifiers(child)
            )


def _imported(tree: Tree, node: tree_sitter.Node) -> Iterator[Binding]:
    for name in node.children_by_field_name("name"):
        alias = name.child_by_field_name("alias")
        text = tree.source_of(alias if alias is not None else name)
        yield node.end_byte, text.partition(".")[0] if node.type == "import_statement" else text


def _captured(tree: Tree, node: tree_sitter.Node) -> Iterator[Binding]:
    """What a ``case`` takes apart; a dotted name is a value, ``_`` nothing."""
    for child in node.named_children:
        if child.type == "dotted_name" and child.named_child_count == 1 and tree.source_of(child) != "_":
            yield child.end_byte, tree.source_of(child)
        elif child.type in ("splat_pattern", "as_pattern") or child.type == "keyword_pattern":
            yield from ((n.end_byte, tree.source_of(n)) for n in list(_identifiers(child))[-1:])
