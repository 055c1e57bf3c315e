"""What the live namespace holds, as plain values: names, kinds, columns, a few samples. No data leaves through here
but what :mod:`famulus.jupyter_kernel.look` puts in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Element = Literal["", "number", "text", "time", "bool", "category", "dict", "list", "other"]
Kind = Literal[
    "frame", "series", "array", "list", "tuple", "set", "dict", "number", "text", "bool", "time", "path",
    "callable", "class", "figure", "database", "file", "other",
]  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a frame, a key of a dictionary, or a key that a list of dictionaries shares.

    ``samples`` are ``repr`` of values, none where ``private`` says why they must not be told.
    """

    name: str
    kind: Element
    dtype: str = ""
    samples: tuple[str, ...] = ()
    private: str = ""
    distinct: int | None = None


@dataclass(frozen=True)
class Variable:
    """One name of the user's. ``type`` is the full name of its class, ``library`` its first part."""

    name: str
    kind: Kind
    type: str
    length: int | None = None
    columns: tuple[Column, ...] = ()
    element: Element = ""
    preview: str = ""
    signature: str = ""
    private: str = ""

    @property
    def library(self) -> str:
        return self.type.partition(".")[0]


@dataclass(frozen=True)
class Schema:
    """The user's variables, the most recently bound first, and imported modules as alias → module."""

    variables: tuple[Variable, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)

    def variable(self, name: str) -> Variable | None:
        return next((v for v in self.variables if v.name == name), None)

    def fingerprint(self) -> str:
        """A digest of names, types and columns, without any value: equal where the same code can mean the same."""
        shapes = sorted(
            (v.name, v.kind, v.type, v.signature, tuple((c.name, c.kind, c.dtype) for c in v.columns))
            for v in self.variables
        )
        return hashlib.sha256(repr((shapes, sorted(self.imports.items()))).encode()).hexdigest()
