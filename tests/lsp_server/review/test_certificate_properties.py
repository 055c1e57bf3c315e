"""Random edits of functions of the standard library: what is certified behaves the same, and no mutant is certified."""

from __future__ import annotations

import ast
import copy
import dis
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.lsp_server.review.certificate import Certificate, certify_files
from famulus.lsp_server.review.change import FileChange

_LIBRARY = Path(ast.__file__).parent
_MODULES = ("textwrap", "heapq", "fractions", "statistics", "difflib", "argparse", "shlex", "configparser")


@cache
def _functions() -> tuple[str, ...]:
    found = []
    for name in _MODULES:
        tree = ast.parse((_LIBRARY / f"{name}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and len(node.body) > 2:
                found.append(ast.unparse(node) + "\n")
    return tuple(text for text in found if "if 0" not in text)  # what is never run may change


def _certified(old: str, new: str) -> Certificate:
    return certify_files([FileChange("a.py", "a.py", old.encode(), new.encode())]).files[0]


def _plain(code: CodeType) -> Iterator[object]:
    """What the interpreter executes, as ``dis`` prints it, without addresses of code."""
    yield code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], code.co_flags, code.co_name
    for item in dis.get_instructions(code):
        value = item.argval
        yield item.opname, "code" if isinstance(value, CodeType) else (type(value), item.argrepr)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _plain(value)


def _compiled(text: str) -> list[object]:
    return list(_plain(compile(text, "a.py", "exec", dont_inherit=True)))


_Mutation = Callable[[ast.AST, random.Random], bool]


def _operator(node: ast.AST, chance: random.Random) -> bool:
    if isinstance(node, ast.BinOp):
        node.op = chance.choice([op() for op in (ast.Add, ast.Sub, ast.Mult, ast.Mod) if not isinstance(node.op, op)])
    elif isinstance(node, ast.Compare):
        choice = [op() for op in (ast.Lt, ast.LtE, ast.Eq, ast.NotEq) if not isinstance(node.ops[0], op)]
        node.ops[0] = chance.choice(choice)
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    else:
        return False
    return True


def _constant(node: ast.AST, chance: random.Random) -> bool:
    if not isinstance(node, ast.Constant) or node.value is ...:
        return False
    value: Any = node.value
    if isinstance(value, bool) or value is None:
        node.value = chance.choice([0, 1.5])
    elif isinstance(value, int):
        numbers: list[Any] = [value + 1, float(value), str(value)]
        node.value = chance.choice(numbers)
    elif isinstance(value, str):
        others: list[Any] = [value + "x", value.encode(errors="replace"), None]
        node.value = chance.choice(others)
    else:
        node.value = None
    return True


def _parameter(node: ast.AST, chance: random.Random) -> bool:
    if not isinstance(node, ast.arguments) or not node.args:
        return False
    kind = chance.randrange(4)
    if kind == 0:
        chance.choice(node.args).arg += "_new"
    elif kind == 1:
        chance.choice(node.args).annotation = ast.Name("int", ast.Load())
    elif kind == 2 and node.defaults:
        node.defaults[-1] = ast.Constant("another default")
    else:
        node.posonlyargs, node.args = [*node.posonlyargs, node.args[0]], node.args[1:]
    return True


def _name(node: ast.AST, chance: random.Random) -> bool:
    if isinstance(node, ast.Attribute):
        node.attr += "_new"
    elif isinstance(node, ast.keyword) and node.arg:
        node.arg += "_new"
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        node.id += "_new"
    else:
        return False
    return True


def _lost(node: ast.AST, chance: random.Random) -> bool:
    body = getattr(node, "body", None)
    if not isinstance(body, list) or len(body) < 2 or not isinstance(body[-1], ast.Assign | ast.Raise | ast.AugAssign):
        return False
    body.pop()
    return True


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from([_operator, _constant, _parameter, _name, _lost]), st.randoms(use_true_random=False))
def test_no_mutant_is_certified(data: st.DataObject, mutation: _Mutation, chance: random.Random) -> None:
    old = data.draw(st.sampled_from(_functions()))
    tree = ast.parse(old)
    documentation = {
        id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }
    nodes = [n for n in ast.walk(tree) if id(n) not in documentation]
    chance.shuffle(nodes)
    if not any(mutation(node, chance) for node in nodes):
        return
    try:
        new = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        same = _compiled(old) == _compiled(new)
    except (SyntaxError, TypeError, ValueError):
        return  # no program
    if new == old:
        return
    made = _certified(old, new)
    assert same or not made.whole, f"{old}\n→\n{new}"


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(_MODULES), st.randoms(use_true_random=False))
def test_another_layout_is_certified(module: str, chance: random.Random) -> None:
    old = (_LIBRARY / f"{module}.py").read_text("utf-8")
    new = "\n".join(
        line + (chance.choice(["", "", "  # a note"]) if _ends_statement(line) else "")
        for line in ast.unparse(ast.parse(old)).split("\n")
    )
    made = _certified(old, new + "\n")
    assert made.whole, (made.reason, made.changed, made.documentation)


