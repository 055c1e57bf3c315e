"""Folders of a version that have a second name: a symbolic link in a package makes a part of it of a folder beside."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping

from famulus.lsp_server.review.change import Tree

_MOST_STEPS = 16
"""Links that one path is followed through; more are a circle."""


def links_of(tree: Tree) -> Mapping[str, str]:
    """Symbolic links of a version with what they say; trees of plugins may not know any."""
    known: Callable[[], Mapping[str, str]] | None = getattr(tree, "links", None)
    return known() if known is not None else {}


class Links:
    """The links of one version. Paths are relative to its top, with ``/``; what leads out of it is no link here."""

    def __init__(self, links: Mapping[str, str]) -> None:
        self._targets: dict[str, str] = {}
        for path, target in links.items():
            inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            if not target.startswith("/") and inside != ".." and not inside.startswith("../"):
                self._targets[path] = "" if inside == "." else inside

    def real(self, path: str) -> str:
        """The path without links on the way; the path itself if they lead nowhere."""
        if not self._targets:
            return path
        now = path
        for _ in range(_MOST_STEPS):
            parts = now.split("/")
            heads = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
            link = next((head for head in heads if head in self._targets), None)
            if link is None:
                return now
            now = posixpath.join(self._targets[link], now[len(link) + 1 :]).rstrip("/")
        return path

    def in_packages(self, path: str, packages: Collection[str]) -> str:
        """The name that a link in one of ``packages`` gives to a file, by which Python imports it; else its own.

        Packages are folders with an ``__init__.py``.
        """
        for link, target in self._targets.items():
            parent = posixpath.dirname(link)
            leads = bool(target) and path.startswith(target + "/")
            if leads and parent in packages and not f"{parent}/".startswith(target + "/"):
                return link + path[len(target) :]
        return path
