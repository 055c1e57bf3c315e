"""``famulus bench review``: how many breaks the review finds, how many findings are wrong, and how long it takes.

All data is made from the sources of installed packages. Nothing of what is right is taken from the review's own code.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from famulus.bench import (
    review_breaks,
    review_culprit,
    review_noise,
    review_speed,
    review_surprise,
    review_witness,
)
from famulus.bench.report import heading

PARTS = ("breaks", "witness", "culprit", "noise", "speed", "surprise")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench review", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given again")
    parser.add_argument("--n", type=int, help="packages, functions, histories or commits, instead of the full number")
    parser.add_argument("--kinds", type=int, default=14, help="kinds of break, the rarest first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=int, nargs="?", const=40, default=0, help="show so many misses")
    parser.add_argument(
        "--state", type=Path, help="keeps what is done of the witnesses: a run that was stopped goes on"
    )
    parser.add_argument("--no-peers", action="store_true", help="do not ask griffe and basedpyright")
    options = parser.parse_args(arguments)
    n, seed, failures = options.n, options.seed, options.failures
    print(heading(f"famulus bench review --seed {seed}" + (f" --n {n}" if n else "")))
    for part in options.part or PARTS:
        started = time.perf_counter()
        print(f"\n### {part}\n", flush=True)
        if part == "breaks":
            text = review_breaks.report(n or 20, options.kinds, seed, failures, beside=not options.no_peers)
        elif part == "witness":
            text = review_witness.report(n or 500, seed, failures, options.state)
        elif part == "culprit":
            text = review_culprit.report(n or 20, seed, failures)
        elif part == "noise":
            text = review_noise.report(n or 100, seed, failures)
        elif part == "speed":
            text = review_speed.report(seed)
        else:
            text = review_surprise.report(n or 200, seed)
        print(f"{text}\n\n({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
