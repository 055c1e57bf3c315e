"""A doc comment for a function or type of TypeScript, JavaScript, Go, Rust or Java: one sentence above it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import Text as Prose
from famulus.lsp_server.commands.asking import ask
from famulus.lsp_server.commands.docstring import CANDIDATES, MOST, TOKENS, Place, grounds, sentence_of
from famulus.lsp_server.documents import Change, Snapshot
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.syntax import Tree, parse
from famulus.lsp_server.syntax.places import function_name

if TYPE_CHECKING:
    import tree_sitter


@dataclass(frozen=True)
class Form:
    """How a language writes doc comments. ``signs``: what a comment begins with that is one ("" for each that stands
    directly above). ``named``: the sentence begins with the name."""

    opening: str
    closing: str
    signs: tuple[str, ...]
    named: bool = False


_BLOCK = Form("/** ", " */", ("/**",))
FORMS: Mapping[str, Form] = {
    "typescript": _BLOCK,
    "typescriptreact": _BLOCK,
    "javascript": _BLOCK,
    "javascriptreact": _BLOCK,
    "java": _BLOCK,
    "go": Form("// ", "", ("",), named=True),
    "rust": Form("/// ", "", ("///", "/**")),
}
LANGUAGES = "Python, TypeScript, JavaScript, Go, Rust and Java"

_SIGN = re.compile(r"^\s*(?:/?\*+|//+!?)\s*")
_VERB = re.compile(r"(?!(?:This|Class|Its|Is)\b)[A-Z][a-z]+s\b")
"""In the third person, as comments begin."""
_DANGLING = re.compile(r"\b(?:a|an|and|as|at|by|for|from|in|is|of|or|that|the|this|to|which|with)\.$", re.IGNORECASE)

_MORE = frozenset(
    (
        "function_signature", "method_signature", "abstract_method_signature", "type_alias_declaration",
        "function_signature_item", "annotation_type_declaration", "type_alias",
    )
)  # fmt: skip
"""What can be documented beside the functions and classes of a grammar."""
_AROUND = frozenset(
    (
        "variable_declarator", "lexical_declaration", "variable_declaration", "export_statement", "ambient_declaration",
        "pair", "public_field_definition", "field_definition",
    )
)  # fmt: skip
"""What stands around a definition and begins with it, or before it: the comment goes above."""
_ABOVE = frozenset(("decorator", "attribute_item"))


def place_for(tree: Tree, offset: int) -> Place:
    """Where the innermost definition on the line of ``offset`` takes its comment. Raises :class:`InvalidRequest` where
    there is none, it has one already, or it does not parse."""
    text = tree.text
    row = text.place(offset)[0]
    around = [
        (outer, node, name)
        for outer, node, name in _definitions(tree)
        if text.place(outer.start_byte)[0] <= row <= text.place(node.end_byte)[0]
    ]
    if not around:
        raise InvalidRequest("There is no function or type at the cursor.", fix="Put the cursor into one.")
    outer, node, name = max(around, key=lambda entry: entry[1].start_byte)
    if node.has_error:
        raise InvalidRequest(f"{name} does not parse, so it is not documented.", fix="Mend it first.")
    if _documented(tree, outer):
        raise InvalidRequest(f"{name} has a doc comment already.")
    line, column = text.place(outer.start_byte)
    indentation = text.line(line)[:column]
    if indentation.strip():
        raise InvalidRequest(f"{name} stands behind other code on its line.", fix="Break that line first.")
    return Place(name, text.starts[line], indentation, text.starts[line], text.line_end(text.place(node.end_byte)[0]))


async def write(
    link: EngineLink, seen: Snapshot, place: Place, report: Callable[[str], None] | None = None
) -> str | None:
    """The best sentence that passes the checks, as a whole comment with its line break; None where none does."""
    form, value = FORMS[seen.language], seen.text.value
    code = value[place.start : place.end][:MOST]
    prompt = Prose(f"{code}\n\n\n// The same, documented:\n{place.indentation}/**")
    answers = await ask(
        link, prompt, max_tokens=TOKENS, others=CANDIDATES - 1, stop=["*/", "\n\n", f"\n{code[:40]}"], report=report
    )
    sentences = [found for answer in answers if (found := sentence(answer.text, form, place.name, code)) is not None]
    end = "\r\n" if "\r\n" in value else "\n"
    for best in sorted(sentences, key=lambda found: (_VERB.match(found) is None, -grounds(found, code))):
        comment = f"{place.indentation}{form.opening}{best}{form.closing}{end}"
        if same_but_comment(seen, Change(place.offset, place.offset, comment)):
            return comment
    return None


def same_but_comment(seen: Snapshot, change: Change) -> bool:
    """Whether ``change`` adds a comment and nothing else: every token of the code is what it was."""
    before, after = parse(seen.language, seen.text), parse(seen.language, seen.text.edited(change))
    if before is None or after is None:
        return False
    start = change.start + len(change.inserted) - len(change.inserted.lstrip())
    last = change.start + len(change.inserted.rstrip()) - 1
    inner = after.root.descendant_for_byte_range(start, last)
    while inner is not None and inner.type not in after.grammar.comments:
        inner = inner.parent
    return inner is not None and list(_tokens(before)) == list(_tokens(after))


def sentence(answer: str, form: Form, name: str, code: str) -> str | None:
    """The first sentence of an answer, however it is broken into lines; with the name in front of its verb where the
    language has it so."""
    found = sentence_of(_paragraph(answer), name, code)
    if found is None or _DANGLING.search(found):
        return None
    if not form.named:
        return found
    return f"{name} {found[0].lower()}{found[1:]}" if _VERB.match(found) else None


def _paragraph(comment: str) -> str:
    """The first paragraph of a comment's inside, in one line."""
    first, *rest = comment.strip().split("\n")
    lines = [_SIGN.sub("", first)]
    for line in rest:
        words = _SIGN.sub("", line)
        if words == line.strip() or not words or words.startswith("@"):
            break
        lines.append(words)
    return " ".join(line.strip() for line in lines)


