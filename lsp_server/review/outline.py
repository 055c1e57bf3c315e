"""The pieces of a Python file, and the names that each of them mentions: the same bytes give the same outline.

A piece is a statement at the top of the file, or a method. Two outlines tell which pieces differ between two states of
a file, and what such a difference can mean to others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

import msgspec

from famulus.lsp_server.review.change import decoded, parsed
from famulus.lsp_server.review.kept import Kept, digest_of, python_mark

VERSION = 1
"""Raised whenever the same bytes give another outline."""
_HARMLESS = frozenset(("bool", "bytes", "complex", "dict", "float", "int", "list", "object", "set", "str", "tuple"))
_WORD = re.compile(r"[^\W\d]\w*")


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``name``: of a function at the top whose definition does nothing but bind it, else empty. ``words``: names in its
    code, and in texts that are a name."""

    name: str
    digest: str
    words: frozenset[str]


class Outline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """See the module."""

    pieces: tuple[Piece, ...]

    def beside(self, other: Outline) -> list[Piece]:
        """Pieces that only one of both has."""
        mine, theirs = ({piece.digest for piece in side.pieces} for side in (self, other))
        return [p for p in self.pieces if p.digest not in theirs] + [p for p in other.pieces if p.digest not in mine]

    def in_order(self, without: frozenset[str]) -> list[str]:
        """The digests of all pieces but these."""
        return [piece.digest for piece in self.pieces if piece.digest not in without]


def outlines() -> Kept[Outline]:
    """Where outlines are kept by the digest of their file."""
    return Kept(f"outlines-{VERSION}-{python_mark()}", Outline)


def outline(content: bytes, tree: ast.Module | None = None) -> Outline | None:
    """The outline of a file; None if it is no Python that we can read. ``tree``: the file, if it was read before."""
    text = decoded(content)
    tree = tree or parsed(text)
    if tree is None:
        return None
    plain = {id(node) for node in _plain(tree)}
    found = []
    for node, digest, _ in _digested(tree, text):
        inner = [n for n in node.body if isinstance(n, _FUNCTIONS)] if isinstance(node, ast.ClassDef) else []
        name = node.name if id(node) in plain and isinstance(node, _FUNCTIONS) else ""
        found.append(Piece(name, digest, frozenset(_mentioned(node, inner))))
    return Outline(tuple(found))


def lines_of(text: str) -> list[tuple[str, list[int]]]:
    """The lines of each piece, from 1, with the piece's digest; a class has those that no method has."""
    tree = parsed(text)
    return [] if tree is None else [(digest, [at + 1 for at in own]) for _, digest, own in _digested(tree, text)]


def _digested(tree: ast.Module, text: str) -> Iterator[tuple[ast.stmt, str, list[int]]]:
    lines = text.split("\n")
    for owner, node in _pieces(tree.body):
        inner = [n for n in node.body if isinstance(n, _FUNCTIONS)] if isinstance(node, ast.ClassDef) else []
        cut = {line for n in inner for line in range(_first(n) - 1, n.end_lineno or n.lineno)} if inner else set()
        own = [at for at in range(_first(node) - 1, node.end_lineno or node.lineno) if at not in cut]
        said = "\n".join(lines[at] for at in own)
        yield node, digest_of(owner.encode(), said.encode(errors="surrogatepass")), own


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _pieces(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """With the name of a method's class, so that one which moves to another class is another one."""
    for node in body:
        yield "", node
        if isinstance(node, ast.ClassDef):
            yield from ((node.name, inner) for inner in node.body if isinstance(inner, _FUNCTIONS))


def _first(node: ast.stmt) -> int:
    """Its first line, that of a decorator if it has one."""
    decorators: Sequence[ast.expr] = getattr(node, "decorator_list", ())
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _plain(tree: ast.Module) -> Iterator[ast.stmt]:
    """Functions at the top whose definition has no other effect than their name."""
    for node in tree.body:
        if not isinstance(node, _FUNCTIONS) or node.decorator_list or node.name.startswith("__"):
            continue
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        heads = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
        heads += [own.annotation for own in every if own is not None and own.annotation is not None]
        heads += [node.returns] if node.returns is not None else []
        if all(isinstance(h, ast.Constant) or (isinstance(h, ast.Name) and h.id in _HARMLESS) for h in heads):
            yield node


def _mentioned(node: ast.AST, without: Sequence[ast.AST]) -> set[str]:
    """Names, attributes and texts that are a name, and what is imported or defined."""
    found: set[str] = set()
    left_out = set(map(id, without))
    waiting = [node]
    for part in waiting:  # it grows
        match part:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Constant(value=str(text)) | ast.Constant(value=bytes() as text):
                said = text if isinstance(text, str) else text.decode("latin-1")
                if len(said) < 100 and not said.count(" "):
                    found.update(_WORD.findall(said))
            case ast.alias(name=name):
                found.update(name.split("."))
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                found.update(names)
        waiting.extend(child for child in ast.iter_child_nodes(part) if id(child) not in left_out)
    return found
