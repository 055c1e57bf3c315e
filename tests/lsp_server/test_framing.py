"""Messages are cut out of a stream wherever its pieces break, and a lost place is noticed at its first byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.lsp_server.connection import BODY_SECONDS, CUT_OFF, LARGE, Streamed
from famulus.lsp_server.framing import BrokenFraming, Frames, frame


def cut(*pieces: bytes, limit: int = 1 << 20) -> list[bytes]:
    frames = Frames(limit)
    return [body for piece in pieces for body in frames.feed(piece)]


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 50), max_size=200))
def test_bodies_come_out_however_the_stream_is_cut(bodies, sizes):
    stream, pieces, at = b"".join(map(frame, bodies)), [], 0
    for size in sizes:
        pieces.append(stream[at : at + size])
        at += size
    assert cut(*pieces, stream[at:]) == bodies


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: 2\r\n\r\n",
        b"Content-Length:2\n\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 2\r\nX-Anything: at all: really\r\n\r\n",
        b"\r\n\nContent-Length :  2 \r\n\r\n",
    ],
)
def test_reads_the_headers_that_clients_send(header):
    assert cut(header + b"{}", header + b"[]") == [b"{}", b"[]"]


BROKEN = {
    "ten gigabytes": b"Content-Length: 10737418240\r\n",
    "a length of many digits": b"Content-Length: " + b"9" * 4000 + b"\r\n",
    "a negative length": b"Content-Length: -1\r\n",
    "no length": b"Content-Type: x\r\n\r\n",
    "a length in words": b"Content-Length: two\r\n",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n",
    "an endless header": b"X-A: 1\r\n" * 2000,
    "an endless line": b"Content-Type: " + b"x" * 9000,
    "an endless name": b"x" * 100,
    "JSON without a header": b'{"jsonrpc"',
    "a web page": b"GET / ",
    "TLS": b"\x16\x03\x01\x02\x00",
    "a short length": frame(b'{"id":1}')[:-1].replace(b"8", b"3") + b"}",
    "NUL": b"\0",
}


@pytest.mark.parametrize("stream", BROKEN.values(), ids=BROKEN.keys())
def test_a_lost_place_is_noticed_at_once(stream):
    with pytest.raises(BrokenFraming):
        cut(stream)


@settings(max_examples=300)
@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([*BROKEN.values(), frame(b"{}"), b"\r\n"])), max_size=6)
)
def test_no_bytes_do_anything_else_than_be_cut_or_refused(pieces):
    frames = Frames(1 << 16)
    with contextlib.suppress(BrokenFraming):
        for piece in pieces:
            for body in frames.feed(piece):
                assert len(body) <= frames.limit


def test_tells_what_has_begun():
    frames = Frames()
    assert not frames.begun
    for piece, begun, in_header in [
        (b"Content-L", True, True),
        (b"ength: 2\r\n\r\n", True, False),
        (b"{}", False, False),
    ]:
        list(frames.feed(piece))
        assert (frames.begun, frames.in_header) == (begun, in_header)


def test_a_large_message_costs_time_by_its_size_alone():
    body = b"x" * (32 << 20)
    start = time.process_time()
    frames, found = Frames(), []
    stream = frame(body)
    for at in range(0, len(stream), 1 << 16):
        found += frames.feed(stream[at : at + (1 << 16)])
    assert found == [body]
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("sent", "socket_seconds"),
    [
        (b"Content-Leng", None),
        (b"Content-Length: 5\r\n", None),
        (b"Content-Length: 5\r\n\r\n", None),
        (b"Content-Length: 400\r\n\r\n12345", None),
        (b"Content-Length: 400\r\n\r\n12345", 60.0),
        (b"Content-Length: 99999\r\n\r\n" + b"1" * 40_000, 0.2),
    ],
    ids=[
        "half a header",
        "a header without an end",
        "no body",
        "a short body",
        "a short body on a socket",
        "half a large body on a socket",
    ],
)
def test_half_a_message_is_not_waited_for(sent, socket_seconds):
    async def read() -> bytes:
        if pieces:
            return pieces.pop()
        await asyncio.Event().wait()
        return b""

    async def bodies() -> list[bytes]:
        return [body async for body in Streamed(read, whole_seconds=socket_seconds).bodies()]

    pieces = [sent, frame(b"{}")]
    start = time.monotonic()
    with pytest.raises(BrokenFraming):
        asyncio.run(bodies())
    assert time.monotonic() - start < 5.0  # under one where nothing else runs
    assert 5.0 < BODY_SECONDS <= 10


def test_a_body_that_comes_slowly_is_waited_for():
    """The pipe takes some of a large message, and the editor is busy; or a small one comes in many pieces.

    After a second of silence the editor is told; that is an answer to nothing, which does no harm."""
    large, small = frame(b"x" * 40_000), frame(b"0123456789")
    pieces = [(0.0, large[: LARGE + 100]), (1.2, large[LARGE + 100 :])]
    pieces += [(0.3, small[at : at + 6]) for at in range(0, len(small), 6)]

    async def read() -> bytes:
        if not pieces:
            return b""
        seconds, piece = pieces.pop(0)
        await asyncio.sleep(seconds)
        return piece

    async def bodies() -> list[bytes]:
        return [body async for body in Streamed(read).bodies()]

    assert list(map(len, asyncio.run(bodies()))) == [len(CUT_OFF), 40_000, 10]


@pytest.mark.parametrize("size", [5, 40_000])
@pytest.mark.parametrize("pieces", [1, 7])
def test_what_follows_a_message_that_was_cut_off_is_understood(size, pieces):
    async def read() -> bytes:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        return b""

    async def bodies() -> list[bytes]:
        found = []
        async for body in Streamed(read).bodies():
            found.append(body)
            if len(found) == 3:
                break
        return found

    follows = frame(b'{"a": 1}') + frame(b'{"b": 2}')
    step = len(follows) // pieces + 1
    left = [b"Content-Length: 99999\r\n\r\n" + b"x" * size]
    left += [follows[at : at + step] for at in range(0, len(follows), step)]
    assert asyncio.run(asyncio.wait_for(bodies(), 20)) == [CUT_OFF, b'{"a": 1}', b'{"b": 2}']


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_body_is_never_taken_for_a_header(value):
    """Whatever a text says, JSON writes its line breaks otherwise."""
    text = f"Content-Length: 5\r\n\r\n{value}"
    body = json.dumps([text, {text: value}], indent=1).replace("\n", "\r\n").encode()
    frames = Frames()
    assert list(frames.feed(frame(body)[:-1])) == []
    assert not frames.resume()
    assert list(frames.feed(body[-1:])) == [body]


def test_what_came_while_the_process_was_held_up_counts():
    async def main() -> list[bytes]:
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        whole = frame(b"{}")
        chunks.put_nowait(whole[:-1])

        def held_up() -> None:
            time.sleep(1.0)
            loop.call_later(0.01, chunks.put_nowait, whole[-1:])
            loop.call_later(0.01, chunks.put_nowait, b"")

        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_later, 0.01, held_up)
        return [body async for body in Streamed(chunks.get).bodies()]

    assert asyncio.run(main()) == [b"{}"]


def test_leaving_in_the_middle_of_a_message_is_no_orderly_end():
    async def bodies() -> list[bytes]:
        pieces = [b"", frame(b"{}")[:-1]]

        async def read() -> bytes:
            return pieces.pop()

        return [body async for body in Streamed(read).bodies()]

    with pytest.raises(BrokenFraming):
        asyncio.run(bodies())
