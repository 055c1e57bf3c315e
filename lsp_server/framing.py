"""Messages in a stream of bytes: ``Content-Length`` headers and bodies, as the base protocol of LSP says. No I/O here.

What cannot be a header is refused at its first wrong byte, so that a lost place in the stream is noticed at once
instead of being waited out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.engine.errors import InvalidRequest

HEADER_BYTES = 8 << 10
HEADER_WITHIN = 256
"""Bytes of a header that is found where none should be."""
BODY_BYTES = 64 << 20
"""The largest message of a stream."""
WEBSOCKET_BYTES = 16 << 20
"""The largest message of a WebSocket."""

_FIELD = re.compile(rb"([A-Za-z-]+)[ \t]*:[ \t]*([\x20-\x7e]*?)[ \t]*\r?")
_BEGUN = re.compile(rb"[A-Za-z-]{1,64}(?:[ \t]*(?::[\x20-\x7e\t]*)?)\r?|\r?")
_BLANK = re.compile(rb"\n\r?\n")
_TYPE = rb"(?:Content-Type[^\r\n]*\r?\n)?"
_HEADER = re.compile(_TYPE + rb"Content-Length[ \t]*:[ \t]*[0-9]{1,15}[ \t]*\r?\n" + _TYPE + rb"\r?\n\Z", re.IGNORECASE)
"""No JSON holds this: within a string a line break is escaped, and outside there are no such letters."""
_NUMBER = re.compile(rb"[0-9]{1,15}")


class BrokenFraming(InvalidRequest):
    """The place in the stream is lost; nothing that follows can be understood."""


class Frames:
    """Cuts a stream into bodies. ``limit``: the largest body, in bytes."""

    def __init__(self, limit: int = BODY_BYTES) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._seen = 0
        self._header = self._fields = 0
        self._length: int | None = None
        self._wanted: int | None = None

    @property
    def begun(self) -> bool:
        """Whether a message has begun that is not yet whole."""
        return bool(self._buffer) or self._header > 0

    @property
    def in_header(self) -> bool:
        """Whether what has begun is still a header."""
        return self.begun and self._wanted is None

    @property
    def body_bytes(self) -> int:
        """How much of a body that is not yet whole has come."""
        return 0 if self._wanted is None else len(self._buffer)

    def feed(self, data: bytes, *, doubtful: bool = False) -> Iterator[bytes]:
        """The bodies that are whole now. ``doubtful``: the one that has begun may have been cut off, see
        :meth:`resume`. Raises :class:`BrokenFraming`."""
        self._buffer += data
        if doubtful:
            self.resume()
        while (body := self._next()) is not None:
            yield body

    def resume(self) -> bool:
        """Give up a body that is not whole where the header of another message stands in it: it was cut off. Whether
        there was one; :meth:`feed` goes on there."""
        start = self._header_within() if self._wanted is not None else None
        if start is None:
            return False
        del self._buffer[:start]
        self._begin()
        return True

    def _header_within(self) -> int | None:
        """Where in the body the first header begins. Blank lines are looked for, which bodies seldom have."""
        for blank in _BLANK.finditer(self._buffer):
            low = max(0, blank.start() - HEADER_WITHIN)
            if (found := _HEADER.search(self._buffer[low : blank.end()])) is not None:
                return low + found.start()
        return None

    def _begin(self) -> None:
        self._wanted, self._length, self._header, self._fields, self._seen = None, None, 0, 0, 0

    def _next(self) -> bytes | None:
        while self._wanted is None:
            end = self._buffer.find(b"\n", self._seen)
            if end < 0:
                self._seen = len(self._buffer)
                self._check_begun()
                return None
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._seen = 0
            self._grow(end + 1)
            self._take(line)
        if len(self._buffer) < self._wanted:
            return None
        body = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        self._begin()
        return body

    def _take(self, line: bytes) -> None:
        if line in (b"", b"\r"):
            if not self._fields:
                self._header = 0  # blank lines between messages do no harm
                return
            if self._length is None:
                raise BrokenFraming("A message has no Content-Length.")
            self._wanted = self._length
            return
        field = _FIELD.fullmatch(line)
        if field is None:
            raise BrokenFraming("A message begins with something else than a header.")
        self._fields += 1
        name, value = field.groups()
        if name.lower() == b"content-length":
            self._length = self._size(value)

    def _size(self, value: bytes) -> int:
        if _NUMBER.fullmatch(value) is None:
            raise BrokenFraming("The Content-Length of a message is not a number.")
        length = int(value)
        if self._length not in (None, length):
            raise BrokenFraming("A message has two lengths.")
        if length > self.limit:
            raise BrokenFraming(f"A message of {length} bytes is announced; at most {self.limit} are read.")
        return length

    def _check_begun(self) -> None:
        if self._header + len(self._buffer) > HEADER_BYTES:
            raise _endless()
        if _BEGUN.fullmatch(self._buffer) is None:
            raise BrokenFraming("A message begins with something else than a header.")

    def _grow(self, size: int) -> None:
        self._header += size
        if self._header > HEADER_BYTES:
            raise _endless()


def _endless() -> BrokenFraming:
    return BrokenFraming(f"A header is longer than {HEADER_BYTES} bytes.")


def frame(body: bytes) -> bytes:
    """A message as it stands in a stream."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
