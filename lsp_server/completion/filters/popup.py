"""What the editor's own list has selected comes first."""

from __future__ import annotations

from famulus.lsp_server.completion.situation import Situation


def selection(text: str, situation: Situation) -> str:
    """Nothing, unless the text goes on as the selection does: ghost text beside another word would confuse."""
    chosen = situation.popup
    if chosen is None:
        return text
    written = situation.text[chosen.start : situation.offset] + text
    return text if written.startswith(chosen.text) else ""
