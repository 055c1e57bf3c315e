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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from famulus.engine import manifest
from famulus.engine.checkpoint import Checkpoint
from famulus.engine.errors import BadWeights, StorageFailed
from famulus.engine.gpu_forms import FIELDS, gpu_fields, gpu_weight
from famulus.engine.layers import Loaded, Model, Part
from famulus.engine.models import family
from famulus.engine.packed import map_file, save_file
from famulus.engine.stored import Stored, read
from famulus.kernels.cpu.library import ready
from famulus.kernels.moe import Experts
from famulus.kernels.pack import GROUP, Weight, pack_nibbles, quantize_int4, quantize_int8, tile_int4, torch_int4

LAYOUT = 4
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
Rename = Callable[[str], Stored]
"""Our name of a tensor → where the checkpoint keeps it."""


def load(checkpoint: Checkpoint, precision: str, kept: Path, progress: Progress, device: str = "cpu") -> Model:
    """The model of ``checkpoint`` in ``precision`` on ``device``: "int4+int8", "int4", "int8", "bf16" or "fp32" on a
    processor, those of :mod:`famulus.engine.gpu_forms` on a GPU.

    ``kept``: the folder of packed files. Raises :class:`BadWeights` naming file and tensor.
    """
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    parts: dict[str, Part] = module.parts(args)
    compute = torch.float32 if precision == "fp32" else torch.bfloat16
    source = _Source(checkpoint, lambda name: module.rename(name, args), device != "cpu")
    if precision in ("bf16", "fp32"):
        found = dict(_pack(source, parts, precision, progress))
    else:
        found = _kept_or_packed(source, parts, precision, kept, progress)
    loaded = _assemble(found, parts) if device == "cpu" else _assemble_gpu(found, parts, precision, device)
    return module.build(args, loaded, compute)  # type: ignore[no-any-return]


def load_parts(checkpoint: Checkpoint, parts: dict[str, Part], precision: str, progress: Progress) -> Loaded:
    """Further parts of ``checkpoint``, such as heads that draft; nothing of them is kept on disk. Raises
    :class:`BadWeights`."""
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    source = _Source(checkpoint, lambda name: module.rename(name, args))
    return _assemble(dict(_pack(source, parts, precision, progress)), parts)


@dataclass(frozen=True)
class _Source:
    """A checkpoint, what its family's tensors are called in it, and whether its weights are for a GPU."""

    checkpoint: Checkpoint
    rename: Rename
    gpu: bool = False

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return read(self.checkpoint, self.rename(name), shape)

    def dense(self, part: Part) -> Tensor:
        return torch.cat([self.tensor(n, s) for n, s in zip(part.sources, part.shapes, strict=True)])


def _kept_or_packed(
    source: _Source, parts: dict[str, Part], precision: str, kept: Path, progress: Progress
) -> dict[str, Tensor]:
    recipe = (
        LAYOUT,
        source.checkpoint.digest,
        precision,
        torch.__version__,
        "gpu" if source.gpu else torch.backends.cpu.get_cpu_capability(),
        ready(),
    )
    folder = kept / hashlib.sha256(repr(recipe).encode()).hexdigest()[:32]
    found = _kept(folder)
    if found is not None:
        progress("mapping the packed weights")
        return found
    # A packed file is only a copy: damaged, it is made again from the checkpoint.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return _keep(_pack(source, parts, precision, progress), folder)
    except (OSError, StorageFailed, SafetensorError):
        faster = _kept(folder)  # another process that packed the same
        if faster is not None:
            return faster
        # No room or a read-only home: pack into memory, as every next start does.
        found = dict(_pack(source, parts, precision, progress))
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


def _pack(source: _Source, parts: dict[str, Part], precision: str, progress: Progress) -> Iterator[tuple[str, Tensor]]:
    """(part/field, tensor) for every part."""
    for i, (name, part) in enumerate(parts.items()):
        progress(f"packing {i + 1} of {len(parts)} weights")
        if part.kind == "norm":
            yield f"{name}/dense", source.dense(part).float()
            continue
        found = _experts(source, part, precision) if part.kind == "experts" else _weight(source, part, precision)
        for field, tensor in found.items():
            yield f"{name}/{field}", tensor.contiguous()


