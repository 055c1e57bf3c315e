"""Learning from a user's own files: documents → items → a short run → whether it helped."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from famulus.engine.prompt import PromptCard
from famulus.engine.templates import FillFormat
from famulus.engine.text import Tokenizer
from famulus.engine.training.corpus import Document
from famulus.engine.training.forward import Trained
from famulus.engine.training.infilling import infilling
from famulus.engine.training.loop import evaluate
from famulus.engine.training.packing import Item, Packed, pack
from famulus.engine.training.recipe import Recipe

HELD = 0.1
"""Share of the documents that are measured on and not learned from."""
HELD_SEQUENCES = 16
"""As many are measured: before and after a run they take about a tenth of its time."""
EPOCHS = 2
MARGIN = 0.95
"""Of the time is planned, so that the schedule comes to its end."""


@dataclass(frozen=True)
class Measured:
    """``loss`` in nats a token; ``bits`` a byte of text."""

    loss: float
    bits: float


def items(documents: Sequence[Document], tokenizer: Tokenizer, fill: FillFormat | None, seed: int) -> list[Item]:
    """Every document as it stands, and where the model has marks for it, holes: about one for each 40 lines."""
    chance = random.Random(seed)
    found = [Item(tokenizer.encode(document.text)) for document in documents]
    if fill is not None:
        card = PromptCard("", 1 << 20, 512, None, fill)
        for document in documents:
            others = [d for d in documents if d is not document]
            for _ in range(1 + document.text.count("\n") // 40):
                made = infilling(document, others, tokenizer, card, chance)
                if made is not None:
                    found.append(made)
    chance.shuffle(found)
    return found


def measure(trained: Trained, documents: Sequence[Document], tokenizer: Tokenizer, recipe: Recipe) -> Measured:
    """Bits per byte of the beginnings of ``documents``."""
    length = recipe.run.length
    packed: list[Packed] = []
    size = 0
    for document in documents[:HELD_SEQUENCES]:
        tokens = tokenizer.encode(document.text)[:length]
        size += len(tokenizer.decode(tokens[1:]).encode())
        packed.append(pack([Item(tokens)], length, _end(tokenizer)))
    both = Packed(torch.cat([p.tokens[:1] for p in packed]), torch.cat([p.targets[:1] for p in packed]))
    loss = evaluate(trained, both, recipe.run.micro)
    return Measured(loss, loss * both.counted / math.log(2) / max(1, size))


def fitted(trained: Trained, packed: Packed, recipe: Recipe, rounds: int = 1) -> Recipe:
    """``recipe`` with as many steps as its minutes allow, at most :data:`EPOCHS` times over the data; how long one
    takes is measured: the quickest of ``rounds``, as a GPU's first are slow."""
    run = recipe.run
    most = max(1, EPOCHS * len(packed) // run.batch)
    if not run.minutes:
        return replace(recipe, run=replace(run, steps=min(run.steps, most)))
    where = trained.decoder.device
    tokens, targets = (t[: run.micro].long().to(where) for t in (packed.tokens, packed.targets))
    taken = []
    for _ in range(rounds):
        began = time.monotonic()
        with torch.enable_grad():
            loss, _ = trained.loss(tokens, targets)
            loss.backward()  # type: ignore[no-untyped-call]
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        taken.append(time.monotonic() - began)
    trained.changes.zero_grad(set_to_none=True)
    trained.changes.balance(0.0)  # forget whom these tokens met
    step = min(taken) * run.batch / run.micro
    steps = max(1, min(most, int(MARGIN * 60 * run.minutes / step)))
    return replace(recipe, run=replace(run, steps=steps, warmup=min(run.warmup, max(1, steps // 10))))


def packed_items(
    documents: Sequence[Document], tokenizer: Tokenizer, fill: FillFormat | None, recipe: Recipe
) -> Packed:
    """What a run over ``documents`` learns from."""
    return pack(items(documents, tokenizer, fill, recipe.seed), recipe.run.length, _end(tokenizer))


def _end(tokenizer: Tokenizer) -> int:
    return min(tokenizer.eos_ids)
