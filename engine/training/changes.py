"""What training may change of a model: low-rank updates, routed experts beside finished layers, rows of the embedding.

The model itself stays frozen. Experts of one layer are trained as one wide SwiGLU whose columns are weighted expert by
expert: the same sum as over the chosen experts alone, in three products of a useful size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from famulus.engine.layers import Part
from famulus.engine.training.gradients import weighted_swiglu
from famulus.engine.training.recipe import Shape
from famulus.kernels.router import Rule, route


class LowRank(nn.Module):
    """``scale · B A`` for the sources of one weight, which stand side by side. ``A`` small and random, ``B`` zero."""

    def __init__(self, part: Part, targets: tuple[str, ...], rank: int, scale: float, generator: torch.Generator):
        super().__init__()
        self.scale = scale
        self.rows = [shape[0] for shape in part.shapes]
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for place, (source, shape) in enumerate(zip(part.sources, part.shapes, strict=True)):
            if source.removesuffix(".weight").rpartition(".")[2] in targets:
                bound = shape[1] ** -0.5
                start = (torch.rand(rank, shape[1], generator=generator) * 2 - 1) * bound
                self.down[str(place)] = nn.Parameter(start)
                self.up[str(place)] = nn.Parameter(torch.zeros(shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., columns] → [..., rows of all sources]."""
        sides = []
        for place, rows in enumerate(self.rows):
            key = str(place)
            if key in self.down:
                down, up = self.down[key].to(x.dtype), self.up[key].to(x.dtype)
                sides.append(F.linear(F.linear(x, down), up) * self.scale)
            else:
                sides.append(x.new_zeros(*x.shape[:-1], rows))
        return sides[0] if len(sides) == 1 else torch.cat(sides, -1)

    def update(self) -> Tensor:
        """The same as a matrix [rows of all sources, columns] f32."""
        some = next(iter(self.down.values()))
        found: Tensor = self(torch.eye(some.shape[1], device=some.device))
        return found.T.contiguous()


