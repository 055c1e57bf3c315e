"""What a command answers with: a page of Markdown for the user."""

from __future__ import annotations

from lsprotocol import types

from famulus.lsp_server.session import Session

Page = dict[str, str]
"""``{"title", "text"}``."""
SHOWN_LINES = 12
"""Of a page, in the message that clients without pages show."""


def page(session: Session, title: str, text: str) -> Page:
    """A page; shown as a message where the client has not said that it shows pages."""
    if not session.options.documents:
        lines = text.splitlines()
        rest = ["…"] if len(lines) > SHOWN_LINES else []
        message = "\n".join([title, *lines[:SHOWN_LINES], *rest])
        session.server.window_show_message(types.ShowMessageParams(types.MessageType.Info, message))
    return {"title": title, "text": text}
