"""Messages between front ends, server and worker: the one schema of the house.

The WebSocket ``/v1/stream`` and the worker's socketpair carry these structs as MessagePack, ``/v1/generate``
and its server-sent events as JSON. Decoding is strict: unknown fields and values out of range are errors.
Text offsets are code points, times are milliseconds unless the name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

VERSION = 1
"""Protocol version; client and engine must agree exactly."""

SUBPROTOCOL = f"famulus.{VERSION}"
"""WebSocket subprotocol of ``/v1/stream``; the server refuses any other with a :class:`VersionMismatch`
sentence."""

MAX_BODY = 8 << 20
"""Bytes; the largest request body or WebSocket message that is read."""

MAX_DEPTH = 64
"""Levels of nesting in JSON bodies, schemas and tools."""

Id = Annotated[str, Meta(min_length=1, max_length=128)]
LongText = Annotated[str, Meta(max_length=4 << 20)]
ShortText = Annotated[str, Meta(max_length=4096)]
Lane = Literal["key", "chat", "idle"]


def check_json(value: Any) -> None:
    """Raises ValueError for what JSON cannot hold (MessagePack can), and for dictionaries and lists nested deeper than
    :data:`MAX_DEPTH`."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inside: list[Any] = []
        for outer in level:
            if isinstance(outer, dict) and not all(isinstance(key, str) for key in outer):
                raise ValueError("a key that is not a text")
            inside += outer.values() if isinstance(outer, dict) else outer
        strange = next((v for v in inside if not isinstance(v, dict | list | str | int | float | None)), None)
        if strange is not None:
            raise ValueError(f"a value that JSON cannot hold ({type(strange).__name__})")
        level = [v for v in inside if isinstance(v, dict | list)]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


class Piece(Struct, forbid_unknown_fields=True, frozen=True):
    """One ranked piece of context for an infilling, from another file or another place of the same file."""

    path: ShortText
    text: LongText


class Text(Struct, tag="text", forbid_unknown_fields=True, frozen=True):
    """Plain text, continued as it stands. ``heal``: the last, possibly half-typed word may be
    re-tokenised."""

    text: LongText
    heal: bool = False


class Tokens(Struct, tag="tokens", forbid_unknown_fields=True, frozen=True):
    """Token ids of the engine's own tokenizer."""

    tokens: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=1 << 20)]


class Infill(Struct, tag="infill", forbid_unknown_fields=True, frozen=True):
    """The hole between ``prefix`` and ``suffix`` of one file.

    ``pieces`` stand in edit-stable order: what changes most often stands last. The engine fits everything to
    the budget and renders the model's own format. ``max_lines`` bounds the answer (None: the model's
    default).
    """

    prefix: LongText
    suffix: LongText = ""
    path: ShortText = ""
    language: Annotated[str, Meta(max_length=64)] = ""
    pieces: Annotated[list[Piece], Meta(max_length=256)] = []
    trigger: Literal["automatic", "invoked"] = "automatic"
    max_lines: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Message(Struct, frozen=True):
    """One chat message; fields beyond these go to the template as they are (tool calls and the like)."""

    role: Annotated[str, Meta(max_length=64)]
    content: LongText | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    def __post_init__(self) -> None:
        check_json(self.tool_calls or [])


class Chat(Struct, tag="chat", forbid_unknown_fields=True, frozen=True):
    """A conversation, rendered through the model's own chat template. ``answer_prefix`` starts the answer."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=1024)]
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    answer_prefix: LongText = ""

    def __post_init__(self) -> None:
        check_json(self.tools or [])


Prompt = Text | Tokens | Infill | Chat


class Sampling(Struct, forbid_unknown_fields=True, frozen=True):
    """How the next token is chosen. Temperature 0 is greedy; ``seed`` None draws a fresh one."""

    temperature: Annotated[float, Meta(ge=0, le=5)] = 0.0
    top_k: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=(1 << 62))] | None = None
    logit_bias: dict[int, Annotated[float, Meta(ge=-100, le=100)]] = {}


class Constraint(Struct, forbid_unknown_fields=True, frozen=True):
    """What the answer must look like; exactly one field is set.

    ``json_schema``: a JSON document of this schema. ``regex``: the whole answer matches. ``grammar``: Lark
    form. ``names``: the identifier at the cursor must become one of these; after it anything goes.
    """

    json_schema: dict[str, Any] | None = None
    regex: Annotated[str, Meta(max_length=16384)] | None = None
    grammar: Annotated[str, Meta(max_length=65536)] | None = None
    names: (
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(min_length=1, max_length=10000)] | None
    ) = None

    def __post_init__(self) -> None:
        if sum(v is not None for v in (self.json_schema, self.regex, self.grammar, self.names)) != 1:
            raise ValueError("a constraint sets exactly one of json_schema, regex, grammar, names")
        check_json(self.json_schema or {})


class Generate(Struct, tag="generate", forbid_unknown_fields=True, frozen=True):
    """Write on from a prompt. ``logprobs``: how many alternatives to report per token (0: the chosen one
    only)."""

    id: Id
    prompt: Prompt
    model: Annotated[str, Meta(max_length=256)] = ""
    max_tokens: Annotated[int, Meta(ge=0, le=1 << 17)] = 128
    n: Annotated[int, Meta(ge=1, le=32)] = 1
    sampling: Sampling = Sampling()
    stop: Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(max_length=32)] = []
    lane: Lane = "chat"
    deadline_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    prompt_logprobs: bool = False
    constraint: Constraint | None = None
    ignore_eos: bool = False
    salt: Annotated[str, Meta(max_length=256)] = ""


class Score(Struct, tag="score", forbid_unknown_fields=True, frozen=True):
    """How likely is ``continuation`` after ``prompt``? Nothing is generated."""

    id: Id
    prompt: Prompt
    continuation: LongText
    model: Annotated[str, Meta(max_length=256)] = ""
    lane: Lane = "chat"
    deadline_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    salt: Annotated[str, Meta(max_length=256)] = ""


class Embed(Struct, tag="embed", forbid_unknown_fields=True, frozen=True):
    """The mean of the last hidden state over the tokens of each text, L2-normalised."""

    id: Id
    texts: Annotated[list[LongText], Meta(min_length=1, max_length=256)]
    model: Annotated[str, Meta(max_length=256)] = ""
    lane: Lane = "idle"


class Tokenize(Struct, tag="tokenize", forbid_unknown_fields=True, frozen=True):
    """Token ids (and their texts) of ``text``; nothing is run."""

    id: Id
    text: LongText
    special: bool = False


class Detokenize(Struct, tag="detokenize", forbid_unknown_fields=True, frozen=True):
    """The text of token ids."""

    id: Id
    tokens: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=1 << 20)]


class Cancel(Struct, tag="cancel", forbid_unknown_fields=True, frozen=True):
    """Stop a request of the same connection; everything it holds is free after one step."""

    id: Id


Request = Generate | Score | Embed | Tokenize | Detokenize | Cancel


class TokenLogprob(Struct, frozen=True):
    """A token, its text, its natural-log probability, and the most likely alternatives at its place."""

    token: int
    text: str
    logprob: float | None
    top: list[tuple[int, str, float]] = []


class Delta(Struct, tag="delta", frozen=True):
    """New text of candidate ``index``; ``tokens`` counts the tokens behind it."""

    id: str
    text: str
    index: int = 0
    tokens: int = 0
    logprobs: list[TokenLogprob] | None = None


class PromptScores(Struct, tag="prompt_scores", frozen=True):
    """The prompt's own tokens with log-probabilities (the first has none); answers ``prompt_logprobs``."""

    id: str
    scores: list[TokenLogprob]


