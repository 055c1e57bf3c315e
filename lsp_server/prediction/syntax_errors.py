"""Syntax errors of any language with a grammar."""

from __future__ import annotations

import re

from famulus.lsp_server.documents import Snapshot
from famulus.lsp_server.prediction.finding import Finding
from famulus.lsp_server.syntax import Tree
from famulus.lsp_server.syntax.problems import open_until

_MAGIC = re.compile(r"^\s*[%!?]|\?\s*$", re.MULTILINE)


def findings(tree: Tree, snapshot: Snapshot) -> list[Finding]:
    """What keeps the text from parsing. A notebook's cell with IPython's own syntax is no Python; nothing is said."""
    if snapshot.kind != "document" and _MAGIC.search(snapshot.text.value):
        return []
    return [
        Finding(p.start, p.end, f"{p.message[:1].upper()}{p.message[1:]}.", "syntax", "error", "syntax")
        for p in tree.errors()
    ]


def unfinished(found: list[Finding], snapshot: Snapshot, edited: int) -> list[Finding]:
    """Those of ``found`` that may go away by writing on at ``edited``: brackets and blocks that are open there.

    Editors close braces themselves, so that it is Python whose heads do not parse before their block is there.
    """
    errors = [f for f in found if f.source == "syntax"]
    end = open_until(snapshot.text, edited) if errors and snapshot.language == "python" else 0
    return [f for f in errors if f.start < end]
