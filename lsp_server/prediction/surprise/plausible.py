"""Changes that nobody can have meant, however likely a model finds them: they are never asked about."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from famulus.lsp_server.prediction.surprise.candidates import Alternative
from famulus.lsp_server.prediction.surprise.source import Function, Source


class Plausible:
    """What a function says about its own variables."""

    def __init__(self, source: Source, function: Function) -> None:
        self._loads = Counter(
            node.id
            for node in ast.walk(function.node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load | ast.Del)
        )
        self._beside: dict[tuple[int, int], set[str]] = {}
        for node in ast.walk(function.node):
            operands = list(_operands(node))
            for operand in operands if len(operands) > 1 else ():
                place = source.start(operand), source.end(operand)
                self._beside[place] = {source.of(other) for other in operands if other is not operand}

    def __call__(self, change: Alternative) -> bool:
        """False for a change that leaves a variable unread, or sets a thing beside itself (``x == x``, ``f(x, x)``)."""
        if change.kind == "name":
            if self._loads[change.original] < 2:
                return False
            return change.replacement not in self._beside.get((change.start, change.end), ())
        if change.kind == "attribute":
            place = next(((a, b) for a, b in self._beside if b == change.end and a < change.start), None)
            return place is None or not any(o.endswith("." + change.replacement) for o in self._beside[place])
        return True


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that stand side by side in ``node``."""
    match node:
        case ast.Call(args=arguments, keywords=keywords):
            yield from arguments
            yield from (keyword.value for keyword in keywords)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.Compare(left=left, comparators=others):
            yield from (left, *others)
        case ast.BoolOp(values=values) | ast.Tuple(elts=values, ctx=ast.Load()):
            yield from values
        case ast.Subscript(value=value, slice=index):
            yield from (value, index)
        case ast.Assign(targets=[ast.Name() | ast.Attribute() as target], value=value):
            yield from (target, value)
