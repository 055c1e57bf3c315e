"""What was measured, a line an item, in a file from which an evaluation that was cut goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from famulus.engine.errors import InvalidRequest
from famulus.engine.training.evaluation.heldout import FILE
from famulus.engine.training.evaluation.part import Part
from famulus.engine.training.evaluation.subject import Subject


class Kept:
    """``path`` begins with what the models and the items are. Raises :class:`InvalidRequest` for a file of others."""

    def __init__(self, path: Path, models: Sequence[str]) -> None:
        self._path = path
        items = hashlib.sha256(FILE.read_bytes()).hexdigest()
        head = json.dumps({"models": list(models), "items": items[:16]})
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
            if not lines:
                path.write_text(head + "\n", encoding="utf-8")
            elif lines[0] != head:
                raise InvalidRequest(f"{path} is of other models or items.", fix="Name another file.")
            self._found = {(part, number): rows for part, number, rows in map(json.loads, lines[1:])}
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{path} cannot be gone on with ({error}).", fix="Name another file.") from error

    def step(self, part: Part, number: int, models: Sequence[Subject]) -> None:
        """Item ``number`` of a part: what the file says of it, else it is measured and written down."""
        rows = self._found.get((part.name, number))
        if rows is not None:
            for at, values, size in rows:
                part.measures[at].add(values, size)
            return
        before = [measure.items for measure in part.measures]
        part.steps[number](models)
        rows = [
            (at, measure.values[-1], measure.sizes[-1])
            for at, measure in enumerate(part.measures)
            if measure.items > before[at]
        ]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([part.name, number, rows]) + "\n")
