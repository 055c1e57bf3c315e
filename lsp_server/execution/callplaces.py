"""Where a file calls something or reads an attribute, by name: each file is walked once, whatever is looked for."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from famulus.lsp_server.execution.functions import AnyFunction
from famulus.lsp_server.execution.nodes import nodes

Names = Mapping[str, Sequence[ast.expr]]
"""Names, and the expressions that they may stand for."""


class Places:
    """The calls and attribute reads of a file, each with the outermost function around it or the file itself."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._found: dict[tuple[str, bool], list[tuple[ast.AST, ast.Module | AnyFunction]]] = {}
        self._names: dict[ast.AST, Names] = {}
        seen: set[ast.AST] = set()
        every = nodes(tree)
        for around in (node for node in every if isinstance(node, AnyFunction)):
            if around not in seen:
                inner = nodes(around)
                seen.update(inner)
                for node in inner:
                    self._add(node, around)
        for node in every:
            if node not in seen:
                self._add(node, tree)

    def _add(self, node: ast.AST, around: ast.Module | AnyFunction) -> None:
        if isinstance(node, ast.Call):
            self._found.setdefault((last_name(node.func), False), []).append((node, around))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            self._found.setdefault((node.attr, True), []).append((node, around))

    def of(self, name: str, *, read: bool) -> Sequence[tuple[ast.AST, ast.Module | AnyFunction]]:
        """Calls of something with this last name, or with ``read`` where an attribute of this name is read."""
        return self._found.get((name, read), [])

    def names(self, around: ast.Module | AnyFunction) -> Names:
        """What names stand for in a function, or at the top of the file."""
        if around not in self._names:
            found: Names = assigned(around.body)
            if not isinstance(around, ast.Module):
                found = {**self.names(self._tree), **found, **parametrized(around)}
            self._names[around] = found
        return self._names[around]


def assigned(body: Sequence[ast.stmt]) -> dict[str, list[ast.expr]]:
    """Names that these statements give one value, once."""
    found: dict[str, list[ast.expr]] = {}
    twice: set[str] = set()
    for statement in body:
        for node in nodes(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                (twice if node.id in found else set()).add(node.id)
                found.setdefault(node.id, [])
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = [statement.value]
        elif isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
            found[statement.target.id] = [statement.value]
        elif isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
            rows = statement.iter
            found[statement.target.id] = list(rows.elts) if isinstance(rows, ast.List | ast.Tuple | ast.Set) else []
    return {name: values for name, values in found.items() if name not in twice and values}


def parametrized(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, list[ast.expr]]:
    """Values of the parameters that ``pytest.mark.parametrize`` gives."""
    found: dict[str, list[ast.expr]] = {}
    for decorator in function.decorator_list:
        if not (
            isinstance(decorator, ast.Call) and last_name(decorator.func) == "parametrize" and len(decorator.args) >= 2
        ):
            continue
        heads, rows = decorator.args[:2]
        if isinstance(heads, ast.Constant) and isinstance(heads.value, str):
            names = [name.strip() for name in heads.value.split(",")]
        elif isinstance(heads, ast.Tuple | ast.List):
            names = [str(getattr(head, "value", "")) for head in heads.elts]
        else:
            continue
        for row in rows.elts if isinstance(rows, ast.List | ast.Tuple) else ():
            if isinstance(row, ast.Call) and last_name(row.func) == "param":
                cells = row.args
            else:
                cells = row.elts if isinstance(row, ast.Tuple | ast.List) and len(names) > 1 else [row]
            for name, cell in zip(names, cells, strict=False):
                found.setdefault(name, []).append(cell)
    return found


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
