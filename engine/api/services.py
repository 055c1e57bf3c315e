"""What every route needs, in one value that is passed in."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from famulus.engine.api.reading import Reader
from famulus.engine.errors import InvalidRequest
from famulus.engine.metrics import Metrics
from famulus.engine.protocol import ModelInfo, Sampling, Status
from famulus.engine.supervisor import Supervisor
from famulus.engine.tickets import unknown_model

LEAST_TOP_P = 1e-6
"""What a top_p of 0 means: the likeliest token alone."""


@dataclass
class Services:
    """``supervisor``: of the worker that gets new requests. ``status`` describes the engine, ``stop`` asks it to leave,
    ``switch`` to take another model."""

    supervisor: Supervisor
    metrics: Metrics
    status: Callable[[], Status]
    stop: Callable[[], None]
    switch: Callable[[str], Awaitable[ModelInfo]]
    reader: Reader = field(default_factory=Reader)
    created: int = field(default_factory=lambda: int(time.time()))
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def new_id(self, kind: str) -> str:
        """A request id that is unique in this server: ``cmpl-17``."""
        return f"{kind}-{next(self._ids)}"

    async def model(self, wanted: str | None) -> ModelInfo:
        """The served model, as soon as it is ready. Raises :class:`ModelNotFound` for another name."""
        info = await self.supervisor.wait_ready()
        if wanted and wanted != info.id:
            raise unknown_model(wanted, info.id)
        return info


def sampling(
    *,
    temperature: float | None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    seed: int | None = None,
    logit_bias: dict[str, float] | None = None,
) -> Sampling:
    """OpenAI's sampling fields as ours; its default temperature is 1. Raises :class:`InvalidRequest`."""
    try:
        bias = {int(token): value for token, value in (logit_bias or {}).items()}
    except ValueError:
        raise InvalidRequest("logit_bias maps token numbers to values.") from None
    return Sampling(
        temperature=1.0 if temperature is None else temperature,
        top_k=max(top_k or 0, 0),
        top_p=1.0 if top_p is None else max(top_p, LEAST_TOP_P),
        min_p=min_p or 0.0,
        repetition_penalty=repetition_penalty or 1.0,
        seed=seed % (1 << 62) if seed is not None else None,
        logit_bias=bias,
    )
