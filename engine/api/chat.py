"""``/v1/chat/completions``: OpenAI's chat through the model's own template."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from famulus.engine.api import fields
from famulus.engine.api.answering import EventStream, Json, Watched
from famulus.engine.api.collecting import collect, events
from famulus.engine.api.services import Services, sampling
from famulus.engine.errors import InvalidConstraint, InvalidRequest
from famulus.engine.protocol import (
    Chat,
    Constraint,
    Delta,
    Done,
    Finish,
    Generate,
    LongText,
    Message,
    ModelInfo,
    TokenLogprob,
    encode_json,
)

MOST_TOKENS = 1 << 17


class Part(Struct):
    """One part of a message; only text is understood."""

    type: Annotated[str, Meta(max_length=64)]
    text: LongText | None = None


class ChatMessage(Struct):
    """A message as clients send it."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: LongText | Annotated[list[Part], Meta(max_length=256)] | None = None
    name: fields.Name | None = None
    tool_calls: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_call_id: fields.Name | None = None


class JsonSchema(Struct):
    """``response_format.json_schema``."""

    schema: dict[str, Any]
    name: fields.Name | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """``response_format``: free text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(Struct):
    """The fields that are understood. Without a maximum the answer may fill the model's context."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=1024)]
    model: fields.Name | None = None
    max_tokens: fields.Count | None = None
    max_completion_tokens: fields.Count | None = None
    n: fields.Choices | None = None
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
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: Any = None
    response_format: ResponseFormat | None = None


class ChatCompletions:
    """The route and what it answers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/v1/chat/completions", self.complete, methods=["POST"])]

    async def complete(self, request: Request) -> Response:
        """Answer one conversation, streamed or whole."""
        body = await self._services.reader.read(request, ChatBody)
        model = await self._services.model(body.model)
        run = _Run(self._services, body, model)
        if body.stream:
            return EventStream([run.ticket], run.stream)
        return Watched([run.ticket], run.whole)


def _message(message: ChatMessage) -> Message:
    content = message.content
    if isinstance(content, list):
        strange = [part.type for part in content if part.type != "text" or part.text is None]
        if strange:
            raise InvalidRequest(f"Message parts of type {strange[0]!r} are not understood.", fix="Send text.")
        content = "".join(part.text or "" for part in content)
    return Message(message.role, content, message.name, message.tool_calls, message.tool_call_id)


def _constraint(wanted: ResponseFormat | None) -> Constraint | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Constraint(json_schema={"type": "object"})
    if wanted.json_schema is None:
        raise InvalidConstraint("response_format of type json_schema needs a json_schema.")
    return Constraint(json_schema=wanted.json_schema.schema)


class _Run:
    """One conversation's answer under way."""

    def __init__(self, services: Services, body: ChatBody, model: ModelInfo) -> None:
        self._body, self._model = body, model.id
        self._id, self._created = services.new_id("chatcmpl"), int(time.time())
        self._n = body.n or 1
        self.ticket = services.supervisor.open(self._generate(model))

    def _generate(self, model: ModelInfo) -> Generate:
        body = self._body
        limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
        return Generate(
            id=self._id,
            prompt=Chat(
                [_message(message) for message in body.messages],
                tools=None if body.tool_choice == "none" else body.tools,
            ),
            max_tokens=min(model.context, MOST_TOKENS) if limit is None else limit,
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
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            constraint=_constraint(body.response_format),
        )

    async def whole(self) -> Response:
        result = await collect(self.ticket, self._n)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(candidate.text), "refusal": None},
                "logprobs": self._logprobs(candidate.logprobs),
                "finish_reason": candidate.reason,
            }
            for index, candidate in enumerate(result.candidates)
        ]
        usage = fields.usage_json([result.usage])
        return Json(self._object("chat.completion", choices) | {"usage": usage})

    async def stream(self) -> AsyncIterator[bytes]:
        for index in range(self._n):
            yield self._chunk(index, {"role": "assistant", "content": ""})
        async for event in events(self.ticket):
            match event:
                case Delta():
                    yield self._chunk(event.index, {"content": event.text}, event.logprobs)
                case Finish():
                    yield self._chunk(event.index, {}, reason=event.reason)
                case Done() if self._body.stream_options is not None and self._body.stream_options.include_usage:
                    usage = fields.usage_json([event.usage])
                    yield encode_json(self._object("chat.completion.chunk", []) | {"usage": usage})
        yield b"[DONE]"

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        scores: list[TokenLogprob] | None = None,
        reason: str | None = None,
    ) -> bytes:
        logprobs = self._logprobs(scores) if scores is not None else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return encode_json(self._object("chat.completion.chunk", [choice]))

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }

    def _logprobs(self, scores: list[TokenLogprob]) -> dict[str, Any] | None:
        if not self._body.logprobs:
            return None
        content = [
            _score(score.text, score.logprob)
            | {"top_logprobs": [_score(text, logprob) for _, text, logprob in score.top]}
            for score in scores
        ]
        return {"content": content, "refusal": None}


def _score(text: str, logprob: float | None) -> dict[str, Any]:
    # A token that holds a part of a character is shown by its stand-in, whose bytes are not the token's.
    return {"token": text, "logprob": logprob, "bytes": None if "\ufffd" in text else list(text.encode())}
