"""Where a checkpoint keeps a tensor of ours, and how to read it: stacks of experts, other orders, 4 and 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from famulus.engine.checkpoint import Checkpoint
from famulus.engine.gguf import bad
from famulus.engine.shards import Tensor as View
from famulus.kernels.pack import E2M1, FP8_BLOCK, fp8_scales

_FLOATS = ("F64", "F32", "F16", "BF16")
_VIEWS = {"BF16": (np.int16, torch.bfloat16), "F8_E4M3": (np.uint8, torch.float8_e4m3fn)}

MXFP4_GROUP = 32
"""Values that share an exponent in MXFP4 (OCP MX specification 1.0)."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a checkpoint's own words; the fields apply in this order.

    ``entry``: ours is this one of the stack. ``mxfp4``: stored as ``name_blocks`` and ``name_scales``. ``transposed``:
    stored [columns, rows]. ``rows`` (start, stop, step) or a list: which of its rows are ours, in our order.
    """

    name: str
    entry: int | None = None
    mxfp4: bool = False
    transposed: bool = False
    rows: slice | list[int] | None = None

    @property
    def plain(self) -> bool:
        """Whether the tensor is stored as we want it."""
        return self == Stored(self.name)


def read(checkpoint: Checkpoint, stored: Stored, shape: tuple[int, ...]) -> Tensor:
    """The tensor of our ``shape`` in a floating-point type. Raises :class:`BadWeights` naming file and tensor."""
    if stored.plain:
        return _floats(checkpoint, stored.name, checkpoint.tensor(stored.name, shape))
    if stored.mxfp4:
        found = _mxfp4(checkpoint, stored)
    else:
        found = _floats(checkpoint, stored.name, _entry(checkpoint, stored.name, stored.entry))
    if stored.transposed:
        found = found.t()
    if stored.rows is not None:
        try:
            found = found[stored.rows]
        except IndexError:
            raise bad(checkpoint.path, f"has too few rows in {stored.name!r} ({found.shape[0]})") from None
    if found.shape != shape:
        what = f"gives {tuple(found.shape)} for {stored.name!r} where {shape} is needed"
        raise bad(checkpoint.path, what)
    return found.contiguous()


def _entry(checkpoint: Checkpoint, name: str, entry: int | None) -> View:
    """One entry of a stack, or the whole tensor."""
    whole = checkpoint.tensor(name)
    if entry is None:
        return whole
    if len(whole.shape) < 2 or entry >= whole.shape[0]:
        raise bad(checkpoint.path, f"has {name!r} of shape {whole.shape}, which has no entry {entry}")
    return View(whole.shape[1:], whole.dtype, whole.data[entry])


def _floats(checkpoint: Checkpoint, name: str, view: View) -> Tensor:
    if view.dtype == "F8_E4M3":
        return _fp8(checkpoint, name, view)
    if view.dtype not in _FLOATS:
        raise bad(checkpoint.path, f"has the tensor {name!r} in {view.dtype}, which Famulus does not read")
    return _viewed(view)


def _viewed(view: View) -> Tensor:
    kind, dtype = _VIEWS.get(view.dtype, (None, None))
    data: NDArray[Any] = np.ascontiguousarray(view.data)
    if not data.flags.writeable:
        data = data.copy()
    if kind is not None and dtype is not None:
        return torch.from_numpy(data.view(kind)).view(dtype).view(view.shape)
    return torch.from_numpy(data).view(view.shape)


def _fp8(checkpoint: Checkpoint, name: str, view: View) -> Tensor:
    """DeepSeek's form: e4m3 with a scale for each block of 128 x 128 in ``<name>_scale_inv``."""
    blocks = tuple(-(-n // FP8_BLOCK) for n in view.shape)
    scales = _viewed(checkpoint.tensor(f"{name}_scale_inv", blocks)).float()
    return _viewed(view).float() * fp8_scales(scales, *view.shape)


def _mxfp4(checkpoint: Checkpoint, stored: Stored) -> Tensor:
    """[rows, columns] f32: nibbles of floats, the low one first, with an exponent for each 32."""
    blocks = _bytes(checkpoint, f"{stored.name}_blocks", stored.entry)
    exponents = _bytes(checkpoint, f"{stored.name}_scales", stored.entry)
    if blocks.shape != (*exponents.shape, MXFP4_GROUP // 2) or exponents.dim() != 2:
        what = f"has {stored.name + '_blocks'!r} and its scales in shapes that do not go together"
        raise bad(checkpoint.path, what)
    values = torch.tensor(E2M1)[torch.stack([blocks & 15, blocks >> 4], -1).flatten(-2).long()]
    return torch.ldexp(values, exponents[..., None].int() - 127).view(len(blocks), -1)


def _bytes(checkpoint: Checkpoint, name: str, entry: int | None) -> Tensor:
    whole = checkpoint.raw(name)
    if whole.dtype != "U8" or entry is None or entry >= whole.shape[0]:
        raise bad(checkpoint.path, f"has {name!r} of shape {whole.shape} in {whole.dtype}, which is no stack of MXFP4")
    return torch.from_numpy(np.array(whole.data[entry]))
