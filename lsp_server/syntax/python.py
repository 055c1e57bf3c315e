"""Python's own parser, without its surprises."""

from __future__ import annotations

import ast
import threading
import warnings

_ONE_AT_A_TIME = threading.Lock()
"""The parser of Python 3.11 counts the depth of trees for all threads together, and the filter of warnings is one for
all threads as well."""


def module_of(code: str) -> ast.Module:
    """The tree of a module. Raises SyntaxError, and nothing else, for what has none; the user's own invalid escapes
    and the like are not warned of."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code)
        except SyntaxError:
            raise
        except (ValueError, RecursionError, MemoryError, SystemError) as error:
            raise SyntaxError("Python cannot parse this text") from error


def parses(code: str) -> bool:
    """Whether ``code`` is a module."""
    try:
        module_of(code)
    except SyntaxError:
        return False
    return True
