"""Checkpoint → model: stack the parts, bring them to the planned precision, keep the result for the next start.

What is made here depends on the processor (torch's int4 tiles are laid out for the instruction set that packed them;
read under another one they are silently wrong), so the kept file's key holds the checkpoint's digest, the precision,
torch's version and the processor's capability. It is mapped, not read, and verified like any model.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from famulus.engine import manifest
from famulus.engine.checkpoint import Checkpoint
from famulus.engine.errors import BadWeights, StorageFailed
from famulus.engine.gguf import bad
from famulus.engine.layers import Model, Part
from famulus.engine.models import family
from famulus.engine.packed import map_file, save_file
from famulus.kernels.pack import GROUP, Weight, pack_nibbles, quantize_int4, quantize_int8, torch_int4

LAYOUT = 3
"""Raised when what this file writes changes its meaning."""

STALE = 3600.0
"""Seconds after which a half-made packed file belongs to nobody."""

UNUSED = 60 * 86_400.0
"""Seconds without use after which a packed file is removed: torch, the model or the precision have changed since."""

STAMPS = "verified"
"""The folder beside the packed files that says which of them were verified."""

ROWS = 16
"""torch's int4 tiles hold this many rows."""

Progress = Callable[[str], None]

_FLOATS = ("F64", "F32", "F16", "BF16")
_VIEWS = {"BF16": (np.int16, torch.bfloat16)}


def load(checkpoint: Checkpoint, precision: str, kept: Path, progress: Progress) -> Model:
    """The model of ``checkpoint`` in ``precision`` ("int4+int8", "int4", "int8", "bf16", "fp32").

    ``kept``: the folder of packed files. Raises :class:`BadWeights` naming file and tensor.
    """
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    parts: dict[str, Part] = module.parts(args)
    compute = torch.float32 if precision == "fp32" else torch.bfloat16
    if precision in ("bf16", "fp32"):
        found = dict(_pack(checkpoint, parts, precision, progress))
    else:
        found = _kept_or_packed(checkpoint, parts, precision, kept, progress)
    weights, norms = _assemble(found, parts)
    return module.build(args, weights, norms, compute)  # type: ignore[no-any-return]


def _kept_or_packed(
    checkpoint: Checkpoint, parts: dict[str, Part], precision: str, kept: Path, progress: Progress
) -> dict[str, Tensor]:
    recipe = (
        LAYOUT,
        checkpoint.digest,
        precision,
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
    )
    folder = kept / hashlib.sha256(repr(recipe).encode()).hexdigest()[:32]
    found = _kept(folder)
    if found is not None:
        progress("mapping the packed weights")
        return found
    # A packed file is only a copy: damaged, it is made again from the checkpoint.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return _keep(_pack(checkpoint, parts, precision, progress), folder)
    except (OSError, StorageFailed, SafetensorError):
        faster = _kept(folder)  # another process that packed the same
        if faster is not None:
            return faster
        # No room or a read-only home: pack into memory, as every next start does.
        found = dict(_pack(checkpoint, parts, precision, progress))
        progress("running from memory, the packed weights could not be kept")
        return found


def _kept(folder: Path) -> dict[str, Tensor] | None:
    """What lies in ``folder``, mapped, if it is whole."""
    try:
        if folder.is_dir() and manifest.check(folder, folder.parent / STAMPS):
            found = map_file(folder / "packed.safetensors")
            with contextlib.suppress(OSError):  # a cache that is only readable
                os.utime(folder)
            return found
    except (BadWeights, SafetensorError):
        pass
    return None


def _tidy(kept: Path) -> None:
    """Remove what a killed process left half made, and what nobody has used for long (another torch, another model)."""
    now = time.time()
    for left in kept.iterdir():
        allowed = STALE if left.name.startswith("packing-") else UNUSED
        if left.name != STAMPS and left.stat().st_mtime < now - allowed:
            shutil.rmtree(left, ignore_errors=True)


