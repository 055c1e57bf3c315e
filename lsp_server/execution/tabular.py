"""Arrays of numpy and tables of pandas as arguments."""

from __future__ import annotations

import ast
import random
import re

from famulus.lsp_server.execution.nodes import nodes
from famulus.lsp_server.execution.values import Values, Vocabulary, constant

_ARRAYS = frozenset(("ndarray", "NDArray", "ArrayLike", "Array"))
_TABLES = frozenset(("DataFrame", "Series"))
IMPORTS = {"numpy": "import numpy as np", "pandas": "import pandas as pd"}


def tabular(name: str, module: ast.Module, words: Vocabulary) -> tuple[str, Values] | None:
    """Values of the type ``name`` and the import that they need, where the module imports numpy or pandas."""
    package = "numpy" if name in _ARRAYS else "pandas" if name in _TABLES else ""
    if not package or not _imports(module, package):
        return None
    return IMPORTS[package], arrays() if package == "numpy" else series() if name == "Series" else frames(words)


def _imports(module: ast.Module, package: str) -> bool:
    for node in nodes(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] == package for name in names):
            return True
    return False


def arrays() -> Values:
    """Arrays of numbers, mostly with one dimension."""

    def draw(dice: random.Random) -> str:
        if dice.random() < 0.2:
            rows, columns = dice.choice((1, 2, 3)), dice.choice((2, 3))
            return f"np.array({[[dice.randint(-3, 9) for _ in range(columns)] for _ in range(rows)]})"
        size = dice.choice((1, 2, 3, 3, 4, 5))
        whole = dice.random() < 0.5
        return f"np.array({[dice.randint(-3, 9) if whole else dice.randint(-10, 40) / 4 for _ in range(size)]})"

    edges = ("[1.0, 2.0, 3.0]", "[3, 1, 2]", "[[1, 2], [3, 4]]", "[0.5, -1.0, 4.25]", "[2.0]", "[]", "[1, 1, 0]")
    return Values("ndarray", tuple(f"np.array({edge})" for edge in edges), draw)


def series() -> Values:
    """Columns of numbers or of words."""
    edges = ("[1.0, 2.0, 3.5]", "[3, 1, 2, 2]", "['x', 'y', 'x']", "[5]", "[1.0, float('nan'), 3.0]", "[-1, 0, 4]")
    return constant("Series", *(f"pd.Series({edge})" for edge in edges), "pd.Series([], dtype=float)")


def frames(words: Vocabulary) -> Values:
    """Tables, with the columns that the code speaks of."""
    own = [text for text in dict.fromkeys(words.texts) if re.fullmatch(r"[A-Za-z_]\w{0,20}", text)][:5]
    names = [*own, *("a", "b", "c")][: max(3, len(own))]
    columns = ("[1, 2, 3]", "[4.0, 5.5, 6.0]", "['x', 'y', 'x']", "[3, 1, 2]", "[0.5, -1.0, 2.0]")

    def draw(dice: random.Random) -> str:
        return f"pd.DataFrame({{{', '.join(f'{name!r}: {dice.choice(columns)}' for name in names)}}})"

    edges = [
        f"pd.DataFrame({{{', '.join(f'{m!r}: {columns[(n + k) % 5]}' for n, m in enumerate(names))}}})" for k in (0, 1)
    ]
    edges.append(f"pd.DataFrame({{{', '.join(f'{name!r}: []' for name in names)}}})")
    return Values("DataFrame", tuple(edges), draw)
