"""``python -m famulus.engine.training.evaluation CORPUS``: makes the items that models are compared on."""

from __future__ import annotations

import argparse
from pathlib import Path

from famulus.engine.training.evaluation.build import WANTED, make
from famulus.engine.training.evaluation.heldout import FILE, write


def main() -> None:
    """Fetches the held-out packages where the corpus lacks them, chooses, compares, writes."""
    parser = argparse.ArgumentParser(prog="python -m famulus.engine.training.evaluation", description=__doc__)
    parser.add_argument(
        "corpus", type=Path, help="what `python -m famulus.engine.training.data` built, or a new folder"
    )
    parser.add_argument("--wheels", type=Path, help="folder of what is fetched (default: CORPUS/wheels)")
    parser.add_argument("--into", type=Path, default=FILE, help="the file that is written")
    parser.add_argument("--count", type=int, default=WANTED, help="items of each kind")
    said = parser.parse_args()
    items = make(
        said.corpus, said.wheels or said.corpus / "wheels", lambda line: print(line, flush=True), None, said.count
    )
    write(items, said.into)
    print(f"{said.into}: {said.into.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
