"""Facts on disk, by the digest of the file that they are about: nothing is read twice."""

from __future__ import annotations

from pathlib import Path

from famulus.lsp_server.review.index.facts import ModuleFacts
from famulus.lsp_server.review.kept import Kept, python_mark

VERSION = 5
"""Raised whenever the reader says something else about the same bytes."""


class Store(Kept[ModuleFacts]):
    """Facts by digest, for the Python that parsed: a newer one reads newer syntax. ``folder`` None: in Famulus's
    cache."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(f"facts-{VERSION}-{python_mark()}", ModuleFacts, folder)
