"""``/infill`` in llama.cpp's shape, which llama.vim and llama.vscode speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from famulus.engine.api import fields
from famulus.engine.api.answering import EventStream, Json, Watched
from famulus.engine.api.services import Services, sampling
from famulus.engine.errors import from_wire
from famulus.engine.protocol import (
    Delta,
    Done,
    Failed,
    Finish,
    Generate,
    Infill,
    LongText,
    Piece,
    ShortText,
    Timing,
    Usage,
    encode_json,
)
from famulus.engine.tickets import Ticket

DEFAULT_TOKENS = 128


class Extra(Struct):
    """A chunk of another file."""

    text: LongText
    filename: ShortText = ""


class InfillBody(Struct):
    """The fields that are understood. Greedy unless a temperature is given: a completion should not change
    by itself.

    ``prompt`` stands between ``input_prefix`` and the cursor; ``t_max_predict_ms`` ends a slow answer early.
    """

    input_prefix: LongText = ""
    input_suffix: LongText = ""
    input_extra: Annotated[list[Extra], Meta(max_length=256)] = []
    prompt: LongText = ""
    model: fields.Name | None = None
    n_predict: Annotated[int, Meta(ge=-1, le=1 << 17)] | None = None
    stream: bool | None = None
    stop: fields.Stop = None
    seed: int | None = None
    temperature: fields.Temperature | None = None
    top_k: fields.TopK | None = None
    top_p: fields.Probability | None = None
    min_p: fields.Probability | None = None
    repeat_penalty: fields.Penalty | None = None
    t_max_predict_ms: Annotated[int, Meta(ge=0, le=86_400_000)] | None = None


class Infilling:
    """The route and what it answers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/infill", self.infill, methods=["POST"])]

    async def infill(self, request: Request) -> Response:
        """Fill the hole, streamed or whole."""
        body = await self._services.reader.read(request, InfillBody)
        await self._services.model(body.model)
        ticket = self._services.supervisor.open(_generate(self._services.new_id("infill"), body))
        seconds = body.t_max_predict_ms / 1000 if body.t_max_predict_ms else None
        run = _Run(ticket, seconds)
        return EventStream([ticket], run.stream) if body.stream else Watched([ticket], run.whole)


def _generate(id: str, body: InfillBody) -> Generate:
    tokens = DEFAULT_TOKENS if body.n_predict is None or body.n_predict < 0 else body.n_predict
    return Generate(
        id=id,
        prompt=Infill(
            body.input_prefix + body.prompt,
            body.input_suffix,
            pieces=[Piece(extra.filename, extra.text) for extra in body.input_extra],
        ),
        max_tokens=tokens,
        sampling=sampling(
            temperature=body.temperature or 0.0,
            top_k=body.top_k,
            top_p=body.top_p,
            min_p=body.min_p,
            repetition_penalty=body.repeat_penalty,
            seed=body.seed if body.seed is not None and body.seed >= 0 else None,
        ),
        stop=fields.stops(body.stop),
        lane="key",
    )


class _Run:
    """One infilling under way; ``seconds`` after its first text it is cut, and what there is counts as the
    answer."""

    def __init__(self, ticket: Ticket, seconds: float | None) -> None:
        self._ticket, self._seconds = ticket, seconds
        self._cut_short = False

    async def whole(self) -> Response:
        content: list[str] = []
        closing: dict[str, Any] = {}
        async for piece, ending in self._pieces():
            content.append(piece)
            closing = ending or closing
        return Json({"content": "".join(content)} | closing)

    async def stream(self) -> AsyncIterator[bytes]:
        async for piece, ending in self._pieces():
            yield encode_json({"content": piece} | (ending or {"stop": False}))

    async def _pieces(self) -> AsyncIterator[tuple[str, dict[str, Any] | None]]:
        """Texts, the last one with llama.cpp's closing fields."""
        timer: asyncio.TimerHandle | None = None
        tokens, reason = 0, "limit"
        try:
            async for event in self._ticket:
                match event:
                    case Delta():
                        tokens += event.tokens
                        if timer is None and self._seconds is not None:
                            timer = asyncio.get_running_loop().call_later(self._seconds, self._cut)
                        yield event.text, None
                    case Finish():
                        reason = "eos" if event.reason == "stop" else "limit"
                    case Done():
                        yield "", _closing(event.model, reason, event.usage, event.timing)
                    case Failed() if self._cut_short:
                        yield "", _closing("", "limit", Usage(generated=tokens), Timing())
                    case Failed():
                        raise from_wire(event.code, event.message)
        finally:
            if timer is not None:
                timer.cancel()

    def _cut(self) -> None:
        self._cut_short = True
        self._ticket.cancel()


def _closing(model: str, stop_type: str, usage: Usage, timing: Timing) -> dict[str, Any]:
    return {
        "stop": True,
        "model": model,
        "stop_type": stop_type,
        "tokens_predicted": usage.generated,
        "tokens_evaluated": usage.prompt,
        "tokens_cached": usage.cached,
        "truncated": False,
        "timings": fields.timings_json(usage, timing),
    }