class Finish(Struct, tag="finish", frozen=True):
    """Candidate ``index`` ended. ``stop``: its natural end, a stop string, or an ending rule."""

    id: str
    reason: Literal["stop", "length"]
    index: int = 0


class Usage(Struct, frozen=True):
    """Tokens of a request: of the prompt, of those how many came from the cache, and generated over all
    candidates."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0


class Timing(Struct, frozen=True):
    """Milliseconds from arrival at the worker: until scheduled, until the first token, until the end."""

    queue: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


class Done(Struct, tag="done", frozen=True):
    """The last message of a successful :class:`Generate`. A stream without Done or Failed was cut off."""

    id: str
    model: str = ""
    usage: Usage = Usage()
    timing: Timing = Timing()


class Scored(Struct, tag="scored", frozen=True):
    """Answer to :class:`Score`: one entry per token of the continuation."""

    id: str
    scores: list[TokenLogprob]
    usage: Usage = Usage()


class Embedded(Struct, tag="embedded", frozen=True):
    """Answer to :class:`Embed`: one vector per text."""

    id: str
    vectors: list[list[float]]
    usage: Usage = Usage()


class Tokenized(Struct, tag="tokenized", frozen=True):
    """Answer to :class:`Tokenize` and :class:`Detokenize`."""

    id: str
    tokens: list[int]
    texts: list[str]
    text: str = ""


class Failed(Struct, tag="failed", frozen=True):
    """The request ended in an error; ``code`` is one of :mod:`famulus.engine.errors`."""

    id: str
    code: str
    message: str


Event = Delta | PromptScores | Finish | Done | Scored | Embedded | Tokenized | Failed


class ModelInfo(Struct, frozen=True):
    """What a worker serves."""

    id: str
    family: str
    context: int
    vocabulary: int
    parameters: int
    precision: str
    infill: str
    chat: bool
    licence: str = ""


class Loading(Struct, tag="loading", frozen=True):
    """The worker is reading weights; ``stage`` is a short phrase for people."""

    stage: str


class Ready(Struct, tag="ready", frozen=True):
    """The worker answers requests now."""

    model: ModelInfo
    plan: list[tuple[str, str, str]]
    """Rows of the hardware plan: what, choice, reason."""


class Beat(Struct, tag="beat", frozen=True):
    """Sent every quarter second: ``progress`` counts layer groups and loaded tensors, so it moves with real
    work."""

    progress: int
    busy: bool
    stats: dict[str, float] = {}


class Fatal(Struct, tag="fatal", frozen=True):
    """The worker cannot go on (bad weights, no memory); it exits after this."""

    code: str
    message: str


class Status(Struct, frozen=True):
    """Answer to ``GET /v1/status``: what ``famulus status`` shows. Times in seconds.

    ``state``: loading, ready, frozen, restarting or failed; ``reason`` says why it is not ready.
    """

    state: str
    reason: str
    version: str
    protocol: int
    generation: str
    pid: int
    worker_pid: int | None
    uptime: float
    idle_exit: float | None
    socket: str | None
    port: int | None
    model: ModelInfo | None
    plan: list[tuple[str, str, str]]
    open_requests: int
    restarts: int
    stats: dict[str, float]


FromWorker = Event | Loading | Ready | Beat | Fatal

request_decoder = msgspec.msgpack.Decoder(Request)
event_decoder = msgspec.msgpack.Decoder(Event)
worker_decoder = msgspec.msgpack.Decoder(FromWorker)
encode = msgspec.msgpack.Encoder().encode
encode_json = msgspec.json.Encoder().encode
