"""Which tokens may come next: masks for token healing, legal names, and grammars.

A mask never allows a control token, except those that end an answer where the answer may end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

import llguidance
import numpy as np
from numpy.typing import NDArray

from famulus.engine.errors import InvalidConstraint
from famulus.engine.protocol import Constraint
from famulus.engine.text import Tokenizer

Allowed = NDArray[np.bool_]
"""bool [vocab_size]; ids of a model's padding beyond it are never allowed."""

MAX_SOURCE = 256 << 10
"""Characters of a JSON schema, regular expression or grammar."""
MAX_REPEATS = 1500
"""Repetitions in all regular expressions of a constraint: compiling them takes the square of their number."""
MAX_JOINED = 8
"""Patterns in a schema that has ``allOf``: compiling an intersection doubles with each."""
WHITE_SPACE = r"[ \n\r\t]{0,24}"
"""Between the parts of a JSON document; without the bound a small model can write blanks for ever."""
_IDENTIFIER = frozenset(b"0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") | frozenset(
    range(0x80, 0x100)
)
_GAPS = (b"\x00/", b":@", b"[^", b"``", b"{\x7f")
"""First and last byte of each range of bytes that cannot go on with an identifier."""


class Mask(Protocol):
    """What an answer may still say. One object per answer."""

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and nothing may follow."""

    def allowed(self) -> Allowed | None:
        """The tokens that may come next; None: all. The array is valid until :meth:`advance`."""

    def advance(self, token: int) -> None:
        """Take the chosen token. Raises :class:`InvalidConstraint` if it was not allowed."""

    def forced(self) -> list[int]:
        """Tokens that must come next, written as usual; none where there is a choice."""

    def legal(self, tokens: list[int]) -> int:
        """How many of ``tokens``, from the first one on, may come next; fewer where that is costly to say."""


def build(constraint: Constraint | None, heal: bytes, tokenizer: Tokenizer, before: str = "") -> Mask | None:
    """The mask for one answer, or None if everything is allowed.

    ``heal`` and ``before`` come from :class:`famulus.engine.prompt.Rendered`: the bytes that the answer must
    begin with, and the text before the cursor (``heal`` included), where a name may already have begun.
    Raises :class:`InvalidConstraint`.
    """
    if constraint is None:
        return Healing(tokenizer, heal) if heal else None
    if constraint.names is not None:
        return Names(tokenizer, constraint.names, heal, before)
    return Grammar(tokenizer, constraint, heal)


class _Spelled:
    """The answer must begin with one of some byte strings, then is free.

    ``whole``: a byte string counts only if no identifier character follows it.
    """

    def __init__(self, tokenizer: Tokenizer, targets: Iterable[bytes], whole: bool) -> None:
        self._tokenizer = tokenizer
        self._whole = whole
        self._free = False
        self._due: list[bytes] = []  # what is still to be written, one per target; sorted
        self._mask: Allowed | None = None
        self.finished = False
        self._set(set(targets))

    def _set(self, due: set[bytes]) -> None:
        self._due = sorted(due)
        self._mask = None
        self._free = self._free or (not self._whole and b"" in due)

    def allowed(self) -> Allowed | None:
        """See :class:`Mask`."""
        if self._free:
            return None
        if self._mask is None:
            self._mask = np.zeros(self._tokenizer.vocab_size, dtype=np.bool_)
            self._mark(0, len(self._due), b"", self._mask)
        return self._mask

    def _mark(self, first: int, last: int, path: bytes, mask: Allowed) -> None:
        """Allow the tokens that spell ``path`` and go on with one of the targets ``first`` to ``last``."""
        vocabulary = self._tokenizer.vocabulary
        if path:
            mask[vocabulary.equal_to(path)] = True
        if self._due[first] == path:
            first += 1
            if not self._whole:
                mask[vocabulary.starting_with(path)] = True
                return
            for low, high in _GAPS:
                mask[vocabulary.between(path + bytes([low]), path + bytes([high]))] = True
            if not path:
                mask[list(self._tokenizer.eos_ids)] = True
        while first < last:
            longer = self._due[first][: len(path) + 1]
            end = first + 1
            while end < last and self._due[end].startswith(longer):
                end += 1
            if len(vocabulary.starting_with(longer)):
                self._mark(first, end, longer, mask)
            first = end

    def advance(self, token: int) -> None:
        """See :class:`Mask`."""
        if self._free or self.finished:
            return
        mask = self.allowed()
        if mask is None or not (0 <= token < len(mask) and mask[token]):
            raise InvalidConstraint(f"The token {token} is not allowed here.")
        if token in self._tokenizer.eos_ids:
            self.finished = True
            return
        piece = self._tokenizer.token_bytes(token)
        passed = (d for d in self._due if piece.startswith(d) and len(piece) > len(d))
        self._free = any(not self._whole or piece[len(d)] not in _IDENTIFIER for d in passed)
        self._set({d[len(piece) :] for d in self._due if d.startswith(piece)})

    def forced(self) -> list[int]:
        """See :class:`Mask`."""
        mask = self.allowed()
        return [] if mask is None or np.count_nonzero(mask) != 1 else [int(mask.argmax())]

    def legal(self, tokens: list[int]) -> int:
        """See :class:`Mask`."""
        mask = self.allowed()
        return len(tokens) if mask is None else int(bool(tokens) and bool(mask[tokens[0]]))


class Healing(_Spelled):
    """The answer must begin with the bytes that were cut off the prompt; after them anything goes.

    White space may be written in any parts, because what follows decides where it is cut (``"\\n   "`` and
    ``" return"``). Anything else is written as the tokenizer writes it, or by a token that goes beyond it: with
    every part allowed, the likeliest first part won although only junk could follow (``")"`` for ``"):"``, then
    ``":**"``).
    """

    def __init__(self, tokenizer: Tokenizer, heal: bytes) -> None:
        super().__init__(tokenizer, [heal], whole=False)

    def allowed(self) -> Allowed | None:
        """See :class:`Mask`."""
        if self._free or self._mask is not None or not self._due[0].strip():
            return super().allowed()
        rest = self._due[0]
        mask = np.zeros(self._tokenizer.vocab_size, dtype=np.bool_)
        mask[self._tokenizer.vocabulary.starting_with(rest)] = True
        usual = self._tokenizer.encode(rest.decode("utf-8", "replace"))
        if usual and rest.startswith(self._tokenizer.token_bytes(usual[0])):
            mask[usual[0]] = True
        if not mask.any():  # in the middle of a character
            return super().allowed()
        self._mask = mask
        return mask


class Names(_Spelled):
    """The identifier at the cursor, or the column name in its quotes, becomes one of ``names``.

    What was typed of it before the cursor counts. After the name a character follows that cannot belong to an
    identifier, or the answer ends; then anything goes.
    """

    def __init__(self, tokenizer: Tokenizer, names: Iterable[str], heal: bytes, before: str) -> None:
        names = sorted(set(names))
        typed = typed_name(before, names)
        if typed is None:
            raise InvalidConstraint(f"None of the names can follow {before[-40:]!r}.")
        rest = (n[len(typed) :].encode() for n in names if n.startswith(typed))
        super().__init__(tokenizer, [heal + r for r in rest], whole=True)


def typed_name(before: str, names: Iterable[str]) -> str | None:
    """The longest end of ``before`` with which a name begins; None if it ends in another identifier."""
    line = before.rpartition("\n")[2]
    names = list(names)
    for start in range(max(0, len(line) - max(map(len, names), default=0)), len(line)):
        if start and _continues(line[start - 1]) and _continues(line[start]):
            continue  # in the middle of an identifier
        if any(name.startswith(line[start:]) for name in names):
            return line[start:]
    return None if line and _continues(line[-1]) else ""


def _continues(character: str) -> bool:
    return character == "_" or character.isalnum() or ord(character) >= 0x80


class Grammar:
    """The answer is a JSON document of a schema, matches a regular expression, or a grammar in Lark form."""

    LIMITS = llguidance.LLParserLimits(
        initial_lexer_fuel=1_000_000, step_lexer_fuel=200_000, step_max_items=50_000, max_lexer_states=50_000,
        max_grammar_size=200_000,
    )  # fmt: skip

    def __init__(self, tokenizer: Tokenizer, constraint: Constraint, heal: bytes = b"") -> None:
        self._tokenizer = tokenizer
        _check_effort(constraint)
        source = _source(constraint, heal)
        self._matcher = llguidance.LLMatcher(
            tokenizer.derived(_grammar_vocabulary), source, log_level=0, limits=self.LIMITS
        )
        self._check()
        self._barred = np.array(sorted(tokenizer.special_ids - tokenizer.eos_ids), dtype=np.int64)
        self._mask: Allowed | None = None
        self.allowed()  # some faults show only now, and here they fail the request before it starts

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidConstraint(_sentence(self._matcher.get_error()))

    @property
    def finished(self) -> bool:
        """See :class:`Mask`."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> Allowed:
        """See :class:`Mask`."""
        if self._mask is None:
            if self.finished:
                mask = np.zeros(self._tokenizer.vocab_size, dtype=np.bool_)
                mask[list(self._tokenizer.eos_ids)] = True
            else:
                mask = np.frombuffer(self._matcher.compute_logit_bias(), dtype=np.uint8) != 0
                self._check()
                mask[self._barred] = False
            self._mask = mask
        return self._mask

    def advance(self, token: int) -> None:
        """See :class:`Mask`."""
        if self.finished and token in self._tokenizer.eos_ids:
            return
        accepted = self._matcher.consume_token(token)
        self._check()
        if not accepted:
            raise InvalidConstraint(f"The token {token} is not allowed here.")
        self._mask = None

    def forced(self) -> list[int]:
        """See :class:`Mask`."""
        return [] if self.finished else list(self._matcher.compute_ff_tokens())

    def legal(self, tokens: list[int]) -> int:
        """See :class:`Mask`."""
        return 0 if self.finished else int(self._matcher.validate_tokens(tokens))


