"""How the project writes its tests, as far as tests that are made should look alike."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """``annotated``: tests say that they return None. ``tables``: rows of one test rather than many alike."""

    annotated: bool = False
    tables: bool = True


def read(sources: Iterable[str]) -> Style:
    """The style of test files; that of plain pytest where there are none."""
    tests: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for source in sources:
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        tests += [n for n in module.body if _is_test(n) and isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        for holder in (n for n in module.body if isinstance(n, ast.ClassDef)):
            tests += [n for n in holder.body if _is_test(n) and isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not tests:
        return Style()
    annotated = 2 * sum(isinstance(test.returns, ast.Constant) for test in tests) > len(tests)
    tables = len(tests) < 4 or any("parametrize" in ast.unparse(d) for test in tests for d in test.decorator_list)
    return Style(annotated, tables)


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
