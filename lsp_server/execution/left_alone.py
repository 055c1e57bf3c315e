"""Which changes of code no test should have to notice: they mean the same, or nobody relies on what they change."""

from __future__ import annotations

import ast


def for_others(test: ast.expr) -> bool:
    """Whether the code under this condition is for type checkers, or for running the file as a program."""
    if isinstance(test, ast.Compare):
        return isinstance(test.left, ast.Name) and test.left.id == "__name__"
    return last_name(test) == "TYPE_CHECKING"


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def joins_texts(node: ast.BinOp) -> bool:
    """Whether it joins or formats texts: another operator there fails at once, and the text is nobody's business."""
    return isinstance(node.op, (ast.Add, ast.Mod, ast.Mult)) and texts(node.left, node.right)


def says_nothing(node: ast.expr) -> bool:
    """Whether a returned value is None, is changed as a constant anyway, or is as false as None is."""
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, (bool, int, float)) or not node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return not node.elts
    return isinstance(node, ast.Dict) and not node.keys


def idle(operator: ast.operator, right: ast.expr) -> bool:
    """Whether its opposite does the same: ``x + 0``, ``x * 1``."""
    value = right.value if isinstance(right, ast.Constant) else None
    if isinstance(operator, (ast.Add, ast.Sub)):
        return value == 0
    return isinstance(operator, (ast.Mult, ast.Div)) and value == 1


def texts(*nodes: ast.expr) -> bool:
    """Whether one of them is a text."""
    return any(
        isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))
        or (isinstance(node, ast.BinOp) and texts(node.left, node.right))
        for node in nodes
    )


def settled(test: ast.expr, body: list[ast.stmt]) -> tuple[ast.expr, ...]:
    """Comparisons in ``if a < b: return b`` or ``x = b``: where both are equal, either branch gives the same."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and len(body) == 1):
        return ()
    sides = {ast.dump(test.left), ast.dump(test.comparators[0])}
    match body[0]:
        case ast.Return(value=ast.expr() as value) | ast.Assign(targets=[_], value=value):
            taken = {ast.dump(value)}
            if isinstance(body[0], ast.Assign):
                target = body[0].targets[0]
                taken = {ast.dump(value), ast.dump(target).replace("ctx=Store()", "ctx=Load()")}
                return (test,) if taken == sides else ()
            return (test,) if taken <= sides else ()
    return ()


def settled_expression(node: ast.IfExp) -> tuple[ast.expr, ...]:
    """The comparison in ``a if a < b else b``."""
    if not (isinstance(node.test, ast.Compare) and len(node.test.ops) == 1):
        return ()
    sides = {ast.dump(node.test.left), ast.dump(node.test.comparators[0])}
    return (node.test,) if {ast.dump(node.body), ast.dump(node.orelse)} == sides else ()
