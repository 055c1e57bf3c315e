"""Experts in the processor's memory, those needed most on the card: for models larger than a 12 to 24 GB card.

Every layer has a number of slots on the device. A step that needs an expert which is in none takes the slot whose
expert is worth least (:mod:`famulus.engine.expert_usage`). While a layer computes, the experts that the next layer will
probably choose are on their way: its router is asked with this layer's input, for the residual stream changes slowly.

"Device" and "host" are two stores of tensors: on a processor alone all of this runs as well, and is tested there.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from famulus.engine.expert_usage import Usage
from famulus.engine.layers import MLP
from famulus.kernels.moe import Clamp, Experts, moe
from famulus.kernels.pack import Weight
from famulus.kernels.router import FEW, Rule, route, sorted_pairs


@dataclass
class Traffic:
    """How experts were found: on the device (``hits``; ``foreseen`` of these thanks to the layer before), or not."""

    hits: int = 0
    foreseen: int = 0
    misses: int = 0
    evicted: int = 0


@dataclass
class Residency:
    """Which experts of a model are on ``device``, ``slots`` in each layer."""

    device: torch.device
    slots: int
    usage: Usage
    traffic: Traffic = field(default_factory=Traffic)
    stream: torch.cuda.Stream | None = None

    def __post_init__(self) -> None:
        if self.device.type == "cuda":
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Copies go beside the computation, after what still computes with the slots."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            yield

    def store(self, layer: int, *matrices: Experts) -> Store:
        """The slots of one layer for its ``matrices`` on the host, filled with what is worth most."""
        found = Store(self, layer, matrices, tuple(self._slots(m.stacked) for m in matrices))
        worth = self.usage.worth(layer) if self.usage.counts else [0.0] * self.usage.experts
        found.load(sorted(range(len(worth)), key=lambda e: -worth[e])[: self.slots])
        return found

    def _slots(self, host: Weight) -> Experts:
        tensors = {f.name: getattr(host, f.name) for f in dataclasses.fields(Weight)}
        empty: dict[str, Any] = {
            name: torch.empty((self.slots, *value.shape[1:]), dtype=value.dtype, device=self.device)
            for name, value in tensors.items()
            if isinstance(value, Tensor)
        }
        return Experts(dataclasses.replace(host, **empty))


class Store:
    """One layer's experts: all on the host, some of them in slots on the device."""

    def __init__(
        self, residency: Residency, layer: int, host: tuple[Experts, ...], device: tuple[Experts, ...]
    ) -> None:
        self.residency, self.layer, self.host, self.device = residency, layer, host, device
        self.holder: list[int] = [-1] * residency.slots
        self.foreseen: set[int] = set()

    @property
    def resident(self) -> list[int]:
        """The experts that are on the device."""
        return [e for e in self.holder if e >= 0]

    def load(self, wanted: list[int]) -> None:
        """Bring all of ``wanted`` (no more than there are slots) onto the device, in place of what is worth least."""
        missing = [e for e in wanted if e not in self.holder]
        if not missing:
            return
        worth = self.residency.usage.worth(self.layer) if self.residency.usage.counts else []
        free = [s for s, e in enumerate(self.holder) if e < 0]
        taken = [s for s, e in enumerate(self.holder) if e >= 0 and e not in wanted]
        taken.sort(key=lambda s: worth[self.holder[s]] if worth else 0.0)
        places = [*free, *taken][: len(missing)]
        assert len(places) == len(missing), "no more are wanted than there are slots"
        with self.residency.copying():
            for slot, expert in zip(places, missing, strict=True):
                self.residency.traffic.evicted += self.holder[slot] >= 0
                self.foreseen.discard(self.holder[slot])
                self.holder[slot] = expert
                for host, device in zip(self.host, self.device, strict=True):
                    _copy(host.stacked, expert, device.stacked, slot)

    def need(self, wanted: list[int]) -> None:
        """``wanted`` must be there for what is launched next."""
        found = [e for e in wanted if e in self.holder]
        traffic = self.residency.traffic
        traffic.hits += len(found)
        traffic.foreseen += sum(e in self.foreseen for e in found)
        traffic.misses += len(wanted) - len(found)
        self.foreseen.clear()
        self.load(wanted)
        if self.residency.stream is not None:
            torch.cuda.current_stream(self.residency.device).wait_stream(self.residency.stream)

    def foresee(self, likely: list[int]) -> None:
        """``likely`` will probably be needed soon; they take no more than half of the slots."""
        missing = [e for e in likely if e not in self.holder][: self.residency.slots // 2]
        kept = [e for e in likely if e in self.holder][: self.residency.slots - len(missing)]
        self.load([*kept, *missing])
        self.foreseen |= set(missing)

    def places(self, experts: list[int]) -> Tensor:
        """[experts + 1] int64: the slot of each of these experts, -1 for all others and for no expert."""
        table = [-1] * (self.residency.usage.experts + 1)
        for expert in experts:
            table[expert] = self.holder.index(expert)
        return torch.tensor(table).to(self.residency.device)


def _copy(host: Weight, expert: int, device: Weight, slot: int) -> None:
    for f in dataclasses.fields(Weight):
        source, target = getattr(host, f.name), getattr(device, f.name)
        if isinstance(source, Tensor):
            target[slot].copy_(source[expert], non_blocking=True)


@dataclass
class OffloadedMoE:
    """As :class:`famulus.engine.layers.MoE`, over a store of experts. ``following``: the next layer with experts."""

    gate: Tensor
    rule: Rule
    store: Store
    bias: Tensor | None = None
    correction: Tensor | None = None
    shared: MLP | None = None
    clamp: Clamp | None = None
    following: OffloadedMoE | None = None

    def __call__(self, x: Tensor) -> Tensor:
        weights, experts, _ = route(x, self.gate, self.rule, self.bias, self.correction)
        ahead = self.following if len(x) <= FEW else None
        likely = None if ahead is None else ahead.choice(x)
        # One way to the processor for both.
        chosen = torch.cat([t.flatten() for t in (experts, likely) if t is not None]).tolist()
        counts = Counter(e for e in chosen[: experts.numel()] if e >= 0)
        self.store.residency.usage.add(self.store.layer, list(counts), list(counts.values()))
        gate_up, down = self.store.device
        out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
        for n, group in enumerate(self._groups(sorted(counts))):
            self.store.need(group)
            slots = self.store.places(group)[experts]
            shares = weights.masked_fill(slots < 0, 0)
            if n == 0 and ahead is not None:
                ahead.store.foresee(list(dict.fromkeys(e for e in chosen[experts.numel() :] if e >= 0)))
            out += moe(x, gate_up, down, shares, slots, sorted_pairs(slots), self.clamp)
        found = out.to(x.dtype)
        return found if self.shared is None else found + self.shared(x)

    def choice(self, x: Tensor) -> Tensor:
        """Which experts this layer's router chooses for ``x`` [tokens, hidden]."""
        return route(x, self.gate, self.rule, self.bias, self.correction)[1]

    def _groups(self, used: list[int]) -> list[list[int]]:
        """The experts of a step in portions that fit the slots: those that are there first."""
        size = self.store.residency.slots
        order = sorted(used, key=lambda e: e not in self.store.holder)
        return [order[at : at + size] for at in range(0, len(order), size)]

    def linears(self) -> list[Weight]:
        """Every weight that a decoded token reads: of as many experts as one token goes to."""
        shared = [] if self.shared is None else self.shared.linears()
        return [*(w for m in self.store.host for w in m.each[: self.rule.top_k]), *shared]