class _Pieces:
    """A tokenizer in the form that llguidance reads."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = min(tokenizer.eos_ids, default=0)
        self.special_token_ids = sorted(tokenizer.special_ids)
        self.tokens = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


def _grammar_vocabulary(tokenizer: Tokenizer) -> Any:
    wrapper = llguidance.TokenizerWrapper(_Pieces(tokenizer))
    return llguidance.LLTokenizer(wrapper, eos_token=sorted(tokenizer.eos_ids) or None)


def _source(constraint: Constraint, heal: bytes) -> str:
    """The constraint in llguidance's own form, with the bytes to heal before it."""
    inner: dict[str, Any]
    if constraint.json_schema is not None:
        options = {"whitespace_pattern": WHITE_SPACE}
        inner = {"json_schema": {**constraint.json_schema, "x-guidance": options}}
    elif constraint.regex is not None:
        inner = {"lark_grammar": f"start: /{llguidance.regex_to_lark(constraint.regex)}/"}
    else:
        inner = {"lark_grammar": constraint.grammar}
    grammars = [inner]
    if heal:
        first = json.dumps(heal.decode(), ensure_ascii=True)
        grammars = [{"lark_grammar": f"start: {first} @answer"}, {"name": "answer", **inner}]
    source = json.dumps({"grammars": grammars})
    if len(source) > MAX_SOURCE:
        raise InvalidConstraint(f"The constraint is longer than {MAX_SOURCE} characters.")
    return source


