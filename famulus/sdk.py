"""The Python SDK: what programs may rely on. Standard library only, and no torch."""

from famulus.engine.client import Client, Generation, chat, connect, infill

__all__ = ["Client", "Generation", "chat", "connect", "infill"]
