"""Keeps the session's policy up to date: which files may be read is asked of it, and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.engine.policy import Policy

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer


def bind(server: FamulusServer) -> None:
    """Put the policy into the session; until the client has named its folders, no file may be read."""
    session = server.session
    session.policy = Policy(())

    def renew() -> None:
        session.policy = Policy(session.roots, trusted=session.options.trusted)

    session.on_start.insert(0, renew)
    session.on_roots.insert(0, renew)
