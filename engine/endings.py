"""Where a completion ends, decided while it streams.

The rules see one line at a time and hold a line back until they know that it may be shown, so that nothing
is ever taken back: text that :meth:`Ending.push` returned is final. Pure text in, text out; no model, no
tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from famulus.engine.languages import C_LIKE

Verdict = Literal["show", "wait", "end"]

_PYTHON_MARKS = re.compile(r"#[^\n]*|\"\"\"|'''|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?", re.DOTALL)
_C_MARKS = re.compile(r"//[^\n]*|/\*|`|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?", re.DOTALL)
_CLOSING = {'"""': '"""', "'''": "'''", "/*": "*/", "`": "`"}

_OPENERS = frozenset(
    (
        "This", "These", "That", "The", "Here", "Here's", "Note", "In", "To", "It", "You", "We", "If", "For",
        "When", "Then", "Now", "Please",
    )
)  # fmt: skip
_OPERATORS = frozenset(
    ("and", "or", "in", "is", "if", "else", "not", "as", "for", "from", "import", "extends", "implements")
)
_CONSTANTS = frozenset(("True", "False", "None"))
_LABEL = re.compile(r"(Explanation|Output|Example|Note|Usage|Answer|Solution|Result)s?:(\s|$)")
_LONGEST_LOOP = 4


@dataclass(frozen=True)
class Rules:
    """What ends an infilling besides the model's own end; the default ends nothing.

    ``max_lines`` counts lines that are not blank; ``same_line``: the first line break ends it. ``head`` is
    the cursor's line before the cursor, ``next_line`` the first line after the cursor's that is not blank
    (its repetition ends the answer). ``fences``: a line that starts with three backticks ends it. ``prose``:
    so does a sentence outside of strings and block comments. ``loops``: so does a line, or up to four lines,
    written for the third time in a row. ``quote`` closes the string or comment in which the cursor stands.
    """

    max_lines: int | None = None
    same_line: bool = False
    head: str = ""
    next_line: str = ""
    fences: bool = False
    prose: bool = False
    loops: bool = False
    language: str = ""
    quote: str = ""

    @property
    def by_line(self) -> bool:
        """Whether any rule looks at lines; if none does, white space is shown as it comes."""
        return bool(self.max_lines or self.same_line or self.next_line or self.fences or self.prose or self.loops)


class Ending:
    """The end of one answer. ``stop``: strings that end it and are not shown."""

    def __init__(self, rules: Rules | None = None, stop: Sequence[str] = ()) -> None:
        self._rules = rules or Rules()
        self._stop = StopStrings(stop)
        self._held = ""
        self._line = self._rules.head
        self._written = ""  # the part of the line that the model wrote
        self._clear = False  # the rules have let the current line pass
        self._lines: list[str] = []  # finished lines that are not blank
        self._count = 0
        self._quote = self._rules.quote
        self.finished = False
        """Whether the answer has ended; nothing that is pushed later is shown."""

    def push(self, text: str) -> tuple[str, bool]:
        """Take new text of the model; return what may be shown now, and whether the answer has ended."""
        if self.finished:
            return "", True
        text, stopped = self._stop.push(text)
        shown = self._take(text)
        if stopped and not self.finished:
            shown += self._last_line()
        return shown, self.finished

    def flush(self) -> str:
        """The model has ended by itself: return what was held back and may be shown after all."""
        if self.finished:
            return ""
        shown = self._take(self._stop.flush())
        return shown if self.finished else shown + self._last_line()

    def _take(self, text: str) -> str:
        if not self._rules.by_line:
            return text
        shown = ""
        for part in re.split(r"(\n)", text):
            if part == "\n":
                shown += self._end_line()
            elif part:
                shown += self._extend_line(part)
            if self.finished:
                break
        return shown

    def _extend_line(self, part: str) -> str:
        self._held += part
        self._line += part
        self._written += part
        return self._judged(complete=False)

    def _end_line(self) -> str:
        shown = self._judged(complete=True)
        if self.finished:
            return shown
        if self._line.strip():
            self._lines.append(self._line.rstrip())
            self._quote = quote_at_end(self._line, self._rules.language, self._quote)
        self._count += bool(self._written.strip())
        full = self._rules.max_lines is not None and self._count >= self._rules.max_lines
        self.finished = full or self._rules.same_line
        self._held += "\n"
        self._line = self._written = ""
        self._clear = False
        return shown

    def _last_line(self) -> str:
        shown = self._judged(complete=True)
        self.finished = True
        return shown

    def _judged(self, complete: bool) -> str:
        """What of the held text may be shown; white space waits until something follows it."""
        if not self._written.strip():
            return ""
        if not self._clear:
            verdict = self._verdict(complete)
            self.finished = verdict == "end"
            self._clear = verdict == "show"
        if not self._clear:
            return ""
        shown = self._held.rstrip()
        self._held = self._held[len(shown) :]
        return shown

    def _verdict(self, complete: bool) -> Verdict:
        rules = self._rules
        verdicts: list[Verdict] = []
        if rules.next_line:
            verdicts.append(_repeats(self._line, rules.next_line, complete))
        if rules.loops:
            verdicts.append(self._loops(complete))
        if not self._quote and self._line[: len(self._line) - len(self._written)].strip() == "":
            content = self._line.lstrip()
            if rules.fences:
                verdicts.append(_fence(content, complete))
            if rules.prose:
                verdicts.append(_prose(content, complete))
        if "end" in verdicts:
            return "end"
        return "wait" if "wait" in verdicts else "show"

    def _loops(self, complete: bool) -> Verdict:
        lines = self._lines
        for period in range(1, _LONGEST_LOOP + 1):
            twice = lines[-(3 * period - 1) :]
            if len(twice) < 3 * period - 1:
                break
            if all(a == b for a, b in zip(twice, twice[period:], strict=False)):
                verdict = _repeats(self._line, lines[-period], complete)
                if verdict != "show":
                    return verdict
        return "show"


class StopStrings:
    """Finds the first of some strings in a stream; holds back what may be the beginning of one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [s for s in stop if s]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that is certainly before any stop string, and whether one was found."""
        if not self._stop:
            return text, False
        text = self._held + text
        found = [i for s in self._stop if (i := text.find(s)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max(_overlap(text, s) for s in self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def flush(self) -> str:
        """What was held back."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper beginning of ``stop`` with which ``text`` ends."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


