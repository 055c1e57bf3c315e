"""Ghost text in notebooks: the line that a model would write next, for front ends without an extension of ours.

Off until ``%famulus ghost on``. The line is computed in the background, by an engine that already runs, and shown only
where it is there when the front end asks: marked in the menu of Tab, and as the first answer to JupyterLab's history
provider of inline completions. While it is off, both are ipykernel's own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.engine.client import connect, infill
from famulus.engine.errors import FamulusError
from famulus.engine.generation import Generation

TYPE = "famulus"
"""What the line is called among the kinds of completions."""
TYPES = "_jupyter_types_experimental"
LINE_TOKENS = 48
DEADLINE_SECONDS = 10.0
CELLS, CHARACTERS = 12, 6000
"""How much of the notebook the model reads."""
INLINE = 100
"""The number of entries that JupyterLab's provider asks for, whose answers are shown as they come."""
_STARS = re.compile(r"\[[?*[]\]|[?*[]")


@dataclass(frozen=True)
class Place:
    """Where the cursor is: after the code of earlier cells and ``begin`` of this one, before ``rest``."""

    begin: str
    rest: str = ""


class Ghost:
    """What one kernel has guessed. One guess is under way at a time, for the newest place. Safe from any thread."""

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._cells: tuple[str, ...] = ()
        self._text = ""
        self._wanted: Place | None = None
        self._turn = 0
        self._busy = False
        self._answer: Generation | None = None

    def stop(self) -> None:
        """A cell is executed: what was guessed and what is being guessed is of no use any more."""
        with self._lock:
            self._turn += 1
            self._wanted, self._text, self._busy = None, "", False
            answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def look_ahead(self, cells: Sequence[str]) -> None:
        """Guess how the cell after ``cells`` begins."""
        with self._lock:
            self._cells = tuple(cells)
        self._guess(Place(""), lane="idle")

    def in_menu(self, reply: dict[str, Any], code: str, cursor: int) -> dict[str, Any]:
        """``reply`` to a request for completions, with the guessed line if there is one for this place."""
        line = self._continued(Place(code[:cursor], code[cursor:]))
        start, end = reply["cursor_start"], reply["cursor_end"]
        match = code[start:cursor] + line
        if not line or end != cursor or match in reply["matches"]:
            return reply
        mark = {"start": start, "end": end, "text": match, "type": TYPE, "signature": ""}
        metadata = {**reply["metadata"], TYPES: [*reply["metadata"].get(TYPES, ()), mark]}
        return {**reply, "matches": [*reply["matches"], match], "metadata": metadata}

    def in_history(self, reply: dict[str, Any], pattern: str, most: int | None) -> dict[str, Any]:
        """``reply`` to a search for ``pattern`` and ``most`` entries, with the guessed line before them if it is the
        provider of inline completions that asks."""
        begin = prefix_of(pattern) if most == INLINE else ""
        line = self._continued(Place(begin)) if begin else ""
        return {**reply, "history": [(0, 0, begin + line), *reply["history"]]} if line else reply

    def _continued(self, place: Place) -> str:
        """How the line goes on at ``place`` as far as that is known now; where it is not, it will be guessed."""
        if place.rest.partition("\n")[0].strip():
            return ""
        with self._lock:
            known = self._text
        # The history is asked for a line, whatever stands above it in the cell.
        for text in (known, known.rpartition("\n")[2]):
            if text.startswith(place.begin) and len(text) > len(place.begin):
                return text[len(place.begin) :]
        if known != place.begin:
            self._guess(place, lane="key")
        return ""

    def _guess(self, place: Place, lane: str) -> None:
        with self._lock:
            self._wanted = place
            if self._busy:
                return
            self._busy = True
            arguments = (self._turn, lane)
        threading.Thread(target=self._work, args=arguments, name="famulus-ghost", daemon=True).start()

    def _work(self, turn: int, lane: str) -> None:
        """Guess until nothing newer is wanted, or a cell is executed."""
        while True:
            with self._lock:
                place, self._wanted = self._wanted, None
                if turn != self._turn:
                    return
                if place is None:
                    self._busy = False
                    return
                cells = self._cells
            line = self._ask(turn, lane, cells, place)
            with self._lock:
                if turn != self._turn:
                    return
                if line.strip():
                    self._text = place.begin + line

    def _ask(self, turn: int, lane: str, cells: Sequence[str], place: Place) -> str:
        """The rest of the line at ``place``; "" where no engine runs, or it has nothing to say."""
        prompt = infill(before(cells) + place.begin, place.rest, path="notebook.py", language="python", max_lines=1)
        try:
            with (
                connect(self._home, start=False) as engine,
                engine.generate(
                    prompt, max_tokens=LINE_TOKENS, temperature=0.0, lane=lane, deadline=DEADLINE_SECONDS
                ) as answer,
            ):
                with self._lock:
                    if turn != self._turn:
                        return ""
                    self._answer = answer
                text = answer.read()
        except FamulusError:
            return ""
        text = text if place.begin else text.lstrip("\n")
        return text.partition("\n")[0].rstrip()


def before(cells: Sequence[str]) -> str:
    """The end of the notebook as the model reads it: cells with an empty line between them. What are no cells of Python
    (magics, commands of the shell) is left out."""
    kept = [cell.strip() for cell in cells if cell.strip() and "get_ipython()." not in cell]
    text = "\n\n".join(kept[-CELLS:])[-CHARACTERS:]
    return text + "\n\n" if text else ""


def prefix_of(pattern: str) -> str:
    """The text of a pattern that is some text and a star; "" for any other. A sign in brackets stands for itself."""
    text, star = pattern[:-1], pattern[-1:]
    if star != "*" or any(len(found.group()) == 1 for found in _STARS.finditer(text)):
        return ""
    return _STARS.sub(lambda found: found.group()[1], text)
