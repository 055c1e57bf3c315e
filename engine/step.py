"""What the scheduler plans with: sequences, chunks, the plan of a step and its limits. Values, no
behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from famulus.engine.cache import PageCopy, Table

LANES = ("key", "chat", "idle")
LaneName = Literal["key", "chat", "idle"]


@dataclass(eq=False, slots=True)
class Sequence:
    """One stream of tokens.

    The caller chooses a unique ``id``; ``request`` groups what is cancelled together. ``tokens`` is the
    prompt (``prompt`` of them) and what was generated; the first ``computed`` have their keys and values in
    ``table``. Logits are wanted at positions >= ``logits_from`` (default: the last of the prompt); those
    positions are never taken from the cache. After a pre-emption it has moved behind what was delivered.
    ``cached``: prompt tokens that were reused at the start. ``arrival``, ``started`` and ``deadline`` (None:
    no limit) are seconds of the scheduler's clock. ``max_tokens``: how many will be generated at most.
    ``language``: of the program, where it is known.
    """

    id: int
    request: str
    lane: LaneName
    tokens: list[int] = field(repr=False)  # never in a log: it is the user's text
    arrival: float = 0.0
    deadline: float | None = None
    max_tokens: int = 0
    language: str = ""
    salt: str = ""
    logits_from: int = -1
    reuse_limit: int = -1
    prompt: int = -1
    computed: int = 0
    cached: int = 0
    table: Table | None = None
    started: float | None = None
    state: Literal["new", "waiting", "running", "finished"] = "new"
    served: int = 0  # the step that last computed something for it
    # Smaller goes first: by lane, then keystrokes newest first, the others oldest first.
    priority: tuple[int, float, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.prompt < 0:
            self.prompt = len(self.tokens)
        if self.logits_from < 0:
            self.logits_from = self.prompt - 1
        if self.reuse_limit < 0:
            self.reuse_limit = self.logits_from
        sign = -1 if self.lane == "key" else 1
        self.priority = LANES.index(self.lane), sign * self.arrival, sign * self.id

    @property
    def remaining(self) -> int:
        """Tokens that are known but not computed; 1 while decoding, 0 when there is nothing left to do."""
        return len(self.tokens) - self.computed


@dataclass(frozen=True, slots=True)
class Chunk:
    """Compute the tokens ``start`` to ``start + count`` (exclusive) of ``sequence`` in this step.

    The last ones are those of ``draft``: they may come next, and are computed in the hope that they do.
    """

    sequence: Sequence
    start: int
    count: int
    draft: tuple[int, ...] = ()

    @property
    def tokens(self) -> list[int]:
        """What is computed."""
        return self.sequence.tokens[self.start : self.known] + list(self.draft)

    @property
    def known(self) -> int:
        """Where the known tokens end and the drafted ones begin."""
        return self.start + self.count - len(self.draft)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step. ``copies`` run first, in order, then ``chunks``.

    ``preempted`` went back to the queue. ``expired`` (deadline passed) and ``full`` (no page left to grow
    into, and nobody to take one from: finish reason "length") are finished; their owners need to be told.
    """

    chunks: tuple[Chunk, ...]
    copies: tuple[PageCopy, ...] = ()
    preempted: tuple[Sequence, ...] = ()
    expired: tuple[Sequence, ...] = ()
    full: tuple[Sequence, ...] = ()

    @property
    def decodes(self) -> bool:
        """Whether every sequence of the step only goes on from its last known token."""
        return all(chunk.count == 1 + len(chunk.draft) for chunk in self.chunks)

    @property
    def wanted(self) -> bool:
        """False once every sequence of the step was cancelled: the step may stop where it is."""
        return any(chunk.sequence.state == "running" for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a step, in tokens and sequences.

    ``prefill_chunk``: of one prompt per step; ``busy_chunk``: of all chat and idle prompts together, while a
    keystroke is served. One of the ``batch_sequences`` is kept for keystrokes. ``max_queue`` is per lane.
    ``reserve``: tokens of room beyond its prompt without which a sequence is not started unless it is alone.
    ``chat_patience`` and ``idle_patience`` are in steps.
    """

    batch_tokens: int = 512
    batch_sequences: int = 8
    prefill_chunk: int = 256
    busy_chunk: int = 64
    max_queue: int = 256
    reserve: int = 64
    chat_patience: int = 8
    idle_patience: int = 64

    def __post_init__(self) -> None:
        if self.batch_tokens <= self.batch_sequences:
            raise ValueError("batch_tokens must exceed batch_sequences, or prompts could not move")
        if min(self.batch_sequences, self.prefill_chunk, self.busy_chunk, self.max_queue) < 1:
            raise ValueError("batch_sequences, prefill_chunk, busy_chunk and max_queue must be positive")
