"""``python -m famulus.engine.training RECIPE CORPUS INTO``: a whole run, where only torch and the tokenizer need be.

The data is packed once; the run goes on where it stands when it is started again; the adapter is written at every end,
also that of the time. With ``run.minutes`` as many steps are planned as fit into them, by the speed that is measured
first. ``log.jsonl`` has a line for every ten steps.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from famulus.engine.training import card
from famulus.engine.training.loop import Report, evaluate, run_digest, train
from famulus.engine.training.mixture import Mix, packed_corpus
from famulus.engine.training.packing import Packed
from famulus.engine.training.personal import fitted
from famulus.engine.training.recipe import Recipe, read_recipe
from famulus.engine.training.saved import fixed
from famulus.engine.training.start import finish, start

HELD = 64
"""Sequences of the validation packages that are measured before and after."""
ROUNDS = 6
"""How often a part of a step is timed before the number of steps is fixed."""


def main(arguments: list[str] | None = None) -> None:
    """Pack, train, write."""
    parser = argparse.ArgumentParser(prog="python -m famulus.engine.training", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("corpus", type=Path, help="what `python -m famulus.engine.training.data` built")
    parser.add_argument("into", type=Path, help="folder of the run")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that pack the data")
    parser.add_argument("--name", default="famulus-16e", help="what the card calls the adapter")
    parser.add_argument("--only-pack", action="store_true", help="pack the data and stop; the run takes it elsewhere")
    said = parser.parse_args(arguments)
    recipe = read_recipe(said.recipe)
    mix = Mix(recipe.run.length, recipe.fill, recipe.mix, seed=recipe.seed)
    began = time.monotonic()

    def data(split: str) -> Packed:
        return packed_corpus(recipe.base, said.corpus, split, mix, said.into / f"{split}.safetensors", said.workers)

    learned, held = data("train"), data("validation")
    held = Packed(held.tokens[:HELD], held.targets[:HELD])
    print(f"{len(learned)} sequences, {learned.counted} tokens count; {time.monotonic() - began:.0f} s", flush=True)
    if said.only_pack:
        return
    started = start(recipe)
    asked = run_digest(recipe, learned)

    def planned() -> Recipe:
        return fitted(started.trained, learned, recipe, ROUNDS) if recipe.run.minutes else recipe

    recipe = fixed(said.into / "run", asked, recipe, planned)
    steps, batch = recipe.run.steps, recipe.run.batch * recipe.run.length
    print(f"{steps} steps of {batch} tokens, {steps * batch / 1e6:.1f} million", flush=True)
    before = evaluate(started.trained, held, recipe.run.micro)
    print(f"validation before: {before:.4f} nats a token", flush=True)
    with (said.into / "log.jsonl").open("a", encoding="utf-8") as log:

        def show(report: Report) -> None:
            if report.step % 10 == 0 or report.step == 1:
                log.write(json.dumps(vars(report)) + "\n")
                log.flush()
                print(report, flush=True)

        try:
            train(started.trained, learned, recipe, said.into / "run", show)
        finally:
            finish(started, recipe, said.into / "adapter")
    after = evaluate(started.trained, held, recipe.run.micro)
    print(f"validation after: {after:.4f} nats a token ({after / before - 1:+.1%})", flush=True)
    lines = [json.loads(line) for line in (said.into / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    told = {"licence": started.licence, "base_digest": started.checkpoint.digest}
    text = card.card(said.name, recipe, said.corpus, lines, (before, after), **told)
    card.put(said.into / "adapter", text)


if __name__ == "__main__":
    main()
