"""The signs of a sentence and of code in a cell that does not parse, as numbers from 0 to 1."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from famulus.jupyter_kernel.detect_repairs import is_slip
from famulus.jupyter_kernel.detect_tokens import (
        HEADS,
    KEYWORDS,
    LEXICON,
    WIDE_GAP,
    Token,
    gaps,
    lines_of,
    pairs,
    rows_of,
    triple_quotes,
)  # fmt: skip
from famulus.jupyter_kernel.detect_words import CHINESE, QUESTIONS, VERBS

_TARGET = r"[^\W\d]\w*(?:\.\w+|\[[^\]]*\])*"
ASSIGNMENT = re.compile(
    rf"\s*\*?{_TARGET}(?:\s*,\s*\*?{_TARGET})*\s*(?::\s*[\w.\[\], |\"']+)?(?:[-+*/%@&|^]|//|\*\*|<<|>>)?=(?!=)"
)
_DEFINITION = re.compile(
    r"\s*(?:@[\w.]+(?:\(.*)?$|(?:async\s+)?def\s+\w+(?:\s*[(:]|.*:\s*$)|class\s+\w+(?:\s*[(:]|.*:\s*$)"
    r"|import\s+[\w.]+(?:\s+as\s+\w+)?\s*(?:,.*)?$"
    r"|from\s+\.*[\w.]+\s+import\s|from\s+[\w.]+\s+imp\w*\s|(?:if|for|while|with|elif|except|match|case|async)\b.*:\s*$"
    r"|assert\s[^,]*[=<>]|(?:try|else|finally)\s*:|(?:pass|break|continue|return|\}|\)|\])[\s,;)]*$)"
)
_CALL = re.compile(rf"\s*(?:await\s+|return\s+|print\s+)?{_TARGET}\(.*[)\],:({{\[]*\s*$")
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def is_code_line(line: str, row: Sequence[Token]) -> bool:
    """Whether a line has the shape of a statement, whatever else is wrong with it."""
    if not (_DEFINITION.match(line) or ASSIGNMENT.match(line) or _CALL.match(line)):
        return False
    return pairs(row) < 3


def _share(count: float, most: float) -> float:
    return min(count, most) / most


def features(code: str, names: Container[str]) -> dict[str, float]:
    """The signs of a cell, by name; empty where nothing but comments is in it."""
    lines = lines_of(code)
    if not lines:
        return {}
    rows = rows_of(lines)
    first, every = rows[0], [token for row in rows for token in row]
    words = [token.text for token in every if token.kind == "word"]
    lowered = [word.lower().replace("’", "'") for word in words]
    named = [token.text for token in every if token.kind == "name"]
    operators = [token.text for token in every if token.kind == "operator"]
    named_or_word = max(1, len(named) + len(words))
    head = first[0].text.lower().replace("’", "'") if first else ""
    code_lines = [is_code_line(line, row) for line, row in zip(lines, rows, strict=True)]
    block = code.lstrip("\n").partition("\n")[2][:1] in (" ", "\t")
    announces = lines[0].rstrip()[-1:] in ":：?？" and pairs(first) > 0 and first[0].kind != "keyword" and not block
    last = code.rstrip()[-1:]
    script = sum(len(token.text) for token in every if token.kind == "script")
    return {
        # of a sentence
        "pairs in the first line": _share(pairs(first), 3),
        "any pair": float(sum(map(gaps, rows)) > 0),
        "share of common words": sum(word in LEXICON for word in lowered) / len(words) if words else 0.0,
        "opens with a verb": float(head in VERBS and head not in names and first[0].kind == "word"),
        "asks and ends with a question mark": float(head in QUESTIONS and last in "?？"),
        "opens with a question": float(head in QUESTIONS and head not in KEYWORDS),
        "ends as a sentence": float(last in "?!？。！" or (last == "." and len(words) > 2 and every[-1].text == ".")),
        "Chinese": _share(script, 4),
        "Chinese words of request": _share(len(CHINESE.findall(code[:2000])), 2),
        "files": float(any(token.kind == "file" for token in every)),
        "announces code": float(announces),
        # of code
        "first line has the shape of a statement": float(code_lines[0]),
        "lines with the shape of statements": sum(code_lines) / len(lines),
        "wide gaps": float(any(map(WIDE_GAP.search, lines))),
        "a sentence above code": float(not announces and not code_lines[0] and any(code_lines)),
        "opens with an assignment": float(ASSIGNMENT.match(lines[0]) is not None),
        "opens with a keyword": float(bool(first) and first[0].text in HEADS),
        "opens with a slip of a keyword": float(is_slip(first)),
        "slips of keywords": float(any(map(is_slip, rows))),
        "names with digits, underscores, dots, calls": len(named) / named_or_word,
        "operators": _share(sum(text not in ",.-:;" for text in operators) / len(lines), 4),
        "share of operators": sum(text != "." for text in operators) / max(1, len(every)),
        "brackets left open": float(_unbalanced(every)),
        "quotes left open": float(any(map(_open_quote, rows))),
        "triple quotes": float(triple_quotes(code) > 0),
        "indented lines": sum(line[0] in " \t" for line in lines) / len(lines),
        "names in the namespace": sum(name in names for name in [*named, *words]) / named_or_word,
        "two words alone": float(len(every) == 2),
        "print and one more": float(head == "print" and len(words) < 3),
    }


def _open_quote(row: Sequence[Token]) -> bool:
    """Whether a quote has no second one. *The users' names* has none that opens."""
    before: Token | None = None
    for token in row:
        if token.text == '"' or (token.text == "'" and not (token.joined and before and before.text.endswith("s"))):
            return True
        before = token
    return False


def _unbalanced(tokens: Sequence[Token]) -> bool:
    opened: list[str] = []
    for token in tokens:
        if token.text in ("(", "[", "{"):
            opened.append(token.text)
        elif token.text in _BRACKETS and (not opened or opened.pop() != _BRACKETS[token.text]):
            return True
    return bool(opened)
