"""Registers completion in all its forms, what clients tell of it, and the commands that explain it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from lsprotocol.validators import UINTEGER_MAX_VALUE

from famulus.engine.errors import FamulusError
from famulus.lsp_server.completion.explanation import Explanation, part_texts, prompt_markdown
from famulus.lsp_server.completion.offers import ACCEPTED, id_of
from famulus.lsp_server.completion.service import CompletionService

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer

SHOWN = "famulus/didShowCompletion"
PARTLY = "famulus/didPartiallyAcceptCompletion"
MOVED = "famulus/didMoveCursor"
WHY_NOTHING = "famulus.whyNothing"
SHOW_PROMPT = "famulus.showPrompt"


def bind(server: FamulusServer) -> None:
    """Put the service into the session and its features into the server."""
    service = server.completion = CompletionService(server.session)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        return await service.inline(params)

    @server.feature(SHOWN)
    def did_show(params: Any) -> None:
        service.offers.shown(id_of(getattr(params, "item", None)))

    @server.feature(PARTLY)
    def did_partially_accept(params: Any) -> None:
        length = getattr(params, "acceptedLength", None)
        if isinstance(length, int) and length >= 0:
            service.offers.accepted(id_of(getattr(params, "item", None)), length)

    @server.feature(MOVED)
    def did_move_cursor(params: Any) -> None:
        uri, position = getattr(getattr(params, "textDocument", None), "uri", None), getattr(params, "position", None)
        place: list[Any] = [getattr(position, name, None) for name in ("line", "character")]
        if isinstance(uri, str) and all(isinstance(n, int) and 0 <= n <= UINTEGER_MAX_VALUE for n in place):
            service.resting.moved(uri, types.Position(*place))

    @server.command(ACCEPTED)
    def accepted(id: str) -> None:
        service.offers.accepted(id)

    @server.command(WHY_NOTHING)
    def why_nothing(uri: str, position: types.Position) -> dict[str, Any]:
        story = service.explain(uri, position)
        text = story.markdown() if story is not None else "Nothing was asked for in this document yet."
        return {"title": "Why is nothing shown?", "text": text, "data": story.data() if story is not None else None}

    @server.command(SHOW_PROMPT)
    async def show_prompt(uri: str, position: types.Position) -> dict[str, Any]:
        story = service.explain(uri, position)
        text = "Nothing was asked for in this document yet."
        if story is not None:
            text = prompt_markdown(story, await _token_counts(server, story))
        return {"title": "The prompt", "text": text}


def popup_wanted(capabilities: types.ClientCapabilities) -> bool:
    """Whether a client knows no ghost text, so that its ordinary list has to do."""
    text = capabilities.text_document
    return text is None or text.inline_completion is None


def bind_popup(server: FamulusServer) -> None:
    """Offer completion in the editor's own list; while initialising, when the client is known."""

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=list(". ([{=,:")))
    async def completion(params: types.CompletionParams) -> types.CompletionList | None:
        return await server.completion.popup(params)


async def _token_counts(server: FamulusServer, story: Explanation) -> dict[str, int]:
    """Tokens of each part of the prompt; those that the engine cannot count now are missing."""
    if story.prompt is None:
        return {}
    parts = {name: text for name, text in part_texts(story.prompt).items() if text}
    link = server.session.link
    answers = await asyncio.gather(*map(link.tokenize, parts.values()), return_exceptions=True)
    counts: dict[str, int] = {}
    for name, answer in zip(parts, answers, strict=True):
        if isinstance(answer, BaseException):
            if not isinstance(answer, FamulusError):
                raise answer
        else:
            counts[name] = len(answer.tokens)
    return counts
