"""The white space at the start of lines, as the document and the cursor have it."""

from __future__ import annotations

from famulus.engine.languages import SENTENCE_LANGUAGES
from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.situation import Situation, margin, opens_block


def indentation(text: str, situation: Situation) -> str:
    """Tabs or blanks as in the document; the first line counts from the cursor, the others from the line's start."""
    if situation.inside != "code" or not text.strip():
        return text
    if situation.line_before.strip() and situation.line_before[-1] in " \t":
        text = text.lstrip(" \t")
    lines = _in_units(text, situation)
    if situation.language in SENTENCE_LANGUAGES:
        return "\n".join(lines)
    if not situation.line_before.strip():
        lines = _first_from_cursor(lines, situation)
    return "\n".join(_others_below(lines, situation))


def _in_units(text: str, situation: Situation) -> list[str]:
    """Lines with the document's own kind of white space, except within strings."""
    quoted = [line.quoted for line in lexical.scan(text, situation.language, situation.quote).lines]
    lines = text.split("\n")
    tabs = situation.unit == "\t"
    for number, line in enumerate(lines):
        white = margin(line)
        if (number < len(quoted) and quoted[number]) or not white or (number == 0 and situation.line_before.strip()):
            continue
        if tabs and " " in white:
            lines[number] = _as_tabs(white, lines) + line[len(white) :]
        elif not tabs and "\t" in white:
            lines[number] = white.replace("\t", situation.unit) + line[len(white) :]
    return lines


def _as_tabs(white: str, lines: list[str]) -> str:
    widths = [len(margin(line)) for line in lines if margin(line) and "\t" not in margin(line)]
    step = 2 if any(width % 4 for width in widths) else 4
    tabs, blanks = white.count("\t"), white.count(" ")
    return "\t" * (tabs + blanks // step) + " " * (blanks % step if blanks >= step else 0)


def _first_from_cursor(lines: list[str], situation: Situation) -> list[str]:
    """On an empty line, a first line that brings the whole indentation with it loses what is there already."""
    here, white = situation.line_before, margin(lines[0])
    if not lines[0].strip() or not white:
        return lines
    above = margin(situation.line_above)
    wanted = above + situation.unit if opens_block(situation.line_above, situation.language) else above
    if len(here) + len(white) <= max(len(wanted), len(here)):
        return lines
    kept = max(0, len(wanted) - len(here))
    return [white[:kept] + lines[0][len(white) :], *lines[1:]]


def _others_below(lines: list[str], situation: Situation) -> list[str]:
    """Lines that were written as if the cursor stood at the left edge move to where it stands."""
    base = margin(situation.line_before + lines[0])
    rest = [line for line in lines[1:] if line.strip()]
    if not base or not rest or not opens_block(situation.line_before + lines[0], situation.language):
        return lines
    if len(margin(rest[0])) > len(base) or not margin(rest[0]):
        return lines
    return [lines[0], *(base + line if line.strip() else line for line in lines[1:])]
