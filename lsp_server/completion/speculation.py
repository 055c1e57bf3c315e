"""The next completion as if the shown one were accepted, written ahead while nothing else is to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from famulus.lsp_server.completion.request import Place, Writing
from famulus.lsp_server.completion.situation import Situation
from famulus.lsp_server.documents import Change, Text

LIKELY = 0.4
"""Only suggestions that are at least so likely are worth going on from."""
PAUSE_SECONDS = 0.05
"""After an answer; whoever types on within it wants something else from the engine."""


@dataclass(frozen=True)
class Ahead:
    """Something that is written for after ``expected`` will stand at ``origin``."""

    origin: Place
    expected: str
    writing: Writing

    def follow(self, text: Text) -> bool:
        """Whether the document, which is ``text`` now, is still on the way there, or beyond and in agreement."""
        for typed in self.origin.added(text):
            if self.expected.startswith(typed):
                return True
            if typed.startswith(self.expected) and self.writing.follow(typed[len(self.expected) :]):
                return True
        return False


def on_the_way(origin: Place, expected: str, text: Text) -> bool:
    """Whether a document, which is ``text`` now, may yet become what it is when ``expected`` stands at ``origin``."""
    return any(expected.startswith(typed) for typed in origin.added(text))


def accepted(situation: Situation, text: str) -> Situation:
    """The situation after ``text`` was accepted."""
    change = Change(situation.offset, situation.offset, text)
    snapshot = replace(situation.snapshot, text=situation.snapshot.text.edited(change))
    tree = situation.tree.edited(change) if situation.tree is not None else None
    return replace(
        situation,
        snapshot=snapshot,
        offset=situation.offset + len(text),
        tree=tree,
        invoked=False,
        popup=None,
        accepted=None,
        recently_deleted=False,
    )
