"""A step's plan as tensors: which tokens, at which positions, into which slots, seeing what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from famulus.engine.step import Chunk, StepPlan
from famulus.kernels.attention import Segment, Segments, causal_mask
from famulus.kernels.block import Tokens
from famulus.kernels.op import on_gpu
from famulus.kernels.rope import tables


@dataclass(frozen=True)
class Batch:
    """All chunks of a step one after another.

    ``tokens``, ``slots``: [tokens] int64. ``cos``, ``sin``: [tokens, 1, D] f32. ``segments``: one per chunk;
    ``windowed``: the same for layers that see a window only, empty where no layer does.
    """

    tokens: Tensor
    slots: Tensor
    cos: Tensor
    sin: Tensor
    segments: Segments
    windowed: Segments

    @cached_property
    def placed(self) -> Tokens:
        """Where the tokens stand."""
        return Tokens(self.cos, self.sin, self.slots, self.segments)

    @cached_property
    def placed_windowed(self) -> Tokens:
        """The same for layers that see a window only."""
        return Tokens(self.cos, self.sin, self.slots, self.windowed)


def build(
    plan: StepPlan,
    page_size: int,
    rotation: tuple[Tensor, float],
    dtype: torch.dtype,
    window: int = 0,
    device: torch.device | None = None,
) -> Batch:
    """``rotation``: rotary frequencies [D/2] and their amplitude; ``dtype``: of the KV store (and so of the masks);
    ``window``: of the layers that have one; ``device``: of the tensors (the segments stay with the processor)."""
    device = device or torch.device("cpu")
    masked = None if on_gpu(device.type) else dtype  # the kernels need no masks
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    segments = Segments()
    for chunk in plan.chunks:
        end = chunk.start + chunk.count
        assert chunk.sequence.table is not None, "planned sequences hold their pages"
        pages = chunk.sequence.table.pages
        segments.append(_segment(chunk, pages, len(tokens), page_size, masked))
        tokens += chunk.tokens
        positions += range(chunk.start, end)
        slots += [pages[p // page_size] * page_size + p % page_size for p in range(chunk.start, end)]
    cos, sin = tables(torch.tensor(positions), *rotation)
    windowed = Segments(_windowed(s, window, masked) for s in segments) if window else Segments()
    placed = [t.to(device) for t in (torch.tensor(tokens), torch.tensor(slots), cos, sin)]
    return Batch(placed[0], placed[1], placed[2], placed[3], segments, windowed)


def _segment(chunk: Chunk, pages: list[int], row: int, page_size: int, masked: torch.dtype | None) -> Segment:
    context = chunk.start + chunk.count
    used = pages[: -(-context // page_size)]
    mask = causal_mask(chunk.count, context, masked) if masked else None
    if used == list(range(used[0], used[0] + len(used))):
        return Segment(row, chunk.count, context, used[0] * page_size, mask=mask)
    slots = (torch.tensor(used)[:, None] * page_size + torch.arange(page_size)).view(-1)[:context]
    return Segment(row, chunk.count, context, 0, slots, mask)


def _windowed(s: Segment, window: int, masked: torch.dtype | None) -> Segment:
    """The same rows, of which none sees more than the last ``window`` tokens up to itself."""
    context = min(s.context, s.count + window - 1)
    mask = causal_mask(s.count, context, masked, window) if masked else None
    slots = None if s.slots is None else s.slots[s.context - context :]
    return Segment(s.row, s.count, context, s.start + s.context - context, slots, mask, window)
