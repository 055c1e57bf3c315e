"""Questions to the model, and what of its answers is code."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from famulus.engine.protocol import Chat, Delta, Message, Prompt, Sampling
from famulus.lsp_server.link import EngineLink

VARIED = Sampling(temperature=0.7, top_p=0.95, seed=1)
"""Several candidates differ; the seed keeps the same question's answers the same."""

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """One candidate: its text and the mean log-probability of its tokens."""

    text: str
    logprob: float


def talk(system: str, user: str, answer_prefix: str = "") -> Chat:
    """A conversation of one question."""
    return Chat([Message("system", system), Message("user", user)], answer_prefix=answer_prefix)


async def ask(
    link: EngineLink,
    prompt: Prompt,
    *,
    max_tokens: int,
    greedy: bool = True,
    others: int = 0,
    stop: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
) -> list[Answer]:
    """The model's answers, the most likely first: a greedy one if wanted, and ``others`` varied ones.

    ``report`` is told the first candidate's text as it grows. Raises the engine's typed errors.
    """
    answers: list[Answer] = []
    for count, sampling in ((int(greedy), Sampling()), (others, VARIED)):
        if count:
            fields: dict[str, Any] = {"n": count, "sampling": sampling, "stop": list(stop), "max_tokens": max_tokens}
            answers += await _collect(link, prompt, fields, report)
            report = None
    distinct = {answer.text: answer for answer in sorted(answers, key=lambda a: a.logprob)}
    return sorted(distinct.values(), key=lambda answer: -answer.logprob)


async def _collect(
    link: EngineLink, prompt: Prompt, fields: dict[str, Any], report: Callable[[str], None] | None
) -> list[Answer]:
    texts = [""] * fields["n"]
    sums, counts = [0.0] * fields["n"], [0] * fields["n"]
    call = link.generate(prompt, lane="chat", logprobs=0, **fields)
    try:
        async for event in call:
            if not isinstance(event, Delta):
                continue
            texts[event.index] += event.text
            for token in event.logprobs or []:
                sums[event.index] += token.logprob or 0.0
                counts[event.index] += 1
            if report is not None and event.index == 0:
                report(texts[0])
    finally:
        call.cancel()
    return [Answer(t, s / max(1, c)) for t, s, c in zip(texts, sums, counts, strict=True)]


def code_in(answer: str) -> str:
    """The first fenced block of an answer, whole or cut off; without a fence the answer itself."""
    found = _FENCE.search(answer)
    return (found.group(1) if found else answer).rstrip() + "\n"


def indented(code: str, indentation: str) -> str:
    """``code`` moved to ``indentation``; its own least indentation is taken away."""
    lines = code.split("\n")
    own = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(indentation + line[own:] if line.strip() else "" for line in lines)
