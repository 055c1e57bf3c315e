"""Tests as methods: of plain classes, and of unittest's with its own assertions."""

from __future__ import annotations

import ast
import re

_CONSTANTS = {"None": "assertIsNone({})", "True": "assertIs({}, True)", "False": "assertIs({}, False)"}
_FIXTURES = re.compile(r"\bdef \w+\(([^)]+)\)")


def as_method(text: str, *, cased: bool) -> str:
    """A test function as a method; ``cased``: of ``unittest.TestCase``. Empty where it cannot be one, since it needs
    what pytest alone has."""
    if not cased:
        return re.sub(
            r"^def (\w+)\(\)",
            r"def \1(self)",
            re.sub(r"^def (\w+)\((?=\w)", r"def \1(self, ", text, flags=re.M),
            flags=re.M,
        )
    if text.startswith("@") or _FIXTURES.search(text.partition("\n")[0]):
        return ""
    rows = [_asserted(row) for row in text.split("\n")]
    return re.sub(r"^def (\w+)\(\)", r"def \1(self)", "\n".join(rows), flags=re.M)


def _asserted(row: str) -> str:
    """A line with pytest's assertion, with that of unittest."""
    indent = row[: len(row) - len(row.lstrip())]
    if match := re.fullmatch(r"with pytest\.raises\((.+?)(?:, match=(.+))?\):", row.strip()):
        kind, said = match[1], match[2]
        return (
            f"{indent}with self.assertRaisesRegex({kind}, {said}):"
            if said
            else f"{indent}with self.assertRaises({kind}):"
        )
    if not row.strip().startswith("assert "):
        return row
    statement = row.strip()
    try:
        node = ast.parse(statement).body[0]
    except SyntaxError:
        return row
    if not isinstance(node, ast.Assert):
        return row
    test = node.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right = (ast.get_source_segment(statement, part) or "" for part in (test.left, test.comparators[0]))
        if isinstance(test.ops[0], ast.Is):
            found = _CONSTANTS.get(right)
            return f"{indent}self.{found.format(left)}" if found else f"{indent}self.assertIs({left}, {right})"
        if isinstance(test.ops[0], ast.Eq):
            return f"{indent}self.assertEqual({left}, {right})"
    return f"{indent}self.assertTrue({statement.removeprefix('assert ')})"
