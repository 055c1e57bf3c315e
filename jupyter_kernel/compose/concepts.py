"""An instruction as a line of concepts, of which clauses are taken away by regular expressions."""

from __future__ import annotations

import re

from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.option import COMPARE
from famulus.jupyter_kernel.schema import Variable

_COUNTING = frozenset(("first", "last", "top", "bottom", "gt", "ge", "lt", "le", "max", "min"))

SOURCES = frozenset(("list", "tuple", "set", "dict", "text", "array", "series"))


SYMBOLS = {
    ",": "comma", "，": "comma", "、": "comma", "*": "multiply", "+": "plus", "/": "divide", "-": "subtract",
    "^": "power", "**": "power",
}  # fmt: skip


class Concepts:
    """The instruction as a line of concepts (``square of even number in V``) of which clauses are taken away."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.variables: dict[int, Variable] = {}
        self.tokens: list[tuple[int, int, str, Token]] = []
        position = 0
        speaks_of_text = any(m.variable.kind == "text" and m.score >= 0.9 for m in read.variables())
        while position < len(read.tokens):
            token = read.tokens[position]
            end = position + 1
            # Chinese words name an English variable by what it means.
            sure = 0.5 if token.text > "\u3400" else 0.9
            here = [m for m in read.variables() if m.start == position and m.variable.kind in SOURCES]
            named = [m for m in here if m.score >= sure]
            if position in read.taken:
                position += 1
                continue
            if token.key in ("word", "letter") and speaks_of_text and all(m.score < 1 for m in named):
                named = []
            last = self.tokens[-1][2] if self.tokens else ""
            if not named and last in _COUNTING and self._is_number(position):
                key = "N"
            elif named:
                best = max(named, key=lambda m: (m.score, m.end))
                self.variables[len(self.tokens)] = best.variable
                key, end = "V", best.end
            elif len(token.text) == 1 and token.text.isalpha() and last in ("start", "end", "contain", "letter"):
                key = "T"
            elif token.kind == "number":
                key = "N"
            elif token.kind == "quoted":
                key = "T"
            elif token.kind == "literal":
                key = "I"
            elif token.kind == "word":
                key = re.sub(r"\W", "_", token.key)
            else:
                key = SYMBOLS.get(token.text, token.key if token.key in COMPARE else "")
            filling = token.kind == "word" and token.weight <= NOISE and key not in (*COMPARE, "comma", "one", "V", "T")
            if key and not filling:
                self.tokens.append((position, end, key, token))
            position = end
        self.used: set[int] = set()
        self.line = " ".join(key for _, _, key, _ in self.tokens)
        self.starts: dict[int, int] = {}
        offset = 0
        for number, (_, _, key, _) in enumerate(self.tokens):
            self.starts[offset] = number
            offset += len(key) + 1

    def _is_number(self, position: int) -> bool:
        """Whether the word there is the name of a number: *the first k*."""
        return any(
            m.start == position and m.end == position + 1 and m.score >= 1.0 and m.variable.kind == "number"
            for m in self.read.variables()
        )

    def take(self, pattern: str) -> re.Match[str] | None:
        """The first match of a pattern over whole concepts, which are used up by it."""
        match = re.search(rf"(?<!\S)(?:{pattern})(?!\S)", self.line)
        if match:
            self.line = self.line[: match.start()] + re.sub(r"\S", "·", match.group()) + self.line[match.end() :]
            for offset, number in self.starts.items():
                if match.start() <= offset < match.end():
                    self.used |= set(range(self.tokens[number][0], self.tokens[number][1]))
        return match

    def token(self, match: re.Match[str], group: str) -> Token:
        return self.tokens[self.starts[match.start(group)]][3]

    def number(self, match: re.Match[str], group: str) -> str:
        value = self.token(match, group).value
        return f"{float(value[:-1]) / 100:g}" if value.endswith("%") else value

    def variable(self, match: re.Match[str], group: str | int) -> Variable:
        return self.variables[self.starts[match.start(group)]]
