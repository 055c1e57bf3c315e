"""A recipe → a frozen model with its changes, and back: the finished adapter in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from famulus.engine.catalog import Catalog
from famulus.engine.checkpoint import Checkpoint, open_checkpoint
from famulus.engine.decoder import Decoder
from famulus.engine.errors import InvalidRequest, ModelNotFound
from famulus.engine.folders import folders
from famulus.engine.layers import Part, embed
from famulus.engine.loader import load, load_frozen
from famulus.engine.models import family
from famulus.engine.stored import Stored
from famulus.engine.text import Tokenizer
from famulus.engine.training.adapter import write_adapter
from famulus.engine.training.changes import Changes, RoutedExperts, low_rank_changes
from famulus.engine.training.forward import Trained
from famulus.engine.training.recipe import Recipe


@dataclass(frozen=True)
class Started:
    """A run before its first step. ``licence``: of the base, as far as it is known."""

    trained: Trained
    tokenizer: Tokenizer
    checkpoint: Checkpoint
    parts: dict[str, Part]
    rename: Callable[[str], Stored]
    licence: str


def start(recipe: Recipe) -> Started:
    """Loads the base, dense or in 4 bits, and puts untrained changes beside it.

    Raises :class:`ModelNotFound`, :class:`BadWeights`, and :class:`InvalidRequest` for a base that the recipe does not
    fit.
    """
    catalog = Catalog()
    entry = catalog.find(recipe.base)
    path = catalog.path(entry)
    if path is None:
        fix = f"Run: famulus models pull {entry.id}"
        raise ModelNotFound(f"The model {entry.id} is not on this machine yet.", fix=fix)
    checkpoint = open_checkpoint(path)
    device = recipe.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    parts: dict[str, Part] = module.parts(args)
    kept = folders().cache / "packed"
    if recipe.precision == "int4":
        model = load_frozen(checkpoint, kept, lambda _: None, device)
    else:
        model = load(checkpoint, recipe.precision, kept, lambda _: None, device)
    if not isinstance(model, Decoder):
        raise InvalidRequest(f"Models of type {checkpoint.config['model_type']} cannot be trained yet.")
    tokenizer = Tokenizer.of(checkpoint)
    changes = _changes(recipe, model, parts, tokenizer, checkpoint)
    trained = Trained(model, changes.to(device), recipe.run.recompute, recipe.low_rank.rounded)
    return Started(trained, tokenizer, checkpoint, parts, lambda name: module.rename(name, args), entry.licence)


def _changes(
    recipe: Recipe, model: Decoder, parts: dict[str, Part], tokenizer: Tokenizer, checkpoint: Checkpoint
) -> Changes:
    size = recipe.low_rank
    updates = low_rank_changes(parts, size.targets, size.rank, size.alpha, recipe.seed)
    if not updates:
        raise InvalidRequest(f"{recipe.base} has no linear layer called {' or '.join(size.targets)}.")
    experts: dict[int, RoutedExperts] = {}
    if recipe.experts is not None:
        if checkpoint.config["model_type"] != "llama":
            raise InvalidRequest(f"Experts can be put beside Llama-like models only, and {recipe.base} is none.")
        g = torch.Generator().manual_seed(recipe.seed + 1)
        experts = {i: RoutedExperts(model.args.hidden_size, recipe.experts, g) for i in range(model.layers)}
    rows, ids = None, [tokenizer.special_id(name) for name in recipe.fill]
    known = [i for i in ids if i is not None]
    if len(known) < len(ids):
        missing = recipe.fill[ids.index(None)]
        raise InvalidRequest(f"{recipe.base} has no control token {missing!r}.")
    if known:
        rows = embed(torch.tensor(known, device=model.device), model.embedding).cpu()
    return Changes(updates, experts, rows, known)


def finish(started: Started, recipe: Recipe, folder: Path) -> None:
    """Writes what was trained as an adapter into ``folder``. Raises :class:`StorageFailed`."""
    config: dict[str, Any] = {}
    changes = started.trained.changes
    if recipe.experts is not None:
        layer = changes.layer(0)
        assert layer is not None
        config |= {
            "model_type": "famulus_moe",
            "num_experts": recipe.experts.count,
            "num_experts_per_tok": recipe.experts.cap,
            "moe_intermediate_size": recipe.experts.width,
            "router_top_p": round(float(layer.top_p), 6),
            "routed_scaling_factor": recipe.experts.scale,
        }
    if recipe.fill:
        config["fill"] = list(recipe.fill)
    write_adapter(
        folder,
        changes,
        started.parts,
        started.rename,
        base=recipe.base,
        base_digest=started.checkpoint.digest,
        rank=recipe.low_rank.rank,
        alpha=recipe.low_rank.alpha,
        targets=recipe.low_rank.targets,
        config=config,
        licence=started.licence,
    )