def _ends_statement(line: str) -> bool:
    return line.strip() in ("pass", "return", "else:", "try:", "continue", "break")


@settings(max_examples=80, deadline=None)
@given(st.data(), st.randoms(use_true_random=False))
def test_locals_may_be_renamed_but_not_confused(data: st.DataObject, chance: random.Random) -> None:
    old = data.draw(st.sampled_from(_functions()))
    tree = ast.parse(old)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    parameters = {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
    names = sorted(stored - parameters)
    inside = (n for statement in function.body for n in ast.walk(statement))
    others = sorted({n.id for n in inside if isinstance(n, ast.Name)} | parameters)
    if not names or any(isinstance(n, ast.Global | ast.Nonlocal | ast.ExceptHandler) for n in ast.walk(function)):
        return
    was, other = chance.choice(names), chance.choice(others)
    fresh = _certified(old, _renamed(tree, was, "entirely_new"))
    flat = not any(isinstance(n, _SCOPES) for n in ast.walk(tree) if n is not function)
    assert not flat or not fresh.changed or was in _words(old), "an unseen local may have any name"
    if other != was and flat:
        confused = _renamed(tree, was, other)
        try:
            compile(confused, "a.py", "exec")
        except SyntaxError:
            return
        assert not _certified(old, confused).whole, f"{old}\n→\n{confused}"


_SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.ClassDef)


def _renamed(tree: ast.Module, was: str, now: str) -> str:
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == was:
            node.id = now
    return ast.unparse(tree) + "\n"


def _words(text: str) -> str:
    """The strings of a function: a name in them may not change."""
    strings = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    closing = ("locals", "vars", "stack", "trace", "dir", "globals", "eval", "__")
    return " ".join(strings) + (text if any(word in text for word in closing) else "")


def test_ruffs_format_of_the_standard_library_is_certified() -> None:
    import subprocess

    from famulus.lsp_server.prediction.ruff_program import program

    ruff = program()
    assert ruff is not None
    for name in ("argparse", "typing", "json/decoder"):
        old = (_LIBRARY / f"{name}.py").read_bytes()
        new = subprocess.run([ruff, "format", "--isolated", "-"], input=old, capture_output=True, check=True).stdout
        file = FileChange("a.py", "a.py", old, new)
        [made] = certify_files([file]).files
        left = file.changed_new_lines - made.neutral - made.documentation
        assert made.lines > 50 and not left and not made.changed


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 150 + "1" + ")" * 150,
        "x = " + "-" * 5000 + "1",
        "x = " + " + ".join(["y"] * 600),
        "f(1)\n" * 3000 + "f(2)",
        "\0",
        "if 1:\n\tx\n        y",
    ],
)
def test_odd_texts_end_without_an_error(text: str) -> None:
    assert _certified(text, text + " # a note") is not None
