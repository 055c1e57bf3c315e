"""Choosing the next token from logits.

Truncation first (top-k, then min-p, then top-p, each on what the one before left, as in the common servers), then the
Gumbel-max trick: ``argmax(p / e)`` with exponential noise ``e`` draws from ``p`` without a host round trip. The noise
of a token is a hash of its id and of the row's key (:func:`noise`): it is the same on every device, has no state, and
is made only for tokens that can still be chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from famulus.kernels.cpu.draw import draw
from famulus.kernels.cpu.ends import largest
from famulus.kernels.cpu.library import ready
from famulus.kernels.op import Case, op


@dataclass(frozen=True)
class Choice:
    """Parameters of one row. ``temperature`` 0 is greedy; ``key``, 64 bits, says which noise, unused when greedy."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    key: int = 0


_WORD = 0xFFFFFFFF


def noise(key: int, ids: Tensor) -> Tensor:
    """``ids`` [...] int64 → Exp(1) [...] f32: two rounds of Wellons' lowbias32 over the id and the key's halves.

    Keys that share their upper half share their noise in another order, so a key should be a hash itself.
    """
    h = _mixed(_mixed((ids ^ key) & _WORD) ^ (key >> 32 & _WORD))
    # Fine near zero, where winners come from; never 1, where the logarithm would be infinite.
    return -torch.log1p(-((h.float() + 0.5) * 2**-32).clamp(max=1 - 2**-24))


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ x >> 16) * 0x7FEB352D & _WORD
    x = (x ^ x >> 15) * 0x846CA68B & _WORD
    return x ^ x >> 16


def _cases(g: torch.Generator) -> Iterator[Case]:
    """In f32 a border may fall behind another token than in f64. That one is drawn about once in a million rows, so
    nothing is allowed for it. In "who is kept" each of the likeliest tokens is drawn if it can be."""

    def key() -> int:
        return int(torch.randint(1 << 62, (), generator=g)) * 4 + 3

    logits = torch.randn(5, 1000, generator=g) * 3
    choices = [
        Choice(),
        Choice(1.0, key=key()),
        Choice(0.7, top_k=20, key=key()),
        Choice(1.2, top_p=0.8, min_p=0.01, key=key()),
        Choice(2.0, top_k=50, top_p=0.9, min_p=0.02, key=key()),
    ]
    yield Case("mixed", (logits, choices), 0)
    masked = logits.masked_fill(torch.rand(5, 1000, generator=g) < 0.99, float("-inf"))
    masked[:, 7] = 0
    yield Case("nearly all masked", (masked, choices), 0)
    sharp = [Choice(t, 0, p, 0.0, key()) for t, p in ((1e-3, 0.9), (0.3, 0.99), (3.0, 0.5), (1.0, 1.0), (5.0, 0.999))]
    yield Case("sharp and flat", (logits, sharp), 0)
    yield Case("greedy", (logits, [Choice()] * 5), 0)
    equal = torch.randint(0, 12, (4, 777), generator=g).float() - 6
    tied = [
        Choice(t, k, p, m, key()) for t, k, p, m in ((1, 100, 1, 0), (1, 90, 0.5, 0), (2, 0, 0.3, 0), (2, 0, 1, 0.1))
    ]
    yield Case("ties", (equal, tied), 0)
    odd = torch.randn(5, 37, generator=g)
    odd[0, [9, 20]], odd[1], odd[2, [5, 30]], odd[3, 3:] = torch.nan, -torch.inf, torch.inf, -torch.inf
    odd[4], odd[4, 0] = 0.0, -0.0
    some = [Choice(1.0, top_k=k, top_p=0.9, key=key()) for k in (0, 5, 0, 5)]
    yield Case("not numbers", (odd, [*some, Choice()]), 0)
    halves = (torch.randn(600, generator=g) * 3).round() / 2
    halves[[100, 300, 560]] = torch.tensor([6.5, 6.0, 5.5])
    likely = halves.argsort(descending=True, stable=True)[:12]
    keys = [key() for _ in range(2000)]
    by = torch.stack([noise(k, likely) for k in keys])
    apart = [keys[int((by[:, i] / by.index_fill(1, torch.tensor(i), 99).amin(1)).argmin())] for i in range(12)]
    ways = [Choice(0.8, 3), Choice(1.0, 9, 0.999), Choice(1.0, 0, 0.5), Choice(1.3, 25, 0.4, 0.3)]
    each = [replace(way, key=k) for way in ways for k in apart]
    yield Case("who is kept", (halves.expand(len(each), -1).contiguous(), each), 0)
    wide = torch.randn(4, 9001, generator=g)
    near = [Choice(t, k, p, 0, key()) for t, k, p in ((0.5, 0, 0.9), (2, 7000, 0.9), (1, 6000, 1), (2, 0, 1))]
    yield Case("many candidates", (wide, near), 0)


@op(
    key=lambda logits, choices: (logits.device.type, all(c.temperature == 0 for c in choices)),
    cases=_cases,
    bytes_moved=lambda logits, choices: logits.numel() * logits.element_size(),
    words=("all greedy",),
)
def sample(logits: Tensor, choices: list[Choice]) -> Tensor:
    """``logits`` [rows, vocabulary] f32, -inf where a token is masked → token ids [rows] int64.

    Of equal logits the lower id comes first, for top-k and top-p too. Where the largest is no finite number (a NaN
    counts as larger than all), its id is taken, whatever the choice.
    """
    picked = []
    for row, choice in zip(logits, choices, strict=True):
        if choice.temperature == 0 or not row.max().isfinite():
            picked.append(int(row.argmax()))
            continue
        order = sorted(range(len(row)), key=lambda i: (-float(row[i]), i))
        kept = order[: choice.top_k] if choice.top_k else order
        p = torch.softmax(row[kept].double() / choice.temperature, 0)
        floor = choice.min_p * float(p[0])
        size = max(1, sum(float(v) >= floor for v in p))
        kept, p = kept[:size], p[:size] / p[:size].sum()
        before = torch.cumsum(p, 0) - p
        size = max(1, int((before < choice.top_p).sum()))
        kept, p = kept[:size], p[:size]
        picked.append(kept[int((p / noise(choice.key, torch.tensor(kept)).double()).argmax())])
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
    most = row.max()
    if not most.isfinite():
        return row.argmax()
    size = choice.top_k or row.numel()
    if size >= row.numel() and choice.top_p == 1 and choice.min_p == 0:
        # Nothing is cut off, so nothing needs an order.
        return (torch.softmax((row - most) / choice.temperature, 0) / noise(choice.key, _ids(row))).argmax()
    values, ids = row.sort(descending=True, stable=True) if size >= row.numel() else _first(row, size)
    p = torch.softmax((values - most) / choice.temperature, 0)
    keep = p >= choice.min_p * p[0]
    p = torch.where(keep, p, 0)
    p = p / p.sum()
    p = torch.where(p.cumsum(0) - p < choice.top_p, p, 0)
    return ids[(p / noise(choice.key, ids)).argmax()]


def _ids(row: Tensor) -> Tensor:
    return torch.arange(row.numel(), device=row.device)


def _first(row: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The ``size`` largest values of ``row`` in order, and their ids; of equal ones the lower, unlike ``topk``."""
    border = row.topk(size).values[-1]
    above, equal = (row > border).nonzero()[:, 0], (row == border).nonzero()[:, 0]
    ids = torch.cat([above, equal[: size - len(above)]])
    values, order = row[ids].sort(descending=True, stable=True)
    return values, ids[order]