def quote_at_end(text: str, language: str, quote: str = "") -> str:
    """The mark that closes the multi-line string or block comment in which ``text`` ends, or "".

    ``quote`` is the one in which it begins. Only languages with triple quotes or ``/* */`` are looked at.
    """
    if language == "python":
        marks = _PYTHON_MARKS
    elif language in C_LIKE:
        marks = _C_MARKS
    else:
        return ""
    position = 0
    while True:
        if quote:
            end = text.find(quote, position)
            if end < 0:
                return quote
            position, quote = end + len(quote), ""
        found = marks.search(text, position)
        if found is None:
            return ""
        position, quote = found.end(), _CLOSING.get(found.group(), "")


def _repeats(line: str, other: str, complete: bool) -> Verdict:
    line, other = line.rstrip(), other.rstrip()
    if complete:
        return "end" if line == other else "show"
    return "wait" if other.startswith(line) else "show"


def _fence(content: str, complete: bool) -> Verdict:
    if content.startswith("```"):
        return "end"
    return "wait" if not complete and "```".startswith(content) else "show"


def _prose(content: str, complete: bool) -> Verdict:
    """Is this line a sentence? Three words decide: a capital one, a small one, and one more."""
    if _LABEL.match(content):
        return "end"
    words = content.split(" ")
    first = words[0]
    if not re.fullmatch(r"[A-Z][a-z]*('[a-z]*)?:?", first) or (first in _CONSTANTS and len(words) > 1):
        return "show"
    if len(words) < 3 or not words[2]:
        unsure = len(words) == 1 or re.fullmatch(r"[a-z']*,?", words[1])
        return "wait" if unsure and not complete else "show"
    second, third = words[1], words[2]
    if not re.fullmatch(r"[a-z']+,?", second) or not re.match(r"[A-Za-z`'\"*]", third):
        return "show"
    if first in _OPENERS:
        return "end"
    return "show" if second in _OPERATORS or second.endswith(",") or not third[0].islower() else "end"
