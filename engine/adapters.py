"""Adapters: what training adds to a model, in a small folder beside it.

A folder in PEFT's form (``adapter_config.json``, ``adapter_model.safetensors``) holds low-rank updates of linear layers
(Hu et al. 2021: ``W + scale · B A``). Ours may hold more under the key ``famulus`` of the configuration: another
``model_type`` with the keys that it needs, whole tensors of its own (4 bits as ggml's Q4_1 blocks), and new rows of
the embedding. Base and adapter together are one checkpoint: the loader merges, packs and keeps it like any other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from famulus.engine import manifest
from famulus.engine.catalog import Catalog
from famulus.engine.checkpoint import ADAPTER, Checkpoint, open_checkpoint
from famulus.engine.errors import BadWeights, ModelNotFound
from famulus.engine.ggml import FORMATS, dequantize
from famulus.engine.gguf import bad
from famulus.engine.shards import Shard, Tensor

WEIGHTS = "adapter_model.safetensors"
ROWS, ROW_IDS = "model.embed_tokens.rows", "model.embed_tokens.row_ids"
"""New rows of the embedding [n, hidden] and which tokens they belong to [n]."""

BLOCKS = ".q4_1"
"""What the name of a tensor ends with that is stored as Q4_1 blocks, [rows, bytes] uint8."""

_Q4_1 = next(form for form in FORMATS.values() if form.name == "Q4_1")
_LORA = re.compile(r"(?:base_model\.model\.)?(?P<name>.+)\.lora_(?P<side>[AB])\.(?:default\.)?weight")
_CHANGING = {
    "use_dora": (False,),
    "use_rslora": (False,),
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "modules_to_save": ([],),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
    "layers_to_transform": (),
    "trainable_token_indices": (),
}
"""Keys of PEFT's configuration that would change what is computed, with the values that we compute (and None)."""


DEPTH = 4
"""An adapter may stand on an adapter; this many at most."""


def open_adapted(path: Path, listed: manifest.Manifest | None) -> AdaptedCheckpoint:
    """The adapter in the folder ``path`` over its base, which its configuration names: a model of the catalog (by id or
    by the hub's name), or a path.

    Raises :class:`ModelNotFound` where the base is not on this machine, and :class:`BadWeights`.
    """
    deepest, below = path, path
    for _ in range(DEPTH):
        below = base_path(deepest)
        if not (below / ADAPTER).is_file():
            return AdaptedCheckpoint(path, open_checkpoint(base_path(path)), listed)
        deepest = below
    raise bad(path, f"stands on more than {DEPTH} other adapters")


def base_path(path: Path) -> Path:
    """Where the model lies that the adapter in ``path`` belongs to."""
    name = str(read_config(path)["base_model_name_or_path"])
    catalog = Catalog()
    known = next((e.id for e in catalog if name in (e.id, getattr(e.source, "repo", None))), name)
    beside = path / name
    try:
        entry = catalog.find(str(beside) if beside.exists() else known)
    except ModelNotFound as error:
        raise ModelNotFound(f"The adapter {path} belongs to {name!r}, which is not here.", fix=error.fix) from None
    found = catalog.path(entry)
    if found is None:
        raise ModelNotFound(
            f"The adapter {path} belongs to {entry.id}, which is not on this machine yet.",
            fix=f"Run: famulus models pull {entry.id}",
        )
    return found


def read_config(path: Path) -> dict[str, Any]:
    """``adapter_config.json``. Raises :class:`BadWeights` for one that is broken or asks for more than low-rank
    updates."""
    try:
        found = json.loads((path / ADAPTER).read_bytes())
    except OSError as error:
        raise bad(path / ADAPTER, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError):
        raise bad(path / ADAPTER, "is not valid JSON") from None
    if not isinstance(found, dict) or found.get("peft_type") != "LORA":
        raise bad(path / ADAPTER, "describes no low-rank adapter (peft_type LORA)")
    for key, allowed in _CHANGING.items():
        if found.get(key) is not None and found[key] not in allowed:
            raise bad(path / ADAPTER, f"asks for {key} = {str(found[key])[:80]!r}, which cannot be run yet")
    if not isinstance(found.get("base_model_name_or_path"), str):
        raise bad(path / ADAPTER, "does not say which model it belongs to (base_model_name_or_path)")
    rank, alpha = found.get("r"), found.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, (int, float)):
        raise bad(path / ADAPTER, "has no usable r and lora_alpha")
    return found


