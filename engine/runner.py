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


class StepAborted(Exception):
    """Everybody who wanted this step has gone; nothing of it counts."""


@dataclass
class Runner:
    """``kv``: one store a layer, [rows, slots, width] (keys of all heads, then values; or latents); memory is taken
    when a slot is first written (on a GPU at once). ``graphs``: recorded decoding steps, where there can be any."""

    model: Model
    kv: list[Tensor]
    graphs: Graphs | None = None

    @classmethod
    def create(cls, model: Model, pages: int) -> Runner:
        """A runner with room for ``pages`` pages, and one more that recorded steps may spoil."""
        rows, width = model.kv_shape
        recorded = on_gpu(model.device.type) and model.fixed
        shape = (rows, (pages + recorded) * PAGE, width)
        kv = [torch.empty(shape, dtype=model.compute, device=model.device) for _ in range(model.layers)]
        if not recorded:
            return cls(model, kv)
        for store in kv:
            store[:, pages * PAGE :] = 0  # what is read there must be numbers
        return cls(model, kv, Graphs(model, kv, PAGE, pages * PAGE))

    @torch.inference_mode()
    def forward(self, plan: StepPlan, between: Callable[[], None]) -> Tensor:
        """Run the copies and the chunks of ``plan``: hidden states [tokens, hidden] f32, chunk after chunk.

        ``between`` is called before every layer and may raise :class:`StepAborted`.
        """
        for copy in plan.copies:
            source, target = copy.source * PAGE, copy.target * PAGE
            for store in self.kv:
                store[:, target : target + copy.rows] = store[:, source : source + copy.rows]
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
