"""Calls in the form that a kind of function wants: ``with`` for context managers, ``send`` for generators that take
values, the constructor for what it calls, and calls of functions that a function returns."""

from __future__ import annotations

import ast
import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import AnyFunction, Function, parameters
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.testgen.case import Aim

_INSIDE = ((), ("entered.append('line')",), ("raise KeyError('a')",), ("raise ValueError('b')",))
"""What is done in a ``with`` block; what does not work there is left out."""
_MANAGERS = frozenset(("contextmanager", "asynccontextmanager"))
_SENT = ("10.0", "20.0", "1", "2", "'a'", "'b'", "[1]", "None")
_PAIRS = 60
_EACH = 4
"""Arguments of a kind with which a returned function is called."""


def formed(aim: Aim, call: Call) -> list[Call]:
    """The calls to be made in place of ``call``, which is one as of any function."""
    function = aim.function
    if is_manager(function):
        return [replace(call, how="with", inside=inside) for inside in _INSIDE]
    if function.node.name in ("__enter__", "__exit__") and call.receiver:
        name = function.name.rpartition(".")[0] + ".__enter__"
        return [replace(call, target=name, args=(), kwargs=(), how="with", inside=inside) for inside in _INSIDE]
    if function.node.name == "__post_init__":
        made = _constructed(call)
        return [made] if made else []
    return [call]


def is_manager(function: Function) -> bool:
    """Whether its result is entered by ``with``."""
    return bool(_MANAGERS & {ast.unparse(d).rpartition(".")[2] for d in function.node.decorator_list})


def is_async_manager(function: Function) -> bool:
    """Whether its result is entered by ``async with``."""
    return is_manager(function) and isinstance(function.node, ast.AsyncFunctionDef)


def _constructed(call: Call) -> Call | None:
    """The call of the constructor that made the receiver."""
    try:
        tree = ast.parse(call.receiver, mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(tree, ast.Call) or any(k.arg is None for k in tree.keywords):
        return None
    args = tuple(ast.unparse(argument) for argument in tree.args)
    kwargs = tuple((k.arg or "", ast.unparse(k.value)) for k in tree.keywords)
    return Call(ast.unparse(tree.func), args, kwargs, source=call.source, doubt=call.doubt)


def takes_values(function: Function) -> bool:
    """Whether it is a generator that others send values to."""
    plain = {node.value for node in ast.walk(function.node) if isinstance(node, ast.Expr)}
    return any(isinstance(node, ast.Yield) and node not in plain for node in ast.walk(function.node))


def sent(aim: Aim, call: Call) -> Iterator[Call]:
    """What a generator answers to the values that are sent to it."""
    dice = random.Random(zlib.crc32(call.text.encode()))
    target = f"{aim.function.name}.send"
    for number in range(_PAIRS // 4):
        value = _SENT[number % len(_SENT)]
        before = ["next(self)"]
        if number % 3:
            kin = [text for text in _SENT if type(ast.literal_eval(text)) is type(ast.literal_eval(value))]
            before += [f"self.send({dice.choice(kin)})" for _ in range(number % 3)]
        yield Call(target, (value,), (), call.text, tuple(before), source="hint")


def returned(function: Function) -> Function | None:
    """The function inside of this one that it returns, if there is one."""
    results = [node.value for node in ast.walk(function.node) if isinstance(node, ast.Return)]
    names = {result.id for result in results if isinstance(result, ast.Name)}
    for node in ast.walk(function.node):
        if isinstance(node, AnyFunction) and node is not function.node and node.name in names:
            return Function(f"{function.name}.{node.name}", node, "function", parameters(node.args))
    return None


def called(aim: Aim, call: Call, inner: Function, constructors: Constructors) -> Iterator[Call]:
    """Calls of the function ``inner`` that ``call`` gives, with plain arguments."""
    if isinstance(inner.node, ast.AsyncFunctionDef):
        return
    deeper = returned(inner)
    shapes = Shapes(inner, constructors.words, constructors)
    needed = [p for p in inner.parameters if p.required and p.kind != "keyword"]
    pools = [[edge for option in shapes.options(p)[:2] for edge in islice(option.edges, _EACH)] for p in needed]
    if any(p.kind == "star" for p in inner.parameters) and not needed:
        pools = [list(_SENT[:_EACH])]
    for number in range(max(map(len, pools), default=1)):
        given = tuple(pool[number % len(pool)] for pool in pools if pool)
        made = Call(f"{aim.function.name}.__call__", given, (), call.text, source="hint", doubt=call.doubt)
        yield made
        if deeper is not None:  # as decorators that take arguments do
            yield from islice(called(aim, made, deeper, constructors), _EACH)
