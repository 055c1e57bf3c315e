"""Facts on disk, by the digest of the file that they are about: nothing is read twice."""

from __future__ import annotations

from pathlib import Path

from famulus.lsp_server.review.index.facts import ModuleFacts
from famulus.lsp_server.review.kept import Kept, python_mark

VERSION = 9
"""Raised whenever the reader says something else about the same bytes."""


class Store(Kept[ModuleFacts]):
    """Facts by digest, for the Python that parsed: a newer one reads newer syntax. ``folder`` None: in Famulus's
    cache. What was read or kept is held, so that two versions of a project share what they have in common."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(f"facts-{VERSION}-{python_mark()}", ModuleFacts, folder)
        self._held: dict[str, ModuleFacts] = {}

    def get(self, digest: str | None) -> ModuleFacts | None:
        """The facts of a file, if they are known and whole."""
        known = self._held.get(digest or "") or super().get(digest)
        if known is not None and digest is not None:
            self._held[digest] = known
        return known

    def put(self, digest: str | None, value: ModuleFacts) -> None:
        """Keeps the facts of a file."""
        super().put(digest, value)
        if digest is not None:
            self._held[digest] = value
