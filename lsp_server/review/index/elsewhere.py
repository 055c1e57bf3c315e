"""Whether a module whose source is gone will still be there: built, generated, installed, or Python's own."""

from __future__ import annotations

import posixpath
import re
import sys

from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.values import Module

_NAMING = re.compile(
    r"(^|/)(pyproject\.toml|setup\.(py|cfg)|Pipfile|environment\.ya?ml|\.gitignore|[\w-]*requirements[\w-]*\.(txt|in)"
    r"|requirements/.*\.(txt|in))$"
)
"""Files that name packages to be installed, or files that are made and not kept."""


def comes_from_elsewhere(changes: Changes, module: Module) -> bool:
    """Whether ``module`` of the old side, whose file is gone, is found by ``import`` all the same.

    So it is if Python has one of this name, if a file in another language stands in its place, or if the change names
    it where projects name what they depend on or do not keep.
    """
    top = module.name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    stem = module.path.removesuffix(".py").removesuffix("/__init__")
    if any(path.startswith(stem + ".") and "/" not in path[len(stem) :] for path in changes.new.tree.paths()):
        return True
    last = posixpath.basename(stem)
    return bool(({top, last} & _named(changes.new.tree)) - _named(changes.old.tree))


def _named(tree: Tree) -> set[str]:
    """The words of such files, as modules are written."""
    texts = [decoded(tree.read(path) or b"") for path in tree.paths() if _NAMING.search(path)]
    return {word.replace("-", "_") for text in texts for word in re.findall(r"[\w-]+", text)}
