"""Cells that ran before, as code without comments, secrets and long texts."""

from __future__ import annotations

import ast

from famulus.jupyter_kernel import defuse, privacy

LONGEST = 700
"""Characters of a cell; of a longer one the last statements are kept."""

TEXT = 80
"""Characters of a text in the code."""

HIDDEN = "***"


def cell(code: str) -> str:
    """The code of a cell as it may be told, "" for one that is not Python (magics, shell commands)."""
    if len(code) > 20_000:
        return ""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kept: list[str] = []
    for statement in reversed(tree.body):
        if _of_ipython(statement) or _is_text(statement):
            continue
        try:
            text = ast.unparse(_Hide().visit(statement))
        except (RecursionError, ValueError):
            return ""
        if kept and sum(map(len, kept)) + len(text) > LONGEST:
            break
        kept.append(text)
    shown = "\n".join(reversed(kept))
    return shown if len(shown) <= 2 * LONGEST else ""


class _Hide(ast.NodeTransformer):
    """Replaces texts that may not be told, by what they are and by what they are called."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            return ast.Constant(_told(node.value), kind=None)
        if isinstance(node.value, bytes):
            return ast.Constant(HIDDEN.encode()) if len(node.value) > TEXT or privacy.in_text(
                node.value.decode("latin-1")) else node  # fmt: skip
        if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value.bit_length() < 128:
            return ast.Constant(0) if privacy.by_values([node.value]) else node
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if any(_private(target) for target in node.targets):
            node.value = _hidden(node.value)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None and _private(node.target):
            node.value = _hidden(node.value)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg and privacy.by_name(node.arg):
            node.value = _hidden(node.value)
        return self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        node.values = [
            _hidden(value) if key is not None and _private(key) else value
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if _private(node.left):
            node.comparators = [_hidden(value) for value in node.comparators]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        # A docstring is prose, and what a function is for shows in its name and its code.
        if len(node.body) > 1 and _is_text(node.body[0]):
            node.body = node.body[1:]
        return self.generic_visit(node)


def _told(text: str) -> str:
    if privacy.in_text(text):
        return HIDDEN
    if len(text) > TEXT or defuse.instructs(text):
        return "…"
    return defuse.unmarked(text)


def _hidden(node: ast.expr) -> ast.expr:
    """Without the texts and numbers in it; a name or a call that only fetches a secret stays."""
    if isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value is not None:
        return ast.Constant(HIDDEN)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        node.elts = [_hidden(element) for element in node.elts]
    elif isinstance(node, ast.Dict):
        node.values = [_hidden(value) for value in node.values]
    elif isinstance(node, ast.JoinedStr | ast.BinOp):
        return ast.Constant(HIDDEN)
    return node


def _private(node: ast.expr) -> str:
    """Why what stands under this name, attribute or key may not be told."""
    if isinstance(node, ast.Subscript):
        return _private(node.slice)
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value
    return privacy.by_name(name)


def _of_ipython(statement: ast.stmt) -> bool:
    """A magic or a shell command as IPython rewrites it."""
    calls = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return any(node.id == "get_ipython" for node in calls)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
