"""Famulus: a developer assistant that lives on the developer's own machine.

import famulus

with famulus.connect() as engine, engine.generate("def add(a, b):", max_tokens=32) as answer:
    for delta in answer:
        print(delta.text, end="")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from famulus.sdk import connect as connect

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> Any:
    """The SDK, loaded when it is first used: importing this package costs nothing."""
    if name == "connect":
        from famulus import sdk

        return sdk.connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
