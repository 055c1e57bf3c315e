"""One sign away from Python: what its own message about a broken cell says to put right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

ROUNDS = 3
"""Signs that one cell may lack; a cell that needs more is not understood well enough to be changed."""

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_CLOSED = re.compile(r"'([(\[{])' was never closed")
_UNMATCHED = re.compile(r"unmatched '([)\]}])'")
_MISMATCH = re.compile(r"closing parenthesis '([)\]}])' does not match opening parenthesis '([(\[{])'")
_PRINT = re.compile(r"^(\s*)print\s+(.+)$")
_CURLY = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\uff08": "(",
        "\uff09": ")",
        "\uff0c": ",",
        "\uff1a": ":",
        "\u3001": ",",
    }
)


def fixes(code: str) -> Iterator[tuple[str, str]]:
    """The code with the signs put right that Python complains of, and what they are; nothing if that does not help."""
    reasons: list[str] = []
    for _ in range(ROUNDS):
        fault = _fault(code)
        if fault is None:
            break
        found = _put_right(code, fault)
        if found is None or found[0] == code:
            return
        code = found[0]
        reasons.append(found[1])
    if reasons and _fault(code) is None:
        yield code, ", ".join(reasons)


def _fault(code: str) -> SyntaxError | None:
    try:
        compile(code, "<cell>", "exec", 0x2000 | 0x0400, dont_inherit=True)  # top-level await; the tree alone
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def _put_right(code: str, fault: SyntaxError) -> tuple[str, str] | None:
    message, lines = fault.msg, code.splitlines()
    at = min(max((fault.lineno or 1) - 1, 0), len(lines) - 1)
    line, column = lines[at], max((fault.offset or 1) - 1, 0)

    def with_line(new: str) -> str:
        return "\n".join([*lines[:at], new, *lines[at + 1 :]])

    if found := _CLOSED.search(message):
        return with_line(_closed(line)), f"closes the {found[1]}"
    if found := _MISMATCH.search(message):
        wanted = _PAIRS[found[2]]
        return with_line(line[:column] + wanted + line[column + 1 :]), f"{wanted} in place of {found[1]}"
    if found := _UNMATCHED.search(message):
        return with_line(line[:column] + line[column + 1 :]), f"takes out a {found[1]} too many"
    if "expected ':'" in message:
        return with_line(line.rstrip() + ":"), "adds the missing :"
    if "Maybe you meant '=='" in message:
        return with_line(re.sub(r"(?<![=!<>])=(?!=)", "==", line, count=1)), "compares with =="
    if (found := _PRINT.match(line)) and "print" in message:
        return with_line(f"{found[1]}print({found[2]})"), "adds the brackets of print"
    if "unterminated string" in message:
        quote = line[column : column + 1] or "'"
        return with_line(_quoted(line, quote)), "closes the text"
    if "unindent" in message or "unexpected indent" in message:
        return with_line(line.lstrip()), "takes back an indentation"
    if "invalid character" in message or "invalid non-printable" in message:
        return with_line(line.translate(_CURLY).replace("\u00a0", " ")), "writes the signs as Python does"
    if "expected an indented block" in message:
        return with_line("    " + line), "indents the block"
    if "Perhaps you forgot a comma" in message and fault.end_offset is not None:
        return _comma(line, column, fault.end_offset - 1, with_line)
    return None


def _closed(line: str) -> str:
    """The line with the brackets that it leaves open closed at its end, before a colon."""
    stack, quote = [], ""
    for sign in line:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _PAIRS:
            stack.append(_PAIRS[sign])
        elif stack and sign == stack[-1]:
            stack.pop()
    body = line.rstrip()
    tail = ":" if body.endswith(":") and re.match(r"\s*(if|for|while|with|def|class|elif)\b", body) else ""
    return body.removesuffix(tail) + "".join(reversed(stack)) + tail


def _quoted(line: str, quote: str) -> str:
    """The line with its last text closed, inside the brackets that stand at its end."""
    body = line.rstrip()
    brackets = len(body) - len(body.rstrip(")]}"))
    return body[: len(body) - brackets] + quote + body[len(body) - brackets :]


def _comma(line: str, start: int, end: int, with_line: Callable[[str], str]) -> tuple[str, str] | None:
    """Two expressions side by side: a comma between them, in the widest gap."""
    inside = line[start:end]
    gap = re.search(r"(?<=[\w'\")\]}])\s+(?=[\w'\"(\[{])", inside)
    if gap is None:
        return None
    return with_line(line[: start + gap.start()] + ", " + line[start + gap.end() :]), "adds the missing comma"
