"""May the words mean that something that exists is changed? Without a word that says so, nothing is."""

from __future__ import annotations

from famulus.jupyter_kernel.candidate import Want
from famulus.jupyter_kernel.words import tokens

CHANGING = frozenset(
    ("add", "remove", "replace", "rename", "fill", "convert", "change", "swap", "updat", "update", "reverse", "random",
     "normalize", "clear", "empty", "pop", "set", "assign", "overwrit", "modify", "modifi", "fix", "clean", "correct",
     "increas", "decreas", "doubl", "halv", "extend", "put", "push", "reset", "edit", "adjust", "mark", "flag", "sort")
)  # fmt: skip
"""Concepts and stems of words."""

COMMANDS = frozenset(
    ("make", "round", "multiply", "divide", "plus", "subtract", "strip", "lowercase", "uppercase", "capitalize", "cut",
     "turn", "mov", "merge", "concat", "flatten", "transpose", "apply", "split", "label", "title", "legend", "index",
     "encod", "drop", "parse", "read", "save", "shift", "move", "limit", "clip")
)  # fmt: skip
"""Those that ask for a change only as the verb that the instruction begins with."""

_PARTICLES = frozenset(("把", "将", "请", "please", "now", "then", "and", "也", "再"))
_COLUMN, _NEW = "column", "new"


def changes(words: str, want: Want, taken: frozenset[str] = frozenset()) -> bool:
    """Whether the words ask to change something. Where they name a new result, they do not, unless the name is
    ``taken`` already: *remove duplicates from nums, call it uniq* leaves ``nums`` alone."""
    if want.name and want.name not in taken:
        return False
    if want.name:
        return True
    keys = [token.key for token in tokens(words) if token.kind == "word"]
    verb = next((key for key in keys if key not in _PARTICLES), "")
    if verb in COMMANDS or CHANGING & set(keys):
        return True
    return _COLUMN in keys and _NEW in keys
