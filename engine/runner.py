"""Owns the model and the KV store; turns a step's plan into hidden states and logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from famulus.engine.batch import build
from famulus.engine.graphs import Graphs
from famulus.engine.hardware import PAGE
from famulus.engine.layers import Model
from famulus.engine.step import StepPlan
from famulus.kernels.op import on_gpu
from famulus.kernels.store import DTYPES, Store, clear, empty, move


class StepAborted(Exception):
    """Everybody who wanted this step has gone; nothing of it counts."""


@dataclass
class Runner:
    """``kv``: one store a layer, [rows, slots, width] (keys of all heads, then values; or latents); memory is taken
    when a slot is first written (on a GPU at once). ``graphs``: recorded decoding steps, where there can be any."""

    model: Model
    kv: list[Store]
    graphs: Graphs | None = None

    @classmethod
    def create(cls, model: Model, pages: int, kv: str = "auto") -> Runner:
        """A runner with room for ``pages`` pages, and one more that recorded steps may spoil. ``kv``: "fp32", "bf16",
        or 8 bits, "fp8" or "int8", which latents do not have; "auto": as the model computes."""
        rows, width = model.kv_shape
        recorded = on_gpu(model.device.type) and model.fixed
        shape = (rows, (pages + recorded) * PAGE, width)
        dtype = model.compute if kv == "auto" else DTYPES[kv]
        stores = [empty(shape, dtype, model.device) for _ in range(model.layers)]
        if not recorded:
            return cls(model, stores)
        for store in stores:
            clear(store, pages * PAGE)  # what is read there must be numbers
        return cls(model, stores, Graphs(model, stores, PAGE, pages * PAGE))

    @torch.inference_mode()
    def forward(self, plan: StepPlan, between: Callable[[], None]) -> Tensor:
        """Run the copies and the chunks of ``plan``: hidden states [tokens, hidden] f32, chunk after chunk.

        ``between`` is called before every layer and may raise :class:`StepAborted`.
        """
        for copy in plan.copies:
            for store in self.kv:
                move(store, copy.source * PAGE, copy.target * PAGE, copy.rows)
        if self.model.residency is not None:
            self.model.residency.usage.step(chunk.sequence.language for chunk in plan.chunks)
        if self.graphs is not None:
            between()
            found = self.graphs.forward(plan)
            if found is not None:
                return found
        model = self.model
        batch = build(plan, PAGE, model.rotation, model.compute, model.window, model.device)
        return self.model.forward(batch, self.kv, between)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""
        return self.model.logits(hidden)
