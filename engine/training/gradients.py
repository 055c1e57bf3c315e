"""Operations with backward passes of their own: what lies between a layer's products, attention, and the loss.

Autograd keeps every intermediate of a norm, a rotation or a gate in f32 and walks each of them again: on a processor
that takes as long as the products. Here a forward pass keeps its input and one number a row, and a backward pass is
written out. The values are those of the operations' references.

torch's attention in tiles is slow in bf16 on processors; whole products are two to five times as fast at the lengths
that are trained there (128 to 512). They keep the probabilities for the way back, and are left where those are large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from famulus.engine.training.frozen import product, whole
from famulus.kernels.pack import GROUP, Weight
from famulus.kernels.rope import rope

LARGEST = 64 << 20
"""Bytes of the probabilities of one layer that attention keeps on a processor."""


def _applied(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    found: Tensor = function.apply(*inputs)  # type: ignore[no-untyped-call]
    return found


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        root = torch.rsqrt(torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_() / x.shape[-1] + eps)
        ctx.save_for_backward(x, root, w)
        return (x * root).mul_(w).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        x, root, w = ctx.saved_tensors
        weighted = gradient * w
        along = (weighted * x).sum(-1, keepdim=True).mul_(root.pow(3)).div_(x.shape[-1])
        return weighted.mul_(root).addcmul_(x, along, value=-1), None, None, None


def rms_norm(x: Tensor, w: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``x`` [..., n] → the same in ``dtype``; ``w`` [n] f32 is not trained."""
    return _applied(_Norm, x.float(), w.float(), eps, dtype)


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return rope.reference(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return rope.reference(gradient, cos, -sin), None, None  # a rotation's transpose is the one back


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x`` [..., heads, D] by the tables of :func:`famulus.kernels.rope.tables`."""
    return _applied(_Turn, x, cos, sin)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        found = torch.empty_like(both)
        of_gate, of_up = found.chunk(2, -1)
        torch.mul(gradient, F.silu(gate), out=of_up)
        of_gate.copy_(_silu_backward(gradient * up, gate))
        return found


def swiglu(both: Tensor) -> Tensor:
    """``both`` [tokens, 2n] = gate | up → ``silu(gate) * up`` [tokens, n]."""
    return _applied(_SwiGLU, both)


class _Weighted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up, weights)
        inner = F.silu(gate).mul_(up)
        return inner.view(*weights.shape, -1).mul_(weights[..., None]).view(inner.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gate, up, weights = ctx.saved_tensors
        share, activated = weights[..., None], F.silu(gate)
        of_weights = (gradient * activated).mul_(up).view(*weights.shape, -1).sum(-1, dtype=torch.float32)
        weighted = (gradient.view(*weights.shape, -1) * share).view(gradient.shape)
        of_gate = _silu_backward(weighted * up, gate)
        return of_gate, weighted.mul_(activated), of_weights.to(weights.dtype)


def weighted_swiglu(gate: Tensor, up: Tensor, weights: Tensor) -> Tensor:
    """``gate``, ``up`` [tokens, experts * width], ``weights`` [tokens, experts] → ``silu(gate) * up`` times the weight
    of its expert."""
    return _applied(_Weighted, gate, up, weights)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        count, group, length = len(k), len(q) // len(k), q.shape[1]
        hidden = torch.full((length, length), float("-inf"), dtype=q.dtype).triu_(1)
        scores = torch.bmm(q.reshape(count, group * length, -1), k.transpose(1, 2)).view(-1, length, length)
        shares = torch.softmax(torch.add(hidden, scores, alpha=scale), -1).view(count, group * length, length)
        ctx.save_for_backward(q, k, v, shares)
        ctx.scale = scale
        return torch.bmm(shares, v).view(*q.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, shares = ctx.saved_tensors
        gradient = gradient.reshape(*shares.shape[:2], -1)
        of_v = torch.bmm(shares.transpose(1, 2), gradient)
        of_shares = torch.bmm(gradient, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype).mul_(ctx.scale)
        of_q = torch.bmm(of_scores, k).view(q.shape)
        return of_q, torch.bmm(of_scores.transpose(1, 2), q.reshape(*shares.shape[:2], -1)), of_v, None


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Each token sees itself and those before it. ``q`` [sequences, heads, length, D], ``k``, ``v`` [sequences,
    kv_heads, length, D] → as ``q``, with the last size of ``v``."""
    kept = q.shape[:3].numel() * k.shape[2] * q.element_size()
    if q.device.type != "cpu" or kept > LARGEST:
        many = q.shape[1] > k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=many)
    # heads of one group stand behind each other, so a group's queries are one side of one product
    found = _applied(_Attention, *(t.flatten(0, 1) for t in (q, k, v)), scale)
    return found.view(*q.shape[:3], -1)


