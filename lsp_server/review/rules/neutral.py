"""The rule that finds nothing: it proves which changed lines need no reading, for the report and for other rules."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Clock, Context, Rule, Stage

_PART = 1 / 3
"""Of the time of the review, for changes of thousands of functions."""
_NAMED = 5


class Neutral:
    """Fills ``context.neutral`` and the fact ``neutral``."""

    name = "neutral"
    title = "lines that are proven not to change what the program does"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """No findings, ever."""
        from famulus.lsp_server.review.certificate import certify_change, store

        context.progress("Proving lines neutral")
        kept = store()
        clock = Clock(None if context.seconds is None else context.seconds * _PART)
        certificates = certify_change(context.change, kept, clock)
        kept.sweep()
        context.neutral.update({file.path: file.neutral for file in certificates.files if file.neutral})
        if certificates.telling:
            context.facts[self.name] = str(certificates)
        if certificates.late:
            names = ", ".join(certificates.late[:_NAMED])
            more = f" and {len(certificates.late) - _NAMED} more" if len(certificates.late) > _NAMED else ""
            context.left_out.append(
                f"Whether lines of {names}{more} are neutral was not looked at, or not everywhere, for want of time."
            )
        return iter(())


RULE: Rule = Neutral()
