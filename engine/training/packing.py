"""Items of tokens → sequences of one length, and the order in which steps take them."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100
"""A target that does not count."""


@dataclass(frozen=True)
class Item:
    """What the model shall write after what. ``start``: from this token on the loss counts."""

    tokens: Sequence[int]
    start: int = 0


@dataclass(frozen=True)
class Packed:
    """``tokens`` and ``targets`` [sequences, length] int32; a target is the next token, or :data:`IGNORED`."""

    tokens: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def counted(self) -> int:
        """Targets that count."""
        return int((self.targets >= 0).sum())


def pack(items: Iterable[Item], length: int, end: int) -> Packed:
    """Items, each ended by the token ``end``, in as few sequences as whole ones fit into (best fit, the longest first:
    Ding et al. 2024): what is asked and its answer are not torn apart. Only what is longer than a sequence fills some
    of its own, and its rest lies with others. What is left of a sequence is filled with ``end`` and does not count."""
    pieces: list[tuple[list[int], list[int]]] = []
    for item in items:
        whole = [*item.tokens, end]
        # the target of a token is the one behind it: the first that counts is predicted by the one before it
        targets = [t if at + 1 >= max(1, item.start) else IGNORED for at, t in enumerate(whole[1:])] + [IGNORED]
        pieces += [(whole[at : at + length], targets[at : at + length]) for at in range(0, len(whole), length)]
    sequences: list[tuple[list[int], list[int]]] = []
    rooms: list[tuple[int, int]] = []
    for tokens, targets in sorted(pieces, key=lambda piece: -len(piece[0])):
        found = bisect.bisect_left(rooms, (len(tokens), -1))
        room, place = rooms.pop(found) if found < len(rooms) else (length, len(sequences))
        if place == len(sequences):
            sequences.append(([], []))
        sequences[place][0].extend(tokens)
        sequences[place][1].extend(targets)
        bisect.insort(rooms, (room - len(tokens), place))
    for tokens, targets in sequences:
        missing = length - len(tokens)
        tokens += [end] * missing
        targets += [IGNORED] * missing
    both = [torch.tensor([s[side] for s in sequences], dtype=torch.int32).view(-1, length) for side in (0, 1)]
    return Packed(*both)


def batch(packed: Packed, step: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """The sequences of a step, [size, length] int64 each: every epoch takes all of them in an order of its own. Depends
    on nothing but its arguments, so that a run that was cut goes on as it would have."""
    count = len(packed)
    places = []
    for at in range(step * size, (step + 1) * size):
        epoch, place = divmod(at, count)
        places.append(int(_order(count, seed, epoch)[place]))
    chosen = torch.tensor(places)
    return packed.tokens[chosen].long(), packed.targets[chosen].long()


def _order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