@dataclass(frozen=True)
class Head:
    """What makes logits: a frozen ``weight`` [vocabulary, hidden], the places ``ids`` of the trained rows (None: there
    are none), and a factor."""

    weight: Weight
    ids: Tensor | None
    scale: float

    def logits(self, x: Tensor, rows: Tensor | None) -> Tensor:
        """[tokens, hidden] → [tokens, vocabulary] f32."""
        found = product(x, self.weight).float()
        if rows is not None and self.ids is not None:
            found = found.index_copy(1, self.ids, F.linear(x, rows.to(x.dtype)).float())
        return found if self.scale == 1 else found * self.scale


AT_ONCE = {"cpu": 256, "cuda": 4096}
"""Tokens whose logits are in memory at once: few enough for a processor's cache, enough for a GPU."""


class _CrossEntropy(torch.autograd.Function):
    """The gradients are made with the loss, so that no logits are kept and none are computed twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor | None, wanted: Tensor, head: Head) -> Tensor:
        whole_head, total = whole(head.weight, x.dtype), x.new_zeros((), dtype=torch.float32)
        of_x = torch.empty_like(x)
        of_rows = None if rows is None else torch.zeros_like(rows)
        size = AT_ONCE[x.device.type]
        for these in (slice(at, at + size) for at in range(0, len(x), size)):
            part, answers = x[these], wanted[these, None]
            logs = head.logits(part, rows).log_softmax(-1)
            total -= logs.gather(1, answers).sum()
            if not any(ctx.needs_input_grad):
                continue
            shares = logs.exp_().scatter_add_(1, answers, logs.new_full(answers.shape, -1.0)).mul_(head.scale)
            if rows is not None and of_rows is not None and head.ids is not None:
                mine = shares[:, head.ids].to(x.dtype)
                of_rows += (mine.T @ part).to(of_rows.dtype)
                shares[:, head.ids] = 0
                of_x[these] = shares.to(x.dtype) @ whole_head + mine @ rows.to(x.dtype)
            else:
                of_x[these] = shares.to(x.dtype) @ whole_head
        ctx.save_for_backward(of_x, of_rows)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        of_x, of_rows = ctx.saved_tensors
        return of_x * gradient, None if of_rows is None else of_rows * gradient, None, None


def cross_entropy(x: Tensor, rows: Tensor | None, wanted: Tensor, head: Head) -> Tensor:
    """``x`` [tokens, hidden] in the compute dtype, ``wanted`` [tokens] → the summed loss in nats, f32."""
    return _applied(_CrossEntropy, x, rows, wanted, head)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        groups = weight.view(*weight.shape[:-1], -1, GROUP)
        low, high = groups.aminmax(dim=-1, keepdim=True)
        step = ((high - low) / 15).clamp_(min=1e-12)
        found: Tensor = ((groups - low) / step).round_().mul_(step).add_(low)
        return found.view(weight.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def rounded(weight: Tensor) -> Tensor:
    """``weight`` [rows, columns] f32 as :func:`famulus.kernels.pack.quantize_int4` keeps it; the gradient goes through
    as if it had not been rounded."""
    return _applied(_Rounded, weight)


def _silu_backward(gradient: Tensor, gate: Tensor) -> Tensor:
    found: Tensor = torch.ops.aten.silu_backward(gradient, gate)
    return found
