"""What a source of predictions found, in offsets of the text it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from famulus.lsp_server.documents import Change

Source = Literal["syntax", "ruff", "surprise"]
Severity = Literal["error", "warning", "hint"]


@dataclass(frozen=True)
class Fix:
    """A way to put it right. Offsets of ``changes`` belong to the text as it is. ``safe``: it changes no behaviour that
    was meant."""

    title: str
    changes: tuple[Change, ...]
    safe: bool = False


@dataclass(frozen=True)
class Finding:
    """Something is wrong with ``text[start:end]``. ``unnecessary``: the code does nothing and may be shown faded."""

    start: int
    end: int
    message: str
    source: Source
    severity: Severity
    code: str
    url: str | None = None
    unnecessary: bool = False
    fixes: tuple[Fix, ...] = ()
