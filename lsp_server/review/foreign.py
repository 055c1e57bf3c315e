"""Definitions and calls in languages other than Python, as far as a syntax tree shows them.

Functions are read with how many arguments they need and take at most, calls with how many they give and through what
name, and imports with where they come from: enough to see that a call no longer fits, never what a type is.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from famulus.lsp_server.review import foreign_imports
from famulus.lsp_server.review.equality.trees import parsed

if TYPE_CHECKING:
    import tree_sitter

FAMILIES = {
    "javascript": "script", "javascriptreact": "script", "typescript": "script", "typescriptreact": "script",
    "go": "go", "java": "java", "c": "c", "cpp": "c", "rust": "rust",
}  # fmt: skip
"""Languages whose files call each other."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function. ``needed``: arguments without a default; ``most``: None if there is no limit; ``owner``: the class of
    a method; ``text``: its head; ``private``: seen in its file only. ``body`` False: only declared."""

    name: str
    needed: int
    most: int | None
    text: str
    line: int
    column: int
    owner: str = ""
    private: bool = False
    body: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """A call. ``through``: what stands before the name (``shop`` in ``shop.price()``); ``given``: None if it cannot be
    counted; ``symbol``: the function around it; ``owner``: the class around it."""

    name: str
    through: str
    given: int | None
    line: int
    column: int
    end_line: int
    end_column: int
    symbol: str
    owner: str = ""


@dataclass
class ForeignFile:
    """One file. ``imports``: local name → (where from, its name there, ``*`` for all). ``bound``: names that variables
    and parameters have, each with how often; ``derived``: classes with a base."""

    path: str
    language: str
    functions: list[Function] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    bound: Counter[str] = field(default_factory=Counter)
    derived: set[str] = field(default_factory=set)

    @property
    def family(self) -> str:
        """Files of one family may call each other."""
        return FAMILIES[self.language]


def read(path: str, language: str, text: str) -> ForeignFile | None:
    """What a file defines and calls; None for a language without functions, or a file with a syntax error."""
    if language not in FAMILIES:
        return None
    root = parsed(language, text)
    if root is None:
        return None
    made = ForeignFile(path, language)
    for node, symbol, owner in _walk(root, made.family):
        _function(made, node, owner)
        _call(made, node, symbol, owner)
        if node.type in _BINDINGS[made.family]:
            made.bound.update(_bound(node, made.family))
        if any(c.type in ("superclass", "super_interfaces") for c in node.children):
            made.derived.add(_text(node.child_by_field_name("name")))
        made.imports.update(foreign_imports.of(node, made.family))
    if made.family == "c":
        _merge_declarations(made)
    return made


def reaches(file: ForeignFile, call: Call, target: str, function: Function) -> bool:
    """Whether a call in ``file`` can only mean ``function`` of the file at ``target``."""
    at_home = file.path == target
    name = call.name
    if file.family == "java":
        same = at_home and call.owner == function.owner and call.owner not in file.derived
        return name == function.name and (same if not call.through else call.through == function.owner)
    if not call.through and file.bound[name]:
        return False
    if at_home and not call.through:
        return name == function.name and name not in file.imports
    if function.private:
        return False
    return _FAR[file.family](file, call, target, function)


def _far_script(file: ForeignFile, call: Call, target: str, function: Function) -> bool:
    source, name = file.imports.get(call.through or call.name, ("", ""))
    named = call.name == function.name if call.through else name == function.name
    if not source.startswith(".") or not named or (call.through and name != "*"):
        return False
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), source))
    pure = PurePosixPath(target)
    return path in (target, str(pure.with_suffix("")), str(pure.parent) if pure.stem == "index" else target)


def _far_go(file: ForeignFile, call: Call, target: str, function: Function) -> bool:
    here, there = posixpath.dirname(file.path), posixpath.dirname(target)
    if call.name != function.name:
        return False
    if not call.through:
        return here == there and call.name not in file.imports
    source, _ = file.imports.get(call.through, ("", ""))
    return bool(there) and (source == there or source.endswith(f"/{there}")) and function.name[:1].isupper()


def _far_c(file: ForeignFile, call: Call, target: str, function: Function) -> bool:
    if call.name != function.name or call.through:
        return False
    stem = PurePosixPath(target).stem
    declared = any(f.name == call.name and not f.body for f in file.functions)
    return declared or any(PurePosixPath(name).stem == stem for name in file.imports)


def _far_rust(file: ForeignFile, call: Call, target: str, function: Function) -> bool:
    pure = PurePosixPath(target)
    module = pure.parent.name if pure.stem == "mod" else pure.stem
    if call.through:
        return call.name == function.name and call.through.rpartition("::")[2] == module
    source, name = file.imports.get(call.name, ("", ""))
    return name == function.name and source.rpartition("::")[2] == module


_FAR: dict[str, Callable[[ForeignFile, Call, str, Function], bool]] = {
    "script": _far_script, "go": _far_go, "c": _far_c, "rust": _far_rust,
}  # fmt: skip

_FUNCTIONS = {
    "script": ("function_declaration", "generator_function_declaration", "function_signature", "variable_declarator"),
    "go": ("function_declaration",),
    "java": ("method_declaration",),
    "c": ("function_definition", "declaration"),
    "rust": ("function_item", "function_signature_item"),
}
_OWNERS = {
    "script": ("class_declaration", "class", "abstract_class_declaration"),
    "go": (),
    "java": ("class_declaration", "interface_declaration", "enum_declaration", "record_declaration"),
    "c": ("class_specifier", "struct_specifier"),
    "rust": ("impl_item", "trait_item"),
}
_BINDINGS = {
    "script": frozenset(
        {"variable_declarator", "formal_parameters", "assignment_expression", "catch_clause", "for_in_statement"}
    ),
    "go": frozenset({"parameter_declaration", "short_var_declaration", "var_spec", "const_spec", "range_clause"}),
    "java": frozenset(),
    "c": frozenset({"parameter_declaration", "init_declarator", "declaration", "preproc_def", "preproc_function_def"}),
    "rust": frozenset({"let_declaration", "parameter", "closure_parameters", "for_expression", "macro_definition"}),
}
_BOUND_FIELDS = ("name", "pattern", "left", "parameter", "declarator")
_IDENTIFIERS = ("identifier", "shorthand_property_identifier_pattern")
_SKIPPED = frozenset({"comment", "line_comment", "block_comment"})


def _walk(root: tree_sitter.Node, family: str) -> Iterator[tuple[tree_sitter.Node, str, str]]:
    """All nodes, each with the name of the function and of the class around it."""
    stack = [(root, "", "")]
    while stack:
        node, symbol, owner = stack.pop()
        yield node, symbol, owner
        if node.type in _OWNERS[family]:
            owner = _text(node.child_by_field_name("name") or node.child_by_field_name("type")) or "?"
        elif node.type in ("function_declaration", "method_declaration", "method_definition", "function_item"):
            symbol = ".".join(filter(None, (owner, _text(node.child_by_field_name("name")))))
        elif node.type == "function_definition":
            symbol = _declared(node.child_by_field_name("declarator")) or symbol
        stack += [(child, symbol, owner) for child in reversed(node.children)]


def _function(made: ForeignFile, node: tree_sitter.Node, owner: str) -> None:
    if node.type not in _FUNCTIONS[made.family] or (owner and made.family != "java"):
        return
    name = node.child_by_field_name("name")
    holder = node
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        if value is None or value.type not in ("arrow_function", "function_expression"):
            return
        holder = value
    if made.family == "c":
        declarator = node.child_by_field_name("declarator")
        while declarator is not None and declarator.type in ("pointer_declarator", "reference_declarator"):
            declarator = declarator.child_by_field_name("declarator")
        if declarator is None or declarator.type != "function_declarator":
            return
        holder, name = declarator, declarator.child_by_field_name("declarator")
    parameters = holder.child_by_field_name("parameters") or holder.child_by_field_name("parameter")
    if name is None or parameters is None or name.type not in _IDENTIFIERS:
        return
    needed, most = _arity(parameters, made.language)
    row, column = name.start_point
    body = holder.child_by_field_name("body") or node.child_by_field_name("body")
    head = (node.text or b"")[: (body.start_byte - node.start_byte) if body is not None else None]
    private = any(_text(c) in ("static", "private") for c in node.children) and made.family == "c"
    made.functions.append(
        Function(
            name=_text(name),
            needed=needed,
            most=most,
            text=" ".join(head.decode("utf-8", "replace").split()).rstrip("=> {;"),
            line=row + 1,
            column=column + 1,
            owner=owner,
            private=private,
            body=body is not None or made.family != "c",
        )
    )


_VARIADIC = ("variadic_parameter_declaration", "variadic_parameter", "spread_parameter", "rest_pattern", "...")
_DEFAULTED = ("optional_parameter", "assignment_pattern", "optional_parameter_declaration")


def _arity(parameters: tree_sitter.Node, language: str) -> tuple[int, int | None]:
    """How many arguments are needed, and how many are taken at most."""
    if parameters.type in _IDENTIFIERS:
        return 1, 1
    needed = total = 0
    unlimited = language in ("javascript", "javascriptreact")
    for part in parameters.children:
        pattern = part.child_by_field_name("pattern")
        if part.type in _VARIADIC or (pattern is not None and pattern.type == "rest_pattern"):
            unlimited = True
        elif part.type in _DEFAULTED or part.child_by_field_name("value") is not None:
            total += 1
        elif part.is_named and part.type not in (*_SKIPPED, "self_parameter", "attribute_item", "receiver_parameter"):
            if pattern is not None and pattern.type == "this":
                continue
            count = max(1, len(part.children_by_field_name("name"))) if language == "go" else 1
            needed, total = needed + count, total + count
    if language in ("c", "cpp") and [_text(p) for p in parameters.named_children] == ["void"]:
        return 0, 0
    if language == "c" and not parameters.named_children:
        return 0, None
    return needed, None if unlimited else total


def _call(made: ForeignFile, node: tree_sitter.Node, symbol: str, owner: str) -> None:
    if node.type not in ("call_expression", "method_invocation"):
        return
    callee = node.child_by_field_name("function") or node.child_by_field_name("name")
    arguments = node.child_by_field_name("arguments")
    if callee is None or arguments is None or arguments.type not in ("arguments", "argument_list"):
        return
    through, name = _text(node.child_by_field_name("object")), _text(callee)
    if callee.type in ("member_expression", "selector_expression", "scoped_identifier"):
        fields = ("object", "operand", "path")
        inner = next((c for f in fields if (c := callee.child_by_field_name(f)) is not None), None)
        names = ("property", "field", "name")
        last = next((c for f in names if (c := callee.child_by_field_name(f)) is not None), None)
        if inner is None or last is None or inner.type not in (*_IDENTIFIERS, "scoped_identifier", "crate"):
            return
        through, name = _text(inner), _text(last)
    elif callee.type not in _IDENTIFIERS:
        return
    given: int | None = 0
    parts = [part for part in arguments.named_children if part.type not in _SKIPPED]
    for part in parts:
        spread = part.type in ("spread_element", "variadic_argument", "parameter_pack_expansion", "ERROR")
        given = None if spread or given is None else given + 1
    several = len(parts) == 1 and parts[0].type == "call_expression"
    if made.family == "go" and (several or _text(arguments).endswith("...)")):
        given = None  # one call may give several values
    (row, column), (end_row, end_column) = node.start_point, node.end_point
    made.calls.append(Call(name, through, given, row + 1, column + 1, end_row + 1, end_column + 1, symbol, owner))


def _bound(node: tree_sitter.Node, family: str) -> Iterator[str]:
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        if value is not None and value.type in ("arrow_function", "function_expression"):
            return
        if foreign_imports.required(node):
            return
    if family == "c" and node.type == "declaration" and _declared(node.child_by_field_name("declarator")):
        return
    whole = ("formal_parameters", "closure_parameters", "catch_clause", "macro_definition")
    parts = [node] if node.type in whole else [c for f in _BOUND_FIELDS for c in node.children_by_field_name(f)]
    stack = list(parts)
    while stack:
        part = stack.pop()
        if part.type in _IDENTIFIERS:
            yield _text(part)
        elif part.type not in ("statement_block", "type_annotation", "parameter_list"):
            stack += part.children


def _declared(declarator: tree_sitter.Node | None) -> str:
    """The name of a function that a declarator of C declares; empty if it declares something else."""
    while declarator is not None and declarator.type in ("pointer_declarator", "reference_declarator"):
        declarator = declarator.child_by_field_name("declarator")
    if declarator is None or declarator.type != "function_declarator":
        return ""
    return _text(declarator.child_by_field_name("declarator"))


def _merge_declarations(made: ForeignFile) -> None:
    """In C++ the defaults may stand in a declaration before the definition."""
    least = {f.name: min(o.needed for o in made.functions if o.name == f.name) for f in made.functions}
    made.functions = [replace(f, needed=least[f.name]) for f in made.functions]


def _text(node: tree_sitter.Node | None) -> str:
    return "" if node is None else (node.text or b"").decode("utf-8", "replace")
