"""One file, one architecture family; ``family()`` finds the one for a ``model_type`` of ``config.json``."""

from __future__ import annotations

import importlib
from types import ModuleType

from famulus.engine.errors import BadWeights

FAMILIES = {
    "famulus_moe": "famulus_moe",
    "llama": "llama",
    "qwen2": "llama",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3_moe",
    "mixtral": "mixtral",
    "olmoe": "olmoe",
    "granitemoe": "granite_moe",
    "gpt_oss": "gpt_oss",
    "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek",
    "deepseek_v32": "deepseek",
}
"""``model_type`` → module of this package."""


def family(model_type: str) -> ModuleType:
    """The module of a family; raises :class:`BadWeights` for a type that nothing here runs."""
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise BadWeights(f"Models of type {model_type!r} cannot be run yet.", fix=f"Known types: {known}.")
    return importlib.import_module(f"famulus.engine.models.{FAMILIES[model_type]}")
