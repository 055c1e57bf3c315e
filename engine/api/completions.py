"""``/v1/completions``: OpenAI's legacy completions, with ``suffix`` as fill-in-the-middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from famulus.engine.api import fields
from famulus.engine.api.answering import EventStream, Json, Watched
from famulus.engine.api.collecting import collect, merge, one
from famulus.engine.api.services import Services, sampling
from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import (
    Delta,
    Detokenize,
    Done,
    Finish,
    Generate,
    Infill,
    LongText,
    Prompt,
    Text,
    Tokenized,
    TokenLogprob,
    Tokens,
    Usage,
    encode_json,
)
from famulus.engine.tickets import Ticket

MAX_PROMPTS = 32
DEFAULT_TOKENS = 16

TokenList = Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=1 << 20)]
Prompts = Annotated[list[LongText | TokenList], Meta(min_length=1, max_length=MAX_PROMPTS)]


class CompletionBody(Struct):
    """The fields that are understood. OpenAI's defaults hold: 16 tokens, temperature 1, one choice."""

    prompt: LongText | list[Any] = ""
    model: fields.Name | None = None
    suffix: LongText | None = None
    max_tokens: fields.Count | None = None
    n: fields.Choices | None = None
    best_of: fields.Choices | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    stream: bool | None = None
    stream_options: fields.StreamOptions | None = None
    stop: fields.Stop = None
    seed: int | None = None
    temperature: fields.Temperature | None = None
    top_p: fields.Probability | None = None
    top_k: fields.TopK | None = None
    min_p: fields.Probability | None = None
    repetition_penalty: fields.Penalty | None = None
    logit_bias: fields.Bias | None = None


class Completions:
    """The route and what it answers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/v1/completions", self.complete, methods=["POST"])]

    async def complete(self, request: Request) -> Response:
        """Answer one request, streamed or whole."""
        body = await self._services.reader.read(request, CompletionBody)
        prompts = _prompts(body)
        if (body.best_of or 1) > (body.n or 1):
            raise InvalidRequest("best_of is not supported beyond n.", fix="Ask for n choices and choose yourself.")
        model = await self._services.model(body.model)
        run = _Run(self._services, body, prompts, model.id)
        if body.stream:
            return EventStream(run.tickets, run.stream)
        return Watched(run.tickets, run.whole)


def _prompts(body: CompletionBody) -> list[Prompt]:
    """The prompt field in all its four shapes: a text, texts, tokens, lists of tokens."""
    raw = body.prompt
    if isinstance(raw, list) and raw and all(isinstance(item, int) for item in raw):
        raw = [raw]
    listed = fields.check([raw] if isinstance(raw, str) else raw, Prompts, "prompt")
    if body.suffix is None:
        return [Text(item) if isinstance(item, str) else Tokens(item) for item in listed]
    if not all(isinstance(item, str) for item in listed):
        raise InvalidRequest("suffix goes with a text prompt, not with tokens.")
    if body.echo:
        raise InvalidRequest("echo and suffix do not go together.")
    return [Infill(item, body.suffix, trigger="invoked") for item in listed]


class _Run:
    """One request under way: a ticket for each prompt; choice ``prompt * n + candidate``."""

    def __init__(self, services: Services, body: CompletionBody, prompts: list[Prompt], model: str) -> None:
        self._services, self._body, self._prompts, self._model = services, body, prompts, model
        self._id, self._created = services.new_id("cmpl"), int(time.time())
        self._n = body.n or 1
        self.tickets: list[Ticket] = []
        try:
            for place, prompt in enumerate(prompts):
                self.tickets.append(services.supervisor.open(self._generate(f"{self._id}-{place}", prompt)))
        except BaseException:
            for ticket in self.tickets:
                ticket.cancel()
            raise

    def _generate(self, id: str, prompt: Prompt) -> Generate:
        body = self._body
        return Generate(
            id=id,
            prompt=prompt,
            max_tokens=DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens,
            n=self._n,
            sampling=sampling(
                temperature=body.temperature,
                top_p=body.top_p,
                top_k=body.top_k,
                min_p=body.min_p,
                repetition_penalty=body.repetition_penalty,
                seed=body.seed,
                logit_bias=body.logit_bias,
            ),
            stop=fields.stops(body.stop),
            logprobs=body.logprobs,
            prompt_logprobs=bool(body.echo) and body.logprobs is not None,
        )

    async def whole(self) -> Response:
        gathered = await asyncio.gather(*(collect(ticket, self._n) for ticket in self.tickets))
        choices = []
        for place, result in enumerate(gathered):
            echoed = await self._echo(place)
            for index, candidate in enumerate(result.candidates):
                scores = result.prompt_scores + candidate.logprobs
                text = echoed + "".join(candidate.text)
                choices.append(self._choice(place * self._n + index, text, scores, candidate.reason))
        return Json(self._object(choices) | {"usage": fields.usage_json([r.usage for r in gathered])})

    async def _echo(self, place: int) -> str:
        """The prompt's text, if it is to stand before the answer."""
        prompt = self._prompts[place]
        if not self._body.echo:
            return ""
        if isinstance(prompt, Tokens):
            asked = Detokenize(self._services.new_id("echo"), prompt.tokens)
            return (await one(self._services.supervisor.open(asked), Tokenized)).text
        assert isinstance(prompt, Text)
        return prompt.text

    async def stream(self) -> AsyncIterator[bytes]:
        usages: list[Usage] = []
        offsets: dict[int, int] = {}
        for place in range(len(self.tickets) if self._body.echo else 0):
            text = await self._echo(place)
            for index in range(place * self._n, (place + 1) * self._n):
                yield self._chunk(index, text, None, None, offsets)
        async for place, event in merge(self.tickets):
            index = place * self._n + getattr(event, "index", 0)
            match event:
                case Delta():
                    yield self._chunk(index, event.text, event.logprobs, None, offsets)
                case Finish():
                    yield self._chunk(index, "", None, event.reason, offsets)
                case Done():
                    usages.append(event.usage)
        if self._body.stream_options is not None and self._body.stream_options.include_usage:
            yield encode_json(self._object([]) | {"usage": fields.usage_json(usages)})
        yield b"[DONE]"

    def _chunk(
        self,
        index: int,
        text: str,
        scores: list[TokenLogprob] | None,
        reason: str | None,
        offsets: dict[int, int],
    ) -> bytes:
        offset = offsets.get(index, 0)
        offsets[index] = offset + len(text)
        return encode_json(self._object([self._choice(index, text, scores or [], reason, offset)]))

    def _object(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }

    def _choice(
        self, index: int, text: str, scores: list[TokenLogprob], reason: str | None, offset: int = 0
    ) -> dict[str, Any]:
        logprobs = _logprobs(scores, offset) if self._body.logprobs is not None else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(scores: list[TokenLogprob], offset: int) -> dict[str, Any]:
    """OpenAI's four parallel lists; offsets are code points into the choice's text."""
    offsets = []
    for score in scores:
        offsets.append(offset)
        offset += len(score.text)
    return {
        "tokens": [score.text for score in scores],
        "token_logprobs": [score.logprob for score in scores],
        "top_logprobs": [{text: value for _, text, value in score.top} or None for score in scores],
        "text_offset": offsets,
    }
