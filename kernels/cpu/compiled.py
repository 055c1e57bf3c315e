"""Linear layers by the compiled library; see :mod:`famulus.kernels.cpu.library`."""

from __future__ import annotations

from ctypes import addressof

import torch
from torch import Tensor

from famulus.kernels.cpu.library import CLinear, library, ready, scratch
from famulus.kernels.pack import Weight, symmetric

__all__ = ["ROWS8", "described", "linear", "ready", "rows8"]

ROWS8 = 16
"""Rows of activations up to which an int8 weight is multiplied here; for more, oneDNN's blocked product is faster."""


def described(w: Weight, bias: Tensor | None) -> CLinear:
    """The addresses of ``w`` and of its ``bias`` f32, which must outlive what is returned."""
    assert w.tiles is not None and w.tiles.is_contiguous()
    at = 0 if bias is None else bias.data_ptr()
    return CLinear(w.tiles.data_ptr(), at, w.rows, w.columns, symmetric(w.tiles))


def linear(x: Tensor, w: Weight) -> Tensor:
    """``x`` [tokens, columns] f32 or bf16 → [tokens, rows] in the same dtype."""
    found = library()
    assert found is not None
    x = x.contiguous() if x.dtype in (torch.bfloat16, torch.float32) else x.float()
    bias = None if w.bias is None else w.bias.float()
    c = described(w, bias)
    y = torch.empty((x.shape[0], w.rows), dtype=x.dtype)
    room = scratch(found.famulus_linear_scratch(addressof(c), x.shape[0]))
    narrow = x.dtype == torch.bfloat16
    found.famulus_linear(addressof(c), x.data_ptr(), narrow, x.shape[0], y.data_ptr(), room.data_ptr())
    return y


def rows8(x: Tensor, w: Weight) -> Tensor:
    """``x`` [tokens, columns] with int8 rows of one digit → [tokens, rows] in the dtype of ``x``."""
    found = library()
    assert found is not None and w.int8 is not None and w.int8_scales is not None
    exact = x.float().contiguous()
    y = torch.empty((x.shape[0], w.rows))
    room = scratch(found.famulus_rows8_scratch(w.columns, x.shape[0]))
    found.famulus_rows8(
        w.int8.data_ptr(),
        w.int8_scales.data_ptr(),
        w.rows,
        w.columns,
        exact.data_ptr(),
        x.shape[0],
        y.data_ptr(),
        room.data_ptr(),
    )
    if w.bias is not None:
        y += w.bias.float()
    return y.to(x.dtype)
