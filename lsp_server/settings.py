"""What the user may set: typed, with defaults, forgiving about what it is given. docs/settings.md is its table.

None of these settings names a URL, a program, a path or a key, and none may: a workspace brings settings of its own,
and nobody has agreed to it yet. Whether a workspace is trusted is the editor's word at the start
(:class:`Options`), never a setting.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

SECTION = "famulus"
LANGUAGES = f"{SECTION}.languages"
"""Holds settings for single languages: ``{"markdown": {"completion": {"enabled": false}}}``."""
EDITORS_OWN = ("famulus.command",)
"""Settings of our plugins, which are sent along and mean nothing here."""


class Completion(Struct, frozen=True, rename="camel"):
    """Ghost text."""

    enabled: bool = True
    languages: dict[str, bool] = {}
    in_comments: bool = True
    in_strings: bool = True
    multiline: Literal["auto", "never", "always"] = "auto"
    minimum_confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    candidates: Annotated[int, Meta(ge=1, le=10)] = 3
    speculative: bool = True
    delay: Annotated[int, Meta(ge=0, le=5000)] | None = None

    def wanted(self, language: str) -> bool:
        """Whether completion is on for a language."""
        return self.enabled and self.languages.get(language, True)


class Context(Struct, frozen=True, rename="camel"):
    """What beside the file itself goes into a prompt."""

    files: bool = True
    edits: bool = True


class Prediction(Struct, frozen=True, rename="camel"):
    """Errors before they run."""

    syntax: bool = True
    ruff: bool = True
    surprise: bool = True


class Review(Struct, frozen=True, rename="camel"):
    """What the changes of the working tree break."""

    enabled: bool = True
    on_save: Literal["static", "all", "off"] = "static"
    budget: Annotated[int, Meta(ge=1, le=600)] = 60
    grades: tuple[Literal["proved", "witnessed", "measured", "model-only"], ...] = ("proved", "witnessed", "measured")
    lens: bool = True


class Testgen(Struct, frozen=True, rename="camel"):
    """Tests that are made on request."""

    budget: Annotated[int, Meta(ge=1, le=600)] = 30
    lens: bool = True


class Statistics(Struct, frozen=True, rename="camel"):
    """What is remembered, on this machine only, of completions that were shown."""

    enabled: bool = True


class Settings(Struct, frozen=True, rename="camel"):
    """All settings, as they hold for one document."""

    completion: Completion = Completion()
    context: Context = Context()
    prediction: Prediction = Prediction()
    review: Review = Review()
    testgen: Testgen = Testgen()
    statistics: Statistics = Statistics()


class Options(Struct, frozen=True, rename="camel"):
    """What a client says about itself once, in ``initializationOptions.famulus``."""

    trusted: bool = False
    partial_completions: bool = False
    status: bool = False
    documents: bool = False
    proposals: bool = False


Report = Callable[[str, str], None]
"""Is told of what cannot be used: the setting's full name and what is wrong (empty: there is no such setting)."""

S = typing.TypeVar("S", bound=Struct)


def merge(base: S, given: object, report: Report, name: str = SECTION) -> S:
    """``base`` with what ``given`` sets. What is wrong is reported and left as it was; null counts as not set where it
    is no value."""
    if not isinstance(given, Mapping):
        if given not in (None, []):  # an empty table of Lua arrives as an empty list
            report(name, "it must be an object")
        return base
    fields = {field.encode_name: field for field in msgspec.structs.fields(base)}
    changed: dict[str, Any] = {}
    for key, value in given.items():
        field, full = fields.get(str(key)), f"{name}.{key}"
        if field is None:
            if full not in (LANGUAGES, *EDITORS_OWN):
                report(full, "")
        elif isinstance(was := getattr(base, field.name), Struct):
            changed[field.name] = merge(was, value, report, full)
        else:
            try:
                changed[field.name] = msgspec.convert(value, field.type)
            except msgspec.ValidationError:
                if value is not None:
                    report(full, f"it must be {_type_name(field.type)}")
    return msgspec.structs.replace(base, **changed)


def for_language(settings: Settings, given: object, language: str, report: Report) -> Settings:
    """``settings`` with what ``given["languages"][language]`` sets on top."""
    languages = given.get("languages") if isinstance(given, Mapping) else None
    if not isinstance(languages, Mapping):
        if languages not in (None, []):
            report(LANGUAGES, "it must be an object")
        return settings
    return merge(settings, languages.get(language), report, f"{LANGUAGES}.{language}")


def section(given: object) -> object:
    """Our part of what a client sends: it may be wrapped in the section's name."""
    return given[SECTION] if isinstance(given, Mapping) and SECTION in given else given


def table() -> Iterator[tuple[str, str, str]]:
    """Rows of full name, type and default, as JSON writes them; docs/settings.md is held to these."""
    for part in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(part.type):
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            name = f"{SECTION}.{part.encode_name}.{field.encode_name}"
            yield name, _type_name(field.type), json.dumps(msgspec.to_builtins(default))


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:  # in the order in which they are written
        return " or ".join(f'"{value}"' for value in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"list of {_type_name(typing.get_args(kind)[0])}"
    schema = msgspec.json.schema(kind)
    return " or ".join(map(_schema_name, schema.get("anyOf", [schema])))


def _schema_name(schema: dict[str, Any]) -> str:
    bounds = f" {schema['minimum']} to {schema['maximum']}" if "minimum" in schema else ""
    inside = f" of {schema['additionalProperties']['type']}s" if "additionalProperties" in schema else ""
    return f"{schema['type']}{bounds}{inside}"
