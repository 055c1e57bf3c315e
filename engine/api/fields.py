"""Field types that the OpenAI dialects share, and small pieces of their answers."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import Timing, Usage

Name = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0, le=1 << 17)]
Choices = Annotated[int, Meta(ge=1, le=32)]
Temperature = Annotated[float, Meta(ge=0, le=5)]
Probability = Annotated[float, Meta(ge=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=1 << 20)]
Penalty = Annotated[float, Meta(ge=0.1, le=10)]
Bias = Annotated[
    dict[Annotated[str, Meta(max_length=16)], Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=4096)
]
StopString = Annotated[str, Meta(max_length=256)]
Stop = StopString | Annotated[list[StopString], Meta(max_length=32)] | None


class StreamOptions(Struct):
    """``stream_options`` of OpenAI."""

    include_usage: bool | None = None


def stops(stop: Stop) -> list[str]:
    """Stop strings as a list; an empty one would stop everything and is left out."""
    listed = [stop] if isinstance(stop, str) else stop or []
    return [text for text in listed if text]


def check(value: Any, kind: Any, name: str) -> Any:
    """``value`` as ``kind``. Raises :class:`InvalidRequest` that names the field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{name}: {error}.") from None


def usage_json(usages: list[Usage]) -> dict[str, Any]:
    """OpenAI's usage block over all prompts of a request."""
    prompt, cached = sum(u.prompt for u in usages), sum(u.cached for u in usages)
    generated = sum(u.generated for u in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def timings_json(usage: Usage, timing: Timing) -> dict[str, Any]:
    """llama.cpp's timings block, which its editor plugins show."""
    prompt_ms, predicted_ms = timing.first_token, max(timing.total - timing.first_token, 0.0)
    return {
        "cache_n": usage.cached,
        "prompt_n": usage.prompt - usage.cached,
        "prompt_ms": prompt_ms,
        "prompt_per_second": _rate(usage.prompt - usage.cached, prompt_ms),
        "predicted_n": usage.generated,
        "predicted_ms": predicted_ms,
        "predicted_per_second": _rate(usage.generated, predicted_ms),
    }


def _rate(count: int, milliseconds: float) -> float:
    return 1000 * count / milliseconds if milliseconds > 0 else 0.0
