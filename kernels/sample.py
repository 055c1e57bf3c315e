"""Choosing the next token from logits.

Truncation first (top-k, then min-p, then top-p, each on what the one before left, as in the common servers), then the
Gumbel-max trick: ``argmax(p / e)`` with exponential noise ``e`` draws from ``p`` without a host round trip. The noise
comes from the caller, one row per sequence, so that a result depends on its own seed and not on the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from famulus.kernels.cpu.draw import draw
from famulus.kernels.cpu.ends import largest
from famulus.kernels.cpu.library import ready
from famulus.kernels.op import Case, op


@dataclass(frozen=True)
class Choice:
    """Parameters of one row. ``temperature`` 0 is greedy; ``noise`` [vocabulary] f32 is Exp(1), unused when greedy."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    noise: Tensor | None = None


def _cases(g: torch.Generator) -> Iterator[Case]:
    def noise() -> Tensor:
        return torch.empty(1000).exponential_(generator=g)

    logits = torch.randn(5, 1000, generator=g) * 3
    choices = [
        Choice(),
        Choice(1.0, noise=noise()),
        Choice(0.7, top_k=20, noise=noise()),
        Choice(1.2, top_p=0.8, min_p=0.01, noise=noise()),
        Choice(2.0, top_k=50, top_p=0.9, min_p=0.02, noise=noise()),
    ]
    yield Case("mixed", (logits, choices), 0)
    masked = logits.masked_fill(torch.rand(5, 1000, generator=g) < 0.99, float("-inf"))
    masked[:, 7] = 0
    yield Case("nearly all masked", (masked, choices), 0)
    sharp = [Choice(t, 0, p, 0.0, noise()) for t, p in ((1e-3, 0.9), (0.3, 0.99), (3.0, 0.5), (1.0, 1.0), (5.0, 0.999))]
    yield Case("sharp and flat", (logits, sharp), 0)
    yield Case("greedy", (logits, [Choice()] * 5), 0)


@op(
    key=lambda logits, choices: (logits.device.type, all(c.temperature == 0 for c in choices)),
    cases=_cases,
    bytes_moved=lambda logits, choices: logits.numel() * logits.element_size(),
    words=("all greedy",),
)
def sample(logits: Tensor, choices: list[Choice]) -> Tensor:
    """``logits`` [rows, vocabulary] f32 → token ids [rows] int64; equal greedy logits go to the lower id."""
    picked = []
    for row, choice in zip(logits, choices, strict=True):
        if choice.temperature == 0:
            picked.append(int(row.argmax()))
            continue
        assert choice.noise is not None
        order = sorted(range(len(row)), key=lambda i: (-float(row[i]), i))
        kept = order[: choice.top_k] if choice.top_k else order
        p = torch.softmax(row[kept].double() / choice.temperature, 0)
        floor = choice.min_p * float(p[0])
        size = max(1, sum(float(v) >= floor for v in p))
        kept, p = kept[:size], p[:size] / p[:size].sum()
        before = torch.cumsum(p, 0) - p
        size = max(1, int((before < choice.top_p).sum()))
        kept, p = kept[:size], p[:size]
        picked.append(kept[int((p / choice.noise[kept].double()).argmax())])
    return torch.tensor(picked, device=logits.device)


if ready():
    sample.implement("compiled-argmax", rule=lambda k: k[0] == "cpu" and k[1], why="every row is greedy")(largest)


@sample.implement("argmax", rule=lambda k: k[1], why="every row is greedy")
def _argmax(logits: Tensor, choices: list[Choice]) -> Tensor:
    return logits.argmax(-1)


def _draw_compiled(logits: Tensor, choices: list[Choice]) -> Tensor:
    # Where nothing is cut off, or only what is beyond the first k, torch's vectors are faster.
    rows = zip(logits.float().contiguous(), choices, strict=True)
    return torch.stack(
        [
            row.argmax() if c.temperature == 0 else _draw(row, c) if c.top_p == 1 and c.min_p == 0 else draw(row, c)
            for row, c in rows
        ]
    )


if ready():
    sample.implement(
        "compiled",
        rule=lambda k: k[0] == "cpu" and not k[1],
        why="some rows are sampled: only tokens that can still be chosen are put in order",
    )(_draw_compiled)


@sample.implement("torch", rule=lambda k: not k[1], why="some rows are sampled: one sort a row")
def _sample_torch(logits: Tensor, choices: list[Choice]) -> Tensor:
    return torch.stack(
        [row.argmax() if c.temperature == 0 else _draw(row, c) for row, c in zip(logits, choices, strict=True)]
    )


def _draw(row: Tensor, choice: Choice) -> Tensor:
    """The largest logit is taken away before the division: by a tiny temperature it would overflow."""
    assert choice.noise is not None
    size = min(choice.top_k, row.numel()) if choice.top_k else row.numel()
    if size == row.numel() and choice.top_p == 1 and choice.min_p == 0:
        # Nothing is cut off, so nothing needs an order.
        return (torch.softmax((row - row.max()) / choice.temperature, 0) / choice.noise).argmax()
    values, ids = row.topk(size) if size < row.numel() else row.sort(descending=True, stable=True)
    p = torch.softmax((values - values[0]) / choice.temperature, 0)
    keep = p >= choice.min_p * p[0]
    p = torch.where(keep, p, 0)
    p = p / p.sum()
    p = torch.where(p.cumsum(0) - p < choice.top_p, p, 0)
    return ids[(p / choice.noise[ids]).argmax()]
