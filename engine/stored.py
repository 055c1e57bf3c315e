"""Where a checkpoint keeps a tensor of ours, and how to read it: stacks of experts, other orders, 4 and 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from famulus.engine.checkpoint import Checkpoint
from famulus.engine.ggml import NAMED, dequantize
from famulus.engine.gguf import bad
from famulus.engine.quantized import four_bits
from famulus.engine.shards import DTYPES
from famulus.engine.shards import Tensor as View
from famulus.kernels.convert import Grid, q4_0, q4_1, q4_k
from famulus.kernels.pack import E2M1, FP8_BLOCK, fp8_scales

_FLOATS = ("F64", "F32", "F16", "BF16")
_VIEWS = {"BF16": (np.int16, torch.bfloat16), "F8_E4M3": (np.uint8, torch.float8_e4m3fn)}
_GRIDS: dict[str, Callable[[Tensor], Grid]] = {"Q4_0": q4_0, "Q4_1": q4_1, "Q4_K": q4_k}

MXFP4_GROUP = 32
"""Values that share an exponent in MXFP4 (OCP MX specification 1.0)."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a checkpoint's own words; the fields apply in this order.

    ``entry``: ours is this one of the stack; ``joined``: ours is all of the stack, one below the other. ``mxfp4``:
    stored as ``name_blocks`` and ``name_scales``. ``transposed``: stored [columns, rows]. ``rows`` (start, stop, step)
    or a list: which of its rows are ours, in our order.
    """

    name: str
    entry: int | None = None
    joined: bool = False
    mxfp4: bool = False
    transposed: bool = False
    rows: slice | list[int] | None = None

    @property
    def plain(self) -> bool:
        """Whether the tensor is stored as we want it."""
        return self == Stored(self.name)


def read(checkpoint: Checkpoint, stored: Stored, shape: tuple[int, ...]) -> Tensor:
    """The tensor of our ``shape`` in a floating-point type. Raises :class:`BadWeights` naming file and tensor."""
    packed = four_bits(checkpoint, stored.name)
    if packed is not None:
        return _fitting(checkpoint, stored, packed.dense(), shape)
    if stored.plain:
        return _floats(checkpoint, stored.name, checkpoint.tensor(stored.name, shape))
    if stored.mxfp4:
        values, exponents = _hub_codes(checkpoint, stored)
        floats = torch.tensor(E2M1)[values.view(len(values), -1, MXFP4_GROUP).long()]
        return _fitting(checkpoint, stored, torch.ldexp(floats, exponents[..., None].int() - 127).flatten(1), shape)
    found = _floats(checkpoint, stored.name, _entry(checkpoint, stored))
    if stored.transposed:
        found = found.transpose(-1, -2)
    return _fitting(checkpoint, stored, found.flatten(0, 1) if stored.joined else found, shape)


def grid(checkpoint: Checkpoint, stored: Stored, shape: tuple[int, ...]) -> Grid | None:
    """The 4-bit grid that a matrix is stored on; None where there is none. Raises :class:`BadWeights`."""
    found = four_bits(checkpoint, stored.name)
    if found is None and not (stored.mxfp4 or stored.joined or stored.transposed) and checkpoint.has(stored.name):
        whole = checkpoint.raw(stored.name)
        if whole.dtype in _GRIDS:
            found = _GRIDS[whole.dtype](_bytes_of(whole, stored.entry))
    if found is None:
        return None
    values = _fitting(checkpoint, stored, found.values, shape)
    return Grid(values, _picked(found.scales, stored), _picked(found.minimums, stored), found.group)


def codes(checkpoint: Checkpoint, stored: Stored, shape: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
    """MXFP4 as it is stored: codes 0..15 [rows, columns] and exponents [rows, columns/32], both uint8; None for what is
    stored otherwise. Raises :class:`BadWeights`."""
    if stored.mxfp4:
        values, exponents = _hub_codes(checkpoint, stored)
    elif checkpoint.has(stored.name) and checkpoint.raw(stored.name).dtype == "MXFP4" and not stored.transposed:
        raw = _bytes_of(checkpoint.raw(stored.name), stored.entry)
        blocks = raw.view(len(raw), -1, 1 + MXFP4_GROUP // 2)
        exponents, packed = blocks[..., 0], blocks[..., 1:]
        values = torch.cat([packed & 15, packed >> 4], -1).flatten(1)
    else:
        return None
    return _fitting(checkpoint, stored, values, shape), _picked(exponents, stored).contiguous()


def fp8_blocks(checkpoint: Checkpoint, stored: Stored, shape: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
    """DeepSeek's form as it is stored: e4m3 [rows, columns] and f32 [rows/128, columns/128]; None for what is stored
    otherwise, and where our order of rows takes one into another block. Raises :class:`BadWeights`."""
    if stored.mxfp4 or stored.transposed or not checkpoint.has(stored.name):
        return None
    view = checkpoint.raw(stored.name)
    if view.dtype != "F8_E4M3" or stored.entry is not None or isinstance(stored.rows, slice):
        return None
    if stored.rows is not None:
        blocks = torch.tensor(stored.rows) // FP8_BLOCK
        if len(stored.rows) != view.shape[0] or not torch.equal(blocks, torch.arange(len(blocks)) // FP8_BLOCK):
            return None
    # Picked as bytes: rows of float8 cannot be.
    bytes_ = _fitting(checkpoint, stored, torch.from_numpy(np.array(view.data)), shape)
    return bytes_.view(torch.float8_e4m3fn), _block_scales(checkpoint, stored.name, view.shape)


def _fitting(checkpoint: Checkpoint, stored: Stored, found: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Our rows of what is stored, of our ``shape``."""
    try:
        picked = _picked(found, stored)
    except IndexError:
        raise bad(checkpoint.path, f"has too few rows in {stored.name!r} ({found.shape[0]})") from None
    if picked.shape != shape:
        what = f"gives {tuple(picked.shape)} for {stored.name!r} where {shape} is needed"
        raise bad(checkpoint.path, what)
    return picked.contiguous()


