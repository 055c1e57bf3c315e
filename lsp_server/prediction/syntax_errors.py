"""Syntax errors of any language with a grammar."""

from __future__ import annotations

import re

from famulus.lsp_server.documents import Snapshot
from famulus.lsp_server.prediction.finding import Finding
from famulus.lsp_server.syntax import Tree

_MAGIC = re.compile(r"^\s*[%!?]|\?\s*$", re.MULTILINE)


def findings(tree: Tree, snapshot: Snapshot) -> list[Finding]:
    """What keeps the text from parsing. A notebook's cell with IPython's own syntax is no Python; nothing is said."""
    if snapshot.kind != "document" and _MAGIC.search(snapshot.text.value):
        return []
    return [
        Finding(p.start, p.end, f"{p.message[:1].upper()}{p.message[1:]}.", "syntax", "error", "syntax")
        for p in tree.errors()
    ]
