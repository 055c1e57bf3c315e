"""Why something or nothing was shown: what each step decided and how long it took, and what was sent to the model."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from famulus.engine.protocol import Infill, Timing, Usage

SOURCES = {
    "type-through": "a suggestion that was shown already and is being typed",
    "an earlier key's": "what was written for an earlier key",
    "written ahead": "what was written ahead, as if the last suggestion were accepted",
    "the engine": "the engine, asked for this place",
}
KEPT = 64
"""Explanations that a session remembers, the latest places."""


@dataclass
class Explanation:
    """The last decision at one place of a document. ``line`` and ``column`` count code points from 0; times are
    milliseconds and 0 where a step did not happen."""

    uri: str
    version: int
    line: int
    column: int
    outcome: str = "still at work"
    """One phrase: shown, or why not."""
    gate: str = ""
    source: str = ""
    """Where the text came from; see :data:`SOURCES`."""
    delay: float = 0.0
    context: float = 0.0
    first_text: float = 0.0
    engine: float = 0.0
    filters: float = 0.0
    total: float = 0.0
    timing: Timing = field(default_factory=Timing)
    usage: Usage = field(default_factory=Usage)
    """All 0 where it is not known: the engine tells it at the end."""
    confidence: float | None = None
    threshold: float | None = None
    candidates: list[Judged] = field(default_factory=list)
    pieces: list[tuple[str, str, float, int]] = field(default_factory=list)
    """Of each piece of context: path, source, score, characters."""
    prompt: Infill | None = None

    def like(self, origin: Explanation | None) -> None:
        """What is shown again was made as ``origin`` tells: take its prompt, tokens and context from there."""
        if origin is not None:
            self.prompt, self.pieces, self.usage = origin.prompt, origin.pieces, origin.usage

    def data(self) -> dict[str, Any]:
        """For programs: the plain values; ``tokens`` is None where they are not known."""
        names = ("version", "line", "column", "outcome", "gate", "source", "delay", "context", "first_text", "engine",
                 "filters", "total", "confidence", "threshold")  # fmt: skip
        used = self.usage
        known = {"prompt": used.prompt, "cached": used.cached, "generated": used.generated} if used.prompt else None
        dropped = [judged.dropped for judged in self.candidates if judged.dropped is not None]
        return {name: getattr(self, name) for name in names} | {"tokens": known, "dropped": dropped}

    def markdown(self) -> str:
        """For people."""
        lines = [f"**{self.outcome}** (line {self.line + 1}, column {self.column + 1}, version {self.version})", ""]
        lines.append(f"- gate: {self.gate or 'was not asked'}")
        if self.source:
            lines.append(f"- text from: {SOURCES.get(self.source, self.source)}")
        if self.confidence is not None:
            lines.append(f"- confidence: {self.confidence:.2f}; shown from {self.threshold or 0:.2f} on")
        for judged in self.candidates:
            lines.append(f"- candidate: {judged.sentence()}")
        lines += [f"- time: {self._times()}"]
        if self.usage.prompt:
            computed = self.usage.prompt - self.usage.cached
            lines.append(
                f"- tokens: {self.usage.prompt} of prompt ({self.usage.cached} from the cache, {computed} computed), "
                f"{self.usage.generated} written"
            )
        elif self.prompt is not None:
            lines.append("- tokens: not known, as the stream was ended early, before the engine told")
        lines += [f"- context: {path} ({source}, {score:.2f})" for path, source, score, _ in self.pieces]
        return "\n".join(lines)

    def _times(self) -> str:
        parts = {
            "waited before asking": self.delay,
            "context": self.context,
            "queue": self.timing.queue,
            "first text": self.first_text,
            "engine": self.engine,
            "filters": self.filters,
        }
        split = ", ".join(f"{name} {value:.0f} ms" for name, value in parts.items() if value >= 0.5)
        return f"{self.total:.0f} ms in all" + (f" ({split})" if split else "")


@dataclass(frozen=True)
class Judged:
    """A candidate and what became of it."""

    written: str
    shown: str
    confidence: float
    cuts: tuple[str, ...]
    dropped: str | None

    def sentence(self) -> str:
        """One line of Markdown."""
        parts = [f"{_code(self.written)} with confidence {self.confidence:.2f}"]
        if self.dropped is not None:
            parts.append(f"dropped: {self.dropped}")
        elif self.shown != self.written:
            parts.append(f"cut to {_code(self.shown)}")
        if self.cuts:
            parts.append("filters: " + ", ".join(self.cuts))
        return "; ".join(parts)


class Explanations:
    """The latest ones of a session, one for each place."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int], Explanation] = OrderedDict()

    def add(self, explanation: Explanation) -> None:
        """Remember the newest for its place; the oldest place is forgotten."""
        key = (explanation.uri, explanation.line, explanation.column)
        self._kept.pop(key, None)
        self._kept[key] = explanation
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def at(self, uri: str, line: int, column: int) -> Explanation | None:
        """The one for a place."""
        return self._kept.get((uri, line, column))

    def latest(self, uri: str) -> Explanation | None:
        """The newest for a document."""
        return next((e for e in reversed(self._kept.values()) if e.uri == uri), None)


def prompt_markdown(explanation: Explanation, tokens: dict[str, int]) -> str:
    """What was sent: every part in a fence of its own, with its tokens where ``tokens`` knows them by name."""
    prompt = explanation.prompt
    if prompt is None:
        return f"No prompt was sent here: {explanation.outcome}."
    lines = [
        "The engine fits these parts to its budget: the farthest lines and the lowest ranked pieces go first.",
        _read(explanation.usage),
    ]
    parts = [(f"context {n + 1}: {piece.path}", piece.text) for n, piece in enumerate(prompt.pieces)]
    parts += [("before the cursor", prompt.prefix), ("after the cursor", prompt.suffix)]
    for name, text in parts:
        count = f", {tokens[name]} tokens" if name in tokens else ""
        lines += ["", f"### {name} ({len(text)} characters{count})", "", *_fenced(text)]
    return "\n".join(lines)


def _read(usage: Usage) -> str:
    if not usage.prompt:
        return "How many tokens it read is not known: the stream was ended early, before the engine told."
    return f"It read {usage.prompt} tokens, {usage.cached} of them from its cache."


def part_texts(prompt: Infill) -> dict[str, str]:
    """The parts by the names that :func:`prompt_markdown` gives them."""
    pieces = {f"context {n + 1}: {piece.path}": piece.text for n, piece in enumerate(prompt.pieces)}
    return pieces | {"before the cursor": prompt.prefix, "after the cursor": prompt.suffix}


def _fenced(text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, text.rstrip("\n"), fence]


def _code(text: str) -> str:
    line = text.strip("\n").replace("\n", "⏎").replace("`", "'")
    return f"`{line[:80]}`" + ("…" if len(line) > 80 else "") if line.strip() else "nothing"