def _keep(tensors: Iterator[tuple[str, Tensor]], folder: Path) -> dict[str, Tensor]:
    """Write the packed file whole or not at all, then use it mapped; one tensor at a time is in memory."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _tidy(folder.parent)
    building = Path(tempfile.mkdtemp(prefix="packing-", dir=folder.parent))
    try:
        save_file(tensors, building / "packed.safetensors")
        digest = manifest.sha256_of(building / "packed.safetensors")
        size = (building / "packed.safetensors").stat().st_size
        whole = manifest.FileDigest(size, digest)
        manifest.write(building, manifest.Manifest("packed", "", "", "", {"packed.safetensors": whole}))
        os.replace(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return map_file(folder / "packed.safetensors")


def _pack(
    checkpoint: Checkpoint, parts: dict[str, Part], precision: str, progress: Progress
) -> Iterator[tuple[str, Tensor]]:
    """(part/field, tensor) for every part."""
    for i, (name, part) in enumerate(parts.items()):
        progress(f"packing {i + 1} of {len(parts)} weights")
        if part.kind == "norm":
            yield f"{name}/dense", _dense(checkpoint, part).float()
            continue
        for field, tensor in _weight(checkpoint, part, precision).items():
            yield f"{name}/{field}", tensor.contiguous()


def _weight(checkpoint: Checkpoint, part: Part, precision: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if part.biases:
        biases = [_tensor(checkpoint, n, (s[0],)) for n, s in zip(part.biases, part.shapes, strict=True)]
        found["bias"] = torch.cat(biases).to(torch.float32 if precision == "fp32" else torch.bfloat16)
    if precision in ("bf16", "fp32"):
        return found | {"dense": _dense(checkpoint, part).to(torch.float32 if precision == "fp32" else torch.bfloat16)}
    dense = _dense(checkpoint, part).float()
    # The table and the head stay at 8 bits: few columns decide there, and the rows are gathered one by one.
    fine = part.kind != "linear" or part.shapes[0][1] % GROUP != 0
    if "int4" in precision and not fine:
        packed, scale, minimum = _grid(checkpoint, part, dense)
        found["int4"], found["int4_scales"] = torch_int4(*(_pad_rows(t) for t in (packed, scale, minimum)))
    if "int8" in precision or fine:
        found["int8"], found["int8_scales"] = quantize_int8(dense, part.digits)
    return found


def _pad_rows(values: Tensor) -> Tensor:
    missing = -values.shape[0] % ROWS
    return torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing else values


def _grid(checkpoint: Checkpoint, part: Part, dense: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Canonical int4: the file's own grid where it has one (no second rounding), else round to nearest."""
    if any(checkpoint.raw(source).dtype not in ("Q4_0", "Q4_1") for source in part.sources):
        return quantize_int4(dense)
    grids = [checkpoint.nibbles(source) for source in part.sources]
    values = torch.cat([torch.from_numpy(g.q) for g in grids])
    scale = torch.cat([torch.from_numpy(g.scale) for g in grids])
    return pack_nibbles(values), scale, torch.cat([torch.from_numpy(g.minimum) for g in grids])


def _dense(checkpoint: Checkpoint, part: Part) -> Tensor:
    return torch.cat([_tensor(checkpoint, n, s) for n, s in zip(part.sources, part.shapes, strict=True)])


def _tensor(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> Tensor:
    stored = checkpoint.tensor(name, shape)
    if stored.dtype not in _FLOATS:
        raise bad(checkpoint.path, f"has the tensor {name!r} in {stored.dtype}, which Famulus does not read")
    kind, view = _VIEWS.get(stored.dtype, (None, None))
    data = np.ascontiguousarray(stored.data)
    if not data.flags.writeable:
        data = data.copy()
    if kind is not None and view is not None:
        return torch.from_numpy(data.view(kind)).view(view).view(shape)
    return torch.from_numpy(data).view(shape)


def _assemble(found: dict[str, Tensor], parts: dict[str, Part]) -> tuple[dict[str, Weight], dict[str, Tensor]]:
    weights: dict[str, Weight] = {}
    norms: dict[str, Tensor] = {}
    for name, part in parts.items():
        if part.kind == "norm":
            norms[name] = found[f"{name}/dense"]
            continue
        fields: dict[str, Any] = {
            f: found[f"{name}/{f}"]
            for f in ("dense", "int4", "int4_scales", "int8", "int8_scales", "bias")
            if f"{name}/{f}" in found
        }
        form = "+".join(f for f in ("dense", "int4", "int8") if f in fields)
        rows = sum(shape[0] for shape in part.shapes)
        weights[name] = Weight(rows, part.shapes[0][1], form, **fields)
    return weights, norms
