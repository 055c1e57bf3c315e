"""Python's own parser, without its surprises."""

from __future__ import annotations

import ast
import codeop
import threading
import warnings

_ONE_AT_A_TIME = threading.Lock()
"""The parser of Python 3.11 counts the depth of trees for all threads together, and the filter of warnings is one for
all threads as well."""


_MORE: int = getattr(codeop, "PyCF_ALLOW_INCOMPLETE_INPUT", 0)
"""With this flag the parser tells apart what is wrong and what only ends too early; a Python without it does not."""


def module_of(code: str) -> ast.Module:
    """The tree of a module. Raises SyntaxError, and nothing else, for what has none; the user's own invalid escapes
    and the like are not warned of."""
    return _parse(code)


def parses(code: str) -> bool:
    """Whether ``code`` is a module."""
    try:
        _parse(code)
    except SyntaxError:
        return False
    return True


def unfinished(code: str) -> bool:
    """Whether nothing is wrong with ``code`` but that it ends too early: a head without its block, an open bracket."""
    try:
        _parse(code, _MORE)
    except SyntaxError as error:
        return error.msg == "incomplete input"
    return False


def _parse(code: str, flags: int = 0) -> ast.Module:
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = compile(code, "<text>", "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True)
            assert isinstance(tree, ast.Module)
            return tree
        except SyntaxError:
            raise
        except (ValueError, RecursionError, MemoryError, SystemError) as error:
            raise SyntaxError("Python cannot parse this text") from error
