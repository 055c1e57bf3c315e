"""Small edits of Python functions with the words that ask for them and the line that sums them up.

Each is made on the syntax tree and written into the text where it stands, so that comments and layout stay; words say
only what was done. Names and numbers in them are those of the code that changes.
"""

from __future__ import annotations

import ast
import itertools
import random
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LONGEST = 1600
"""Characters of a function."""


@dataclass(frozen=True)
class Rewrite:
    """``before`` and ``after``: the whole function. ``asked``: an instruction; ``told``: a commit's subject."""

    kind: str
    name: str
    before: str
    after: str
    asked: str
    told: str


Edit = tuple[int, int, str]
"""First and last character of what is replaced, and what by."""

Found = tuple[list[Edit], tuple[str, ...], str]
"""Edits, ways to ask for them, and their summary."""


def functions(tree: ast.Module, text: str) -> Iterator[str]:
    """The functions of a module, at the left margin, that an edit is made of."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.decorator_list and (node.end_lineno or 0) - node.lineno > 1:
            source = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno])).rstrip() + "\n"
            if len(source) <= LONGEST and source.isascii() and "\t" not in source and source.startswith("def "):
                yield source


def rewrites(source: str, chance: random.Random) -> Iterator[Rewrite]:
    """Every edit that ``source``, one function, has a place for."""
    try:
        (node,) = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return
    if not isinstance(node, ast.FunctionDef):
        return
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    code = _Code(source, node, starts, chance)
    for kind, make in _KINDS.items():
        found = make(code)
        if found is None:
            continue
        edits, ways, told = found
        after = source
        for start, end, new in sorted(edits, reverse=True):
            after = after[:start] + new + after[end:]
        try:
            same = ast.dump(ast.parse(after)) == ast.dump(ast.parse(source))
        except (SyntaxError, ValueError):
            continue
        if not same:
            yield Rewrite(kind, node.name, source, after, chance.choice(ways), told)


@dataclass(frozen=True)
class _Code:
    text: str
    node: ast.FunctionDef
    starts: list[int]
    chance: random.Random

    def span(self, node: ast.expr | ast.stmt | ast.arg) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    @property
    def names(self) -> set[str]:
        every = {n.id for n in ast.walk(self.node) if isinstance(n, ast.Name)}
        return every | {n.arg for n in ast.walk(self.node) if isinstance(n, (ast.arg, ast.keyword)) and n.arg}

    @property
    def own(self) -> list[ast.arg]:
        return [a for a in self.node.args.args if a.arg not in ("self", "cls")]

    @property
    def first(self) -> tuple[int, str]:
        """Where the first statement behind the docstring begins, and its indentation."""
        body = self.node.body
        at = body[1] if ast.get_docstring(self.node) and len(body) > 1 else body[0]
        return self.starts[at.lineno - 1], " " * at.col_offset


def _renamed(code: _Code) -> Found | None:
    every = list(ast.walk(code.node))
    bound = {n.id for n in every if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    nested = any(isinstance(n, (ast.Global, ast.Nonlocal, ast.Match)) for n in every)
    otherwise = {getattr(n, "name", None) for n in every if isinstance(n, (ast.stmt, ast.excepthandler))}
    otherwise |= {n.asname or n.name.split(".")[0] for n in every if isinstance(n, ast.alias)}
    free = sorted(bound - otherwise - {n.arg for n in every if isinstance(n, ast.arg)})
    new = [n for n in NAMES if n not in code.names]
    if nested or not free or not new:
        return None
    old, name = code.chance.choice(free), code.chance.choice(new)
    if any(isinstance(n, ast.JoinedStr) for n in ast.walk(code.node)):
        return None  # before Python 3.12 names in them have no place
    edits = [(*code.span(n), name) for n in ast.walk(code.node) if isinstance(n, ast.Name) and n.id == old]
    ways = (f"rename {old} to {name}", f"call the variable {old} {name} instead", f"use the name {name} for {old}")
    return edits, ways, f"Rename {old} to {name}"


def _default(code: _Code) -> Found | None:
    a = code.node.args
    if not code.own or a.defaults or a.kw_defaults or a.vararg or code.own[-1] is not a.args[-1]:
        return None
    last, value = code.own[-1], code.chance.choice(("None", "0", "1", "False", "True", '""', "()"))
    equals = " = " if last.annotation else "="
    end = code.span(last)[1]
    ways = (
        f"give {last.arg} the default {value}",
        f"make {last.arg} optional, with {value} as its default",
        f"default {last.arg} to {value}",
    )
    return [(end, end, f"{equals}{value}")], ways, f"Default {last.arg} to {value}"


def _guard(code: _Code) -> Found | None:
    if not code.own:
        return None
    argument = code.chance.choice(code.own).arg
    at, indent = code.first
    test, words = code.chance.choice(((f"{argument} is None", "is None"), (f"not {argument}", "is empty")))
    message = f"{argument} {'is missing' if 'None' in test else 'is empty'}"
    new = f'{indent}if {test}:\n{indent}    raise ValueError("{message}")\n'
    ways = (
        f'raise ValueError("{message}") if {argument} {words}',
        f'check first whether {argument} {words}, and raise ValueError("{message}")',
    )
    return [(at, at, new)], ways, f"Raise ValueError if {argument} {words}"


def _early(code: _Code) -> Found | None:
    returns = [n.value for n in ast.walk(code.node) if isinstance(n, ast.Return) and n.value is not None]
    if not code.own or not returns or any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(code.node)):
        return None
    argument, (at, indent) = code.chance.choice(code.own).arg, code.first
    value = code.chance.choice(("None", "[]", "{}", "0", '""'))
    new = f"{indent}if not {argument}:\n{indent}    return {value}\n"
    ways = (f"return {value} at once if {argument} is empty", f"add an early return of {value} for an empty {argument}")
    return [(at, at, new)], ways, f"Return {value} if {argument} is empty"


def _number(code: _Code) -> Found | None:
    numbers = [n for n in ast.walk(code.node) if isinstance(n, ast.Constant) and type(n.value) is int and n.value > 1]
    if not numbers:
        return None
    chosen = code.chance.choice(numbers)
    old = code.of(chosen)
    if sum(code.of(n) == old for n in numbers) > 1 or not old.isdigit():
        return None  # the words would not say which
    new = str(code.chance.choice([n for n in (2, 3, 5, 8, 10, 16, 20, 50, 64, 100, 256, 1000) if n != chosen.value]))
    ways = (f"use {new} instead of {old}", f"change {old} to {new}", f"replace the {old} by {new}")
    return [(*code.span(chosen), new)], ways, f"Use {new} instead of {old}"


def _documented(code: _Code) -> Found | None:
    said = ast.get_docstring(code.node)
    if not said or len(code.node.body) < 2 or "\n" in said or '"' in said or "\\" in said:
        return None
    # the other way round: the text as it is written is what is asked for
    at, indent = code.starts[code.node.body[0].lineno - 1], " " * code.node.body[0].col_offset
    end = code.starts[(code.node.body[0].end_lineno or 0)]
    if code.text[at:end].strip() not in (f'"""{said}"""', f'"{said}"', f"'''{said}'''"):
        return None
    new = f'{indent}"""{said} See the module for more."""\n'
    ways = ('add "See the module for more." to the docstring', "let the docstring end with: See the module for more.")
    return [(at, end, new)], ways, "Document the module in the docstring"


def _augmented(code: _Code) -> Found | None:
    signs = {ast.Add: "+=", ast.Sub: "-=", ast.Mult: "*="}
    for n in ast.walk(code.node):
        if isinstance(n, ast.Assign) and len(n.targets) == 1 and isinstance(n.targets[0], ast.Name):
            value, name = n.value, n.targets[0].id
            if isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name) and value.left.id == name:
                sign = signs.get(type(value.op))
                if sign and isinstance(value.right, (ast.Name, ast.Constant, ast.Call)):
                    new = f"{name} {sign} {code.of(value.right)}"
                    return [(*code.span(n), new)], (f"use {sign} for {name}",), f"Use {sign}"
    return None


def _swapped(code: _Code) -> Found | None:
    for n in ast.walk(code.node):
        if isinstance(n, ast.IfExp) and not isinstance(n.orelse, (ast.IfExp, ast.Lambda)):
            inner = code.of(n.test)
            new = f"{code.of(n.orelse)} if not ({inner}) else {code.of(n.body)}"
            if isinstance(n.test, ast.Name):
                new = f"{code.of(n.orelse)} if not {inner} else {code.of(n.body)}"
            ways = (f"turn the condition {inner} around", f"test for not {inner} instead")
            told = f"Change the condition to not {inner}"[:72]
            return ([(*code.span(n), new)], ways, told) if "\n" not in code.of(n) else None
    return None


def _quiet(code: _Code) -> Found | None:
    edits: list[Edit] = []
    for parent in ast.walk(code.node):
        body = getattr(parent, "body", None)
        for n in body if isinstance(body, list) and len(body) > 1 else []:
            call = n.value if isinstance(n, ast.Expr) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print":
                edits.append((code.starts[n.lineno - 1], code.starts[n.end_lineno or 0], ""))
    ways = ("remove the print calls", "do not print anything", "take the prints out")
    return (edits, ways, "Remove the print calls") if edits else None


def _collected(code: _Code) -> Found | None:
    """``found = []`` and a loop that appends → one comprehension."""
    for parent in ast.walk(code.node):
        body = getattr(parent, "body", None)
        for a, b in itertools.pairwise(body) if isinstance(body, list) else []:
            if not (isinstance(a, ast.Assign) and isinstance(b, ast.For) and isinstance(a.value, ast.List)):
                continue
            target, step = a.targets[0], b.body[0]
            if a.value.elts or b.orelse or len(b.body) != 1 or not isinstance(target, ast.Name):
                continue
            call = step.value if isinstance(step, ast.Expr) else None
            if isinstance(call, ast.Call) and len(call.args) == 1 and code.of(call.func) == f"{target.id}.append":
                new = f"{target.id} = [{code.of(call.args[0])} for {code.of(b.target)} in {code.of(b.iter)}]"
                span = code.span(a)[0], code.span(b)[1]
                used = sum(isinstance(n, ast.Name) and n.id == target.id for n in ast.walk(b)) > 1
                if "\n" in new or "#" in code.text[slice(*span)] or used or _waits(b):
                    continue
                ways = (f"make {target.id} with a list comprehension", "use a list comprehension instead of the loop")
                return [(*span, new)], ways, f"Make {target.id} with a comprehension"
    return None


def _waits(node: ast.stmt) -> bool:
    return any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.Await)) for n in ast.walk(node))


NAMES = ("found", "total", "entry", "current", "count", "text", "values", "rest", "chosen", "answer", "size", "pair")
"""What variables are renamed to."""

_KINDS: dict[str, Callable[[_Code], Found | None]] = {
    "rename": _renamed,
    "default": _default,
    "guard": _guard,
    "early return": _early,
    "number": _number,
    "docstring": _documented,
    "augmented": _augmented,
    "condition": _swapped,
    "prints": _quiet,
    "comprehension": _collected,
}
