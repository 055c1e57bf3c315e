"""The kinds of break: what each can be done to, and how it is done to the text of the file."""

from __future__ import annotations

import ast
import copy
import io
import random
import tokenize
from collections.abc import Callable, Iterator, Sequence

from famulus.bench.review_packages import Package
from famulus.bench.review_targets import (
    AnyFunction,
    Break,
    Place,
    Target,
    bases,
    binds,
    closed,
    exported,
    places,
    plain,
    signature,
)


def _header(place: Place, arguments: ast.arguments) -> str:
    """The file with other parameters in the parentheses of the ``def``."""
    lines = place.text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    first = place.node.lineno - 1
    rest = "".join(lines[first:])
    depth, begin, named = 0, 0, False
    for token in tokenize.generate_tokens(io.StringIO(rest).readline):
        at = starts[first + token.start[0] - 1] + token.start[1]
        named = named or token.string == place.node.name
        if not named or token.type != tokenize.OP:
            continue
        if token.string in "([{":
            begin = at if depth == 0 else begin
            depth += 1
        elif token.string in ")]}":
            depth -= 1
            if depth == 0:
                return f"{place.text[:begin]}({ast.unparse(arguments)}){place.text[at + 1 :]}"
    raise ValueError("a def without parentheses")


def _resigned(
    place: Place, kind: str, change: Callable[[ast.arguments], str | None], *, named: bool = True
) -> Break | None:
    """A break by other parameters; ``change`` gives the name of the one that it changed."""
    arguments = place.node.args
    if (named and not plain(place.node)) or arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        return None
    changed = copy.deepcopy(arguments)
    name = change(changed)
    if name is None:
        return None
    method = place.target.owner is not None
    new = signature(changed, method)
    return Break(kind, place.target, _header(place, changed), signature(arguments, method), new, name)


def _optional(arguments: ast.arguments, least: int = 1) -> int | None:
    """Index of the last parameter with a default, if there are ``least`` and none is only by keyword."""
    return len(arguments.args) - 1 if len(arguments.defaults) >= least and not arguments.kwonlyargs else None


