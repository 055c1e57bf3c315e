"""The engine: models, cache, scheduler, decoding, server and clients.

Importing this package imports nothing else; front ends take what they need from
``famulus.engine.client``, ``errors`` and ``policy`` (standard library only) or ``stream``.
"""
