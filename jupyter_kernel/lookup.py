"""What stands under a key of the user's dictionary: *price of coffee*, *the port in config*, 咖啡的价格."""

from __future__ import annotations

from dataclasses import dataclass

from famulus.jupyter_kernel.lexeme import NOISE
from famulus.jupyter_kernel.mentions import Read

_SURE = 0.94
_SILENT = frozenset(("of", "in", "show", "for", "is", "value", "from", "how", "key"))


@dataclass(frozen=True)
class Lookup:
    """An expression and the dictionary in it."""

    code: str
    name: str


def lookup(read: Read) -> Lookup | None:
    """The lookup that the words are, None where they say anything but a dictionary and one of its keys."""
    dicts = [m for m in read.variables() if m.variable.kind == "dict" and m.score >= _SURE]
    for mention in dicts:
        for key in read.columns(mention.variable):
            apart = key.end <= mention.start or mention.end <= key.start
            if key.column is None or key.score < _SURE or not apart:
                continue
            rest = [
                token
                for index, token in enumerate(read.tokens)
                if not (key.start <= index < key.end or mention.start <= index < mention.end)
                and index not in read.taken
            ]
            if all(token.weight <= NOISE or token.key in _SILENT for token in rest):
                return Lookup(f"{mention.variable.name}[{key.column.key}]", mention.variable.name)
    return None
