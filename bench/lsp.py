"""``famulus bench lsp [--peer llama.cpp]``: real functions typed key by key into an editor that runs ``famulus lsp``.

The server is the real one, over its standard input and output, with the engine of this user. The typist is seeded; at
human pace a key comes every 0.18 s in the median, in a burst every 0.04 s. At every key the open request is taken back
and completion asked for again, as editors do. Times are from the key to the suggestion. The peer answers the prompts of
some of the same keys with the same weights, greedily, its cache of the last prompt kept.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from famulus.bench.editor import Editor
from famulus.bench.peer import beside
from famulus.bench.replay import Replay, Typist, correct, parsed, saved
from famulus.bench.report import heading, median, percentile, table
from famulus.bench.typist import PAUSE, Function, functions, pauses
from famulus.engine.client import connect
from famulus.engine.hardware import cores

BURST = 0.04
"""Median seconds between two keys of a burst."""
COUNTED = (
    *("cancelled", "aborted_steps", "unwanted_chunks"),
    *("computed_tokens", "generated_tokens", "drafted_tokens", "accepted_tokens"),
)


async def replay(chosen: list[Function], pace: float, seed: int, home: Path | None) -> tuple[Replay, dict[str, float]]:
    """Type ``chosen`` with ``pace`` seconds between keys; also what the engine's counters rose by, and the server's
    memory in bytes."""
    result = Replay()
    with tempfile.TemporaryDirectory(prefix="fam") as folder, connect(home) as engine:
        engine.tokenize("x")
        editor = await Editor.start(Path(folder), home)
        typist = Typist(editor, result, Path(folder), pauses(seed, pace))
        before = engine.status()["stats"]  # a fresh engine has told of none yet
        for function in chosen:
            await typist.type(function)
        after = engine.status()["stats"]
        memory = editor.memory()
        await editor.stop()
    return result, {name: after[name] - before.get(name, 0.0) for name in COUNTED} | {"memory": float(memory)}


def report(columns: dict[str, tuple[Replay, dict[str, float]]]) -> str:
    """The table, a column for each pace."""
    rows = [[name for name, _, _ in _figures(*next(iter(columns.values())))]]
    rows += [[value for _, value, _ in _figures(*column)] for column in columns.values()]
    rows.append([goal for _, _, goal in _figures(*next(iter(columns.values())))])
    return table(["replay", *columns, "goal"], list(zip(*rows, strict=True)))


def _figures(result: Replay, engine: dict[str, float]) -> list[tuple[str, str, str]]:
    """Rows of name, value and goal."""
    answered = max(1, len(result.ghosts) + len(result.empty))
    sources = Counter(story["source"] for story in result.stories)
    asked = [story["total"] / 1000 for story in result.stories if story["source"] == "the engine"]
    unwanted = sum(not story["source"] for story in result.stories)
    earlier = sources["an earlier key's"] + sources["written ahead"]
    done = [story for story in result.stories if story["tokens"] and story["source"] != "type-through"]
    finished = sum(story["source"] != "an earlier key's" for story in done)
    # A request's last row of the prompt gives its first token: rows less tokens is one too few for each request.
    in_vain = engine["drafted_tokens"] - engine["accepted_tokens"]
    computed = engine["computed_tokens"] - in_vain - engine["generated_tokens"] + engine["cancelled"] + finished
    files = parsed(result.shown)
    (keys_saved, keys), shown = saved(result), max(1, len(result.shown))
    right = correct(result.shown)
    overtaken = sum(request.overtaken is not None for request in result.asked)
    return [
        ("keys typed", f"{result.keys}", ""),
        ("requests taken back by the next key", f"{overtaken}", ""),
        ("key to suggestion, p50 / p95", _pair(result.ghosts), "≤ 200 / 600 ms"),
        ("the same where the engine was asked anew", _pair(asked), ""),
        ("key to an empty answer, p50 / p95", _pair(result.empty), ""),
        ("first answer in a file (cold), p50", _ms(median(result.cold)), ""),
        ("answers: typed through", f"{sources['type-through'] / answered:.0%}", ""),
        ("answers: from what was written for an earlier key", f"{earlier / answered:.0%}", ""),
        ("answers: the engine was asked anew", f"{sources['the engine'] / answered:.0%}", ""),
        ("answers: nothing is wanted there", f"{unwanted / answered:.0%}", ""),
        ("answers that show something", f"{len(result.ghosts) / answered:.0%}", ""),
        ("shown and right to the last character", f"{right / shown:.0%}", ""),
        ("keys saved by whoever takes the right ones", f"{keys_saved / max(1, keys):.0%}", ""),
        ("prompt tokens computed per key", f"{computed / max(1, result.keys):.1f}", "≤ 5"),
        ("tokens generated per key", f"{engine['generated_tokens'] / max(1, result.keys):.1f}", ""),
        ("engine requests cancelled", f"{engine['cancelled']:.0f}", ""),
        ("engine steps abandoned", f"{engine['aborted_steps']:.0f}", ""),
        ("engine steps finished for nobody", f"{engine['unwanted_chunks']:.0f}", "0"),
        ("Python files that ast parses with what is shown", f"{files.good} of {files.judged}", ""),
        ("the others: lack the block of a head typed in part", f"{files.heads} of {files.judged - files.good}", "all"),
        ("stale inserts", f"{result.stale}", "0"),
        ("unanswered requests", f"{result.unanswered}", "0"),
        ("memory of the language server", f"{engine['memory'] / 1e6:.0f} MB", "≤ 150 MB"),
    ]  # fmt: skip


def _pair(seconds: Sequence[float]) -> str:
    return f"{_ms(median(seconds))} / {_ms(percentile(seconds, 0.95))}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds == seconds else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench lsp", description=__doc__)
    parser.add_argument("--functions", type=int, default=9, help="of these three in five at human pace")
    parser.add_argument("--pace", choices=["human", "burst", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", choices=["llama.cpp"], help="ask the peer the same in turns")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has llama-cpp-python")
    parser.add_argument("--peer-keys", type=int, default=48, help="keys at which both are asked")
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args(arguments)
    named = f" --functions {options.functions} --pace {options.pace} --seed {options.seed}"
    print(heading("famulus bench lsp" + named + (f" --peer {options.peer}" if options.peer else "")), flush=True)
    chosen = functions(options.functions, options.seed)
    human = len(chosen) * 3 // 5 if options.pace == "both" else len(chosen)
    parts = {"human": (chosen[:human], PAUSE), "burst": (chosen[human:] if options.pace == "both" else chosen, BURST)}
    columns = {}
    for pace, (part, pause) in parts.items():
        if options.pace in (pace, "both") and part:
            columns[f"{pace} pace"] = asyncio.run(replay(part, pause, options.seed, None))
    print(report(columns), flush=True)
    if options.peer:
        print("\n" + beside(chosen, options.seed, options.peer_python, options.threads, options.peer_keys))


if __name__ == "__main__":
    main()
