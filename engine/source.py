"""The parts of a model out of its checkpoint: as floating-point numbers, or in the small form that they are stored in.

What is stored in 4 or 8 bits is kept that way where a kernel takes it: nothing is rounded a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from famulus.engine import stored
from famulus.engine.checkpoint import Checkpoint
from famulus.engine.layers import Part
from famulus.engine.stored import Stored
from famulus.kernels.convert import Grid
from famulus.kernels.pack import FP8_BLOCK, GROUP

Rename = Callable[[str], Stored]
"""Our name of a tensor → where the checkpoint keeps it."""


_EXPERT = re.compile(r"(.*\.mlp\.experts)\.(\d+)(\.(?:gate|up|down)_proj\.(?:weight|bias))")
_LATENT = re.compile(r"(.*\.self_attn\.)kv_b_proj\.(keys|values)\.weight")


def located(checkpoint: Checkpoint, family: Rename) -> Rename:
    """Where the checkpoint keeps a tensor: as the ``family`` says, but in the stacks of a GGUF file: of experts, and of
    what DeepSeek's latents are multiplied with for each head (its keys transposed)."""

    def rename(name: str) -> Stored:
        expert, latent = _EXPERT.fullmatch(name), _LATENT.fullmatch(name)
        if expert is not None and checkpoint.has(expert[1] + expert[3]):
            return Stored(expert[1] + expert[3], int(expert[2]))
        if latent is not None and checkpoint.has(f"{latent[1]}k_b_proj.weight"):
            keys = latent[2] == "keys"
            return Stored(f"{latent[1]}{'k' if keys else 'v'}_b_proj.weight", joined=True, transposed=keys)
        return family(name)

    return rename


@dataclass(frozen=True)
class Source:
    """A checkpoint, what its family's tensors are called in it, and whether its weights are for a GPU."""

    checkpoint: Checkpoint
    rename: Rename
    gpu: bool = False

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """One tensor in a floating-point type. Raises :class:`BadWeights`, as all below."""
        return stored.read(self.checkpoint, self.rename(name), shape)

    def dense(self, part: Part) -> Tensor:
        """The part's rows, in a floating-point type."""
        return torch.cat([self.tensor(n, s) for n, s in zip(part.sources, part.shapes, strict=True)])

    def grid(self, part: Part) -> Grid | None:
        """The part on 4-bit grids, where all of it is stored so in groups of a multiple of 32."""
        found: list[Grid] = []
        for name, shape in zip(part.sources, part.shapes, strict=True):
            one = stored.grid(self.checkpoint, self.rename(name), shape)
            if one is None or one.group % GROUP:
                return None
            found.append(one)
        same = min(g.group for g in found)
        if any(g.group % same for g in found):
            same = GROUP
        found = [g.regrouped(same) for g in found]
        values, scales, minimums = (torch.cat([getattr(g, t) for g in found]) for t in ("values", "scales", "minimums"))
        return Grid(values, scales, minimums, same)

    def codes(self, part: Part) -> tuple[Tensor, Tensor] | None:
        """The part in MXFP4, where all of it is stored so: codes and exponents, [rows, columns] and [rows, groups]."""
        return self._both(part, stored.codes)

    def fp8_blocks(self, part: Part) -> tuple[Tensor, Tensor] | None:
        """The part in fp8 with scales of blocks, where all of it is stored so and stacking keeps the blocks whole."""
        if any(shape[0] % FP8_BLOCK for shape in part.shapes[:-1]):
            return None
        return self._both(part, stored.fp8_blocks)

    def _both(
        self, part: Part, read: Callable[[Checkpoint, Stored, tuple[int, ...]], tuple[Tensor, Tensor] | None]
    ) -> tuple[Tensor, Tensor] | None:
        found = []
        for name, shape in zip(part.sources, part.shapes, strict=True):
            one = read(self.checkpoint, self.rename(name), shape)
            if one is None:
                return None
            found.append(one)
        values = [one[0].view(torch.uint8) for one in found]  # float8 cannot be stacked
        return torch.cat(values).view(found[0][0].dtype), torch.cat([one[1] for one in found])
