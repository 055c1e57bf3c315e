"""Packed weights on disk: a safetensors file, written tensor by tensor and used mapped.

The safetensors library writes from memory and holds everything twice while it does; a model that just fits would not
be packed at all. The format wants its header first and no gaps: the header gets its room beforehand (blanks may follow
it), and tensors that fill up to the next boundary stand between the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

HEADER = 1 << 20
"""Bytes for names, types and shapes: over 5,000 tensors."""
ALIGNED = 64
"""Tensors begin at multiples of this many bytes, as in torch's own memory."""

_FILLER = "fill/"
_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
}


def save_file(tensors: Iterable[tuple[str, Tensor]], path: Path) -> None:
    """Write ``tensors`` as they come; each is let go before the next is made. Raises :class:`OSError`."""
    header: dict[str, object] = {}
    at = 0

    def entry(name: str, kind: str, shape: list[int], size: int) -> None:
        nonlocal at
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size

    with path.open("wb") as file:
        file.seek(8 + HEADER + -(8 + HEADER) % ALIGNED)
        start = file.tell()
        for name, tensor in tensors:
            entry(name, _NAMES[tensor.dtype], list(tensor.shape), tensor.nbytes)
            file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
            gap = -at % ALIGNED
            if gap:
                file.write(bytes(gap))
                entry(f"{_FILLER}{at}", "U8", [gap], gap)
            del tensor  # before the next one is made
        text = json.dumps(header).encode()
        assert len(text) <= HEADER, "more tensors than the header has room for"
        file.seek(0)
        file.write((start - 8).to_bytes(8, "little") + text.ljust(start - 8))


def map_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, mapped. Raises :class:`SafetensorError` for a damaged one."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if not name.startswith(_FILLER)}  # noqa: SIM118
