"""From an HTTP body to a typed value: bounded in bytes, depth and time; what we do not know is ignored and
logged once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from typing import TypeVar

import msgspec
from starlette.requests import Request

from famulus.engine.errors import InvalidRequest
from famulus.engine.gate import too_large
from famulus.engine.protocol import MAX_BODY, MAX_DEPTH

log = logging.getLogger("famulus.api")

T = TypeVar("T")

BODY_SECONDS = 30.0
MAX_NAMES = 256

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


async def read_body(request: Request) -> bytes:
    """The whole body. Raises :class:`TooLarge`, or :class:`InvalidRequest` when it does not arrive in
    time."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BODY:
                    raise too_large()
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequest(f"The body did not arrive within {BODY_SECONDS:.0f} s.") from None
    return b"".join(chunks)


def depth(body: bytes) -> int:
    """How deep the brackets of a JSON text are nested, without building anything from it."""
    brackets = _STRINGS.sub(b"", body).translate(_STEPS, _NOT_BRACKETS)
    return max(itertools.accumulate(memoryview(brackets).cast("b")), default=0)


class Reader:
    """Decodes bodies of one server; remembers which unknown fields it has already logged."""

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._decoders: dict[type, msgspec.json.Decoder[object]] = {}

    async def read(self, request: Request, kind: type[T]) -> T:
        """The body as ``kind``. Raises :class:`InvalidRequest` with the place of the fault."""
        body = await read_body(request)
        if depth(body) > MAX_DEPTH:
            raise InvalidRequest(f"The JSON is nested deeper than {MAX_DEPTH} levels.", fix="Send it flatter.")
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.json.Decoder(kind)
        try:
            value = decoder.decode(body)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{error}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body is not valid JSON ({error}).") from None
        self._log_unknown(request.url.path, body, kind)
        assert isinstance(value, kind)
        return value

    def _log_unknown(self, path: str, body: bytes, kind: type) -> None:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        unknown = {f"{path} {name[:64]}" for name in fields.keys() - set(kind.__struct_encode_fields__)}  # type: ignore[attr-defined]
        fresh = unknown - self._logged
        if fresh and len(self._logged) < MAX_NAMES:
            self._logged |= fresh
            log.info("unknown fields are ignored", extra={"fields": sorted(fresh)[:16]})
