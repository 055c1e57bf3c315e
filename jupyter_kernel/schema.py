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

    ``samples`` are ``repr`` of values (times are quoted ISO text, a long text ends in ``…`` behind the quotes), none
    where ``private`` says why they must not be told: ``pattern`` then shows their shape (``aaa@aaa.aa``). ``distinct``
    counts the values of a bounded sample, None where none was taken. ``label`` is set where the name is not text.
    """

    name: str
    kind: Element
    dtype: str = ""
    samples: tuple[str, ...] = ()
    private: str = ""
    distinct: int | None = None
    pattern: str = ""
    label: str = ""

    @property
    def key(self) -> str:
        """The Python expression that selects the column: ``'revenue'``, ``0``, ``('a', 'b')``."""
        return self.label or repr(self.name)


@dataclass(frozen=True)
class Table:
    """A table of an open database, with its columns."""

    name: str
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Variable:
    """One name of the user's.

    ``type`` is the full public name of its class (``builtins.int``, ``pandas.DataFrame``), ``library`` its first part.
    A series has itself as its one column, ``index`` holds the levels of an index that says something. ``shape`` is
    that of frames and arrays; ``columns`` may be fewer. ``preview`` is a shortened ``repr``, empty where ``private``
    says why. ``module`` is where a callable or a class can be imported from under this name.
    """

    name: str
    kind: Kind
    type: str
    length: int | None = None
    columns: tuple[Column, ...] = ()
    element: Element = ""
    preview: str = ""
    signature: str = ""
    private: str = ""
    pattern: str = ""
    shape: tuple[int, ...] = ()
    index: tuple[Column, ...] = ()
    tables: tuple[Table, ...] = ()
    module: str = ""

    @property
    def library(self) -> str:
        """The package of its type."""
        return self.type.partition(".")[0]


@dataclass(frozen=True)
class Schema:
    """The user's variables, the most recently bound first, and imported modules as alias → module."""

    variables: tuple[Variable, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)

    def variable(self, name: str) -> Variable | None:
        """The variable of that name, None if there is none."""
        return next((v for v in self.variables if v.name == name), None)

    def fingerprint(self) -> str:
        """A digest of names, types and columns, without any value: equal where the same code can mean the same."""

        def told(columns: tuple[Column, ...]) -> tuple[tuple[str, ...], ...]:
            return tuple((c.name, c.kind, c.dtype, c.label) for c in columns)

        shapes = sorted(
            (
                v.name, v.kind, v.type, v.signature, v.element, len(v.shape),
                told(v.columns), told(v.index), tuple((t.name, told(t.columns)) for t in v.tables),
            )
            for v in self.variables
        )  # fmt: skip
        return hashlib.sha256(repr((shapes, sorted(self.imports.items()))).encode()).hexdigest()
