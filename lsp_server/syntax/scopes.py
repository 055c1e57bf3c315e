"""Which names mean something at a place, for languages where braces make the scopes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from famulus.lsp_server.syntax.tree import Tree

if TYPE_CHECKING:
    import tree_sitter

Binding = tuple[int, str]
"""From which offset a name is bound, and the name."""

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "variable_declarator": ("name",),
    "required_parameter": ("pattern",),
    "optional_parameter": ("pattern",),
    "import_specifier": ("alias", "name"),
    "for_in_statement": ("left",),
    "catch_clause": ("parameter",),
    "type_alias_declaration": ("name",),
    "short_var_declaration": ("left",),
    "range_clause": ("left",),
    "var_spec": ("name",),
    "const_spec": ("name",),
    "type_spec": ("name",),
    "parameter_declaration": ("name", "declarator"),
    "variadic_parameter_declaration": ("name",),
    "let_declaration": ("pattern",),
    "let_condition": ("pattern",),
    "match_arm": ("pattern",),
    "for_expression": ("pattern",),
    "parameter": ("pattern",),
    "const_item": ("name",),
    "static_item": ("name",),
    "type_item": ("name",),
    "macro_definition": ("name",),
    "formal_parameter": ("name",),
    "catch_formal_parameter": ("name",),
    "enhanced_for_statement": ("name",),
    "resource": ("name",),
    "enum_constant": ("name",),
    "declaration": ("declarator",),
    "optional_parameter_declaration": ("declarator",),
    "for_range_loop": ("declarator",),
    "type_definition": ("declarator",),
    "alias_declaration": ("name",),
    "enumerator": ("name",),
    "preproc_def": ("name",),
    "preproc_function_def": ("name",),
    "variable_assignment": ("name",),
    "for_statement": ("variable",),
    "arrow_function": ("parameter",),
}
"""Node types that bind names, and the fields (the first that is there counts) with the names."""

_LISTS = frozenset(("formal_parameters", "closure_parameters", "inferred_parameters"))
"""Parameters that stand in a list without a node around each."""
_IMPORTS = frozenset(("import_clause", "namespace_import", "import_declaration", "import_spec", "use_declaration"))
_NAMES = frozenset(
    (
        "identifier", "type_identifier", "variable_name", "word", "shorthand_property_identifier_pattern",
        "shorthand_field_identifier", "namespace_identifier",
    )
)  # fmt: skip
_NOT_IN_PATTERNS = frozenset(
    ("type_annotation", "property_identifier", "field_identifier", "scoped_identifier", "type_arguments")
)


def names_at(tree: Tree, offset: int) -> list[str]:
    """Identifiers that mean something at ``offset``, nearest first, without the language's own (builtins)."""
    from famulus.lsp_server.syntax.python_scopes import python_names

    if tree.language == "python":
        return python_names(tree, offset)
    found: dict[str, None] = {}
    for node in tree.around(offset):
        bound = [b for child in node.named_children for b in _of_child(tree, node, child, offset)]
        bound += _own(tree, node)
        found.update((name, None) for _, name in sorted(bound, reverse=True) if name)
    return list(found)


def _of_child(tree: Tree, node: tree_sitter.Node, child: tree_sitter.Node, offset: int) -> list[Binding]:
    """What a statement binds for those after it, and a definition for everyone beside it."""
    hoisted = child.type in tree.grammar.functions or child.type in tree.grammar.classes or _exported(tree, child)
    if child.end_byte >= offset and not hoisted and not _at_top(tree, node):
        return [] if child.end_byte > offset or child.type not in _LISTS else list(_bindings(tree, child))
    return list(_bindings(tree, child))


def _exported(tree: Tree, node: tree_sitter.Node) -> bool:
    inner = node.child_by_field_name("declaration") if node.type == "export_statement" else None
    return inner is not None and (inner.type in tree.grammar.functions or inner.type in tree.grammar.classes)


