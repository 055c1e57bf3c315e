"""A review in a terminal: what to do first, each with its proof, and what was not looked at at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.padding import Padding
from rich.text import Text

from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.report.remarks import remarks
from famulus.lsp_server.review.report.source import Lines, visible
from famulus.lsp_server.review.review import Report

_STYLES = {Grade.PROVED: "bold red", Grade.WITNESSED: "bold red", Grade.MEASURED: "yellow", Grade.MODEL_ONLY: "dim"}
_MOST_RELATED = 5


def renderables(report: Report, shown: Sequence[Finding], change: Change) -> Iterator[Text | Padding]:
    """What to print, in order."""
    lines = Lines(change)
    for finding in shown:
        yield from _finding(finding, lines)
        yield Text("")
    yield _verdict(report, shown)
    if report.words:
        yield _indented(Text(f"In the model's words: {visible(' '.join(report.words))}", style="italic"), 2)
    for fact in report.facts.values():
        yield _indented(Text(visible(fact)), 2)
    yield from (_indented(Text(sentence, style="dim"), 2) for sentence in remarks(report, shown))


def _finding(finding: Finding, lines: Lines) -> Iterator[Text | Padding]:
    head = Text.assemble((finding.grade.value, _STYLES[finding.grade]), "  ", (visible(str(finding.place)), "bold"))
    head.append(f"  {finding.rule}", style="dim")
    if finding.certainty != "certain":
        head.append(f"  {finding.certainty}", style="dim")
    yield head
    yield _indented(Text(visible(finding.message)), 2)
    if source := lines.of(finding):
        yield _source(finding.place.line, source)
    said = {related.message.rstrip(".") for related in finding.related[:_MOST_RELATED]}
    if finding.proof.text not in said and (proof := visible(finding.proof.text).strip()):
        yield from (_indented(Text(line, style="cyan"), 4) for line in proof.split("\n"))
    for related in finding.related[:_MOST_RELATED]:
        text = Text.assemble((visible(str(related.place)), "bold"), f"  {visible(related.message)}")
        yield _indented(text, 4)
    if len(finding.related) > _MOST_RELATED:
        yield _indented(Text(f"and {len(finding.related) - _MOST_RELATED} more places", style="dim"), 4)
    if finding.suggestion is not None:
        yield _indented(Text(f"Fix: {visible(finding.suggestion.title)}", style="green"), 4)


def _indented(text: Text, by: int) -> Padding:
    return Padding(text, (0, 0, 0, by), expand=False)


def _source(number: int, line: str) -> Padding:
    return _indented(Text.assemble((f"{number:>4} │ ", "dim"), line), 2)


def _verdict(report: Report, shown: Sequence[Finding]) -> Text:
    text = Text()
    if not report.files and not report.unread and not shown:
        return text.append("Nothing has changed", style="bold green").append(f" ({visible(report.title)})", style="dim")
    said = report.headline(shown)
    text.append(said[0].upper() + said[1:], style="bold green" if said.startswith("nothing") else "bold")
    if report.files or report.unread:  # else what is shown lies before the versions that were named
        text.append(f" in {_counted(report.changed_lines, 'changed line')} of {_counted(report.files, 'file')}")
    return text.append(f" ({visible(report.title)}, {report.seconds:.1f} s)", style="dim")


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
