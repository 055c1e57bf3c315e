"""New lines that the model does not expect, given the file as it was: they rank what others find, and may be asked for.

Only an engine that runs already is asked, and only for a few seconds: nobody waits for a model here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.engine.errors import FamulusError
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof
from famulus.lsp_server.review.rule import Clock, Context, Rule, Stage
from famulus.lsp_server.review.statements import bodies_of

if TYPE_CHECKING:
    from famulus.engine.client import Client
    from famulus.engine.generation import TokenScore

SECONDS = 8.0
"""For all functions of a change, whatever the review may take."""
FUNCTIONS = 12
LINES = 80
"""A longer function is not looked at."""
BEFORE = 1200
"""Characters of the file before the function that the model sees, besides its old version."""
LARGEST = 12_000
"""Characters that one request may have."""
SHORT = 4
"""Tokens that each line is thought to have besides its own: else a short line is always the strangest."""
MUCH = 3.2
"""Bits for a token from which on a line is asked about: with the embedded model three right statements in a hundred
are, and one in ten of those with a slip (``famulus bench review --part surprise``)."""


@dataclass(frozen=True)
class Function:
    """A changed function: where it stands on the new side, and what it was before (empty if there was none)."""

    file: FileChange
    name: str
    first: int
    last: int
    before: str

    @property
    def changed(self) -> list[int]:
        """Its lines that are new."""
        return [n for n in range(self.first, self.last + 1) if n in self.file.changed_new_lines]

    @property
    def prompt(self) -> str:
        """What the model reads before the function: the file above it, and the function as it was."""
        above = "\n".join(self.file.new_text.split("\n")[: self.first - 1])[-BEFORE:]
        return f"# {self.file.path}\n{above}\n{self.before}".rstrip()

    @property
    def text(self) -> str:
        """The function as it is now, from the end of the line before it: the model's tokens begin there."""
        return "\n" + "\n".join(self.file.new_text.split("\n")[self.first - 1 : self.last])


class Surprise:
    """The rule. ``context.surprise`` has the bits of each line afterwards, by path."""

    name = "surprise"
    title = "new lines that the model does not expect"
    stage = Stage.MODEL

    def idle(self, context: Context) -> bool:
        """Without an engine there is nobody to ask."""
        from famulus.engine import launch

        return launch.find() is None

    def check(self, context: Context) -> Iterator[Finding]:
        """Lines that the model expected least; only the model says so."""
        if next(_candidates(context), None) is None:
            return
        engine = _running(min(SECONDS, context.clock.left))
        if engine is None:
            if len(context.found) > 1:
                context.left_out.append("No engine runs, so the model had no part in the order of the findings.")
            return
        functions = chosen(context)
        clock = Clock(min(SECONDS, context.clock.left))
        for number, function in enumerate(functions):
            if clock.left <= 0:
                context.left_out.append(f"The model was asked about {number} of {len(functions)} changed functions.")
                return
            try:
                bits = surprise(engine, function, clock.left)
            except FamulusError as error:
                context.left_out.append(f"The model had no part in the order of the findings: {error.message}")
                return
            lines = context.surprise.setdefault(function.file.path, {})
            lines.update(bits)
            yield from _findings(function, bits)


def chosen(context: Context) -> list[Function]:
    """The changed functions that are looked at: first those in which something was found."""
    marked = {(p.path, p.line) for f in context.found for p in (f.place, *(r.place for r in f.related))}

    def rank(function: Function) -> tuple[bool, int]:
        inside = any((function.file.path, n) in marked for n in range(function.first, function.last + 1))
        return not inside, -len(function.changed)

    return sorted(_candidates(context), key=rank)[:FUNCTIONS]


def _candidates(context: Context) -> Iterator[Function]:
    """The functions of the change that can be looked at."""
    for file in context.change.python():
        if file.new is not None:
            neutral = context.neutral.get(file.path, frozenset())
            yield from (function for function in _functions(file) if set(function.changed) - neutral)


def surprise(engine: Client, function: Function, seconds: float) -> dict[int, float]:
    """Bits for each token of each new line of a function. Raises the engine's typed errors."""
    scores = engine.score(function.prompt, function.text, lane="idle", deadline=seconds)
    scored = _by_line(scores, function.text)
    if scored is None:
        return {}
    changed = set(function.changed)
    return {
        function.first + i: value
        for i, (value, line) in enumerate(zip(scored[1:], function.text.split("\n")[1:], strict=True))
        if function.first + i in changed and line.strip()
    }


def _by_line(scores: Sequence[TokenScore], text: str) -> list[float] | None:
    """Bits for each token of each line, short lines less; None if the tokens do not spell the text."""
    if "".join(score.text for score in scores) != text:
        return None
    bits = [0.0] * (text.count("\n") + 1)
    tokens = [SHORT] * len(bits)
    line = 0
    for score in scores:
        here = min(line + len(score.text) - len(score.text.lstrip("\n")), len(bits) - 1)
        line += score.text.count("\n")
        bits[here] -= (score.logprob or 0.0) / math.log(2)
        tokens[here] += 1
    return [total / number for total, number in zip(bits, tokens, strict=True)]


def _findings(function: Function, bits: dict[int, float]) -> Iterable[Finding]:
    """The strangest line, if it is strange enough. Of a function that is all new nothing can be told."""
    line, most = max(bits.items(), key=lambda item: item[1], default=(0, 0.0))
    if most < MUCH or not function.before:
        return
    yield Finding(
        rule="surprise",
        message=f"Is line {line} of {function.file.path} meant so? The model did not expect it in `{function.name}`.",
        grade=Grade.MODEL_ONLY,
        severity="note",
        certainty="possible",
        place=Place(path=function.file.path, line=line, symbol=function.name),
        key=f"{function.file.path} {function.name}",
        proof=Proof(kind="bits", text=f"line {line}: {most:.1f} bits for a token", data={"bits": round(most, 1)}),
        surprise=most,
    )


def _functions(file: FileChange) -> Iterator[Function]:
    old = {body.name: body for body in bodies_of(file, "old")}
    was, now = file.old_text.split("\n"), file.new_text.split("\n")
    for body in bodies_of(file, "new"):
        last = _end(body.line, now)
        if file.changed_new_lines.isdisjoint(range(body.line, last + 1)) or last - body.line >= LINES:
            continue
        before = old.get(body.name)
        text = "\n".join(was[before.line - 1 : _end(before.line, was)]) if before is not None else ""
        function = Function(file, body.name, body.line, last, text)
        if len(function.prompt) + len(function.text) <= LARGEST:
            yield function


def _end(line: int, lines: Sequence[str]) -> int:
    """The last line of the definition whose head stands at ``line``, by its indentation."""
    margin = len(lines[line - 1]) - len(lines[line - 1].lstrip())
    last, open_head = line, True
    for number in range(line + 1, len(lines) + 1):
        text = lines[number - 1]
        if not text.strip():
            continue
        if len(text) - len(text.lstrip()) <= margin and not (open_head and text.lstrip()[:1] in ")]}"):
            break
        open_head = open_head and not text.rstrip().endswith(":")
        last = number
    return last


def _running(seconds: float) -> Client | None:
    """The engine of this user if one runs, answers at once and has its model."""
    from famulus.engine import launch
    from famulus.engine.client import Client

    address = launch.find()
    if address is None:
        return None
    engine = Client(address, timeout=max(1.0, seconds))
    try:
        return engine if engine.status()["state"] == "ready" else None
    except FamulusError:
        return None


RULE: Rule = Surprise()