def _picked(found: Tensor, stored: Stored) -> Tensor:
    return found if stored.rows is None else found[stored.rows]


def _entry(checkpoint: Checkpoint, stored: Stored) -> View:
    """One entry of a stack, or the whole tensor; only that is decoded."""
    whole = checkpoint.raw(stored.name)
    data, shape = whole.data, whole.shape
    if stored.entry is not None:
        if len(shape) < 2 or stored.entry >= shape[0]:
            raise bad(checkpoint.path, f"has {stored.name!r} of shape {shape}, which has no entry {stored.entry}")
        data, shape = data[stored.entry], shape[1:]
    if whole.dtype in NAMED and whole.dtype not in DTYPES:
        return View(shape, "F32", dequantize(NAMED[whole.dtype], np.ascontiguousarray(data)))
    return View(shape, whole.dtype, data)


def _bytes_of(whole: View, entry: int | None) -> Tensor:
    """The rows of blocks of a tensor in one of ggml's formats."""
    return torch.from_numpy(np.array(whole.data if entry is None else whole.data[entry]))


def _floats(checkpoint: Checkpoint, name: str, view: View) -> Tensor:
    if view.dtype == "F8_E4M3":
        return _viewed(view).float() * fp8_scales(_block_scales(checkpoint, name, view.shape), *view.shape)
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


def _block_scales(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> Tensor:
    """The scale of each block of 128 x 128, in ``<name>_scale_inv``."""
    blocks = tuple(-(-n // FP8_BLOCK) for n in shape)
    return _viewed(checkpoint.tensor(f"{name}_scale_inv", blocks)).float()


def _hub_codes(checkpoint: Checkpoint, stored: Stored) -> tuple[Tensor, Tensor]:
    """Nibbles of floats, the low one first, with an exponent for each 32: as gpt-oss was published."""
    blocks = _stacked_bytes(checkpoint, f"{stored.name}_blocks", stored.entry)
    exponents = _stacked_bytes(checkpoint, f"{stored.name}_scales", stored.entry)
    if blocks.shape != (*exponents.shape, MXFP4_GROUP // 2) or exponents.dim() != 2:
        what = f"has {stored.name + '_blocks'!r} and its scales in shapes that do not go together"
        raise bad(checkpoint.path, what)
    return torch.stack([blocks & 15, blocks >> 4], -1).flatten(1), exponents


def _stacked_bytes(checkpoint: Checkpoint, name: str, entry: int | None) -> Tensor:
    whole = checkpoint.raw(name)
    if whole.dtype != "U8" or entry is None or entry >= whole.shape[0]:
        raise bad(checkpoint.path, f"has {name!r} of shape {whole.shape} in {whole.dtype}, which is no stack of MXFP4")
    return torch.from_numpy(np.array(whole.data[entry]))
