"""The state of a run on disk: what it has learned, the optimiser's moments, how far it is. No pickle.

A state is a folder that appears whole or not at all; the one before stays until then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from famulus.engine import manifest
from famulus.engine.errors import BadWeights
from famulus.engine.training.changes import Changes
from famulus.engine.training.recipe import Recipe

STATE = "state"


@dataclass(frozen=True)
class Position:
    """``recipe``: of which run (a digest); ``step``: the next one; ``seconds`` and ``tokens`` so far."""

    recipe: str
    step: int
    seconds: float
    tokens: int


def save(folder: Path, changes: Changes, optimiser: torch.optim.Optimizer, position: Position) -> None:
    """Replaces the state in ``folder``. Raises :class:`StorageFailed` and :class:`OSError`."""
    building = folder / f".{STATE}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    tensors = {f"changes/{name}": value for name, value in changes.state_dict().items()}
    for name, value in changes.named_parameters():
        tensors |= {f"{key}/{name}": t for key, t in optimiser.state.get(value, {}).items()}
    save_file({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}, building / "tensors.safetensors")
    manifest.write_json(building / "position.json", asdict(position))
    old = folder / f".{STATE}-before"
    shutil.rmtree(old, ignore_errors=True)
    if (folder / STATE).exists():
        os.replace(folder / STATE, old)
    os.replace(building, folder / STATE)
    shutil.rmtree(old, ignore_errors=True)


def fixed(folder: Path, asked: str, recipe: Recipe, choose: Callable[[], Recipe]) -> Recipe:
    """``recipe`` with the steps that the run in ``folder`` began with; where there is none that was ``asked`` for the
    same, ``choose()``, which is written down and begins anew."""
    path = folder / "steps.json"
    try:
        known = json.loads(path.read_bytes())
        if known.pop("asked") == asked:
            return replace(recipe, run=replace(recipe.run, **known))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or a torn one
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = choose()
    manifest.write_json(path, {"asked": asked, "steps": found.run.steps, "warmup": found.run.warmup})
    return found


def load(folder: Path, changes: Changes, optimiser: torch.optim.Optimizer, recipe: str) -> Position | None:
    """Brings ``changes`` and ``optimiser`` to the state in ``folder``; None where there is none.

    Raises :class:`BadWeights` for the state of another recipe, or a broken one.
    """
    place = next((p for p in (folder / STATE, folder / f".{STATE}-before") if p.is_dir()), None)
    if place is None:
        return None
    try:
        position = Position(**json.loads((place / "position.json").read_bytes()))
        tensors = load_file(place / "tensors.safetensors")
    except Exception as error:
        raise BadWeights(f"The state of the run in {folder} is damaged ({error}).", fix="Start it anew.") from error
    if position.recipe != recipe:
        raise BadWeights(
            f"The run in {folder} was started with another recipe or other data.", fix="Name another folder."
        )
    own = {name.removeprefix("changes/"): t for name, t in tensors.items() if name.startswith("changes/")}
    changes.load_state_dict(own)
    for name, value in changes.named_parameters():
        moments: dict[str, Tensor] = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if f"{key}/{name}" in tensors:
                moments[key] = tensors[f"{key}/{name}"].to(value.device)
        if moments:
            optimiser.state[value] = moments
    return position
