"""Secrets that added lines would publish, and characters in them that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Context, Rule, Stage


class Secrets:
    """Looks at added lines only: what was there before is not this change's doing."""

    name = "secrets"
    title = "secrets and invisible characters"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """See :class:`Rule`."""
        yield from ()


RULE: Rule = Secrets()
