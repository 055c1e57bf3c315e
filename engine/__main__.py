"""The engine as front ends start it, detached: ``python -P -m famulus.engine``.

The worker takes over a second to import torch. So it is started first, with the standard library alone, and the server
gets ready beside it.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence

from famulus.engine.logs import configure
from famulus.engine.spawn import CORE, early_worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the detached engine. Exit status: 0 left, 1 failed, 4 another engine already runs."""
    parser = argparse.ArgumentParser(prog="famulus.engine")
    parser.add_argument("--port", type=int, help="also listen on 127.0.0.1")
    parser.add_argument("--model")
    parser.add_argument("--idle-exit", type=int, help="seconds; 0 for never")
    parser.add_argument("--core", help="FILE.py:CLASS in place of the engine's own core")
    parser.add_argument("--core-settings", help="JSON for that core")
    asked = parser.parse_args(arguments)
    configure(sys.stderr)
    with early_worker(asked.core or CORE) as worker:
        gc.disable()  # nothing of what is imported is garbage
        from famulus.engine.server import run_detached

        gc.freeze()
        gc.enable()
        return run_detached(asked, worker)


if __name__ == "__main__":
    sys.exit(main())
