"""Which experts a token goes to, and with what weight (Shazeer 2017; DeepSeek-V2 §2.2.2, DeepSeek-V3 §2.1.2).

``logits = x Gᵀ + b``; scores are their softmax or their sigmoid, in f32. With a ``correction`` (V3's bias that balances
the load) experts are *chosen* by score + correction and *weighted* by the score alone. With groups only the experts of
the best groups can be chosen; a group counts as much as its best expert, with a correction as its best two together.
Then the ``top_k`` best are taken, or of these as few as reach ``top_p`` of the scores (Huang et al. 2024, "Harder tasks
need more experts"); equal scores go to the lower index. ``shared`` experts, which every token meets whatever the scores
(DeepSeekMoE, Dai et al. 2024), stand behind the others. Softmax over the chosen logits alone (Mixtral, Granite,
gpt-oss) is the same as softmax over all and ``renormalise``.

Bytes: ``tokens * hidden + experts * hidden`` values, under a megabyte at decode: bound by the launch. So a GPU kernel
does all of it at once, the pairs sorted by expert included, that the experts' products want.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from famulus.kernels.cpu import experts as compiled
from famulus.kernels.op import Case, op

FEW = 16
"""Tokens for which a GPU chooses and sorts in one launch."""


@dataclass(frozen=True)
class Rule:
    """How experts are chosen. ``top_k``: how many, with ``top_p`` below 1 at most; ``kept_groups`` of ``groups``.

    ``renormalise``: the chosen weights add up to 1 before ``scale`` multiplies them. ``shared``: how many experts have
    every token, with the weight 1; they stand behind those that the gate scores.
    """

    top_k: int
    score: Literal["softmax", "sigmoid"] = "softmax"
    renormalise: bool = False
    scale: float = 1.0
    groups: int = 1
    kept_groups: int = 1
    top_p: float = 1.0
    shared: int = 0

    @property
    def places(self) -> int:
        """Of a token."""
        return self.top_k + self.shared


def _cases(g: torch.Generator) -> Iterator[Case]:
    rules = {
        "softmax": Rule(2),
        "mixtral": Rule(2, renormalise=True),
        "group-max": Rule(6, scale=16.0, groups=8, kept_groups=3),
        "sigmoid-groups": Rule(8, "sigmoid", True, 2.5, groups=8, kept_groups=4),
        "top-p": Rule(8, renormalise=True, top_p=0.6),
        "one": Rule(1),
        "shared": Rule(6, scale=16.0, shared=2),
        "shared-top-p": Rule(4, renormalise=True, top_p=0.6, shared=1),
    }
    for tokens, hidden, experts in ((1, 64, 64), (5, 96, 128), (40, 48, 16)):
        for name, rule in rules.items():
            x = torch.randn(tokens, hidden, generator=g)
            gate = torch.randn(experts, hidden, generator=g) * 2 * hidden**-0.5
            bias = torch.randn(experts, generator=g) if name == "mixtral" else None
            correction = torch.randn(experts, generator=g) * 0.1 if rule.score == "sigmoid" else None
            yield Case(f"{name}-{tokens}x{hidden}x{experts}", (x, gate, rule, bias, correction), 1e-5)


def _bytes(x: Tensor, gate: Tensor, rule: Rule, bias: Tensor | None, correction: Tensor | None) -> int:
    return x.nbytes + gate.nbytes + x.shape[0] * rule.places * 16


@op(
    key=lambda x, gate, rule, bias=None, correction=None: x.device.type,
    cases=_cases,
    bytes_moved=_bytes,
)
def route(
    x: Tensor, gate: Tensor, rule: Rule, bias: Tensor | None = None, correction: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """``x`` [tokens, hidden], ``gate`` [experts, hidden] f32, ``bias`` and ``correction`` [experts] f32 → weights
    f32 and experts int64, both [tokens, places], the best first and the shared ones last, and ``order`` [tokens *
    places] int64: the pairs (token * places + place) sorted by expert.

    Places that ``top_p`` leaves free have the expert -1 and the weight 0; their pairs are the last of ``order``.
    """
    logits = x.float() @ gate.float().t()
    if bias is not None:
        logits = logits + bias.float()
    scores = logits.softmax(-1) if rule.score == "softmax" else 1 / (1 + torch.exp(-logits))
    merit = scores if correction is None else scores + correction.float()
    if rule.groups > 1:
        merit = _within_groups(merit, rule, 1 if correction is None else 2)
    experts = merit.sort(dim=-1, descending=True, stable=True).indices[:, : rule.top_k]
    weights = scores.gather(1, experts)
    if rule.top_p < 1:
        reached = weights.cumsum(-1) - weights  # before this place
        free = reached >= rule.top_p * scores.sum(-1, keepdim=True)
        weights, experts = weights.masked_fill(free, 0), experts.masked_fill(free, -1)
    if rule.renormalise:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    weights, experts = with_shared(weights * rule.scale, experts, rule, len(gate))
    return weights, experts, sorted_pairs(experts)


def with_shared(weights: Tensor, experts: Tensor, rule: Rule, count: int) -> tuple[Tensor, Tensor]:
    """``weights`` and ``experts`` [tokens, top_k] with the places of the shared ones, which stand behind ``count``."""
    if not rule.shared:
        return weights, experts
    behind = torch.arange(count, count + rule.shared, device=experts.device).expand(len(experts), -1)
    return torch.cat([weights, weights.new_ones(behind.shape)], -1), torch.cat([experts, behind], -1)


def _within_groups(merit: Tensor, rule: Rule, counted: int) -> Tensor:
    """``merit`` [tokens, experts] with -inf outside the best groups; the best ``counted`` experts speak for theirs."""
    grouped = merit.view(len(merit), rule.groups, -1)
    worth = grouped.topk(counted, -1).values.sum(-1)
    kept = worth.sort(dim=-1, descending=True, stable=True).indices[:, : rule.kept_groups]
    outside = torch.ones_like(worth, dtype=torch.bool).scatter_(1, kept, False)
    return grouped.masked_fill(outside[..., None], float("-inf")).view(merit.shape)


def sorted_pairs(experts: Tensor) -> Tensor:
    """``experts`` [tokens, top_k] → the places in it by ascending expert [tokens * top_k], free ones last."""
    flat = experts.flatten()
    return torch.where(flat < 0, torch.iinfo(flat.dtype).max, flat).argsort(stable=True)


if compiled.ready():

    @route.implement("compiled", rule=lambda k: k == "cpu", why="one call from the scores to the sorted pairs")
    def _route_compiled(
        x: Tensor, gate: Tensor, rule: Rule, bias: Tensor | None = None, correction: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        weights, experts, order = compiled.route(x, gate, rule, bias, correction)
        if not rule.shared:
            return weights, experts, order
        weights, experts = with_shared(weights, experts, rule, len(gate))
        return weights, experts, sorted_pairs(experts)


@route.implement("torch", rule=lambda k: k == "cpu", why="torch's own top-k, and no group where there is one")
def _route_torch(
    x: Tensor, gate: Tensor, rule: Rule, bias: Tensor | None = None, correction: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    if rule.groups > 1 or correction is not None or rule.top_p < 1 or rule.score != "softmax" or rule.shared:
        return route.reference(x, gate, rule, bias, correction)
    logits = torch.nn.functional.linear(x.float(), gate, bias)
    if rule.renormalise:  # the softmax over the chosen alone
        best, experts = logits.topk(rule.top_k, -1)
        weights = best.softmax(-1)
    else:
        weights, experts = logits.softmax(-1).topk(rule.top_k, -1)
    if rule.scale != 1:
        weights = weights * rule.scale
    return weights, experts, experts.flatten().argsort(stable=True)
