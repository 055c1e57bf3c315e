"""How a words cell is treated: for the session with ``%famulus mode``, for one cell in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODES = {
    "auto": "the code is tried on a copy, then run",
    "confirm": "you are asked before the code is run",
    "show": "the code is shown and not run",
    "freeze-on-run": "the code is run and takes the place of the words",
}


def of_cell(metadata: Mapping[str, Any], session: str) -> str:
    """The mode that the cell's metadata names (``{"famulus": {"mode": "show"}}``), else that of the session."""
    ours = metadata.get("famulus")
    named = ours.get("mode") if isinstance(ours, Mapping) else None
    return named if isinstance(named, str) and named in MODES else session