class AdaptedCheckpoint(Checkpoint):
    """``base`` with the adapter in the folder ``path`` applied."""

    def __init__(self, path: Path, base: Checkpoint, listed: manifest.Manifest | None) -> None:
        """Raises :class:`BadWeights` for an adapter that is broken or does not fit the base."""
        self.path, self.base = path, base
        said = read_config(path)
        ours = said.get("famulus") or {}
        self.scale = said["lora_alpha"] / said["r"]
        self._shard = Shard(path / WEIGHTS)
        self.config = base.config | ours.get("config", {})
        self.chat_template = base.chat_template
        wanted = ours.get("base_digest")
        if wanted is not None and wanted != base.digest:
            raise bad(path, f"was trained on other weights than those in {base.path}")
        self._updates: dict[str, dict[str, str]] = {}
        self._own: dict[str, str] = {}
        for stored in self._shard.entries:
            low_rank = _LORA.fullmatch(stored)
            if low_rank is not None:
                self._updates.setdefault(low_rank["name"] + ".weight", {})[low_rank["side"]] = stored
            elif stored not in (ROWS, ROW_IDS):
                self._own[stored.removesuffix(BLOCKS)] = stored
        self._check(set(base.names()))
        whole = listed.digest if listed else _digest(path)
        self.digest = hashlib.sha256(f"{base.digest}\0{whole}".encode()).hexdigest()
        self.check_embedding()

    def _check(self, known: set[str]) -> None:
        for name, sides in self._updates.items():
            if name not in known:
                raise bad(self.path, f"updates the tensor {name!r}, which {self.base.path} does not have")
            if set(sides) != {"A", "B"}:
                raise bad(self.path, f"holds only one side of the update of {name!r}")
            down, up = (self._shard.tensor(sides[s]).shape for s in "AB")
            if len(down) != 2 or len(up) != 2 or down[0] != up[1] or (up[0], down[1]) != self.base.raw(name).shape:
                raise bad(self.path, f"has an update of {name!r} of the shapes {up} and {down}")
        doubled = sorted(known & set(self._own))
        if doubled:
            raise bad(self.path, f"holds the tensor {doubled[0]!r}, which {self.base.path} has already")

    @property
    def tokenizer(self) -> Path | Mapping[str, Any]:
        return self.base.tokenizer

    def names(self) -> list[str]:
        return [*self.base.names(), *self._own]

    def has(self, name: str) -> bool:
        return name in self._own or self.base.has(name)

    def raw(self, name: str) -> Tensor:
        if name in self._own:
            found = self._shard.tensor(self._own[name])
            if not self._own[name].endswith(BLOCKS):
                return found
            weights = found.shape[-1] // _Q4_1.bytes * _Q4_1.weights
            return Tensor((*found.shape[:-1], weights), _Q4_1.name, found.data)
        if name in self._updates or (name == "model.embed_tokens.weight" and ROWS in self._shard.entries):
            return Tensor(*self._merged(name))
        return self.base.raw(name)

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        found = self.raw(name)
        if shape is not None and found.shape != shape:
            raise bad(self.path, f"has {name!r} of shape {found.shape} where {shape} is needed")
        if name not in self._own and found.dtype != "F32":
            return self.base.tensor(name, shape)
        return Tensor(found.shape, "F32", dequantize(_Q4_1, found.data)) if found.dtype == _Q4_1.name else found

    def _merged(self, name: str) -> tuple[tuple[int, ...], str, NDArray[np.float32]]:
        """Shape, type and values of a tensor of the base with what the adapter adds."""
        view = self.base.tensor(name)
        values = _floats(view).copy()
        if name in self._updates:
            down, up = (_floats(self._shard.tensor(self._updates[name][side])) for side in "AB")
            values += np.float32(self.scale) * (up @ down)
        else:
            ids = self._shard.tensor(ROW_IDS).data
            rows = _floats(self._shard.tensor(ROWS))
            if ids.shape != rows.shape[:1] or rows.shape[1] != values.shape[1] or ids.max() >= len(values):
                raise bad(self.path, "has rows of the embedding that do not fit the base")
            values[ids] = rows
        return view.shape, "F32", values


def _floats(view: Tensor) -> NDArray[np.float32]:
    if view.dtype == "BF16":
        return (view.data.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if view.dtype not in ("F32", "F16"):
        raise BadWeights(f"An adapter cannot be merged into weights stored as {view.dtype}.")
    return view.data.astype(np.float32)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for name in (ADAPTER, WEIGHTS):
        digest.update(manifest.sha256_of(path / name).encode())
    return digest.hexdigest()
