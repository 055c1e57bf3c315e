"""Matrices that AutoAWQ or AutoGPTQ stored in 4 bits: ``x.qweight``, ``x.qzeros`` and ``x.scales`` for ``x.weight``.

What ``quantization_config`` says is checked key by key: only what is read exactly is read (gemm's order of columns;
GPTQ's first and second format, groups of neighbours or, with ``desc_act``, any).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from famulus.engine.checkpoint import Checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.gguf import bad
from famulus.kernels.convert import Grid, awq, gptq

METHODS = ("awq", "gptq")

_READ: dict[str, dict[str, tuple[Any, ...]]] = {
    "awq": {
        "bits": (4,),
        "w_bit": (4,),
        "zero_point": (True,),
        "version": ("gemm", "GEMM"),
        "format": ("gemm", "GEMM"),
        "pack_dtype": ("int32",),
    },
    "gptq": {
        "bits": (4,),
        "sym": (True, False),
        "desc_act": (True, False),
        "checkpoint_format": ("gptq", "gptq_v2"),
        "format": ("gptq", "gptq_v2"),
        "is_marlin_format": (False,),
        "pack_dtype": ("int32",),
        "dynamic": ({},),
    },
}
"""Keys of ``quantization_config`` that change what is stored, with the values that are read (and None)."""


def asked_in_vain(said: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The key of a ``quantization_config`` of these methods, and its value, that asks for what is not read."""
    method = said["quant_method"]
    for key, values in _READ[method].items():
        if said.get(key) is not None and said[key] not in values:
            return key, said[key]
    if said.get("bits", said.get("w_bit")) is None:
        return "bits", None
    group = said.get("group_size", said.get("q_group_size"))
    if type(group) is not int or not (group == -1 or (group > 0 and group % 8 == 0)):
        return "group_size", group
    return None


def four_bits(checkpoint: Checkpoint, name: str) -> Grid | None:
    """The matrix ``name`` ("….weight") on its grid; None where it is stored as such. Raises :class:`BadWeights` naming
    file and tensor."""
    said = checkpoint.config.get("quantization_config")
    method = said.get("quant_method") if isinstance(said, Mapping) else None
    stem = name.removesuffix(".weight")
    if method not in METHODS or not checkpoint.has(f"{stem}.qweight"):
        return None
    assert isinstance(said, Mapping)
    words, zeros, scales = (_tensor(checkpoint, f"{stem}.{end}") for end in ("qweight", "qzeros", "scales"))
    groups, columns = len(scales), len(words) * (1 if method == "awq" else 8)
    rows = words.shape[1] * (8 if method == "awq" else 1)
    size = said.get("group_size", said.get("q_group_size", -1))
    wanted = columns if size == -1 else size
    if groups * wanted != columns or scales.shape[1] != rows or zeros.shape != (groups, rows // 8):
        raise bad(checkpoint.path, f"has {stem!r} in 4 bits with words, zeros and scales that do not go together")
    if method == "awq":
        return awq(words, zeros, scales)
    order = _tensor(checkpoint, f"{stem}.g_idx").view(-1) if checkpoint.has(f"{stem}.g_idx") else None
    if order is not None and (len(order) != columns or order.min() < 0 or order.max() >= groups):
        raise bad(checkpoint.path, f"has '{stem}.g_idx' that names groups which are not there")
    second = "gptq_v2" in (said.get("checkpoint_format"), said.get("format"))
    return gptq(words, zeros, scales, order, less_one=not second)


def _tensor(checkpoint: Checkpoint, name: str) -> Tensor:
    view = checkpoint.raw(name)
    kinds = ("F16", "BF16", "F32") if name.endswith("scales") else ("I32",)
    if view.dtype not in kinds or len(view.shape) != (1 if name.endswith("g_idx") else 2):
        raise BadWeights(f"The model in {checkpoint.path} has {name!r} of shape {view.shape} in {view.dtype}.")
    found = torch.from_numpy(view.data.copy())
    return found.view(torch.bfloat16) if view.dtype == "BF16" else found
