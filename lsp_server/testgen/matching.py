"""Arguments that match what else is there: the keys of another container, the texts that the code looks for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen.special import literal

_MOST_KEYS = 3


def keyed(call: Call) -> Iterator[Call]:
    """The call with the keys of its dictionaries taken from the texts of its object and of what was called before."""
    known = [text for line in (call.receiver, *call.before) for text in _texts(line)]
    keys = list(dict.fromkeys(known))[:_MOST_KEYS]
    if not keys:
        return
    for place in range(bool(call.receiver), len(call.expressions)):
        given = literal(call.expressions[place])
        if isinstance(given, dict) and given and all(isinstance(key, str) for key in given):
            values = list(given.values())
            own = {key: values[number % len(values)] for number, key in enumerate(keys)}
            if own.keys() != given.keys():
                yield replace(call.replaced(place, repr(own)), source=call.source)


def matched(calls: Sequence[Call], most: int) -> list[Call]:
    """At most so many of the calls with one text among their arguments taken from their object, from what was called
    before or from another argument: what is looked for is then there."""
    found: dict[Call, None] = {}
    for call in calls:
        own = bool(call.receiver)
        for place in range(own, len(call.expressions)):
            others = [text for n, text in enumerate(call.expressions) if n != place]
            known = [text for line in (*others, *call.before) for text in _texts(line)]
            if isinstance(given := literal(call.expressions[place]), str) and known and given not in known:
                found[call.replaced(place, repr(known[len(found) % len(known)]))] = None
        if len(found) >= most:
            break
    return list(found)[:most]


def _texts(line: str) -> Iterator[str]:
    """Texts in a statement, in their order; keys of dictionaries and plain arguments."""
    try:
        tree = ast.parse(line)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value


def told(function: Function) -> list[str]:
    """Words of a docstring that hold a text for which the code looks: ``'SAVE10'`` where it asks for ``'SAVE'``."""
    sought = {
        node.value
        for part in function.node.body[1:]
        for node in ast.walk(part)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 1
    }
    words = re.findall(r"[^\s,;()`'\"]{3,40}", function.docstring)
    found = [word.rstrip(".:") for word in words if any(s in word and s != word.rstrip(".:") for s in sought)]
    return [repr(word) for word in dict.fromkeys(found)]
