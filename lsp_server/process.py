"""The process of a language server, from its first moment to its last."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Collection, Coroutine
from typing import Any, NoReturn

from famulus.lsp_server.pipes import Pipes


def over_stdio() -> NoReturn:
    """Serve the editor that started this process, until it leaves. It is answered before the rest is imported."""
    pipes = Pipes()
    _run(lambda doors: doors.serve_stdio(pipes))


def over_sockets(
    *, tcp: int | None, ws: int | None, origins: Collection[str], announce: Callable[..., None]
) -> NoReturn:
    """As :func:`famulus.lsp_server.doors.serve_sockets`."""
    _run(lambda doors: doors.serve_sockets(tcp=tcp, ws=ws, origins=origins, announce=announce))


def _run(serving: Callable[[Any], Coroutine[Any, Any, int]]) -> NoReturn:
    """Import the server, run it, and leave the process."""
    gc.disable()  # nothing that is imported is garbage, and looking for some takes a fifth of the time
    import asyncio
    import logging

    from famulus.engine import logs
    from famulus.lsp_server import doors

    gc.enable()
    gc.freeze()
    logs.configure(sys.stderr, logging.WARNING)
    logging.getLogger("pygls").setLevel(logging.WARNING)  # below that it writes down what users type, and tokens

    async def until_the_end() -> NoReturn:
        # Threads that still look for the engine, or read what nobody sends, would hold the process for seconds.
        status = await serving(doors)
        sys.stderr.flush()
        os._exit(status)

    asyncio.run(until_the_end())
    raise AssertionError("the process ends before")
