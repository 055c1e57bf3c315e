"""What was offered to the editor, by its id: how it looks in the protocol, and what became of it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from famulus.lsp_server.completion.filters import insertion
from famulus.lsp_server.completion.situation import Situation
from famulus.lsp_server.documents import Document

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session

ACCEPTED = "famulus.completionAccepted"
KEPT = 256
"""Offers of a session that can be told the fate of, the latest."""


@dataclass(frozen=True)
class Offer:
    """``text`` at the cursor of ``situation``. One candidate keeps its ``id`` while it is typed through."""

    id: str
    document: Document
    situation: Situation
    text: str
    confidence: float

    @property
    def replaced(self) -> tuple[str, int, int]:
        """What to insert, and the range of the document that it replaces, as offsets."""
        return insertion(self.text, self.situation)

    @property
    def over(self) -> int:
        """How many characters to the right of the cursor it brings itself."""
        return self.replaced[2] - self.situation.offset if self.situation.accepted is None else 0

    def item(self) -> types.InlineCompletionItem:
        """For ``textDocument/inlineCompletion``."""
        text, start, end = self.replaced
        where = self.document.range_of(start, end)
        return types.InlineCompletionItem(insert_text=text, range=where, command=self.command())

    def command(self) -> types.Command:
        """What a client runs when the whole of it was accepted."""
        return types.Command(title="", command=ACCEPTED, arguments=[self.id])


class Offers:
    """The latest offers of a session, and the word on what became of them for its outcomes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: OrderedDict[str, Offer] = OrderedDict()

    def made(self, offer: Offer, latency_ms: float, source: str) -> None:
        """``offer`` goes to the editor."""
        self._kept.pop(offer.id, None)
        self._kept[offer.id] = offer
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        place = offer.situation.offset
        self._session.outcomes.offered(offer.document, place, offer.id, offer.text, latency_ms, source)

    def shown(self, id: str) -> None:
        """The client says that it shows the offer."""
        if id in self._kept:
            self._session.outcomes.shown(id)

    def accepted(self, id: str, units: int | None = None) -> None:
        """The client says that it was accepted: all of it, or so many UTF-16 units of the item's text."""
        offer = self._kept.get(id)
        if offer is None:
            return
        if units is None:
            self._session.outcomes.accepted(id)
            return
        text = offer.replaced[0]
        before = len(text) - len(offer.text)
        taken = len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))
        self._session.outcomes.accepted(id, max(0, taken - before))


def id_of(item: Any) -> str:
    """The offer's id in an item that a client sent back; "" where there is none."""
    command = _get(item, "command")
    arguments = _get(command, "arguments")
    first = arguments[0] if isinstance(arguments, list | tuple) and arguments else ""
    return first if isinstance(first, str) else ""


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
