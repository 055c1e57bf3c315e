"""Rewriting a selection after an instruction; what does not parse where the file did is never proposed."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import SequenceMatcher

from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import Chat
from famulus.lsp_server.commands.asking import ask, code_in, indented, talk
from famulus.lsp_server.documents import Change, Snapshot
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.syntax import parse
from famulus.lsp_server.syntax.python import parses

MOST = 4000
"""Code points of a selection that may be rewritten at once."""
LONGEST_INSTRUCTION = 500
CANDIDATES = 4
LEAST_KEPT = 0.6
"""Share of the words of the old code that a rewriting keeps."""
SYSTEM = "You are an expert programmer. You change code exactly as asked and answer with the changed code only."

_NAME = re.compile(r"[A-Za-z_]\w*")
_DEFINED = re.compile(r"\b(?:def|class|function|func|fn)\s+([A-Za-z_]\w*)")


def whole_lines(seen: Snapshot, start: int, end: int) -> tuple[int, int]:
    """The selection widened to whole lines, without the last line's break. Raises :class:`InvalidRequest` for an
    empty or a too long one."""
    first, _ = seen.text.place(start)
    last, column = seen.text.place(end)
    if last > first and column == 0:
        last -= 1
    low, high = seen.text.starts[first], seen.text.line_end(last)
    if not seen.text.value[low:high].strip():
        raise InvalidRequest("The selection is empty.", fix="Select the lines to rewrite.")
    if high - low > MOST:
        raise InvalidRequest(
            f"The selection has {high - low} characters, {high - low - MOST} more than can be rewritten at once.",
            fix="Select fewer lines.",
        )
    return low, high


async def rewrite(
    link: EngineLink,
    seen: Snapshot,
    start: int,
    end: int,
    instruction: str,
    report: Callable[[str], None] | None = None,
    grow: Callable[[Callable[[], str]], None] | None = None,
) -> str | None:
    """New code for ``[start, end)``, which are whole lines; None where no candidate holds.

    The likeliest code is taken if it holds; others are written only if not. ``report`` is told its text as it comes,
    ``grow`` how to make of it whole lines and those that it has not come to (:func:`so_far`), which takes a while.
    Raises :class:`InvalidRequest` for an instruction that is empty or too long, and the engine's typed errors.
    """
    instruction = instruction.strip()
    if not instruction or len(instruction) > LONGEST_INSTRUCTION:
        raise InvalidRequest(
            f"The instruction must have 1 to {LONGEST_INSTRUCTION} characters, not {len(instruction)}."
        )
    old = seen.text.value[start:end]
    own = indented(old.replace("\r\n", "\n"), "")
    asked = question(instruction, own, seen.language)
    room = max(96, len(old) // 2 + 64)

    def heard(text: str) -> None:
        if report is not None:
            report(text)
        whole = text.rpartition("\n")[0]
        if grow is not None and whole.strip():
            grow(lambda: so_far(old, fitted(old, code_in(whole))))

    for others in (0, CANDIDATES - 1):
        told = None if others else heard
        answers = await ask(link, asked, max_tokens=room, greedy=not others, others=others, stop=["\n```"], report=told)
        for answer in answers:
            new = fitted(old, code_in(answer.text))
            if new.strip() != old.strip() and holds(seen, Change(start, end, new)) and kin(old, new, instruction):
                return new
    return None


def question(instruction: str, code: str, language: str) -> Chat:
    """What the model is asked; its answer goes on in a fenced block."""
    return talk(SYSTEM, f"{instruction}\n\n```{language}\n{code}\n```", answer_prefix=f"```{language}\n")


def fitted(old: str, new: str) -> str:
    """``new`` with the indentation and the line breaks of ``old``."""
    first = next(line for line in old.splitlines() if line.strip())
    text = indented(new.strip("\r\n"), first[: len(first) - len(first.lstrip())])
    return text.replace("\n", "\r\n") if "\r\n" in old else text


def so_far(old: str, new: str) -> str:
    """The lines of ``new``, the beginning of a rewriting of ``old``, and the lines of ``old`` that it has not come to:
    those behind the last one that both have."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if after and not after[-1].endswith("\n"):
        after[-1] += "\r\n" if "\r\n" in old else "\n"
    blocks = SequenceMatcher(None, before, after).get_matching_blocks()
    reached = max((block.a + block.size for block in blocks if block.size), default=0)
    return "".join([*after, *before[reached:]]).rstrip("\r\n")


def holds(seen: Snapshot, change: Change) -> bool:
    """Whether a file that parsed still does after ``change``; for one that did not, whether it has no more errors."""
    after = seen.text.edited(change)
    if not change.inserted.strip():
        return False
    if seen.language == "python" and parses(seen.text.value):
        return parses(after.value)
    before_tree, after_tree = parse(seen.language, seen.text), parse(seen.language, after)
    if before_tree is None or after_tree is None:
        return True  # no grammar: the preview is all the check there is
    return not after_tree.broken or (before_tree.broken and len(after_tree.errors()) <= len(before_tree.errors()))


def kin(old: str, new: str, instruction: str) -> bool:
    """Whether ``new`` can be a rewriting of ``old``: most of it is still there, what it defines keeps its name, and no
    function begins to call itself, with which small models like to fill an answer."""
    words, kept = _NAME.findall(old), set(_NAME.findall(new))
    shorter = re.search(r"\b(delete|remove|drop|simplif|shorten|replace|only|just)", instruction, re.IGNORECASE)
    share = sum(word in kept for word in words) / max(1, len(words))
    if share < (LEAST_KEPT / 2 if shorter else LEAST_KEPT):
        return False
    for name in set(_DEFINED.findall(old)):
        if name not in kept and not re.search(rf"\brename\b|\b{name}\b", instruction):
            return False
    return all(
        len(re.findall(rf"(?<![.\w]){name}\(", new)) <= max(1, len(re.findall(rf"(?<![.\w]){name}\(", old)))
        or re.search(r"recurs", instruction, re.IGNORECASE)
        for name in set(_DEFINED.findall(new))
    )
