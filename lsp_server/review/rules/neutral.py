"""The rule that finds nothing: it proves which changed lines need no reading, for the report and for other rules."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Context, Rule, Stage


class Neutral:
    """Fills ``context.neutral`` and the fact ``neutral``."""

    name = "neutral"
    title = "lines that are proven not to change what the program does"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """No findings, ever."""
        from famulus.lsp_server.review.certificate import certify_change

        context.progress("Proving lines neutral")
        certificates = certify_change(context.change)
        context.neutral.update({file.path: file.neutral for file in certificates.files if file.neutral})
        if certificates.lines:
            context.facts[self.name] = str(certificates)
        return iter(())


RULE: Rule = Neutral()
