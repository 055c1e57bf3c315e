"""Decoding in fixed shapes, so that a whole step is one CUDA graph: one launch instead of several hundred.

A graph is recorded when a bucket of batch size and context length is first used. It reads and writes fixed memory:
before it is replayed, the step's tokens, slots and tables are copied there. Rows that a step does not use compute the
first token at a slot that belongs to nobody. Without a CUDA device the same happens step by step, unrecorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from famulus.engine.batch import Batch, build
from famulus.engine.layers import Model
from famulus.engine.step import Chunk, StepPlan
from famulus.kernels.attention import Segment, Segments
from famulus.kernels.store import Store

BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Tokens of a recorded step; more are computed unrecorded."""

SHORTEST = 1024
"""Tokens of context of the smallest bucket; each next one is twice as long."""


@dataclass
class Bucket:
    """One recorded step. ``run`` computes; it answers ``hidden`` [sequences, hidden] f32 in the same memory always."""

    batch: Batch
    longest: int
    run: Callable[[], Tensor]


@dataclass
class Graphs:
    """The recorded steps of a model over ``kv``. ``spare``: a slot that no sequence has."""

    model: Model
    kv: list[Store]
    page: int
    spare: int
    buckets: dict[tuple[int, int], Bucket] = field(default_factory=dict)

    def forward(self, plan: StepPlan) -> Tensor | None:
        """Hidden states [tokens, hidden] f32 of a plan that decodes; None for others.

        A drafted token is a sequence of its own there, that sees one token more: keys are stored before they are read.
        """
        count = sum(chunk.count for chunk in plan.chunks)
        if count > BATCHES[-1] or not plan.decodes:
            return None
        plan = singles(plan)
        rows = next(n for n in BATCHES if n >= count)
        longest = max(SHORTEST, 1 << max(chunk.start for chunk in plan.chunks).bit_length())
        bucket = self.buckets.get((rows, longest))
        if bucket is None:
            bucket = self.buckets[rows, longest] = self._bucket(rows, longest)
        step = build(plan, self.page, self.model.rotation, self.model.compute, self.model.window, self.model.device)
        self._fill(bucket, step)
        return bucket.run()[:count].clone()

    def _bucket(self, rows: int, longest: int) -> Bucket:
        device, window = self.model.device, self.model.window
        none = torch.full((longest,), self.spare)

        def segments(context: int, window: int) -> Segments:
            return Segments(Segment(i, 1, context, 0, none[:context], window=window) for i in range(rows))

        width = 2 * len(self.model.rotation[0])
        batch = Batch(
            torch.zeros(rows, dtype=torch.int64, device=device),
            torch.full((rows,), self.spare, device=device),
            torch.zeros(rows, 1, width, device=device),
            torch.zeros(rows, 1, width, device=device),
            segments(longest, 0),
            segments(min(window, longest), window) if window else Segments(),
        )

        def forward() -> Tensor:
            return self.model.forward(batch, self.kv, lambda: None)

        forward()  # compiles the kernels, and makes the tables that :meth:`_fill` writes into
        return Bucket(batch, longest, _recorded(forward) if device.type == "cuda" else forward)

    def _fill(self, bucket: Bucket, step: Batch) -> None:
        """Copy ``step`` into the memory that the recorded step reads."""
        count = len(step.tokens)
        for mine, given in (
            (bucket.batch.tokens, step.tokens),
            (bucket.batch.slots, step.slots),
            (bucket.batch.cos, step.cos),
            (bucket.batch.sin, step.sin),
        ):
            mine[:count].copy_(given)
        bucket.batch.tokens[count:] = 0
        bucket.batch.slots[count:] = self.spare
        self._place(bucket.batch.segments, step.segments)
        self._place(bucket.batch.windowed, step.windowed)

    def _place(self, fixed: Segments, given: Segments) -> None:
        """Where the contexts of ``given`` lie, into the tables of ``fixed``; rows without a sequence see one token."""
        if not fixed.tables:
            return
        contexts = torch.ones(len(fixed), dtype=torch.int32)
        slots = torch.full((len(fixed), fixed[0].context), self.spare, dtype=torch.int32)
        for i, s in enumerate(given):
            contexts[i] = s.context
            slots[i, : s.context] = torch.arange(s.start, s.start + s.context) if s.slots is None else s.slots
        contexts, slots = contexts.to(self.model.device), slots.to(self.model.device)
        for table in fixed.tables.values():
            table.slots.copy_(slots)
            table.blocks[:, 4] = contexts[table.blocks[:, 0].long()]


def singles(plan: StepPlan) -> StepPlan:
    """A plan that decodes, each of its tokens as a chunk of its own."""
    chunks = (
        Chunk(chunk.sequence, chunk.start + i, 1, chunk.draft[i - 1 : i] if i else ())
        for chunk in plan.chunks
        for i in range(chunk.count)
    )
    return replace(plan, chunks=tuple(chunks))


def _recorded(forward: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """``forward`` as a CUDA graph: the same launches into the same memory."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        hidden = forward()

    def replay() -> Tensor:
        graph.replay()
        return hidden

    return replay
