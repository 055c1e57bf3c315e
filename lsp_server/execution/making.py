"""Other ways to an object than to call its class: those that its documentation shows, factories, heirs of what is
abstract."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterable, Mapping

from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.nodes import nodes
from famulus.lsp_server.execution.relatives import line

_MOST = 4
_FACTORIES = ("from_", "parse", "create", "make", "build", "of", "new", "load")


def shown(node: ast.ClassDef, factories: Iterable[str]) -> list[str]:
    """Expressions of a class's doctests that make an object of it from plain arguments, shortest first."""
    found: set[str] = set()
    for inner in nodes(node):
        if not isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(inner) or ""
        if ">>>" not in text or node.name not in text:
            continue
        try:
            examples = doctest.DocTestParser().get_examples(text)
            trees = [ast.parse(example.source) for example in examples]
        except (SyntaxError, ValueError):
            continue
        found |= {ast.unparse(call) for call in nodes(*trees) if _makes(call, node.name, factories)}
    return sorted(found, key=lambda text: (len(text), text))[:_MOST]


def _makes(node: ast.AST, name: str, factories: Iterable[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    if called != name and called not in {f"{name}.{factory}" for factory in factories}:
        return False
    try:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            ast.literal_eval(argument)
    except (ValueError, TypeError):
        return False
    return True


def factories(node: ast.ClassDef, functions: Mapping[str, Function]) -> list[Function]:
    """Methods of a class that are called on it and give an object of it."""
    found = []
    for function in functions.values():
        if function.owner is not node or function.how not in ("class", "static") or function.node.name.startswith("_"):
            continue
        returns = ast.unparse(function.node.returns).strip("'\"") if function.node.returns else ""
        results = [inner.value for inner in nodes(function.node) if isinstance(inner, ast.Return)]
        own = any(isinstance(result, ast.Call) and ast.unparse(result.func) == "cls" for result in results)
        if returns.rpartition(".")[2] in (node.name, "Self") or (
            not returns and own and function.node.name.startswith(_FACTORIES)
        ):
            found.append(function)
    return found


def heir(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> ast.ClassDef | None:
    """A class of the same module that stands for an abstract one: the first that inherits from it, or has the methods
    of a protocol, and can be made."""
    others = [other for other in classes.values() if other is not node and not is_abstract(other, classes)]
    wanted = _methods(node) if _is_protocol(node) else set()
    fulfil = [other for other in others if wanted and wanted <= set().union(*map(_methods, line(other, classes)))]
    return next((other for other in others if node in line(other, classes)), next(iter(fulfil), None))


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).rpartition(".")[2].partition("[")[0] == "Protocol" for base in node.bases)


def _methods(node: ast.ClassDef) -> set[str]:
    return {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)}


def is_abstract(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> bool:
    """Whether no object of the class can be made, as far as its module tells."""
    if _is_protocol(node):
        return True
    defined: set[str] = set()
    for cls in line(node, classes):
        for statement in cls.body:
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                names = statement.targets if isinstance(statement, ast.Assign) else []
                defined |= {target.id for target in names if isinstance(target, ast.Name)}
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    defined.add(statement.target.id)
                continue
            if statement.name in defined:
                continue
            defined.add(statement.name)
            if any("abstract" in ast.unparse(decorator) for decorator in statement.decorator_list):
                return True
            if statement.name == "__init__" and isinstance(statement.body[-1], ast.Raise):
                return "NotImplementedError" in ast.unparse(statement.body[-1])
    return False
