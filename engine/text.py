"""Text to tokens and back, exactly.

Two rules make a :class:`Tokenizer` safe to feed a stranger's text: control tokens (``<|im_end|>`` and the
like) are never produced from plain text, and ``decode(encode(text)) == text`` for every text that the
vocabulary can spell. For the second rule Unicode normalisation and the dummy leading space that some
tokenizers declare are left out, as llama.cpp does.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from famulus.engine.errors import BadWeights, InvalidRequest
from famulus.engine.tokenizer_files import Parts, read_gguf, read_json

if TYPE_CHECKING:
    from famulus.engine.checkpoint import Checkpoint

_T = TypeVar("_T")


class Tokenizer:
    """Encodes and decodes text of one model; immutable and safe to share between threads."""

    def __init__(self, parts: Parts) -> None:
        self._backend = parts.backend
        self._pieces = parts.pieces
        self._marks = parts.marks
        self._derived: dict[Callable[[Tokenizer], Any], Any] = {}
        self.vocab_size = len(self._pieces)
        """Number of ids, gaps included; the model's own head may be padded to more."""
        self.special_ids = parts.hidden
        """Control tokens: never written into text, never read from it."""
        self.eos_ids = parts.eos_ids
        """Every token that ends an answer."""
        self.bos_id = parts.bos_id
        self.adds_bos = parts.adds_bos
        """Whether the model expects :attr:`bos_id` before plain text; :meth:`encode` never adds it."""
        longest_first = sorted(self._marks, key=len, reverse=True)
        self._mark_pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        spelled = {p[0] for p in self._pieces if len(p) == 1}
        self._unspelled = bytes(b for b in range(0xF5) if b not in (0xC0, 0xC1) and b not in spelled)

    @classmethod
    def from_file(cls, path: Path | str, config: Mapping[str, Any] | None = None) -> Tokenizer:
        """Read a ``tokenizer.json``.

        ``config`` is what ``tokenizer_config.json`` and ``generation_config.json`` say (``eos_token``,
        ``eos_token_id``, ``bos_token``, ``bos_token_id``, ``add_bos_token``). Raises :class:`BadWeights`.
        """
        return cls(read_json(path, config or {}))

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, object]) -> Tokenizer:
        """Read the vocabulary in the metadata of a GGUF file. Raises :class:`BadWeights`."""
        return cls(read_gguf(metadata))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Tokenizer:
        """Of a model on disk. Raises :class:`BadWeights` for one that does not belong to the weights."""
        source = checkpoint.tokenizer
        found = cls.from_file(source, checkpoint.config) if isinstance(source, Path) else cls.from_gguf(source)
        rows = checkpoint.config["vocab_size"]
        if found.vocab_size > rows:
            raise BadWeights(
                f"The tokenizer in {checkpoint.path} has {found.vocab_size} tokens, the weights have {rows}: they "
                "belong to different models.",
                fix="Fetch the model again.",
            )
        return found

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Token ids of ``text``; never adds a token of its own.

        ``special``: names of control tokens in ``text`` become these tokens (for text that templates wrote).
        Without it they are encoded as the plain characters that they are. A character that the vocabulary
        cannot spell becomes U+FFFD. Raises :class:`InvalidRequest` on lone surrogates.
        """
        if not special:
            return self._encode_plain(text)
        ids: list[int] = []
        for segment in self.segments(text):
            ids += [segment] if isinstance(segment, int) else self._encode_plain(segment)
        return ids

    def segments(self, text: str) -> Iterator[str | int]:
        """``text`` cut at the names of control tokens: plain text and token ids in turn."""
        end = 0
        for mark in self._mark_pattern.finditer(text) if self._mark_pattern else ():
            yield text[end : mark.start()]
            yield self._marks[mark.group()]
            end = mark.end()
        yield text[end:]

    def _encode_plain(self, text: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = self._backend.encode(self.spellable(text), add_special_tokens=False).ids
        return ids

    def spellable(self, text: str) -> str:
        """``text`` with every character that the vocabulary has no bytes for replaced by U+FFFD."""
        try:
            raw = text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"The text is not valid Unicode: a lone surrogate at character {error.start}."
            ) from error
        if not self._unspelled or len(raw.translate(None, self._unspelled)) == len(raw):
            return text
        missing = set(self._unspelled)
        return "".join("\ufffd" if missing.intersection(c.encode()) else c for c in text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids`` without control tokens; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(i) for i in ids).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes that ``token`` writes; empty for control tokens and for ids outside the vocabulary."""
        return self._pieces[token] if 0 <= token < self.vocab_size and token not in self.special_ids else b""

    def special_id(self, name: str) -> int | None:
        """Id of the control or added token called ``name``, if there is one."""
        return self._marks.get(name)

    @cached_property
    def mark_names(self) -> tuple[str, ...]:
        """Names of all control and added tokens that plain text must not produce."""
        return tuple(self._marks)

    def last_word(self, text: str) -> int:
        """Where the last word of ``text`` starts, as the model's own word splitter cuts it (empty text: 0).

        A word carries its leading blank; a run of white space at the end, line breaks included, is one word.
        """
        splitter = self._backend.pre_tokenizer
        if splitter is None or self._backend.normalizer is not None:
            found = re.search(r"(\s+| ?\w+| ?[^\w\s]+)\Z", text)
            return found.start() if found else 0
        words = splitter.pre_tokenize_str(text)
        return words[-1][1][0] if words else 0

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens that write text, ordered by their bytes; built on first use."""
        return Vocabulary((p, i) for i, p in enumerate(self._pieces) if p and i not in self.special_ids)

    def derived(self, make: Callable[[Tokenizer], _T]) -> _T:
        """``make(self)``, made once: for what other parts compute from a vocabulary."""
        if make not in self._derived:
            self._derived[make] = make(self)
        made: _T = self._derived[make]
        return made

    def to_json(self) -> str:
        """The tokenizer as the text of a ``tokenizer.json``, without its control tokens."""
        text: str = self._backend.to_str()
        return text


class Vocabulary:
    """Tokens in the order of their bytes: which tokens can write a given text?"""

    def __init__(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        ordered = sorted(pieces)
        self._bytes = [piece for piece, _ in ordered]
        self._ids = np.array([i for _, i in ordered], dtype=np.int64)
        self.longest = max(map(len, self._bytes), default=0)
        """Bytes of the longest token."""

    def span(self, prefix: bytes) -> tuple[int, int]:
        """Positions ``[first, last)`` of the tokens that start with ``prefix``."""
        first = bisect_left(self._bytes, prefix)
        end = prefix.rstrip(b"\xff")
        last = bisect_left(self._bytes, end[:-1] + bytes([end[-1] + 1])) if end else len(self._bytes)
        return first, last

    def between(self, low: bytes, high: bytes) -> NDArray[np.int64]:
        """Ids of the tokens from ``low`` up to the last one that starts with ``high``."""
        return self._ids[bisect_left(self._bytes, low) : self.span(high)[1]]

    def starting_with(self, prefix: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that start with ``prefix``, those equal to it included."""
        first, last = self.span(prefix)
        return self._ids[first:last]

    def equal_to(self, text: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that write exactly ``text``."""
        return self._ids[bisect_left(self._bytes, text) : bisect_right(self._bytes, text)]


class Detokenizer:
    """Turns a stream of tokens into text as soon as whole characters are there.

    All :meth:`push` results and :meth:`flush` together equal :meth:`Tokenizer.decode` of the same ids.
    ``skip``: bytes at the start that are not shown (what token healing lets the model write a second time).
    """

    def __init__(self, tokenizer: Tokenizer, skip: int = 0) -> None:
        self._tokenizer = tokenizer
        self._skip = skip
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Text that became complete with ``token``; empty in the middle of a character."""
        raw = self._tokenizer.token_bytes(token)
        skipped = min(self._skip, len(raw))
        self._skip -= skipped
        return self._decoder.decode(raw[skipped:])

    def flush(self) -> str:
        """What is left at the end of the stream: U+FFFD for a character that was never finished."""
        return self._decoder.decode(b"", final=True)
