"""The doors of the language server: standard input and output, and sockets on request."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.server import FamulusServer, create


class Pipe:
    """Writes frames to a file descriptor that the event loop owns."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Queue ``data``."""
        self._transport.write(data)

    def close(self) -> None:
        """Close when all is written."""
        self._transport.close()


async def _frames(reader: asyncio.StreamReader, server: FamulusServer) -> None:
    while True:
        length = 0
        while (line := await reader.readline()).strip():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if not line:
            return
        message = json.loads(await reader.readexactly(length), object_hook=server.protocol.structure_message)
        server.protocol.handle_message(message)


async def serve_stdio() -> None:
    """Serve one client over this process's standard input and output, until it leaves."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, out)
    link = EngineLink()
    server = create(link)
    server.protocol.set_writer(Pipe(transport))
    try:
        await _frames(reader, server)
    finally:
        await server.session.close()
        await link.close()
