"""Writing what was trained as an adapter's folder; see :mod:`famulus.engine.adapters` for its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from famulus.engine import manifest
from famulus.engine.adapters import BLOCKS, ROW_IDS, ROWS, WEIGHTS
from famulus.engine.checkpoint import ADAPTER
from famulus.engine.layers import Part
from famulus.engine.stored import Stored
from famulus.engine.training.changes import Changes, RoutedExperts
from famulus.kernels.pack import GROUP, pack_nibbles


def write_adapter(
    folder: Path,
    changes: Changes,
    parts: Mapping[str, Part],
    rename: Callable[[str], Stored],
    *,
    base: str,
    base_digest: str,
    rank: int,
    alpha: float,
    targets: tuple[str, ...],
    config: Mapping[str, Any] | None = None,
    licence: str = "",
) -> None:
    """The folder of the adapter, with a manifest, so that it is verified like any model.

    ``rename``: our name of a tensor → where the base keeps it. ``base``: catalog id or path of the model below it.
    ``config``: keys of the model's ``config.json`` that are other than the base's. Raises :class:`StorageFailed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": list(targets),
        "bias": "none",
        "inference_mode": True,
        "famulus": {"base_digest": base_digest, "config": dict(config or {})},
    }
    manifest.write_json(folder / ADAPTER, said)
    tensors = _tensors(changes, parts, rename)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / WEIGHTS)
    whole = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != manifest.NAME:
            whole[path.name] = manifest.FileDigest(path.stat().st_size, manifest.sha256_of(path))
    manifest.write(folder, manifest.Manifest(folder.name, f"trained on {base}", "", licence, whole))


def _tensors(changes: Changes, parts: Mapping[str, Part], rename: Callable[[str], Stored]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        key = name.replace(".", "_")
        if key in changes.low_rank:
            module = changes.low_rank[key]
            for place in module.down:  # type: ignore[union-attr]
                stored = rename(part.sources[int(place)])
                at = "base_model.model." + stored.name.removesuffix(".weight")
                found[f"{at}.lora_A.weight"] = _plain(module.down[place]).bfloat16()  # type: ignore[index]
                found[f"{at}.lora_B.weight"] = _in_its_order(_plain(module.up[place]), stored).bfloat16()  # type: ignore[index]
    for i in changes.experts:
        layer = changes.experts[i]
        assert isinstance(layer, RoutedExperts)
        found |= _experts(f"model.layers.{i}.mlp", layer)
    if changes.rows is not None:
        found[ROWS], found[ROW_IDS] = _plain(changes.rows), changes.row_ids.cpu()
    return found


def _in_its_order(rows: Tensor, stored: Stored) -> Tensor:
    """Rows of ours in the order in which the base stores them."""
    if stored.rows is None:
        return rows
    assert isinstance(stored.rows, list) and sorted(stored.rows) == list(range(len(rows))), "all rows, in some order"
    found = torch.empty_like(rows)
    found[torch.tensor(stored.rows)] = rows
    return found


def _experts(at: str, layer: RoutedExperts) -> dict[str, Tensor]:
    found = {
        f"{at}.gate.weight": _plain(layer.router),
        f"{at}.gate.e_score_correction_bias": layer.correction.detach().float().cpu(),
    }
    width = layer.shape.width
    for e in range(layer.shape.count):
        part = slice(e * width, (e + 1) * width)
        sides = {"gate_proj": layer.gate[part], "up_proj": layer.up[part], "down_proj": layer.down[:, part]}
        for side, values in sides.items():
            found[f"{at}.experts.{e}.{side}.weight{BLOCKS}"] = q4_1_blocks(_plain(values))
    return found


def _plain(values: Tensor) -> Tensor:
    return values.detach().float().cpu().contiguous()


def q4_1_blocks(weight: Tensor) -> Tensor:
    """[rows, columns] f32 → ggml's Q4_1 blocks [rows, columns / 32 * 20] uint8, rounded to the nearest on the grid that
    is stored (scale and minimum in f16)."""
    rows = weight.shape[0]
    groups = weight.view(rows, -1, GROUP)
    low, high = groups.amin(-1), groups.amax(-1)
    scale, minimum = ((high - low) / 15).half(), low.half()
    safe = torch.where(scale > 0, scale, torch.ones_like(scale)).float()
    values = ((groups - minimum.float()[..., None]) / safe[..., None]).round().clamp(0, 15).to(torch.uint8)
    packed = pack_nibbles(values.view(rows, -1)).view(rows, -1, GROUP // 2)
    heads = torch.stack([scale, minimum], -1).contiguous().view(torch.uint8).view(rows, -1, 4)
    return torch.cat([heads, packed], -1).view(rows, -1).contiguous()
