"""The replay of ``famulus bench lsp``: a typist at an editor, and everything that can be counted while she types."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.bench.editor import Editor, Reply
from famulus.bench.typist import Function, keys

PATIENCE = 10.0
"""Seconds after the last key in which every request must have been answered."""
SHORTEST = 3
"""Characters; a shorter suggestion saves nothing."""


@dataclass
class Shown:
    """A suggestion that arrived while its key was the newest. ``typed``: characters of the body so far."""

    function: Function
    typed: int
    text: str


@dataclass
class Asked:
    """A request: when it was sent, when the next key made it useless, and its answer."""

    at: float
    function: Function
    place: tuple[int, int]
    typed: int
    cold: bool
    overtaken: float | None = None
    reply: Reply | None = None


@dataclass
class Replay:
    """What happened. Times in seconds."""

    keys: int = 0
    asked: list[Asked] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    stories: list[dict[str, Any]] = field(default_factory=list)
    """What the server said of each request that it answered in time."""
    misplaced: int = 0
    """Suggestions with a range that is not at the cursor."""
    ghosts: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        """Requests without any answer."""
        return sum(asked.reply is None for asked in self.asked)

    @property
    def stale(self) -> int:
        """Suggestions for a text of which the server knew that it is gone, as it had answered a newer request already;
        and those at another place than the cursor."""
        late, newest = 0, float("inf")
        for asked in reversed(self.asked):
            if asked.reply is not None:
                late += bool(items(asked.reply)) and asked.reply.at > newest
                newest = min(newest, asked.reply.at)
        return late + self.misplaced


class Typist:
    """Types functions into their files, one after the other, and asks for completion at every key."""

    def __init__(self, editor: Editor, replay: Replay, folder: Path, pauses: Iterator[float]) -> None:
        self._editor, self._replay, self._folder, self._pauses = editor, replay, folder, pauses
        self._open: list[tuple[Asked, int, asyncio.Task[None]]] = []
        self._beside: set[asyncio.Task[None]] = set()

    async def type(self, function: Function) -> None:
        """Open the file, wait for the first answer, then all keys of one function."""
        uri = (self._folder / function.path).as_uri()
        line, column = function.before.count("\n"), len(function.before.rpartition("\n")[2])
        self._editor.open(uri, function.before + function.after)
        self._ask(function, uri, (line, column), 0, cold=True)
        await self._open[-1][2]
        typed = 0
        for version, key in enumerate(keys(function.body), 2):
            self._overtake()
            self._editor.insert(uri, version, (line, column), key)
            self._replay.keys += 1
            typed += len(key)
            line, column = _after(line, column, key)
            self._ask(function, uri, (line, column), typed, cold=False)
            await asyncio.sleep(next(self._pauses))
        pending = [task for _, _, task in self._open]
        if pending:
            await asyncio.wait(pending, timeout=PATIENCE)
        if self._beside:
            await asyncio.wait(self._beside, timeout=PATIENCE)
        self._open.clear()
        self._editor.close(uri)

    def _ask(self, function: Function, uri: str, place: tuple[int, int], typed: int, cold: bool) -> None:
        asked = Asked(time.perf_counter(), function, place, typed, cold)
        number, reply = self._editor.complete(uri, place)
        self._replay.asked.append(asked)
        self._open.append((asked, number, asyncio.create_task(self._note(asked, uri, reply))))

    def _overtake(self) -> None:
        """A key is about to be typed: what is open is not wanted any more, and the server is told so."""
        self._open = [entry for entry in self._open if entry[0].reply is None]
        for asked, number, _ in self._open:
            if asked.overtaken is None:
                asked.overtaken = time.perf_counter()
                self._editor.cancel(number)

    async def _note(self, asked: Asked, uri: str, reply: asyncio.Future[Reply]) -> None:
        asked.reply = answer = await reply
        if asked.overtaken is not None:
            return
        took = answer.at - asked.at
        found = items(answer)
        for item in found:
            start, end = item["range"]["start"], item["range"]["end"]
            here = (start["line"], start["character"])
            self._replay.misplaced += here != asked.place or end["line"] != start["line"]
        if asked.cold:
            self._replay.cold.append(took)
        elif found:
            self._replay.ghosts.append(took)
        else:
            self._replay.empty.append(took)
        if found:
            self._replay.shown.append(Shown(asked.function, asked.typed, found[0]["insertText"]))
        story = asyncio.create_task(self._explain(asked, uri))
        self._beside.add(story)
        story.add_done_callback(self._beside.discard)

    async def _explain(self, asked: Asked, uri: str) -> None:
        story = await self._editor.explain(uri, asked.place)
        if (story.get("line"), story.get("column")) == asked.place and not asked.cold:
            self._replay.stories.append(story)


def items(reply: Reply) -> list[dict[str, Any]]:
    """The suggestions of an answer."""
    result = reply.result
    found = result.get("items", []) if isinstance(result, dict) else result
    return found or []


@dataclass(frozen=True)
class Parsed:
    """Suggestions for Python files, by what Python's own parser says of them."""

    judged: int
    """Those shown in a file that parses but for the cursor's line: it does with ``pass`` instead of that line."""
    good: int
    """Of these, those with which the file parses exactly as it then stands."""
    heads: int
    """Of the others, those that only lack the block of a head that the typist herself had begun."""


def parsed(shown: list[Shown]) -> Parsed:
    """What becomes of the files if the suggestions are inserted."""
    judged = good = heads = 0
    for one in shown:
        before, after = one.function.before + one.function.body[: one.typed], one.function.after
        line = before.rpartition("\n")[2]
        indent = line[: len(line) - len(line.lstrip())]
        if not _parses(f"{before[: len(before) - len(line)]}{indent}pass{after}"):
            continue
        judged += 1
        if _parses(before + one.text + after):
            good += 1
        elif line.strip() and "\n" not in one.text:
            heads += _parses(f"{before}{one.text}\n{indent}    pass{after}")
    return Parsed(judged, good, heads)


def saved(replay: Replay) -> tuple[int, int]:
    """Keys that a person would have saved who takes every suggestion that is all right, each for one key; and all."""
    right: dict[tuple[str, int], int] = {}
    for one in replay.shown:
        rest = one.function.body[one.typed :]
        if len(one.text) >= SHORTEST and rest.startswith(one.text):
            right[one.function.name, one.typed] = len(one.text)
    taken, position, name = 0, 0, ""
    for asked in replay.asked:
        if asked.function.name != name:
            name, position = asked.function.name, 0
        length = right.get((name, asked.typed), 0)
        if length and asked.typed >= position:
            text = asked.function.body[asked.typed : asked.typed + length]
            taken += len(keys(text)) - 1
            position = asked.typed + length
    return max(0, taken), replay.keys


def correct(shown: list[Shown]) -> int:
    """Suggestions of which every character is what the author wrote."""
    return sum(one.function.body[one.typed :].startswith(one.text.rstrip()) for one in shown)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _after(line: int, column: int, text: str) -> tuple[int, int]:
    """The place behind ``text``, typed at a place."""
    breaks = text.count("\n")
    return (line + breaks, len(text) - text.rfind("\n") - 1) if breaks else (line, column + len(text))