def _check_effort(constraint: Constraint) -> None:
    """Refuse what llguidance's own limits let run for minutes (measured on 1.9)."""
    patterns, joined = [constraint.regex or ""], False
    patterns += re.findall(r"/((?:\\.|[^/\\\n])+)/", constraint.grammar or "")
    todo: list[Any] = [constraint.json_schema]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            todo += part.values()
            patterns += [part["pattern"]] if isinstance(part.get("pattern"), str) else []
            patterns += part["patternProperties"] if isinstance(part.get("patternProperties"), dict) else []
            joined = joined or "allOf" in part
        elif isinstance(part, list):
            todo += part
    repeats = sum(len(re.findall(r"[*+?{]", pattern)) for pattern in patterns)
    if repeats > MAX_REPEATS or (joined and len(patterns) - 1 > MAX_JOINED):
        raise InvalidConstraint(_sentence("it is too complex"))


def _sentence(message: str) -> str:
    """The compiler's report as one sentence."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    named = next((line for line in lines if line.startswith("error: ")), "")
    text = named.removeprefix("error: ") or (lines[0] if lines else "it is not valid")
    if text.startswith("panic"):
        text = "it is not a valid grammar"
    if re.search(r"limits?\b|too (many|complex|large|big)|fuel", text):
        text = "it is too complex"
    return f"The constraint cannot be used: {text[:200].rstrip('.')}."
