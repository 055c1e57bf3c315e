"""From a request of the editor to what it shows: each step is a module of its own; here is their order."""

from __future__ import annotations

from lsprotocol import types

from famulus.engine.errors import FamulusError
from famulus.engine.protocol import Delta, Infill
from famulus.lsp_server.session import Session

NEIGHBOURHOOD = 48_000
"""Code points before and after the cursor that are sent at the most; the engine fits them to its budget."""


class CompletionService:
    """Completion for the documents of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def inline(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        """Answers ``textDocument/inlineCompletion``; None where nothing is to be shown."""
        document = self._session.document(params.text_document.uri)
        if document is None:
            return None
        seen, offset = document.snapshot(), document.offset_at(params.position)
        text = seen.text.value
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        prompt = Infill(
            prefix=text[max(0, offset - NEIGHBOURHOOD) : offset],
            suffix=text[offset : offset + NEIGHBOURHOOD],
            path=str(seen.path or ""),
            language=seen.language,
            trigger="invoked" if invoked else "automatic",
        )
        call = self._session.link.generate(prompt, lane="key", max_tokens=64, deadline_ms=5000)
        written = ""
        try:
            async for event in call:
                if isinstance(event, Delta):
                    written += event.text
        except FamulusError as error:
            self._session.link.lost(error)
            return None
        finally:
            call.cancel()
        if document.version != seen.version or not written.strip():
            return None
        here = document.position_at(offset)
        item = types.InlineCompletionItem(insert_text=written, range=types.Range(here, here))
        return types.InlineCompletionList([item])
