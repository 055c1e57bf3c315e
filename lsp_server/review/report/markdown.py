"""A review as Markdown: for a comment on a change, or the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Sequence

from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.report.remarks import remarks
from famulus.lsp_server.review.report.source import Lines, visible
from famulus.lsp_server.review.review import Report

_SPECIAL = re.compile(r"([\\*_<>\[\]#|~@])")
_MOST_RELATED = 10


def text(report: Report, shown: Sequence[Finding], change: Change) -> str:
    """The report; the first line says how it went."""
    lines = Lines(change)
    parts = [f"### Famulus review: {report.headline(shown)}"]
    parts += [prose(report.summary)] if report.summary else []
    parts += [f"In the model's words: {prose(' '.join(report.words))}"] if report.words else []
    changed = f"{_counted(report.changed_lines, 'changed line')} of {_counted(report.files, 'file')}"
    parts.append(f"{prose(report.title)}: {changed}.")
    parts += [prose(fact) for fact in report.facts.values()]
    parts += [block(finding, lines) for finding in shown]
    if notes := list(remarks(report, shown)):
        listed = "\n".join(f"- {prose(note)}" for note in notes)
        parts.append(f"<details><summary>What was left out</summary>\n\n{listed}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def block(finding: Finding, lines: Lines) -> str:
    """One finding with its proof."""
    parts = [f"**{prose(finding.message)}**  \n{code(str(finding.place))} · {finding.grade.value} · `{finding.rule}`"]
    shown = [line for line in (lines.of(finding).strip(), visible(finding.proof.text).strip()) if line]
    if shown:
        parts.append(fenced("\n".join(shown)))
    if finding.related:
        listed = [f"- {code(str(r.place))} {prose(r.message)}" for r in finding.related[:_MOST_RELATED]]
        more = len(finding.related) - len(listed)
        parts.append("\n".join([*listed, *([f"- and {more} more places"] if more else [])]))
    if finding.proof.code:
        shown_as = "As a test" if "def test_" in finding.proof.code else "As code"
        written = fenced(visible(finding.proof.code).rstrip(), "python")
        parts.append(f"<details><summary>{shown_as}</summary>\n\n{written}\n\n</details>")
    return "\n\n".join(parts)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def prose(words: str) -> str:
    """Words that are no markup; what stands in backticks stays code."""
    pieces = re.split(r"(`[^`\n]+`)", " ".join(visible(words).split()))
    return "".join(piece if piece.startswith("`") else _SPECIAL.sub(r"\\\1", piece) for piece in pieces)


def code(words: str) -> str:
    """Words as code in a line."""
    marks = "`" * (max((len(run) for run in re.findall("`+", words)), default=0) + 1)
    space = " " if "`" in words else ""
    return f"{marks}{space}{visible(words)}{space}{marks}"


def fenced(content: str, language: str = "") -> str:
    """A block of code, whatever is in it."""
    marks = "`" * max(3, max((len(run) for run in re.findall("`+", content)), default=0) + 1)
    return f"{marks}{language}\n{content}\n{marks}"