def _at_top(tree: Tree, node: tree_sitter.Node) -> bool:
    """Whether the order of declarations does not matter in ``node``."""
    if node.parent is None:
        return tree.language in ("go", "rust", "java")
    return tree.language == "java" and node.type.endswith("_body")


def _own(tree: Tree, node: tree_sitter.Node) -> list[Binding]:
    """What a node binds for its own inside: parameters, loop variables, what a match arm takes apart."""
    bound = _named(tree, node)
    parameters = node.child_by_field_name("parameters")
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and parameters is None:
        parameters = declarator.child_by_field_name("parameters")
        declarator = declarator.child_by_field_name("declarator")
    if parameters is not None:
        bound += _bindings(tree, parameters)
    receiver = node.child_by_field_name("receiver")
    return bound + (list(_bindings(tree, receiver)) if receiver is not None and tree.language == "go" else [])


def _bindings(tree: Tree, root: tree_sitter.Node) -> Iterator[Binding]:
    """Names bound by ``root`` for what follows; blocks and bodies inside keep theirs."""
    cursor = root.walk()
    while True:
        node = cursor.node
        assert node is not None
        grammar = tree.grammar
        definition = node.type in grammar.functions or node.type in grammar.classes
        if definition:
            yield from _definition(tree, node)
        else:
            yield from _named(tree, node)
        closed = definition or (node.type in grammar.blocks and node.type != "import_spec_list")
        if not closed and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _definition(tree: Tree, node: tree_sitter.Node) -> Iterator[Binding]:
    from famulus.lsp_server.syntax.places import function_name

    name = function_name(tree, node) if "expression" not in node.type and "literal" not in node.type else ""
    if name.isidentifier() and node.type != "method_definition":
        yield node.start_byte, name
    if node.type == "enum_specifier" and (body := node.child_by_field_name("body")) is not None:
        yield from (b for child in body.named_children for b in _named(tree, child))


def _named(tree: Tree, node: tree_sitter.Node) -> list[Binding]:
    """The names that this one node binds."""
    if node.type in _IMPORTS:
        return list(_imported(tree, node))
    if node.type in _LISTS:
        return [(n.start_byte, tree.source_of(n)) for child in node.named_children for n in _pattern(child)]
    for field in _FIELDS.get(node.type, ()):
        found = node.children_by_field_name(field)
        if found:
            return [(n.start_byte, tree.source_of(n)) for target in found for n in _pattern(target)]
    return []


def _pattern(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The identifiers that a pattern or a declarator binds."""
    if node.type in _NAMES:
        yield node
        return
    if node.type in _NOT_IN_PATTERNS:
        return
    for field in ("declarator", "left", "pattern", "value" if node.type == "pair_pattern" else "name"):
        inner = node.children_by_field_name(field)
        if inner:
            for child in inner:
                yield from _pattern(child)
            return
    kind = node.child_by_field_name("type")
    for child in node.named_children:
        if child != kind and child.type != "type_identifier":
            yield from _pattern(child)


def _imported(tree: Tree, node: tree_sitter.Node) -> Iterator[Binding]:
    if node.type == "use_declaration":
        yield from ((n.start_byte, tree.source_of(n)) for n in _used(node))
    elif node.type == "import_spec":
        name = node.child_by_field_name("name") or node.child_by_field_name("path")
        if name is not None:
            yield node.start_byte, tree.source_of(name).strip('"`').rpartition("/")[2]
    elif node.type == "import_declaration":
        last = node.named_children[-1] if node.named_children else None
        if tree.language == "java" and last is not None and last.type != "asterisk":
            yield node.start_byte, tree.source_of(last).rpartition(".")[2]
    else:
        yield from ((c.start_byte, tree.source_of(c)) for c in node.named_children if c.type == "identifier")


def _used(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The names that a ``use`` of Rust brings."""
    if node.type in ("identifier", "type_identifier"):
        yield node
        return
    for field in ("alias", "name", "list", "argument"):
        inner = node.child_by_field_name(field)
        if inner is not None:
            yield from _used(inner)
            return
    for child in node.named_children:
        yield from _used(child)
