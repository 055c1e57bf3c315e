"""The files of a review in the editor: their addresses, and the texts that they have on disk, in the index and open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pygls.uris import from_fs_path

from famulus.lsp_server.commands.service import within
from famulus.lsp_server.documents import Document
from famulus.lsp_server.review.change import decoded
from famulus.lsp_server.review.doors.publishing import Located
from famulus.lsp_server.review.doors.standing import Standing

if TYPE_CHECKING:
    from famulus.lsp_server.session import Session


def repository_of(folder: Path) -> Path | None:
    """The folder with ``.git`` around ``folder``, as the file system names it."""
    real = Path(os.path.realpath(folder))
    return next((above for above in (real, *real.parents) if (above / ".git").exists()), None)


class Places:
    """Finds the documents of one session by path."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def located(self, standing: Standing) -> Callable[[str], Located | None]:
        """Gives the files of a review by path, each found once."""
        known: dict[str, Located | None] = {}
        opened = self._opened()
        allowed = within(self._session.policy)

        def locate(path: str) -> Located | None:
            if path not in known:
                file = standing.root / path
                text = standing.texts.get(path)
                known[path] = None
                if text is not None and allowed(file):
                    document = opened.get(str(file))
                    known[path] = Located(text, document or self._on_disk(file, text), document is not None)
            return known[path]

        return locate

    def path_of(self, document: Document, root: Path) -> str | None:
        """The path of an open document relative to ``root``; None for what lies elsewhere, and for cells."""
        if document.file is None or document.kind != "document":
            return None
        real = Path(os.path.realpath(document.file))
        return real.relative_to(root).as_posix() if real.is_relative_to(root) else None

    def _opened(self) -> Mapping[str, Document]:
        documents = [d for d in self._session.documents if d.file is not None and d.kind == "document"]
        return {os.path.realpath(d.file): d for d in documents if d.file is not None}

    def _on_disk(self, file: Path, text: str) -> Document:
        """A file that is not open, under the name by which the client knows its folder."""
        for root in self._session.roots:
            real = os.path.realpath(root)
            if file.is_relative_to(real):
                file = root / file.relative_to(real)
                break
        return Document(from_fs_path(str(file)) or file.as_uri(), text, None, None, self._session.mirror.position_codec)


def texts_on_disk(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """The texts of files as a review of the working tree reads them; what cannot be read is missing."""
    from famulus.lsp_server.review.folders import plain_bytes

    found = {}
    for path in paths:
        content = plain_bytes(root / path)
        if content is not None:
            found[path] = decoded(content)
    return found


def texts_in_index(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """The texts of files as they are staged; what cannot be read is missing. Raises :class:`FamulusError`."""
    from famulus.lsp_server.review.git import Blobs, Repository
    from famulus.lsp_server.review.versions import Versions

    repository = Repository.around(root)
    blobs = Blobs(repository)
    try:
        index = Versions(repository, None, blobs).index()
        contents = {path: index.read(path) for path in paths}
    finally:
        blobs.close()
    return {path: decoded(content) for path, content in contents.items() if content is not None}
