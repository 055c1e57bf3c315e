"""Which grammar reads which language, and how its nodes are called.

Languages are LSP identifiers. A grammar is loaded when it is first asked for; all of them together take about ten
megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tree_sitter


@dataclass(frozen=True)
class Grammar:
    """Where a grammar lies, and the types of its nodes that we ask for.

    ``indented``: blocks end by indentation, else by a closing bracket. ``containers``: nodes that hold statements and
    do not start a scope of their own.
    """

    module: str
    entry: str = "language"
    functions: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset({"comment"})
    strings: frozenset[str] = frozenset()
    holes: frozenset[str] = frozenset()
    """Code inside of strings."""
    blocks: frozenset[str] = frozenset()
    indented: bool = False


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PYTHON = Grammar(
    "tree_sitter_python",
    functions=_set("function_definition"),
    classes=_set("class_definition"),
    strings=_set("string"),
    holes=_set("interpolation"),
    blocks=_set("block"),
    indented=True,
)
_SCRIPT_FUNCTIONS = _set(
    "function_declaration generator_function_declaration function_expression generator_function arrow_function "
    "method_definition"
)
_SCRIPT_STRINGS = _set("string template_string regex jsx_text")
_SCRIPT_HOLES = _set("template_substitution")
_SCRIPT_BLOCKS = _set("statement_block class_body switch_body object interface_body object_type enum_body")
_SCRIPT_CLASSES = _set("class_declaration class abstract_class_declaration interface_declaration enum_declaration")


def _script(module: str, entry: str) -> Grammar:
    return Grammar(
        module, entry, _SCRIPT_FUNCTIONS, _SCRIPT_CLASSES, _set("comment html_comment"), _SCRIPT_STRINGS,
        _SCRIPT_HOLES, _SCRIPT_BLOCKS,
    )  # fmt: skip


_GO = Grammar(
    "tree_sitter_go",
    functions=_set("function_declaration method_declaration func_literal"),
    classes=_set("type_spec"),
    strings=_set("interpreted_string_literal raw_string_literal rune_literal"),
    blocks=_set("block field_declaration_list literal_value interface_type import_spec_list"),
)
_RUST = Grammar(
    "tree_sitter_rust",
    functions=_set("function_item closure_expression"),
    classes=_set("struct_item enum_item trait_item impl_item mod_item"),
    comments=_set("line_comment block_comment"),
    strings=_set("string_literal raw_string_literal char_literal"),
    blocks=_set("block declaration_list field_declaration_list enum_variant_list match_block field_initializer_list"),
)
_JAVA = Grammar(
    "tree_sitter_java",
    functions=_set("method_declaration constructor_declaration compact_constructor_declaration lambda_expression"),
    classes=_set("class_declaration interface_declaration enum_declaration record_declaration"),
    comments=_set("line_comment block_comment"),
    strings=_set("string_literal character_literal"),
    holes=_set("string_interpolation"),
    blocks=_set("block class_body interface_body enum_body constructor_body switch_block array_initializer"),
)
_C_BLOCKS = "compound_statement field_declaration_list enumerator_list initializer_list declaration_list"
_C = Grammar(
    "tree_sitter_c",
    functions=_set("function_definition"),
    classes=_set("struct_specifier union_specifier enum_specifier"),
    strings=_set("string_literal char_literal system_lib_string"),
    blocks=_set(_C_BLOCKS),
)
_CPP = Grammar(
    "tree_sitter_cpp",
    functions=_set("function_definition lambda_expression"),
    classes=_set("class_specifier struct_specifier union_specifier enum_specifier namespace_definition"),
    strings=_set("string_literal raw_string_literal char_literal system_lib_string"),
    blocks=_set(_C_BLOCKS),
)
_BASH = Grammar(
    "tree_sitter_bash",
    functions=_set("function_definition"),
    strings=_set("string raw_string ansi_c_string heredoc_body"),
    holes=_set("command_substitution expansion simple_expansion"),
    blocks=_set("compound_statement do_group if_statement case_statement subshell"),
)
_JSON = Grammar("tree_sitter_json", strings=_set("string"), blocks=_set("object array"))
_YAML = Grammar(
    "tree_sitter_yaml",
    strings=_set("double_quote_scalar single_quote_scalar block_scalar"),
    blocks=_set("flow_mapping flow_sequence"),
    indented=True,
)
_TOML = Grammar("tree_sitter_toml", strings=_set("string"), blocks=_set("array inline_table"))
_MARKDOWN = Grammar("tree_sitter_markdown", comments=frozenset())

GRAMMARS: Mapping[str, Grammar] = {
    "python": _PYTHON,
    "typescript": _script("tree_sitter_typescript", "language_typescript"),
    "typescriptreact": _script("tree_sitter_typescript", "language_tsx"),
    "javascript": _script("tree_sitter_javascript", "language"),
    "javascriptreact": _script("tree_sitter_javascript", "language"),
    "go": _GO,
    "rust": _RUST,
    "java": _JAVA,
    "c": _C,
    "cpp": _CPP,
    "shellscript": _BASH,
    "json": _JSON,
    "jsonc": _JSON,
    "yaml": _YAML,
    "toml": _TOML,
    "markdown": _MARKDOWN,
}
"""By LSP language identifier."""


@cache
def load(language: str) -> tree_sitter.Language | None:
    """The grammar of a language, or None where there is none (or its wheel is not installed)."""
    import tree_sitter

    grammar = GRAMMARS.get(language)
    if grammar is None:
        return None
    try:
        module = import_module(grammar.module)
    except ImportError:
        return None
    return tree_sitter.Language(getattr(module, grammar.entry)())
