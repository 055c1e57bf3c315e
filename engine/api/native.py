"""Our own HTTP dialect for the synchronous client: protocol structs as strict JSON, events as server-sent
events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from famulus.engine.api.answering import EventStream, Json, Watched
from famulus.engine.api.collecting import one
from famulus.engine.api.services import Services
from famulus.engine.protocol import (
    Detokenize,
    Embed,
    Embedded,
    Generate,
    LongText,
    Score,
    Scored,
    Tokenize,
    Tokenized,
    encode_json,
)


class TokenizeBody(msgspec.Struct):
    """llama.cpp's shape."""

    content: LongText
    add_special: bool | None = None
    with_pieces: bool | None = None


class DetokenizeBody(msgspec.Struct):
    """llama.cpp's shape."""

    tokens: Annotated[list[Annotated[int, Meta(ge=0, lt=1 << 32)]], Meta(max_length=1 << 20)]


class Native:
    """``/v1/generate``, ``/v1/score``, ``/v1/embed``, ``/tokenize``, ``/detokenize``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route("/v1/generate", self.generate, methods=["POST"]),
            Route("/v1/score", self.score, methods=["POST"]),
            Route("/v1/embed", self.embed, methods=["POST"]),
            Route("/tokenize", self.tokenize, methods=["POST"]),
            Route("/detokenize", self.detokenize, methods=["POST"]),
        ]

    async def generate(self, request: Request) -> Response:
        """A :class:`Generate` in, its events out as server-sent events. A stream without Done or Failed was
        cut off."""
        body = await self._services.reader.read(request, Generate)
        ticket = self._services.supervisor.open(body)

        async def produce() -> AsyncIterator[bytes]:
            async for event in ticket:
                yield encode_json(event)

        return EventStream([ticket], produce, eager=True)

    async def score(self, request: Request) -> Response:
        """A :class:`Score` in, a :class:`Scored` out."""
        return self._answer(await self._services.reader.read(request, Score), Scored)

    async def embed(self, request: Request) -> Response:
        """An :class:`Embed` in, an :class:`Embedded` out."""
        return self._answer(await self._services.reader.read(request, Embed), Embedded)

    def _answer(self, body: Score | Embed, kind: type[Scored | Embedded]) -> Response:
        ticket = self._services.supervisor.open(body)

        async def produce() -> Response:
            return Json(await one(ticket, kind))

        return Watched([ticket], produce)

    async def tokenize(self, request: Request) -> Response:
        """``{"tokens": […]}``, with ``with_pieces`` as objects of id and piece."""
        body = await self._services.reader.read(request, TokenizeBody)
        asked = Tokenize(self._services.new_id("tokenize"), body.content, bool(body.add_special))
        ticket = self._services.supervisor.open(asked)

        async def produce() -> Response:
            answer = await one(ticket, Tokenized)
            if not body.with_pieces:
                return Json({"tokens": answer.tokens})
            pairs = zip(answer.tokens, answer.texts, strict=True)
            return Json({"tokens": [{"id": token, "piece": piece} for token, piece in pairs]})

        return Watched([ticket], produce)

    async def detokenize(self, request: Request) -> Response:
        """``{"content": text}``."""
        body = await self._services.reader.read(request, DetokenizeBody)
        ticket = self._services.supervisor.open(Detokenize(self._services.new_id("detokenize"), body.tokens))

        async def produce() -> Response:
            return Json({"content": (await one(ticket, Tokenized)).text})

        return Watched([ticket], produce)
