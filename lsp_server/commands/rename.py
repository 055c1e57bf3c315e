"""Instructions that need no model: "rename A to B" within a selection."""

from __future__ import annotations

import keyword
import re

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.documents import Snapshot
from famulus.lsp_server.syntax import parse

_RENAME = re.compile(
    r"\s*rename\s+(?:the\s+)?(?P<kind>variable|parameter|argument|function|method|class|attribute|field|name)?\s*"
    r"[`'\"]?(?P<old>[A-Za-z_]\w*)[`'\"]?\s+(?:to|as|into|->)\s+[`'\"]?(?P<new>[A-Za-z_]\w*)[`'\"]?\s*\.?\s*",
    re.IGNORECASE,
)


def renamed(seen: Snapshot, start: int, end: int, instruction: str) -> str | None:
    """``[start, end)`` with a name changed as the instruction says; None for other instructions.

    Names in comments and strings stay, and so do attributes unless the instruction speaks of one. Raises
    :class:`InvalidRequest` where the old name is not there, or the new one is taken or no name.
    """
    asked = _RENAME.fullmatch(instruction)
    if asked is None:
        return None
    old, new, kind = asked["old"], asked["new"], (asked["kind"] or "").lower()
    if keyword.iskeyword(new) and seen.language == "python":
        raise InvalidRequest(f"{new} is a keyword, not a name.")
    tree = parse(seen.language, seen.text)
    value = seen.text.value
    attributes = kind in ("method", "attribute", "field")
    found = [
        match
        for match in re.finditer(rf"(?<![\w]){re.escape(old)}(?!\w)", value[start:end])
        if tree is None or tree.inside(start + match.start()) == "code"
        if attributes or not value[: start + match.start()].rstrip().endswith(".")
    ]
    if not found:
        raise InvalidRequest(f"The selection has no {kind or 'name'} {old}.", fix="Select the lines that use it.")
    if re.search(rf"(?<![\w.]){re.escape(new)}(?!\w)", value[start:end]):
        raise InvalidRequest(f"The name {new} is taken in the selection.", fix="Choose another.")
    pieces, last = [], 0
    for match in found:
        pieces += [value[start + last : start + match.start()], new]
        last = match.end()
    return "".join([*pieces, value[start + last : end]])
