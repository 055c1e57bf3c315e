"""How a function ends: what it returns, whether its end can be reached, what it raises."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from famulus.lsp_server.review.index.facts import Raise

_NEVER_RETURN = {
    "sys.exit",
    "exit",
    "quit",
    "os._exit",
    "os.abort",
    "pytest.fail",
    "pytest.skip",
    "self.fail",
    "assert_never",
}


@dataclass
class Outcome:
    """What was seen so far in the body of one function."""

    returns: list[str] = field(default_factory=list)
    yields: list[str] = field(default_factory=list)
    raises: list[Raise] = field(default_factory=list)
    generator: bool = False


def reaches_end(body: Sequence[ast.stmt]) -> bool:
    """Whether control can leave a block at its end. ``while True`` without ``break`` does not end."""
    return not body or not any(_stops(statement) for statement in body)


def _stops(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Return, ast.Raise, ast.Continue, ast.Break)):
        return True
    if isinstance(node, ast.If):
        return bool(node.orelse) and not reaches_end(node.body) and not reaches_end(node.orelse)
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return not reaches_end(node.body) and not any(_may_swallow(item.context_expr) for item in node.items)
    if isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
        return _try_stops(node)  # type: ignore[arg-type]
    if isinstance(node, ast.While):
        return isinstance(node.test, ast.Constant) and bool(node.test.value) and not _breaks(node.body)
    if isinstance(node, ast.Match):
        whole = any(
            isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None
            for case in node.cases
        )
        return whole and not any(reaches_end(case.body) for case in node.cases)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) in _NEVER_RETURN
    return isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant) and not node.test.value


def _try_stops(node: ast.Try) -> bool:
    if node.finalbody and not reaches_end(node.finalbody):
        return True
    body = not reaches_end(node.body) or (bool(node.orelse) and not reaches_end(node.orelse))
    return body and not any(reaches_end(handler.body) for handler in node.handlers)


def _may_swallow(context: ast.expr) -> bool:
    return isinstance(context, ast.Call) and ast.unparse(context.func).rpartition(".")[2] in ("suppress", "raises")


def _breaks(body: Sequence[ast.stmt]) -> bool:
    """Whether a ``break`` in these statements leaves the loop around them."""
    for node in body:
        if isinstance(node, ast.Break):
            return True
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            if _breaks(node.orelse):
                return True
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        blocks += [part.body for name in ("handlers", "cases") for part in getattr(node, name, [])]
        if any(_breaks(block) for block in blocks):
            return True
    return False


def hands_on(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a decorator keeps the signature of what it gets: it returns it, or a wrapper that takes ``*args`` and
    ``**kwargs`` and hands both on."""
    parameters = {a.arg for a in node.args.posonlyargs + node.args.args}
    inner = {n.name: n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    results = [n for n in own_statements(node.body) if isinstance(n, ast.Return)]
    if not results or not parameters:
        return False
    for result in results:
        value = result.value
        while isinstance(value, ast.Call) and value.args and not isinstance(value.func, ast.Name):
            value = value.args[0]
        if not isinstance(value, ast.Name):
            return False
        wrapper = inner.get(value.id)
        if value.id not in parameters and (wrapper is None or not _forwards(wrapper, parameters)):
            return False
    return True


def _forwards(wrapper: ast.FunctionDef | ast.AsyncFunctionDef, callees: set[str]) -> bool:
    args, kwargs = wrapper.args.vararg, wrapper.args.kwarg
    if args is None or kwargs is None or wrapper.args.kwonlyargs:
        return False
    leading = [a.arg for a in wrapper.args.posonlyargs + wrapper.args.args]
    for call in ast.walk(wrapper):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in callees:
            continue
        names = [a.id for a in call.args if isinstance(a, ast.Name)]
        stars = [a.value.id for a in call.args if isinstance(a, ast.Starred) and isinstance(a.value, ast.Name)]
        doubles = [k.value.id for k in call.keywords if k.arg is None and isinstance(k.value, ast.Name)]
        if names == leading and stars == [args.arg] and doubles == [kwargs.arg] and len(call.keywords) == 1:
            return True
    return False


def own_statements(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """All statements of a function, those in blocks included, without those of functions and classes inside."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for name in ("body", "orelse", "finalbody"):
            found += own_statements(getattr(node, name, []))
        for name in ("handlers", "cases"):
            for part in getattr(node, name, []):
                found += own_statements(part.body)
    return found
