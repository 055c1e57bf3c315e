"""The peer of ``famulus bench lsp``: llama.cpp answers the language server's prompts, key by key in turns."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from famulus.bench.editor import Editor
from famulus.bench.engine_speed import Side, has_peer
from famulus.bench.report import median, percentile, table
from famulus.bench.typist import Function, keys
from famulus.engine.prompt import PromptCard, render
from famulus.engine.protocol import Infill
from famulus.engine.text import Tokenizer

STRETCH = 12
"""Keys in a row that both are asked at, so that either cache can hold what came before."""
LIMIT = 48
"""Tokens that either may write."""
NEIGHBOURHOOD = 48_000
"""Code points on each side of the cursor, as the language server sends them."""


@dataclass
class Rounds:
    """Seconds of each side at the same keys, and whether ours needed the engine."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)


def beside(chosen: list[Function], seed: int, python: str, threads: int, count: int) -> str:
    """The table of both sides."""
    if not has_peer(python):
        return "llama-cpp-python is not installed, so there is no peer (pip install 'famulus[bench]')."
    path, tokenizer, card = _model()
    if path is None:
        return f"llama.cpp needs a GGUF file, and {card.model} has none (famulus models use smollm2-135m-instruct)."
    side = Side(python, "llama.cpp", os.fspath(path), threads)
    try:
        version = side.ask({"do": "facts"})["version"]
        rounds = asyncio.run(_take_turns(chosen, seed, side, tokenizer, card, count))
    finally:
        side.close()
    asked = [(a, b) for a, b, s in zip(rounds.ours, rounds.theirs, rounds.sources, strict=True) if s == "the engine"]
    rows = [_row("every key", rounds.ours, rounds.theirs)]
    rows.append(_row("keys at which ours asked its engine", [a for a, _ in asked], [b for _, b in asked]))
    computed = f"{sum(rounds.computed) / max(1, len(rounds.computed)):.1f} of them computed"
    below = (
        f"\n{len(rounds.ours)} keys, {threads} threads. The peer reads the same tokens ({computed} a key, the rest "
        f"from its cache) and writes greedily to the end of the line, {LIMIT} tokens at the most. Ours answers from "
        "what it wrote for an earlier key where that still holds, and stops where a suggestion becomes unlikely."
    )
    columns = ["one after the other", "Famulus p50", "p95", f"llama.cpp ({version}) p50", "p95", "ratio"]
    return table(columns, rows) + "\n" + below


def _row(name: str, ours: list[float], theirs: list[float]) -> list[object]:
    def ms(seconds: float) -> str:
        return f"{1000 * seconds:.0f} ms"

    ratio = median(theirs) / median(ours) if ours else float("nan")
    shown = [ms(f(side)) for side in (ours, theirs) for f in (median, lambda values: percentile(values, 0.95))]
    return [name, *shown, f"{ratio:.2f}"]


async def _take_turns(
    chosen: list[Function], seed: int, side: Side, tokenizer: Tokenizer, card: PromptCard, count: int
) -> Rounds:
    dice, rounds = random.Random(seed), Rounds()
    breaks = [t for t in range(tokenizer.vocab_size) if "\n" in tokenizer.decode([t])]
    with tempfile.TemporaryDirectory(prefix="fam") as name:
        folder = Path(name)
        editor = await Editor.start(folder)
        for number in range(-(-count // STRETCH)):
            function = chosen[number % len(chosen)]
            typed = keys(function.body)
            first = dice.randrange(max(1, len(typed) - STRETCH))
            before = "".join(typed[:first])
            uri = (folder / f"{number}_{function.path}").as_uri()
            editor.open(uri, function.before + before + function.after)
            for step in range(-1, STRETCH):
                if step >= 0:
                    key = typed[first + step] if first + step < len(typed) else ""
                    editor.insert(uri, step + 2, _place(function.before + before), key)
                    before += key
                place = _place(function.before + before)
                prompt = Infill(
                    (function.before + before)[-NEIGHBOURHOOD:],
                    function.after[:NEIGHBOURHOOD],
                    path=str(folder / f"{number}_{function.path}"),
                    language="python",
                )
                tokens = render(prompt, tokenizer, card, LIMIT).tokens
                order = {"do": "complete", "tokens": tokens, "breaks": breaks, "limit": LIMIT}
                theirs = await asyncio.to_thread(side.ask, order)
                sent = asyncio.get_running_loop().time()
                await editor.complete(uri, place)[1]
                took = asyncio.get_running_loop().time() - sent
                if step < 0:
                    continue  # cold on both sides
                story = await editor.explain(uri, place)
                rounds.ours.append(took)
                rounds.theirs.append(theirs["seconds"])
                rounds.computed.append(int(theirs["computed"]))
                rounds.sources.append(story.get("source", ""))
            editor.close(uri)
        await editor.stop()
    return rounds


def _place(before: str) -> tuple[int, int]:
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def _model() -> tuple[Path | None, Tokenizer, PromptCard]:
    """The GGUF file (if it is one), tokenizer and card of the model that the engine serves."""
    from famulus.engine import hardware
    from famulus.engine.checkpoint import open_checkpoint
    from famulus.engine.served import choose, describe, model_size
    from famulus.engine.settings import load_settings

    settings = load_settings()
    choice = choose(settings)
    checkpoint = open_checkpoint(choice.path)
    tokenizer = Tokenizer.of(checkpoint)
    card = describe(checkpoint, choice.entry.id, tokenizer, hardware.select(settings, model_size(checkpoint)))
    file = choice.path if choice.path.is_file() else next(choice.path.glob("*.gguf"), None)
    return file, tokenizer, card
