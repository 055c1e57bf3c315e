"""Mending a diagnostic: what follows from the names in scope first, then the model's lines; each is checked again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from famulus.engine.protocol import Infill
from famulus.lsp_server.commands.asking import ask
from famulus.lsp_server.commands.names import Candidate, missing_import, misspelt
from famulus.lsp_server.commands.rewrite import holds
from famulus.lsp_server.documents import Change, Snapshot, Text
from famulus.lsp_server.link import EngineLink

CANDIDATES = 6
TOKENS = 64
ALIKE = 0.4
"""Similarity (0 to 1) that a mended line has to the wrong one at the least."""

Check = Callable[[Text], Awaitable[list[str]]]
"""The messages of all problems that analysis finds in a text."""

_UNDEFINED = re.compile(r"[uU]ndefined (?:name|variable)|is not defined|[cC]annot find name|[uU]nresolved reference")


@dataclass(frozen=True)
class Mended:
    """A fix; ``proved`` when analysis knew the problem and no longer finds it."""

    candidate: Candidate
    proved: bool


async def fix(
    link: EngineLink,
    seen: Snapshot,
    start: int,
    end: int,
    message: str,
    scope: Sequence[str],
    check: Check,
    report: Callable[[str], None] | None = None,
) -> Mended | None:
    """The first way to mend ``message`` at ``[start, end)`` that holds; None where none does.

    ``scope``: names that can be used there. Raises the engine's typed errors, and only after analysis had nothing.
    """
    before = Counter(await check(seen.text))
    if _UNDEFINED.search(message):
        mended = await first_that_holds(by_names(seen.text, start, end, scope), seen, message, before, check)
        if mended is not None:
            return mended
    return await first_that_holds(await by_model(link, seen, start, message, report), seen, message, before, check)


def by_names(text: Text, start: int, end: int, scope: Sequence[str]) -> list[Candidate]:
    """What the names in scope and the standard library offer for a name that is not defined."""
    imported = missing_import(text, text.value[start:end])
    return [*([imported] if imported is not None else []), *misspelt(text, start, end, scope)]


async def by_model(
    link: EngineLink, seen: Snapshot, start: int, message: str, report: Callable[[str], None] | None = None
) -> list[Candidate]:
    """The model's lines in place of the wrong one, the most alike first."""
    line = seen.text.place(start)[0]
    low, high = seen.text.starts[line], seen.text.line_end(line)
    old = seen.text.value[low:high]
    indentation = old[: len(old) - len(old.lstrip())]
    sign = "#" if seen.language in ("python", "shellscript", "yaml", "toml") else "//"
    note = f"{indentation}{sign} wrong: {old.strip()} ({message.splitlines()[0][:120]})\n{indentation}{sign} right:\n"
    prompt = Infill(
        prefix=seen.text.value[:low] + note + indentation,
        suffix=seen.text.value[high:],
        path=str(seen.path or ""),
        language=seen.language,
        trigger="invoked",
        max_lines=1,
    )
    answers = await ask(link, prompt, max_tokens=TOKENS, others=CANDIDATES - 1, stop=["\n"], report=report)
    lines = [indentation + answer.text.strip() for answer in answers if answer.text.strip()]
    near = {new: SequenceMatcher(None, old, new).ratio() for new in lines if new != old}
    best = sorted((new for new in near if near[new] >= ALIKE), key=lambda new: -near[new])
    return [Candidate(f"Change the line to {new.strip()}"[:100], Change(low, high, new)) for new in best]


async def first_that_holds(
    fixes: Iterable[Candidate], seen: Snapshot, message: str, before: Counter[str], check: Check
) -> Mended | None:
    """The first fix after which the file parses and has no problem that it did not have; the one at hand is gone
    where analysis knew it."""
    known = any(message in told or told in message for told in before)
    for candidate in fixes:
        if not holds(seen, candidate.change):
            continue
        after = Counter(await check(seen.text.edited(candidate.change)))
        if after - before or (known and not before - after):
            continue
        return Mended(candidate, proved=known)
    return None
