"""Checkpoint → model: stack the parts, bring them to the planned precision, keep the result for the next start.

What is made here depends on the processor (torch's int4 tiles are laid out for the instruction set that packed them;
read under another one they are silently wrong), so the kept file's key holds the checkpoint's digest, the precision,
torch's version and the processor's capability. It is mapped, not read, and verified like any model.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from famulus.engine import manifest
from famulus.engine.checkpoint import Checkpoint
from famulus.engine.errors import BadWeights, StorageFailed
from famulus.engine.expert_usage import Usage
from famulus.engine.gpu_forms import FIELDS, as_experts, gpu_fields, gpu_weight
from famulus.engine.layers import Loaded, Model, Part
from famulus.engine.models import family
from famulus.engine.offload import Residency
from famulus.engine.packed import map_file, save_file
from famulus.engine.packed_room import HALF_MADE, PACKED, STAMPS, hold, make_room
from famulus.engine.source import Source, located
from famulus.kernels.convert import Grid
from famulus.kernels.cpu.library import ready
from famulus.kernels.moe import Experts
from famulus.kernels.pack import (
    GROUP,
    Weight,
    pack_nibbles,
    quantize_int4,
    quantize_int8,
    tile_int4,
    torch_int4,
    with_minimums,
)

LAYOUT = 5
"""Raised when what this file writes changes its meaning."""

CANONICAL = "int4 anywhere"
"""int4 in the one form that is the same for every processor: what training keeps a frozen model in."""

ROWS = 16
"""torch's int4 tiles hold this many rows."""

Progress = Callable[[str], None]


def load(
    checkpoint: Checkpoint,
    precision: str,
    kept: Path,
    progress: Progress,
    device: str = "cpu",
    resident: int = 0,
    *,
    w8a8: bool = False,
) -> Model:
    """The model of ``checkpoint`` in ``precision`` on ``device``: "int4+int8", "int4", "int8", "bf16" or "fp32" on a
    processor, those of :mod:`famulus.engine.gpu_forms` on a GPU.

    ``kept``: the folder of packed files. ``resident``: how many experts of each layer are on the device, the others
    wait in the processor's memory; 0: all. ``w8a8``: see :class:`famulus.engine.layers.Block`. Raises
    :class:`BadWeights` naming file and tensor.
    """
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    parts: dict[str, Part] = module.parts(args)
    compute = torch.float32 if precision == "fp32" else torch.bfloat16
    source = Source(checkpoint, located(checkpoint, lambda name: module.rename(name, args)), device != "cpu")
    if precision in ("bf16", "fp32"):
        found = dict(_pack(source, parts, precision, progress))
    else:
        found = _kept_or_packed(source, parts, precision, kept, progress)
    if device == "cpu":
        loaded = _assemble(found, parts)
    else:
        loaded = replace(_assemble_gpu(found, parts, precision, device, "cpu" if resident else device), w8a8=w8a8)
    if resident:
        count = max(part.experts for part in parts.values())
        usage = Usage(args.num_hidden_layers, count, kept.parent / "experts" / f"{checkpoint.digest[:32]}.json")
        loaded = replace(loaded, residency=Residency(torch.device(device), min(resident, count), usage))
    return module.build(args, loaded, compute)  # type: ignore[no-any-return]


def load_frozen(checkpoint: Checkpoint, kept: Path, progress: Progress, device: str = "cpu") -> Model:
    """The model of ``checkpoint`` in :data:`CANONICAL` int4 (table and head in int8) on ``device``, for training beside
    it. Raises :class:`BadWeights`."""
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    parts: dict[str, Part] = module.parts(args)
    source = Source(checkpoint, located(checkpoint, lambda name: module.rename(name, args)))
    found = _kept_or_packed(source, parts, CANONICAL, kept, progress)
    loaded = _assemble({name: tensor.to(device) for name, tensor in found.items()}, parts)
    return module.build(args, loaded, torch.bfloat16)  # type: ignore[no-any-return]


def load_parts(
    checkpoint: Checkpoint, parts: dict[str, Part], precision: str, progress: Progress, device: str = "cpu"
) -> Loaded:
    """Further parts of ``checkpoint`` on ``device``, such as heads that draft; nothing of them is kept on disk. Raises
    :class:`BadWeights`."""
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    source = Source(checkpoint, located(checkpoint, lambda name: module.rename(name, args)), device != "cpu")
    found = dict(_pack(source, parts, precision, progress))
    return _assemble(found, parts) if device == "cpu" else _assemble_gpu(found, parts, precision, device, device)


