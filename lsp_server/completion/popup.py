"""The editor's ordinary completion list as a door for those that know no ghost text."""

from __future__ import annotations

import re

from lsprotocol import types

from famulus.lsp_server.completion.offers import Offer

LAST = "\uffff"
"""Sorts behind what other servers offer."""
LABEL = 60
"""Characters of the label."""

_WORD = re.compile(r"\w*\Z")


def items(offers: list[Offer]) -> types.CompletionList:
    """The offers as entries; the list is asked for again with every key, as it is never complete."""
    entries = [_entry(offer, number) for number, offer in enumerate(offers)]
    return types.CompletionList(is_incomplete=True, items=entries)


def _entry(offer: Offer, number: int) -> types.CompletionItem:
    text, start, end = offer.replaced
    line = offer.situation.line_before
    found = _WORD.search(line)
    word = found.group() if found else ""
    # The list is narrowed by the word at the cursor, so the entry replaces that word as well.
    edit = types.TextEdit(offer.document.range_of(start - len(word), end), word + text)
    return types.CompletionItem(
        label=_label(word + text),
        kind=types.CompletionItemKind.Snippet,
        detail="Famulus",
        documentation=text if "\n" in text else None,
        preselect=False,
        sort_text=f"{LAST}{number:02}",
        filter_text=word or text,
        text_edit=edit,
        insert_text_format=types.InsertTextFormat.PlainText,
        command=offer.command(),
    )


def _label(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line[:LABEL] + "…" if len(line) > LABEL or "\n" in text.strip() else line
