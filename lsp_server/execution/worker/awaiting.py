"""Results of what is asynchronous."""

from __future__ import annotations

import inspect
from typing import Any

from .forms import DRAWN


def awaited(coroutine: Any) -> Any:
    """The result of a coroutine."""
    import asyncio  # only few projects pay for it

    return asyncio.run(coroutine)


def finished(value: Any) -> Any:
    """The result of a coroutine, the first items of an asynchronous generator; anything else as it is."""
    if inspect.iscoroutine(value):
        return awaited(value)
    if inspect.isasyncgen(value):

        async def drawn() -> list[Any]:
            items = []
            async for item in value:
                items.append(item)
                if len(items) >= DRAWN:
                    break
            return items

        return awaited(drawn())
    return value
