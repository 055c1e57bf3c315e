"""Which other names a file gives to what bears a name: by imports, and by assigning it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.lsp_server.review.index.facts import ModuleFacts

WORDS = re.compile(r"[^\W\d]\w*")


def aliases(facts: ModuleFacts) -> dict[str, set[str]]:
    """The names by the one that they stand for."""
    found: dict[str, set[str]] = {}
    for known, new in _pairs(facts):
        found.setdefault(known, set()).add(new)
    return found


def _pairs(facts: ModuleFacts) -> Iterator[tuple[str, str]]:
    for found in facts.imports:
        source = found.attribute or found.module.rpartition(".")[2]
        if found.name != source and found.attribute != "*":
            yield source, found.name
    for scope in facts.scopes:
        for group in (scope.bindings, scope.attributes):
            for name, bindings in group.items():
                for binding in bindings:
                    if binding.value and (source := _meant(binding.value)) and source != name:
                        yield source, name
                    elif binding.kind == "definition" and facts.definitions[binding.index].kind == "value":
                        for path in facts.definitions[binding.index].returns:
                            if (source := _meant(path)) and source != name:
                                yield source, name


def _meant(path: str) -> str:
    """The name that a path ends with, if it stands for that name's value and not for a result of it."""
    if path.startswith("#"):
        return ""
    path = path.partition("!")[0]
    return WORDS.findall(path)[-1] if path and (path[-1].isalnum() or path[-1] == "_") else ""