def _definitions(tree: Tree) -> Iterator[tuple[tree_sitter.Node, tree_sitter.Node, str]]:
    """What can be documented: where it begins for a reader, its own node, its name."""
    wanted = tree.grammar.functions | tree.grammar.classes | _MORE
    for node in _nodes(tree.root):
        if node.type not in wanted or not (name := function_name(tree, node)):
            continue
        outer = node
        while (parent := outer.parent) is not None and (parent.type in _AROUND or _only_type(parent)):
            outer = parent
        while (above := outer.prev_named_sibling) is not None and above.type in _ABOVE:
            outer = above
        yield outer, node, name


def _only_type(node: tree_sitter.Node) -> bool:
    """Go's ``type`` without brackets, which holds one type."""
    return node.type == "type_declaration" and not any(child.type == "(" for child in node.children)


def _documented(tree: Tree, outer: tree_sitter.Node) -> bool:
    form, node, end = FORMS[tree.language], outer.prev_sibling, outer.start_byte
    while node is not None and node.type in tree.grammar.comments | _ABOVE:
        comment = tree.source_of(node).rstrip()
        if tree.text.value[node.start_byte + len(comment) : end].count("\n") > 1:
            return False
        if node.type in tree.grammar.comments and comment.startswith(form.signs):
            return True
        end = node.start_byte
        node = node.prev_sibling
    return False


def _tokens(tree: Tree) -> Iterator[tuple[str, str]]:
    """The tokens outside of comments."""
    nodes = _nodes(tree.root, skip=tree.grammar.comments)
    return ((node.type, tree.source_of(node)) for node in nodes if not node.child_count)


def _nodes(root: tree_sitter.Node, skip: frozenset[str] = frozenset()) -> Iterator[tree_sitter.Node]:
    """All nodes in order, without those of a type in ``skip`` and what is in them."""
    cursor = root.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.type not in skip:
            yield node
            if cursor.goto_first_child():
                continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