def _kept_or_packed(
    source: Source, parts: dict[str, Part], precision: str, kept: Path, progress: Progress
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
            found = map_file(folder / PACKED)
            hold(folder)
            return found
    except (BadWeights, SafetensorError):
        pass
    return None


def _keep(tensors: Iterator[tuple[str, Tensor]], folder: Path) -> dict[str, Tensor]:
    """Write the packed file whole or not at all, then use it mapped; one tensor at a time is in memory."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    building = Path(tempfile.mkdtemp(prefix=HALF_MADE, dir=folder.parent))
    try:
        save_file(tensors, building / PACKED)
        digest = manifest.sha256_of(building / PACKED)
        size = (building / PACKED).stat().st_size
        whole = manifest.FileDigest(size, digest)
        manifest.write(building, manifest.Manifest("packed", "", "", "", {PACKED: whole}))
        os.replace(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    found = map_file(folder / PACKED)
    hold(folder)
    make_room(folder.parent, folder)
    return found


def _pack(source: Source, parts: dict[str, Part], precision: str, progress: Progress) -> Iterator[tuple[str, Tensor]]:
    """(part/field, tensor) for every part."""
    for i, (name, part) in enumerate(parts.items()):
        progress(f"packing {i + 1} of {len(parts)} weights")
        if part.kind == "norm":
            yield f"{name}/dense", source.dense(part).float()
            continue
        found = _experts(source, part, precision) if part.kind == "experts" else _weight(source, part, precision)
        for field, tensor in found.items():
            yield f"{name}/{field}", tensor.contiguous()


def _experts(source: Source, part: Part, precision: str) -> dict[str, Tensor]:
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
            elif tensor.shape != stacks[field].shape[1:]:  # tiles: an expert of zeros, say, is symmetric by chance
                tensor, stacks[field] = with_minimums(tensor), with_minimums(stacks[field])
            stacks[field][e] = tensor
    return stacks


def _weight(source: Source, part: Part, precision: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    exact = torch.float32 if precision == "fp32" else torch.bfloat16
    if part.biases:
        biases = [source.tensor(n, (s[0],)) for n, s in zip(part.biases, part.shapes, strict=True)]
        found["bias"] = torch.cat(biases).to(exact)
    if precision in ("bf16", "fp32") or part.kind == "dense":
        return found | {"dense": source.dense(part).to(exact)}
    if source.gpu:
        return found | gpu_fields(source, part, precision)
    # The table and the head stay at 8 bits: few columns decide there, and the rows are gathered one by one.
    fine = part.kind != "linear" or part.shapes[0][1] % GROUP != 0
    grid = None if fine or "int4" not in precision else source.grid(part)
    dense = source.dense(part).float() if grid is None else grid.dense()
    if "int4" in precision and not fine:
        packed, scale, minimum = quantize_int4(dense) if grid is None else _canonical(grid)
        if precision == CANONICAL or (precision == "int4" and ready()):
            return found | {"tiles": tile_int4(packed, scale, minimum)}
        found["int4"], found["int4_scales"] = torch_int4(*(_pad_rows(t) for t in (packed, scale, minimum)))
    if "int8" in precision or fine:
        found["int8"], found["int8_scales"] = quantize_int8(dense, part.digits)
    return found


def _canonical(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Canonical int4 on the file's own grid: no second rounding."""
    small = grid.regrouped(GROUP)
    return pack_nibbles(small.values), small.scales.float(), small.minimums.float()


def _pad_rows(values: Tensor) -> Tensor:
    missing = -values.shape[0] % ROWS
    return torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing else values


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


def _assemble_gpu(found: dict[str, Tensor], parts: dict[str, Part], precision: str, device: str, apart: str) -> Loaded:
    """The same on a GPU; every tensor goes over once. ``apart``: where experts are; the processor's memory is pinned,
    so that they can be fetched while the GPU computes."""
    norms: dict[str, Tensor] = {}
    weights: dict[str, Weight] = {}
    experts: dict[str, Experts] = {}
    further = {} if apart != device else _further(found, parts)
    for name, part in parts.items():
        if part.kind == "norm":
            norms[name] = found.pop(f"{name}/dense").to(device)
            continue
        fields = {f: found.pop(f"{name}/{f}") for f in FIELDS if f"{name}/{f}" in found}
        if not fields:
            continue  # a shared expert that stands behind the others
        if name in further:
            fields = {f: _one_behind_the_other(tensor, further[name].pop(f), device) for f, tensor in fields.items()}
        if part.kind == "experts" and apart != device and torch.cuda.is_available():
            fields = {name: value.pin_memory() for name, value in fields.items()}
        weight = gpu_weight(part, precision, fields, torch.device(apart if part.kind == "experts" else device))
        if part.kind == "experts":
            experts[name] = Experts(weight)
        else:
            weights[name] = weight
    return Loaded(weights, norms, experts)


def _further(found: dict[str, Tensor], parts: dict[str, Part]) -> dict[str, dict[str, Tensor]]:
    """The shared experts that may stand behind the others, as these are, by the name of the part; they are taken out of
    ``found``."""
    layers: dict[str, dict[str, Part]] = {}
    for name, part in parts.items():
        if part.shared:
            layers.setdefault(name.partition(".")[0], {})[name] = part
    further: dict[str, dict[str, Tensor]] = {}
    for both in layers.values():
        cut = {name: _cut(found, name, part) for name, part in both.items()}
        if all(cut.values()):
            further |= cut
            for part in both.values():
                for field in FIELDS:
                    found.pop(f"{part.shared}/{field}", None)
    return further


def _cut(found: dict[str, Tensor], name: str, part: Part) -> dict[str, Tensor]:
    """A shared part as experts like those of the part; empty where it cannot be."""
    own = {f: found[f"{name}/{f}"] for f in FIELDS if f"{name}/{f}" in found}
    shared = {f: found[f"{part.shared}/{f}"] for f in FIELDS if f"{part.shared}/{f}" in found}
    cut = as_experts(part, shared) or {}
    alike = {f: (t.shape[1:], t.dtype) for f, t in cut.items()} == {f: (t.shape[1:], t.dtype) for f, t in own.items()}
    return cut if alike else {}


def _one_behind_the_other(first: Tensor, second: Tensor, device: str) -> Tensor:
    made = torch.empty((len(first) + len(second), *first.shape[1:]), dtype=first.dtype, device=device)
    made[: len(first)] = first
    made[len(first) :] = second
    return made
