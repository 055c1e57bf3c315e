"""Owns the model and the KV store; turns a step's plan into hidden states and logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from famulus.engine.batch import build
from famulus.engine.hardware import PAGE
from famulus.engine.layers import Model
from famulus.engine.step import StepPlan


class StepAborted(Exception):
    """Everybody who wanted this step has gone; nothing of it counts."""


@dataclass
class Runner:
    """``kv``: one store a layer, [rows, slots, width] (keys of all heads, then values; or latents); memory is taken
    when a slot is first written."""

    model: Model
    kv: list[Tensor]

    @classmethod
    def create(cls, model: Model, pages: int) -> Runner:
        """A runner with room for ``pages`` pages."""
        rows, width = model.kv_shape
        kv = [torch.empty((rows, pages * PAGE, width), dtype=model.compute) for _ in range(model.layers)]
        return cls(model, kv)

    @torch.inference_mode()
    def forward(self, plan: StepPlan, between: Callable[[], None]) -> Tensor:
        """Run the copies and the chunks of ``plan``: hidden states [tokens, hidden] f32, chunk after chunk.

        ``between`` is called before every layer and may raise :class:`StepAborted`.
        """
        for copy in plan.copies:
            source, target = copy.source * PAGE, copy.target * PAGE
            for store in self.kv:
                store[:, target : target + copy.rows] = store[:, source : source + copy.rows]
        batch = build(plan, PAGE, self.model.rotation, self.model.compute, self.model.window)
        return self.model.forward(batch, self.kv, between)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] → [rows, vocabulary] f32."""
        return self.model.logits(hidden)
