"""Formulas of x as people type them: *2x^2 + 3*, *sin(x)*."""

from __future__ import annotations

import ast
import re

FORMULA = re.compile(
    r"(?<![\w.])(?:[-+]?\s*(?:\d+(?:\.\d+)?|x|pi|e|(?:sin|cos|tan|exp|log|sqrt|abs)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)|\((?:[^()]|\([^()]*\))*\))\s*"
    r"(?:\*\*|[-+*/^]|(?=x|\())?\s*)+(?![\w])"
)
_FUNCTIONS = re.compile(r"\b(sin|cos|tan|exp|log|sqrt|abs|pi)\b")


def formula_code(text: str) -> str | None:
    """A formula of x as Python with numpy (``2x^2`` → ``2*x**2``), None where it is none or holds no x."""
    code = text.strip().replace("^", "**").replace("²", "**2").replace("³", "**3")
    code = re.sub(r"(?<=[\d)])\s*(?=x\b|\(|sin|cos|exp|log|sqrt)", "*", code)
    code = _FUNCTIONS.sub(lambda m: f"np.{m.group()}", code)
    try:
        tree = ast.parse(code, mode="eval")
    except SyntaxError:
        return None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return code if "x" in names and names <= {"x", "np", "e"} else None
