"""What a report says besides its findings, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.report.source import visible
from famulus.lsp_server.review.review import Report

_MOST_UNREAD = 5


def remarks(report: Report, shown: Sequence[Finding]) -> Iterator[str]:
    """Sentences on what is not shown and what was not looked at."""
    if hidden := report.hidden(shown):
        parts = ", ".join(f"{count} {reason}" for reason, count in hidden.items())
        yield f"Not shown: {parts}. --all shows them."
    if report.suppressed:
        yield f"Settled: {', '.join(f'{count} {reason}' for reason, count in report.suppressed.items())}."
    yield from map(visible, report.left_out)
    if report.unread:
        some = [f"{visible(path)} {reason}" for path, reason in list(report.unread.items())[:_MOST_UNREAD]]
        more = f"; and {len(report.unread) - len(some)} more" if len(report.unread) > len(some) else ""
        yield f"Changed, but not read: {'; '.join(some)}{more}."
