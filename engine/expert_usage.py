"""How often each expert of a model was chosen, by programming language: what is worth being on the card."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

FADE = 0.998
"""What a choice counts after one more step."""

OTHERS = 0.05
"""What a choice for another language counts beside one for this one."""

SAVE = 1024
"""Steps after which the counts are written to the disk."""


@dataclass
class Usage:
    """How often experts were chosen, by language: [layers, experts] f32 each, older choices fading. ``file``: where
    they are kept (None: nowhere)."""

    layers: int
    experts: int
    file: Path | None = None
    language: str = ""
    counts: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        try:
            said = json.loads(self.file.read_bytes()) if self.file is not None else {}
            for language, rows in said.items():
                found = torch.tensor(rows, dtype=torch.float32)
                if found.shape == (self.layers, self.experts):
                    self.counts[str(language)] = found
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # no file yet, or a broken one: counted anew

    def step(self, languages: Iterable[str]) -> None:
        """A step begins, for sequences in these languages ("": unknown); the commonest one decides what is kept."""
        common = Counter(languages).most_common(1)
        self.language = common[0][0] if common else ""
        self._of(self.language).mul_(FADE)
        self.steps += 1
        if self.steps % SAVE == 0:
            self.save()

    def add(self, layer: int, experts: list[int], pairs: list[int]) -> None:
        """``experts`` were chosen by so many tokens."""
        self._of(self.language)[layer, experts] += torch.tensor(pairs, dtype=torch.float32)

    def worth(self, layer: int) -> list[float]:
        """What it is worth to have each expert of a layer on the device."""
        everybody = torch.stack([found[layer] for found in self.counts.values()]).sum(0)
        found: list[float] = (self._of(self.language)[layer] + OTHERS * everybody).tolist()
        return found

    def save(self) -> None:
        """Whole or not at all; a disk that is full or only readable costs nothing but the memory of it."""
        if self.file is None:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile("w", dir=self.file.parent, delete=False) as file:
                json.dump({k: [[round(n, 2) for n in row] for row in v.tolist()] for k, v in self.counts.items()}, file)
            os.replace(file.name, self.file)
        except OSError:
            pass

    def _of(self, language: str) -> Tensor:
        if language not in self.counts:
            self.counts[language] = torch.zeros(self.layers, self.experts)
        return self.counts[language]
