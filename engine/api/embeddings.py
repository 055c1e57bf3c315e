"""``/v1/embeddings``: the mean of the model's last hidden state over the tokens of a text, normalised.

A language model is no embedding model: the vectors serve to compare texts of one kind with each other.
"""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from famulus.engine.api import fields
from famulus.engine.api.answering import Json, Watched
from famulus.engine.api.collecting import one
from famulus.engine.api.services import Services
from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import Embed, Embedded, LongText

MAX_TEXTS = 256

Texts = Annotated[list[LongText], Meta(min_length=1, max_length=MAX_TEXTS)]


class EmbeddingBody(Struct):
    """The fields that are understood."""

    input: LongText | list[Any]
    model: fields.Name | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


class Embeddings:
    """The route and what it answers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/v1/embeddings", self.embed, methods=["POST"])]

    async def embed(self, request: Request) -> Response:
        """One vector for each text, as numbers or as base64 of little-endian float32."""
        body = await self._services.reader.read(request, EmbeddingBody)
        if body.dimensions is not None:
            raise InvalidRequest("The number of dimensions is the model's own.", fix="Leave dimensions out.")
        raw = [body.input] if isinstance(body.input, str) else body.input
        texts: list[str] = fields.check(raw, Texts, "input")
        model = await self._services.model(body.model)
        ticket = self._services.supervisor.open(Embed(self._services.new_id("embd"), texts))

        async def produce() -> Response:
            answer = await one(ticket, Embedded)
            usage = {"prompt_tokens": answer.usage.prompt, "total_tokens": answer.usage.prompt}
            data = [
                {"object": "embedding", "index": index, "embedding": _written(vector, body.encoding_format)}
                for index, vector in enumerate(answer.vectors)
            ]
            return Json({"object": "list", "data": data, "model": model.id, "usage": usage})

        return Watched([ticket], produce)


def _written(vector: list[float], form: str | None) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector
