"""The parts that are about code in files: holes, bodies of functions, the next token; and speed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from famulus.engine.protocol import Text
from famulus.engine.training.evaluation.heldout import HeldOut, Hole
from famulus.engine.training.evaluation.measures import Measure
from famulus.engine.training.evaluation.part import Part, Step, asked, parses, same
from famulus.engine.training.evaluation.runnable import values_of
from famulus.engine.training.evaluation.subject import Subject, Written

LINE_TOKENS, SPAN_TOKENS, BODY_TOKENS = 48, 112, 192
SPAN_LINES, BODY_LINES = 8, 24
SPEED_ITEMS, SPEED_TOKENS = 40, 32


def holes(items: HeldOut, name: str, chosen: Sequence[Hole], count: int, models: int) -> Part:
    """Holes of one line, or of several."""
    equal = Measure(name, "exact match", "share", models)
    valid = Measure(name, "valid Python", "share", models)
    one_line = name == "lines"

    def step(hole: Hole, number: int) -> Step:
        excerpt, before, hidden, after = items.document(hole)

        def ask(model: Subject) -> Written:
            lines, tokens = (1, LINE_TOKENS) if one_line else (SPAN_LINES, SPAN_TOKENS)
            return model.fill(before, after, excerpt.path, lines, tokens)

        def run(models: Sequence[Subject]) -> None:
            texts = [written.text for written in asked(models, number, ask)]
            equal.add([float(same(text, hidden)) for text in texts])
            valid.add([float(bool(text.strip()) and parses(before + text + after)) for text in texts])

        return run

    return Part(name, [step(hole, n) for n, hole in enumerate(chosen[:count])], [equal, valid])


def bodies(items: HeldOut, count: int, models: int) -> Part:
    """Bodies behind a docstring: judged by what they do where the function can be run, and by their text."""
    works = Measure("functions", "passes its examples", "share", models)
    equal = Measure("functions", "exact match", "share", models)
    valid = Measure("functions", "valid Python", "share", models)

    def step(at: int) -> Step:
        function = items.functions[at]
        before, hidden = function.text[: function.start], function.text[function.start :]

        def ask(model: Subject) -> str:
            return body_of(model.fill(before, "\n", function.path, BODY_LINES, BODY_TOKENS).text)

        def run(models: Sequence[Subject]) -> None:
            texts = asked(models, at, ask)
            equal.add([float(same(text, hidden)) for text in texts])
            valid.add([float(bool(text.strip()) and parses(before + text)) for text in texts])
            if function.calls:
                works.add([float(bool(text.strip()) and passes(before + text, function.calls)) for text in texts])

        return run

    return Part("functions", [step(at) for at in range(len(items.functions[:count]))], [works, equal, valid])


def body_of(text: str) -> str:
    """What was written until the function ends: a line without indentation is no part of it."""
    first, *others = text.splitlines(keepends=True) or [""]
    return first + "".join(itertools.takewhile(lambda line: not line.strip() or line[0].isspace(), others))


def passes(text: str, calls: Sequence[tuple[str, str]]) -> bool:
    """Whether every call gives what it should, in the sandbox. Raises :class:`SandboxError`."""
    return parses(text) and values_of([(text, [call for call, _ in calls])]) == [[value for _, value in calls]]


def following(items: HeldOut, count: int, models: int) -> Part:
    """The next token: what the rest of an excerpt costs after its first line."""
    bits = Measure("text", "bits per byte", "ratio", models)

    def step(at: int) -> Step:
        first, newline, rest = items.excerpts[at].text.partition("\n")

        def run(models: Sequence[Subject]) -> None:
            found = asked(models, at, lambda model: model.bits(Text(first + newline), rest))
            bits.add(found, len(rest.encode()))

        return run

    return Part("text", [step(at) for at in range(len(items.excerpts[:count]))], [bits])


def speed(items: HeldOut, count: int, models: int) -> Part:
    """How fast a text is read and gone on with, in processor time where no GPU takes part."""
    reading = Measure("speed", "tokens read a second", "median", models, 0)
    writing = Measure("speed", "tokens written a second", "median", models, 1)

    def step(at: int) -> Step:
        text = items.excerpts[at].text

        def run(models: Sequence[Subject]) -> None:
            found = asked(models, at, lambda model: model.speed(text, SPEED_TOKENS))
            reading.add([s.reading for s in found])
            writing.add([s.writing for s in found])

        return run

    return Part("speed", [step(at) for at in range(len(items.excerpts[: min(count, SPEED_ITEMS)]))], [reading, writing])
