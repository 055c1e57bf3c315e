"""Draws by the compiled library; see :mod:`famulus.kernels.sample` for their meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from famulus.kernels.cpu.library import library, scratch

if TYPE_CHECKING:
    from famulus.kernels.sample import Choice


def draw(row: Tensor, choice: Choice) -> Tensor:
    """``row`` [vocabulary] f32 → token id [] int64."""
    found = library()
    assert found is not None and row.is_contiguous()
    room = scratch(8 * row.numel())
    shape = (choice.temperature, choice.top_k, choice.top_p, choice.min_p)
    token = int(found.famulus_draw(row.data_ptr(), row.numel(), *shape, choice.key, room.data_ptr()))
    return torch.tensor(token) if token >= 0 else row.argmax()
