"""A frozen notebook as one Python file."""

from __future__ import annotations

import ast
import symtable
import warnings
from typing import Any

from famulus.jupyter_kernel.export import text_of

LOOP = """# %%
# Cells that await share one loop, as they do in a notebook.
import asyncio

_loop = asyncio.new_event_loop()"""


def script(notebook: dict[str, Any]) -> str:
    """Cells divided by ``# %%``, text as comments. What only IPython understands becomes a comment; a cell that awaits
    becomes a function that a loop runs."""
    parts, awaits = [], False
    for cell in notebook["cells"]:
        source = text_of(cell["source"]).replace("\r\n", "\n").replace("\r", "\n")
        kind = cell.get("cell_type")
        if kind == "code":
            plain = _plain(source)
            if _awaits(plain):
                plain, awaits = _run_by_loop(plain), True
            parts.append(f"# %%\n{plain}")
        elif source.strip():
            parts.append(f"# %% [{'markdown' if kind == 'markdown' else 'raw'}]\n" + _commented(source))
    return "\n\n".join([LOOP, *parts] if awaits else parts) + "\n"


def _plain(source: str) -> str:
    """A cell as plain Python."""
    if source.lstrip().startswith("%%"):
        return _commented(source)
    if _parses(source):
        return source
    lines = []
    for line in source.split("\n"):
        is_line = line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?")
        # A suite must not be left empty.
        lines.append(
            f"{line[: len(line) - len(line.lstrip())]}pass  # {line.lstrip()}"
            if is_line and line[:1] in " \t"
            else f"# {line}"
            if is_line
            else line
        )
    text = "\n".join(lines)
    return text if _parses(text) else _commented(source)


def _parses(source: str) -> bool:
    return _compiles(source, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def _awaits(source: str) -> bool:
    return not _compiles(source, 0)


def _compiles(source: str, flags: int) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "<cell>", "exec", flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _run_by_loop(source: str) -> str:
    """The cell in a function, its names still those of the module."""
    within = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno is not None
        for line in range(node.lineno + 1, node.end_lineno + 1)
    }
    lines = source.split("\n")
    indented = [f"    {text}" if text.strip() and n not in within else text for n, text in enumerate(lines, start=1)]
    function = "async def _cell():\n" + "\n".join(indented)
    if not _compiles(function, 0):
        return _commented(source)
    table = symtable.symtable(function, "<cell>", "exec").get_children()[0]
    names = sorted(name for name in table.get_identifiers() if table.lookup(name).is_local())
    if names:
        function = function.replace("\n", f"\n    global {', '.join(names)}\n", 1)
    return f"{function}\n\n\n_loop.run_until_complete(_cell())"


def _commented(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())
