"""Training itself: steps over packed sequences, a schedule, states on disk from which a cut run goes on."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from famulus.engine.training.changes import Changes
from famulus.engine.training.forward import Extra, Trained
from famulus.engine.training.packing import Packed, batch
from famulus.engine.training.recipe import Recipe, Steps
from famulus.engine.training.saved import Position, load, save


@dataclass(frozen=True)
class Report:
    """After a step. ``loss``: nats a token that counts; ``rate``: tokens a second; ``active``: experts a token met."""

    step: int
    steps: int
    loss: float
    rate: float
    active: float


Show = Callable[[Report], None]


def train(trained: Trained, packed: Packed, recipe: Recipe, folder: Path, show: Show) -> int:
    """Runs ``recipe`` over ``packed`` from where ``folder`` stands, and leaves the state there → steps done in all.

    A run whose time is up, or that is interrupted (:class:`KeyboardInterrupt` goes through), can be called again and
    goes on. Raises :class:`BadWeights` for a folder of another run.
    """
    run, changes = recipe.run, trained.changes
    device = trained.decoder.device
    changes.to(device).train()
    optimiser = torch.optim.AdamW(_groups(changes, run), lr=run.rate, betas=(0.9, 0.95), fused=True)
    digest = run_digest(recipe, packed)
    found = load(folder, changes, optimiser, digest)
    position = found or Position(digest, 0, 0.0, 0)
    began, before, step, tokens = time.monotonic(), position.seconds, position.step, position.tokens

    def seconds() -> float:
        return before + time.monotonic() - began

    try:
        while step < run.steps and not (run.minutes and seconds() > 60 * run.minutes):
            for group in optimiser.param_groups:
                group["lr"] = run.rate * group["factor"] * schedule(run, step)
            loss, active = _step(trained, optimiser, batch(packed, step, run.batch, recipe.seed), run, device)
            step, tokens = step + 1, tokens + run.batch * run.length
            show(Report(step, run.steps, loss, tokens / seconds(), active))
            if step % run.save_every == 0:
                save(folder, changes, optimiser, Position(digest, step, seconds(), tokens))
    finally:
        save(folder, changes, optimiser, Position(digest, step, seconds(), tokens))
    return step


def run_digest(recipe: Recipe, packed: Packed) -> str:
    """Names a run: its recipe, but for what may change when it goes on, and its data."""
    said = asdict(recipe)
    for free in ("minutes", "save_every", "micro", "recompute"):
        del said["run"][free]
    del said["device"]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    digest.update(packed.tokens.numpy().tobytes())
    return digest.hexdigest()


def schedule(run: Steps, step: int) -> float:
    """Share of the rate at a step."""
    if step < run.warmup:
        return (step + 1) / run.warmup
    if run.schedule == "cosine":
        done = (step - run.warmup) / max(1, run.steps - run.warmup)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    falling = run.decay * run.steps
    left = run.steps - step
    return 1.0 if left >= falling else left / falling


def _groups(changes: Changes, run: Steps) -> list[dict[str, object]]:
    """Routers and rows of the embedding are not pulled towards zero."""
    plain: list[Tensor] = []
    free: list[Tensor] = []
    for name, value in changes.named_parameters():
        (free if name.endswith("router") or name == "rows" else plain).append(value)
    groups = [
        {"params": plain, "weight_decay": run.weight_decay, "factor": 1.0},
        {"params": free, "weight_decay": 0.0, "factor": 1.0},
    ]
    return [g for g in groups if g["params"]]


def _step(
    trained: Trained,
    optimiser: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor],
    run: Steps,
    device: torch.device,
) -> tuple[float, float]:
    tokens, targets = (t.to(device) for t in data)
    counted = max(1, int((targets >= 0).sum()))
    optimiser.zero_grad(set_to_none=True)
    summed = 0.0
    with torch.enable_grad():
        for part, wanted in zip(torch.split(tokens, run.micro), torch.split(targets, run.micro), strict=True):
            extra = Extra()
            loss, _ = trained.loss(part, wanted, extra)
            whole = loss / counted
            if extra.router:
                whole = whole + run.z * torch.stack(extra.router).mean() * len(part) / len(tokens)
            whole.backward()  # type: ignore[no-untyped-call]
            summed += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(trained.changes.parameters(), run.clip)
    optimiser.step()
    return summed / counted, trained.changes.balance(run.balance)


@torch.no_grad()
def evaluate(trained: Trained, packed: Packed, micro: int) -> float:
    """Mean loss of ``packed``, nats a token that counts."""
    trained.changes.to(trained.decoder.device).eval()
    total, counted = 0.0, 0
    for tokens, targets in zip(torch.split(packed.tokens, micro), torch.split(packed.targets, micro), strict=True):
        where = trained.decoder.device
        loss, count = trained.loss(tokens.long().to(where), targets.long().to(where))
        total, counted = total + float(loss), counted + int(count)
    trained.changes.train()
    return total / max(1, counted)
