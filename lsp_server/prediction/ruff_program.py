"""Where ruff is, and what it is asked for at least; read by whoever runs it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from famulus.engine.errors import FamulusError

RULES = "F,E9"
SYNTAX = "invalid-syntax"


class RuffFailed(FamulusError):
    """Ruff could not be asked."""

    code, status = "ruff_failed", 500


def program() -> Path | None:
    """Ruff of our own environment; None if it is not there. Never one of the workspace."""
    found = shutil.which("ruff", path=str(Path(sys.executable).parent))
    return Path(found) if found else None
