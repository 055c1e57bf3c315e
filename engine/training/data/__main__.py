"""``python -m famulus.engine.training.data INTO``: build the corpus; what was fetched stays beside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from famulus.engine.training.data.build import build, summary


def main() -> None:
    """Fetches, cleans, splits and writes; a cut build fetches nothing twice."""
    parser = argparse.ArgumentParser(prog="python -m famulus.engine.training.data", description=__doc__)
    parser.add_argument("into", type=Path, help="folder of the corpus")
    parser.add_argument("--wheels", type=Path, help="folder of what is fetched (default: INTO/wheels)")
    said = parser.parse_args()
    sources = build(said.into, said.wheels or said.into / "wheels", lambda line: print(line, flush=True))
    print(json.dumps(summary(sources), indent=1))


if __name__ == "__main__":
    main()
