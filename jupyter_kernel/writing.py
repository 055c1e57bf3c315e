"""What the model adds to the candidates for one instruction, and what it thinks of those that there are."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from famulus.jupyter_kernel import finish, grammar, prompt, retrieve, slots
from famulus.jupyter_kernel.candidate import Candidate, Want
from famulus.jupyter_kernel.context import Context
from famulus.jupyter_kernel.model import About, Request, Written, parses
from famulus.jupyter_kernel.prompt import OnText, Prompt
from famulus.jupyter_kernel.schema import Schema

N, N_SMALL = 8, 4
"""Answers of one batch; a small model repeats itself or wanders, and on a CPU each costs a second."""
ANYTHING = "cell"
"""An instruction that says nothing, with which the words are compared."""
STOPS = ("\n\n", "\n#")
STOPS_LARGE = ("\n# Task", "\n```", "\n\n\n")


class Writes(Protocol):
    """What is needed of :class:`famulus.jupyter_kernel.model.Model`."""

    about: About
    seed: int | None
    trouble: str
    told: Context | None

    @property
    def ready(self) -> bool:
        """Whether it can be asked at once."""

    def begin(self, seconds: float = ...) -> None:
        """A new cell, which has so many seconds."""

    async def connect(self) -> bool:
        """Finds or starts the engine; whether that went well."""

    async def write(self, request: Request, n: int = ..., on_text: OnText = ...) -> list[Written]:
        """``n`` answers, the likeliest first; ``on_text`` gets the first as it grows."""

    async def score(self, text: str, codes: Sequence[str]) -> list[float | None]:
        """The likelihood of each code after ``text``, None where it is not known."""


@dataclass(frozen=True)
class Notebook:
    """What a model may be told besides the schema: the code of earlier cells, the newest last, and the last error."""

    recent: tuple[str, ...] = ()
    error: str = ""


@dataclass
class Author:
    """A model at work on one instruction. ``sent`` is what it was told, None before it was."""

    model: Writes
    words: str
    schema: Schema
    want: Want
    notebook: Notebook = Notebook()
    sent: Prompt | None = None

    async def candidates(
        self, proposed: Sequence[Candidate], avoided: Collection[str] = (), on_text: OnText = lambda _text: None
    ) -> list[Candidate]:
        """Code of the model's own, the likeliest first; ``votes`` counts how often it wrote the same."""
        if not await self.model.connect():
            return []
        told = self.told(proposed)
        rules = grammar.build(self.words, self.schema, self.want)
        if not self.model.about.large:
            written = await self.model.write(Request(told.text, rules, STOPS, told=told.told), N_SMALL, on_text)
        else:
            written = await self.model.write(Request(told.text, "", STOPS_LARGE, told=told.told), N // 2, on_text)
            written += await self.model.write(Request(told.text, rules, STOPS, told=told.told), N - N // 2)
        return self._ready(written, avoided)

    async def corrected(self, code: str, error: str) -> list[Candidate]:
        """Code of the model's own in place of ``code``, which failed with ``error``; a small model repeats itself and
        is not asked."""
        if self.sent is None or not self.model.ready or not self.model.about.large:
            return []
        text = prompt.repairing(self.sent.text, code, error)
        written = await self.model.write(Request(text, "", STOPS_LARGE), 2)
        return [replace(one, source="repair") for one in self._ready(written, {code})]

    async def judged(self, candidates: Sequence[Candidate], proposed: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with their likelihood after the instruction, and with what the instruction adds to it, where
        there was time for both."""
        if not self.model.ready:
            return list(candidates)
        sent = self.told(proposed)
        codes = [prompt.without_imports(candidate.code) for candidate in candidates]
        if self.model.told is not sent.told:
            self.model.told = sent.asked(self.words)
        likely = await self.model.score(sent.asking(self.words), codes)
        anyway = await self.model.score(sent.asking(ANYTHING), codes)
        return [
            replace(c, likelihood=said, relevance=None if said is None or bare is None else said - bare)
            for c, said, bare in zip(candidates, likely, anyway, strict=True)
        ]

    def told(self, proposed: Sequence[Candidate]) -> Prompt:
        """The prompt, built when it is first needed."""
        if self.sent is None:
            self.sent = prompt.build(
                self.words,
                self.schema,
                proposed,
                retrieve.index(),
                recent=self.notebook.recent,
                error=self.notebook.error,
                budget=self.model.about.budget,
            )
        return self.sent

    def _ready(self, written: Sequence[Written], avoided: Collection[str]) -> list[Candidate]:
        codes = [code for one in written if (code := self._finished(one.text)) and code not in avoided]
        votes = Counter(codes)
        return [
            Candidate(code, "model", coverage=slots.coverage(code, self.want, ""), votes=count)
            for code, count in votes.items()
        ]

    def _finished(self, text: str) -> str:
        """Code that is ready to run, "" if it is none: with its imports and the name that was asked for, and with no
        name of the user's bound anew unasked."""
        code = cleaned(text)
        if not code:
            return ""
        name = self.want.name
        if name and name not in _bound(code):
            code = finish.name_result(code, "value", name, ())
        allowed = {name, *(self.want.names if self.want.changes else ())}
        return finish.with_imports(finish.keep_names(code, self.schema, allowed), self.schema)


def cleaned(text: str) -> str:
    """What a model wrote, without fences; "" where Python cannot read it."""
    code = text.replace("```python", "").replace("```", "").strip("\n").rstrip()
    return code if parses(code) else ""


def _bound(code: str) -> set[str]:
    """The names that code binds."""
    nodes = list(ast.walk(ast.parse(code)))
    made = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)}
    return made | {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
