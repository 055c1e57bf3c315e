"""One cursor in one version of one document: what the gate and the filters judge by. Values only."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from famulus.lsp_server.completion import lexical
from famulus.lsp_server.documents import HUGE, Change, Snapshot
from famulus.lsp_server.settings import Settings

if TYPE_CHECKING:
    from famulus.lsp_server.completion.filters.parse import Judge
    from famulus.lsp_server.syntax import Place, Tree

LOOK_BACK = 4_000
"""Code points before the cursor in which open strings and brackets are looked for."""
NEAR = 40
"""Lines before and after the cursor that are looked at."""

_TABS = frozenset(("go", "makefile"))
_BLANKS = " \t\f"
_ANCHOR = re.compile(r"^[^\s)\]}#]", re.MULTILINE)


class Permission(Protocol):
    """What the policy says of a file (see ``engine/policy.py``)."""

    @property
    def allowed(self) -> bool: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Popup:
    """What is selected in the editor's own completion list: accepting it replaces ``text[start:end]`` by ``text``."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Situation:
    """Where completion is asked for.

    ``tree`` belongs to the snapshot's text (None: no grammar, or not ready). ``permission`` is the policy's word on the
    file. ``recently_deleted``: text of the cursor's line was taken away and nothing written since. ``accepted`` is the
    situation that this one continues as if its popup's selection had been accepted (:meth:`after_popup`).
    """

    snapshot: Snapshot
    offset: int
    tree: Tree | None = None
    settings: Settings = field(default_factory=Settings)
    invoked: bool = False
    popup: Popup | None = None
    recently_deleted: bool = False
    permission: Permission | None = None
    accepted: Situation | None = None

    @property
    def language(self) -> str:
        """The LSP identifier of the language."""
        return self.snapshot.language

    @property
    def text(self) -> str:
        """The whole text."""
        return self.snapshot.text.value

    @cached_property
    def place(self) -> tuple[int, int]:
        """Line and column of the cursor."""
        return self.snapshot.text.place(self.offset)

    @property
    def prefix(self) -> str:
        """All that stands before the cursor."""
        return self.text[: self.offset]

    @property
    def suffix(self) -> str:
        """All that stands behind the cursor."""
        return self.text[self.offset :]

    @cached_property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.text[self.snapshot.text.starts[self.place[0]] : self.offset]

    @cached_property
    def line_after(self) -> str:
        """The cursor's line from the cursor on, without its end."""
        return self.text[self.offset : self.snapshot.text.line_end(self.place[0])]

    @cached_property
    def indentation(self) -> str:
        """The white space with which the cursor's line begins, up to the cursor."""
        return margin(self.line_before)

    @cached_property
    def newline(self) -> str:
        """How lines of this document end: as the first one does."""
        head = self.text[: self.snapshot.text.starts[1]] if self.snapshot.text.lines > 1 else ""
        return "\r\n" if head.endswith("\r\n") else "\r" if head.endswith("\r") else "\n"

    @cached_property
    def unit(self) -> str:
        """One step of indentation as this document has it near the cursor; the usual one if nothing tells."""
        widths = []
        for line in (self.line_before, *self.lines_above(NEAR), *self.lines_below(NEAR)):
            white = margin(line)
            if white.startswith("\t"):
                return "\t"
            widths.append(len(white))
        if not any(widths) and self.language in _TABS:
            return "\t"
        steps = [abs(b - a) for a, b in itertools.pairwise(widths) if 2 <= abs(b - a) <= 8]
        first = min((width for width in widths if width >= 2), default=4)
        return " " * (min(steps) if steps else min(first, 8))

    def lines_above(self, most: int) -> Iterator[str]:
        """The lines above the cursor's that are not blank, nearest first."""
        lines = self.snapshot.text
        for number in range(self.place[0] - 1, max(-1, self.place[0] - 1 - most), -1):
            if (line := lines.line(number)).strip():
                yield line

    def lines_below(self, most: int) -> Iterator[str]:
        """The lines below the cursor's that are not blank, nearest first."""
        lines = self.snapshot.text
        for number in range(self.place[0] + 1, min(lines.lines, self.place[0] + 1 + most)):
            if (line := lines.line(number)).strip():
                yield line

    @cached_property
    def line_above(self) -> str:
        """The nearest line above that is not blank, or ""."""
        return next(self.lines_above(NEAR), "")

    @cached_property
    def line_below(self) -> str:
        """The nearest line below that is not blank, or ""."""
        return next(self.lines_below(NEAR), "")

    @cached_property
    def before(self) -> lexical.Lexical:
        """Strings and brackets that are open at the cursor. Offsets count from :attr:`before_start`."""
        return lexical.scan(self.text[self.before_start : self.offset].replace("\r", " "), self.language)

    @cached_property
    def before_start(self) -> int:
        """A line start, up to :data:`LOOK_BACK` before the cursor, at which code most likely begins anew."""
        if self.offset <= LOOK_BACK:
            return 0
        low = self.offset - LOOK_BACK
        found = next((m.start() for m in _ANCHOR.finditer(self.text, low, self.offset)), -1)
        return found if found >= 0 else self.text.rfind("\n", 0, low) + 1

    @cached_property
    def inside(self) -> Place:
        """What a character typed here belongs to."""
        if self.tree is not None:
            return self.tree.inside(self.offset)
        if not self.before.quote:
            return "code"
        return "comment" if self.before.quote in (lexical.LINE_COMMENT, "*/") else "string"

    @cached_property
    def quote(self) -> str:
        """What closes the string or comment in which the cursor stands; "" in code, or where nobody knows."""
        if self.inside == "code":
            return ""
        return self.before.quote or (lexical.LINE_COMMENT if self.inside == "comment" else "")

    @cached_property
    def opens_block(self) -> bool:
        """Whether the cursor stands in a block that has just been opened and is empty."""
        if self.tree is not None and self.tree.opens_block(self.offset):
            return True
        if self.inside != "code":
            return False
        head = self.line_before if self.line_before.strip() else self.line_above
        if not opens_block(head, self.language):
            return False
        return len(margin(self.line_below)) <= len(margin(head)) or not self.line_below

    @cached_property
    def judge(self) -> Judge:
        """Says whether the file would still parse with a text inserted; remembers what it was asked."""
        from famulus.lsp_server.completion.filters.parse import Judge

        return Judge(self)

    @property
    def huge(self) -> bool:
        """Whether the text is too long to be parsed."""
        return len(self.snapshot.text) > HUGE

    def after_popup(self) -> Situation:
        """The situation as if the popup's selection had been accepted; the same one where nothing is selected."""
        if self.popup is None:
            return self
        change = Change(self.popup.start, self.popup.end, self.popup.text)
        snapshot = replace(self.snapshot, text=self.snapshot.text.edited(change))
        tree = self.tree.edited(change) if self.tree is not None else None
        offset = self.popup.start + len(self.popup.text)
        return replace(self, snapshot=snapshot, offset=offset, tree=tree, popup=None, accepted=self)


def margin(line: str) -> str:
    """The white space with which a line begins."""
    return line[: len(line) - len(line.lstrip(_BLANKS))]


def opens_block(line: str, language: str) -> bool:
    """Whether a block follows a line: it ends with a colon or an opening bracket, comments aside."""
    found = lexical.scan(line, language)
    for start, end in found.comments:
        line = line[:start] + " " * (end - start) + line[end:]
    code = line.rstrip()
    if found.quote not in ("", lexical.LINE_COMMENT) or not code:
        return False
    if language == "python":
        return code[-1] == ":" and not found.open
    if language in ("yaml", "dockercompose"):
        return code[-1] == ":"
    if language == "shellscript":
        return code[-1] == "{" or re.search(r"\b(then|do|else)$", code) is not None
    if language in ("lua", "ruby", "julia"):
        return re.search(r"\b(then|do|else)$|^\s*(local )?(function|def|class|module)\b", code) is not None
    return code[-1] == "{" and lexical.marks_of(language) is not None
