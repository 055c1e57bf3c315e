"""What the user can set: ``famulus.toml`` in the config folder, every field with a default.

No environment variable takes part except ``FAMULUS_HOME``, which says where the file lies.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from famulus.engine.errors import FamulusError
from famulus.engine.folders import folders, storage_failed

FILE = "famulus.toml"


class InvalidSettings(FamulusError):
    """``famulus.toml`` cannot be read, or a key in it is unknown or out of range."""

    code, status = "invalid_settings", 500


class Settings(BaseSettings):
    """The engine's settings. 0, "" and "auto" leave the decision to the hardware plan."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, strict=True)

    model: Annotated[str, Field(max_length=4096)] = ""
    """A catalog id, a folder or a GGUF file; "" takes the best model on disk that the machine can run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""

    precision: Literal["auto", "int4", "int8", "fp8", "bf16", "fp32"] = "auto"
    """How the weights are held in memory."""

    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processor threads for the model; 0 measures which number is fastest."""

    kv_cache_tokens: Annotated[int, Field(ge=0, le=1 << 24)] = 0
    """Tokens whose keys and values are kept for reuse; 0 derives it from the free memory."""

    kv_precision: Literal["auto", "bf16", "fp8", "int8"] = "auto"
    """How keys and values are kept: as the model computes, or in 8 bits, so that nearly twice as many tokens fit."""

    prompt_activations: Literal["auto", "8bit"] = "auto"
    """On a GPU with weights in int8 or fp8: prompts are multiplied in 16 bits, or faster and less exactly in 8."""

    context_budget: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """Tokens of prompt that an infilling may use at most; 0 derives it from the machine's speed."""

    speculation: Literal["auto", "off"] = "auto"
    """Whether tokens that probably come next are computed in advance; the answers are the same."""

    idle_exit_seconds: Annotated[int, Field(ge=0, le=7 * 86_400)] = 1800
    """The engine leaves when nobody asked for anything this long; 0: never."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: neither environment variables nor a ``.env`` file take part."""
        return (init_settings,)


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Reads the settings; a file that does not exist means the defaults.

    ``overrides`` (from the command line) win over the file; those that are None are left out.
    Raises :class:`InvalidSettings` naming file and key.
    """
    file = folders().config / FILE if file is None else file
    values: dict[str, Any] = {}
    try:
        values = tomllib.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        pass  # nothing was set
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors both
        raise InvalidSettings(f"{file} is not valid TOML: {error}.", fix="Correct that line.") from error
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**{**values, **given})
    except ValidationError as error:
        raise _explain(file, given, error) from error


def write_model(name: str, file: Path | None = None) -> Path:
    """Sets ``model`` in the file and leaves everything else in it as it is → the file.

    Raises :class:`InvalidSettings` for a file that is invalid already, :class:`StorageFailed`.
    """
    file = (folders().config / FILE if file is None else file).resolve()
    load_settings(file)
    line = f"model = {json.dumps(name, ensure_ascii=False)}"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    found, count = re.subn(r"(?m)^[ \t]*model[ \t]*=.*$", lambda _: line, text, count=1)
    draft = file.with_name(f"{FILE}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(found if count else f"{line}\n{text}", encoding="utf-8")
        if file.exists():
            shutil.copymode(file, draft)
        os.replace(draft, file)
    except OSError as error:
        raise storage_failed(file, error) from error
    return file


def _explain(file: Path, given: dict[str, Any], error: ValidationError) -> InvalidSettings:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Settings.model_fields, n=1)
        known = ", ".join(Settings.model_fields)
        return InvalidSettings(
            f"{file} sets the unknown key {key!r}.",
            fix=f"Did you mean {near[0]!r}?" if near else f"Known keys: {known}.",
        )
    where = "The option" if key in given else f"{file}:"
    return InvalidSettings(
        f"{where} {key} = {first['input']!r} is not allowed: {first['msg'].lower()}.", fix="Correct it."
    )