def _experts(source: _Source, part: Part, precision: str) -> dict[str, Tensor]:
    """All experts of a part, one behind the other; only one is unpacked at a time."""
    stacks: dict[str, Tensor] = {}
    for e in range(part.experts):
        one = replace(
            part,
            kind="linear",
            sources=tuple(name.format(e) for name in part.sources),
            biases=tuple(name.format(e) for name in part.biases),
        )
        for field, tensor in _weight(source, one, precision).items():
            if e == 0:
                stacks[field] = torch.empty((part.experts, *tensor.shape), dtype=tensor.dtype)
            stacks[field][e] = tensor
    return stacks


def _weight(source: _Source, part: Part, precision: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    exact = torch.float32 if precision == "fp32" else torch.bfloat16
    if part.biases:
        biases = [source.tensor(n, (s[0],)) for n, s in zip(part.biases, part.shapes, strict=True)]
        found["bias"] = torch.cat(biases).to(exact)
    if precision in ("bf16", "fp32") or part.kind == "dense":
        return found | {"dense": source.dense(part).to(exact)}
    dense = source.dense(part).float()
    if source.gpu:
        return found | gpu_fields(part, precision, dense, _own_grid(source, part))
    # The table and the head stay at 8 bits: few columns decide there, and the rows are gathered one by one.
    fine = part.kind != "linear" or part.shapes[0][1] % GROUP != 0
    if precision == "int4" and not fine and ready():
        return found | {"tiles": tile_int4(*(_own_grid(source, part) or quantize_int4(dense)))}
    if "int4" in precision and not fine:
        packed, scale, minimum = _own_grid(source, part) or quantize_int4(dense)
        found["int4"], found["int4_scales"] = torch_int4(*(_pad_rows(t) for t in (packed, scale, minimum)))
    if "int8" in precision or fine:
        found["int8"], found["int8_scales"] = quantize_int8(dense, part.digits)
    return found


def _pad_rows(values: Tensor) -> Tensor:
    missing = -values.shape[0] % ROWS
    return torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing else values


def _own_grid(source: _Source, part: Part) -> tuple[Tensor, Tensor, Tensor] | None:
    """Canonical int4 on the file's own grid where it has one: no second rounding."""
    stored = [source.rename(name) for name in part.sources]
    if not all(s.plain and source.checkpoint.raw(s.name).dtype in ("Q4_0", "Q4_1") for s in stored):
        return None
    grids = [source.checkpoint.nibbles(s.name) for s in stored]
    values = torch.cat([torch.from_numpy(g.q) for g in grids])
    scale = torch.cat([torch.from_numpy(g.scale) for g in grids])
    return pack_nibbles(values), scale, torch.cat([torch.from_numpy(g.minimum) for g in grids])


def _assemble(found: dict[str, Tensor], parts: dict[str, Part]) -> Loaded:
    weights: dict[str, Weight] = {}
    norms: dict[str, Tensor] = {}
    experts: dict[str, Experts] = {}
    for name, part in parts.items():
        if part.kind == "norm":
            norms[name] = found[f"{name}/dense"]
            continue
        fields: dict[str, Any] = {
            f: found[f"{name}/{f}"]
            for f in ("dense", "tiles", "int4", "int4_scales", "int8", "int8_scales", "bias")
            if f"{name}/{f}" in found
        }
        form = "+".join(f for f in ("dense", "tiles", "int4", "int8") if f in fields)
        rows = sum(shape[0] for shape in part.shapes)
        made = Weight(rows, part.shapes[0][1], form, **fields)
        if part.kind == "experts":
            experts[name] = Experts(made)
        else:
            weights[name] = made
    return Loaded(weights, norms, experts)


def _assemble_gpu(found: dict[str, Tensor], parts: dict[str, Part], precision: str, device: str) -> Loaded:
    """The same on a GPU; every tensor goes over once."""
    norms: dict[str, Tensor] = {}
    weights: dict[str, Weight] = {}
    experts: dict[str, Experts] = {}
    for name, part in parts.items():
        if part.kind == "norm":
            norms[name] = found.pop(f"{name}/dense").to(device)
            continue
        fields = {f: found.pop(f"{name}/{f}") for f in FIELDS if f"{name}/{f}" in found}
        weight = gpu_weight(part, precision, fields, torch.device(device))
        if part.kind == "experts":
            experts[name] = Experts(weight)
        else:
            weights[name] = weight
    return Loaded(weights, norms, experts)