class RoutedExperts(nn.Module):
    """The experts of one layer. Gate and up [count * width, hidden], down [hidden, count * width], router
    [count, hidden]. ``correction`` balances the load and is not trained by gradients; ``loads`` counts the tokens of
    each expert since the last :meth:`balance`, ``seen`` all tokens."""

    correction: Tensor
    loads: Tensor
    seen: Tensor
    top_p: Tensor

    def __init__(self, hidden: int, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        wide, bound = shape.count * shape.width, hidden**-0.5
        self.shape = shape
        self.gate = nn.Parameter(torch.randn(wide, hidden, generator=generator) * bound)
        self.up = nn.Parameter(torch.randn(wide, hidden, generator=generator) * bound)
        self.down = nn.Parameter(torch.zeros(hidden, wide))
        self.router = nn.Parameter(torch.randn(shape.count, hidden, generator=generator) * bound)
        self.register_buffer("correction", torch.zeros(shape.count))
        self.register_buffer("loads", torch.zeros(shape.count))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("top_p", torch.tensor(0.2))

    def rule(self) -> Rule:
        """How experts are chosen now; what is written into the adapter's configuration."""
        shape = self.shape
        return Rule(shape.cap, "sigmoid", True, scale=shape.scale, top_p=float(self.top_p))

    def shares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` [tokens, hidden] → weight of every expert [tokens, count] f32, 0 for those that are not chosen, and
        the router's logits."""
        logits = F.linear(x.float(), self.router)
        scores = logits.sigmoid()
        with torch.no_grad():
            order = (scores + self.correction).sort(dim=-1, descending=True, stable=True).indices[:, : self.shape.cap]
            best = scores.gather(1, order)
            reached = best.cumsum(-1) - best
            kept = reached < self.top_p * scores.sum(-1, keepdim=True)
            chosen = torch.zeros_like(scores).scatter_(1, order, kept.to(scores.dtype))
            if self.training:  # also when a layer is computed again for its gradients
                self.loads += chosen.sum(0)
                self.seen += len(x)
        weights = scores * chosen
        return weights / (weights.sum(-1, keepdim=True) + 1e-20) * self.shape.scale, logits

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` [tokens, hidden] → what the experts add [tokens, hidden], and the mean square of the router's
        logits."""
        weights, logits = self.shares(x)
        gate, up = F.linear(x, self.gate.to(x.dtype)), F.linear(x, self.up.to(x.dtype))
        inner = weighted_swiglu(gate, up, weights.to(x.dtype))
        return F.linear(inner, self.down.to(x.dtype)), logits.square().mean()

    @torch.no_grad()
    def balance(self, rate: float) -> float:
        """After a step: raise the correction of experts with few tokens and lower that of the others (DeepSeek-V3) →
        how many experts a token met."""
        mean = float(self.loads.sum() / self.seen.clamp(min=1))
        self.correction += rate * torch.sign(self.loads.mean() - self.loads)
        self.loads.zero_()
        self.seen.zero_()
        return mean

    def reference(self, x: Tensor) -> Tensor:
        """The slow, obvious way: expert by expert, as the engine runs it; for tests."""
        shape = self.shape
        weights, experts, _ = route(x.float(), self.router, self.rule(), None, self.correction)
        out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
        for token, (row, chosen) in enumerate(zip(weights, experts.tolist(), strict=True)):
            for weight, e in zip(row, chosen, strict=True):
                if e >= 0:
                    part = slice(e * shape.width, (e + 1) * shape.width)
                    inner = F.silu(self.gate[part] @ x[token]) * (self.up[part] @ x[token])
                    out[token] += weight * (self.down[:, part] @ inner)
        return out


class Changes(nn.Module):
    """All of it for one model: ``low_rank`` by the weight's name, ``experts`` by layer, ``rows`` of the embedding for
    the tokens ``row_ids``."""

    row_ids: Tensor

    def __init__(
        self,
        low_rank: dict[str, LowRank],
        experts: dict[int, RoutedExperts] | None = None,
        rows: Tensor | None = None,
        row_ids: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.low_rank = nn.ModuleDict({_key(name): module for name, module in low_rank.items()})
        self.experts = nn.ModuleDict({str(i): module for i, module in (experts or {}).items()})
        self.rows = None if rows is None else nn.Parameter(rows.clone())
        self.register_buffer("row_ids", torch.tensor(row_ids or [], dtype=torch.int64))

    def of(self, name: str) -> LowRank | None:
        """The low-rank update of a weight, None where it has none."""
        key = _key(name)
        if key not in self.low_rank:
            return None
        found = self.low_rank[key]
        assert isinstance(found, LowRank)
        return found

    def layer(self, i: int) -> RoutedExperts | None:
        """The routed experts of a layer, None where it has none."""
        if str(i) not in self.experts:
            return None
        found = self.experts[str(i)]
        assert isinstance(found, RoutedExperts)
        return found

    def balance(self, rate: float) -> float:
        """After a step: even out the experts' loads, and move the share that is enough for a token
        towards the wanted number of experts → their mean in this step, 0.0 without experts."""
        layers = [self.experts[key] for key in self.experts]
        means = [layer.balance(rate) for layer in layers if isinstance(layer, RoutedExperts)]
        if not means:
            return 0.0
        mean = sum(means) / len(means)
        for layer in layers:
            assert isinstance(layer, RoutedExperts)
            step = 0.25 * rate * (1 if mean < layer.shape.active else -1)
            layer.top_p.add_(step).clamp_(0.02, 0.98)
        return mean


def _key(name: str) -> str:
    return name.replace(".", "_")  # a module's name may hold no dot


def low_rank_changes(
    parts: dict[str, Part], targets: tuple[str, ...], rank: int, alpha: float, seed: int = 0
) -> dict[str, LowRank]:
    """A low-rank update for every linear layer whose name in the checkpoint ends in one of ``targets``."""
    g = torch.Generator().manual_seed(seed)
    found = {}
    for name, part in parts.items():
        if part.kind == "linear":
            made = LowRank(part, targets, rank, alpha / rank, g)
            if made.down:
                found[name] = made
    return found
