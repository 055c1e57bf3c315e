"""Which parts there are, and what each is made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from famulus.engine.protocol import Chat, Message, Prompt, Text
from famulus.engine.training.evaluation import cells, coding
from famulus.engine.training.evaluation.heldout import HeldOut, Pair
from famulus.engine.training.evaluation.measures import Measure
from famulus.engine.training.evaluation.part import Part, Step, asked, same
from famulus.engine.training.evaluation.subject import Subject

TOKENS = 96
"""Of an answer to what is asked in words, at least."""
IN_WORDS = ("explain", "answers")
"""Kinds whose answers are prose: what another puts in other words is not wrong."""
ENDS = ("```", "\n\n", "\n")
"""What an answer ends with; the last one where it ends with none of them."""


def parts(items: HeldOut, wanted: Sequence[str], count: int, models: int, finish: cells.Finish) -> Iterator[Part]:
    """Those of ``wanted`` that are made of the items, in the order of the table."""
    made: dict[str, Callable[[], Part]] = {
        "lines": lambda: coding.holes(items, "lines", items.lines, count, models),
        "spans": lambda: coding.holes(items, "spans", items.spans, count, models),
        "functions": lambda: coding.bodies(items, count, models),
        "text": lambda: coding.following(items, count, models),
        "speed": lambda: coding.speed(items, count, models),
    }
    for name in names(items):
        if name in wanted and name in made:
            yield made[name]()
        elif name in wanted:
            chosen = [pair for pair in items.pairs if pair.kind == name]
            run = any(pair.check for pair in chosen)
            yield cells.cells(chosen, name, count, models, finish) if run else pairs(chosen, name, count, models)


def names(items: HeldOut) -> list[str]:
    """Of all parts, in the order of the table."""
    return ["lines", "spans", "functions", "text", *dict.fromkeys(pair.kind for pair in items.pairs), "speed"]


def pairs(chosen: Sequence[Pair], name: str, count: int, models: int) -> Part:
    """What is asked for in words, and its answer; of prose, as much as the answer is long."""
    prose = name in IN_WORDS
    bits = Measure(name, "bits per byte of the answer", "ratio", models)
    equal = Measure(name, "words in common" if prose else "exact match", "share", models)

    def step(at: int) -> Step:
        pair = chosen[at]
        prompt = prompt_of(pair)
        end = "" if prose else next((end for end in ENDS if pair.answer.endswith(end)), ENDS[-1])
        stop = [end] if end else []
        tokens = max(0 if prose else TOKENS, len(pair.answer.encode()) // 2)

        def run(models: Sequence[Subject]) -> None:
            found = asked(
                models, at, lambda model: (model.bits(prompt, pair.answer), model.write(prompt, tokens, stop=stop))
            )
            bits.add([cost for cost, _ in found], len(pair.answer.encode()))
            answer = pair.answer.removesuffix(end)
            like = [alike(w.text[: len(answer)], answer) if prose else float(same(w.text, answer)) for _, w in found]
            equal.add(like)

        return run

    return Part(name, [step(at) for at in range(len(chosen[:count]))], [bits, equal])


def alike(one: str, other: str) -> float:
    """Words that two texts share, each as often as both have it: the harmonic mean of its shares of both."""
    words = [Counter(re.findall(r"\w+", text.lower())) for text in (one, other)]
    return 2 * (words[0] & words[1]).total() / max(1, words[0].total() + words[1].total())


def prompt_of(pair: Pair) -> Prompt:
    """A conversation, or a text that is gone on with."""
    if pair.messages:
        messages = [Message(m["role"], m["content"]) for m in pair.messages]
        return Chat(messages, answer_prefix=pair.answer_prefix)
    return Text(pair.text)