def _removed(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        at = _optional(arguments)
        if at is None:
            return None
        arguments.defaults.pop()
        return arguments.args.pop(at).arg

    return _resigned(place, "parameter removed", change)


def _renamed(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        if not place.parameters or arguments.kwonlyargs:
            return None
        name = arguments.args[-1].arg
        arguments.args[-1].arg = f"{name}_now"
        return name

    return _resigned(place, "parameter renamed", change)


def _required(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        if _optional(arguments) is None:
            return None
        first = len(arguments.args) - len(arguments.defaults)
        arguments.defaults.pop(0)
        return arguments.args[first].arg

    return _resigned(place, "default removed", change)


def _keyword_only(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        at = _optional(arguments)
        if at is None:
            return None
        arguments.kwonlyargs.append(arguments.args.pop(at))
        arguments.kw_defaults.append(arguments.defaults.pop())
        return arguments.kwonlyargs[0].arg

    return _resigned(place, "made keyword-only", change)


def _positional_only(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        if not place.parameters or arguments.kwonlyargs:
            return None
        arguments.posonlyargs, arguments.args = arguments.args, []
        return arguments.posonlyargs[-1].arg

    return _resigned(place, "made positional-only", change)


def _moved(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        if len(place.parameters) - len(arguments.defaults) < 2 or arguments.kwonlyargs:
            return None
        at = len(arguments.args) - len(place.parameters)
        arguments.args[at], arguments.args[at + 1] = arguments.args[at + 1], arguments.args[at]
        return arguments.args[at].arg

    return _resigned(place, "parameter moved", change)


def _default(place: Place) -> Break | None:
    def change(arguments: ast.arguments) -> str | None:
        if _optional(arguments) is None or not isinstance(arguments.defaults[-1], ast.Constant):
            return None
        was = arguments.defaults[-1].value
        now = not was if isinstance(was, bool) else was + 1 if isinstance(was, int) else None
        if now is None and not isinstance(was, str):
            return None
        arguments.defaults[-1] = ast.Constant(f"{was!s} now" if now is None else now)
        return arguments.args[-1].arg

    return _resigned(place, "default changed", change)


def _lines(place: Place, *, without: bool = False, rename: str = "") -> str:
    lines = place.text.splitlines(keepends=True)
    first, last = place.node.lineno - 1, place.node.end_lineno or place.node.lineno
    if without:
        around = place.target.owner.body if place.target.owner else place.tree.body
        lines[first:last] = ["    pass\n"] if len(around) == 1 else []
    else:
        lines[first] = lines[first].replace(f"def {place.node.name}", f"def {rename}", 1)
    return "".join(lines)


def _gone(kind: str, rename: str) -> Callable[[Place], Break | None]:
    def make(place: Place) -> Break | None:
        arguments = place.node.args
        if place.names[place.node.name] != 1 or not plain(place.node) or arguments.vararg or arguments.kwarg:
            return None
        text = _lines(place, rename=f"{place.node.name}{rename}") if rename else _lines(place, without=True)
        return Break(kind, place.target, text, signature(arguments, place.target.owner is not None), None)

    return make


def _base(place: Place) -> Break | None:
    """A subclass in the same file loses the base from which it has the method."""
    base, method = place.target.owner, place.node
    if base is None or not plain(method) or method.args.vararg or method.args.kwarg:
        return None
    for cls in place.tree.body:
        if not isinstance(cls, ast.ClassDef) or not closed(cls, place.tree) or bases(cls, place.tree) != [base]:
            continue
        if any(name == method.name for statement in cls.body for name in binds(statement)):
            continue
        lines = place.text.splitlines(keepends=True)
        line = lines[cls.lineno - 1]
        lines[cls.lineno - 1] = line.replace(f"({base.name})", "(object)", 1)
        target = Target(place.target.path, place.target.module, method, cls, exported(cls.name, place.tree))
        if lines[cls.lineno - 1] != line:
            return Break("base class swapped", target, "".join(lines), signature(method.args, True), None)
    return None


def _own(node: AnyFunction) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        found = waiting.pop()
        yield found
        if not isinstance(found, AnyFunction | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(found)


def _returning(place: Place) -> list[ast.Return] | None:
    """What a plain function returns; None for a generator or a coroutine, or where nothing is returned."""
    node, arguments = place.node, place.node.args
    if not plain(node) or isinstance(node, ast.AsyncFunctionDef) or arguments.vararg or arguments.kwarg:
        return None
    own = list(_own(node))
    if any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own) or not isinstance(node.body[-1], ast.Return):
        return None
    found = [n for n in own if isinstance(n, ast.Return)]
    return found if all(n.value is not None for n in found) else None


def _same(place: Place, kind: str, text: str, arity: int = 0) -> Break:
    sign = signature(place.node.args, place.target.owner is not None)
    return Break(kind, place.target, text, sign, sign, "", arity)


def _arity(place: Place) -> Break | None:
    found = _returning(place) or []
    sizes = {len(n.value.elts) if isinstance(n.value, ast.Tuple) else 0 for n in found}
    if not found or len(sizes) != 1 or (size := sizes.pop()) < 2:
        return None
    text = place.text
    for node in sorted(found, key=lambda n: -n.lineno):
        assert isinstance(node.value, ast.Tuple)
        longer = ast.Return(ast.Tuple([*node.value.elts, ast.Constant(None)], ast.Load()))
        text = _replaced(text, node, ast.unparse(longer))
    return _same(place, "tuple arity", _annotated(text, place.node, "tuple"), size)


def _annotated(text: str, node: AnyFunction, by: str) -> str:
    """The file with another return annotation, where there is one."""
    return text if node.returns is None else _replaced(text, node.returns, by)


def _replaced(text: str, node: ast.stmt | ast.expr, by: str) -> str:
    lines = text.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    encoded = lines[first].encode()
    after = lines[last - 1].encode()[node.end_col_offset or 0 :].decode()
    lines[first:last] = [encoded[: node.col_offset].decode() + by + after]
    return "".join(lines)


def _async(place: Place) -> Break | None:
    if _returning(place) is None:
        return None
    lines = place.text.splitlines(keepends=True)
    line = lines[place.node.lineno - 1]
    lines[place.node.lineno - 1] = line.replace("def ", "async def ", 1)
    return _same(place, "sync → async", "".join(lines))


def _generator(place: Place) -> Break | None:
    found = _returning(place) or []
    if len(found) != 1:
        return None
    value = found[0].value
    lists = {
        t.id
        for n in _own(place.node)
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.List | ast.ListComp)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    if not isinstance(value, ast.List | ast.ListComp) and not (isinstance(value, ast.Name) and value.id in lists):
        return None
    text = _replaced(place.text, found[0], f"yield from {ast.unparse(value)}")
    return _same(place, "list → generator", _annotated(text, place.node, "'Iterator'"))


def _property(place: Place) -> Break | None:
    """A property becomes a method."""
    node = place.node
    if place.target.owner is None or [ast.unparse(d) for d in node.decorator_list] != ["property"]:
        return None
    lines = place.text.splitlines(keepends=True)
    del lines[node.decorator_list[0].lineno - 1]
    return _same(place, "property → method", "".join(lines))


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


KINDS: dict[str, Callable[[Place], Break | None]] = {
    "tuple arity": _arity,
    "list → generator": _generator,
    "base class swapped": _base,
    "property → method": _property,
    "parameter moved": _moved,
    "default changed": _default,
    "parameter removed": _removed,
    "default removed": _required,
    "made keyword-only": _keyword_only,
    "parameter renamed": _renamed,
    "made positional-only": _positional_only,
    "function removed": _gone("function removed", ""),
    "function renamed": _gone("function renamed", "_now"),
    "sync → async": _async,
}
"""Kinds of break, the rarest first."""


def breaks(package: Package, kinds: Sequence[str], seed: int) -> list[Break]:
    """One break of each kind, each in a file of its own; a kind for which there is no place is missing."""
    dice = random.Random(f"{package.name} {seed}")
    there = list(places(package))
    dice.shuffle(there)
    used: set[str] = set()
    found = []
    for kind in kinds:
        for place in there:
            made = None if place.target.path in used else KINDS[kind](place)
            if made is not None and _parses(made.text):
                used.add(place.target.path)
                found.append(made)
                break
    return found
