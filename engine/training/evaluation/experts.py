"""Which experts of a model do what: how many a token meets, how evenly they are used, and what each prefers.

What a token is part of is told by the syntax tree of tree-sitter: the kind of the smallest named node around its first
character that is no space.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from famulus.engine.decoder import Decoder
from famulus.engine.layers import MoE
from famulus.engine.training.evaluation.subject import Subject
from famulus.kernels.pack import Weight
from famulus.kernels.router import route

KINDS = 16
"""Kinds of nodes that are told apart, the commonest."""
DEAD = 0.05
"""An expert that gets less than this share of an even load is dead."""


@dataclass
class Usage:
    """``counts`` [layers, experts, kinds]: how often a token of a kind went to an expert; ``tokens`` of each kind."""

    model: str
    kinds: list[str]
    counts: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @property
    def active(self) -> float:
        """Experts that a token meets in a layer, on average."""
        return float(self.counts.sum() / max(1.0, self.tokens.sum()) / len(self.counts))

    @property
    def loads(self) -> NDArray[np.float64]:
        """[layers, experts] share of what goes to any expert of the layer."""
        found = self.counts.sum(2)
        return np.asarray(found / np.maximum(1, found.sum(1, keepdims=True)), np.float64)

    @property
    def entropy(self) -> float:
        """Of the loads, 1 where all experts of a layer are used alike; the mean of the layers."""
        p = np.clip(self.loads, 1e-12, 1)
        return float((-(p * np.log(p)).sum(1) / np.log(max(2, p.shape[1]))).mean())

    @property
    def dead(self) -> int:
        """Experts of all layers that hardly any token goes to."""
        return int((self.loads * self.loads.shape[1] < DEAD).sum())

    def preferences(self) -> NDArray[np.float64]:
        """[layers, experts, kinds] how much likelier a token of the kind goes to the expert than any token does."""
        share = self.counts / np.maximum(1, self.tokens)
        overall = self.counts.sum(2, keepdims=True) / max(1.0, self.tokens.sum())
        return np.asarray(np.where(overall > 0, share / np.maximum(overall, 1e-12), 1.0), np.float64)

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "model": self.model,
            "active": self.active,
            "entropy": self.entropy,
            "dead": self.dead,
            "experts": int(self.loads.size),
            "tokens": dict(zip(self.kinds, self.tokens.tolist(), strict=True)),
            "prefers": [
                {"kind": kind, "layer": layer, "expert": expert, "times": times}
                for kind, layer, expert, times in self.strongest()
            ],
        }

    def strongest(self) -> Iterator[tuple[str, int, int, float]]:
        """For every kind the expert that prefers it most: (kind, layer, expert, times)."""
        found = self.preferences()
        for at, kind in enumerate(self.kinds):
            layer, expert = np.unravel_index(int(found[:, :, at].argmax()), found.shape[:2])
            yield kind, int(layer), int(expert), float(found[layer, expert, at])


@dataclass(frozen=True)
class Watched:
    """A mixture that notes which experts its tokens go to."""

    mixture: MoE
    seen: list[Tensor] = field(default_factory=list)

    def __call__(self, x: Tensor) -> Tensor:
        m = self.mixture
        _, experts, _ = route(x, m.gate, m.rule, m.bias, m.correction)
        self.seen.append(experts.cpu())
        return m(x)

    def linears(self) -> list[Weight]:
        """As of the mixture."""
        return self.mixture.linears()


def usage(model: Subject, texts: Sequence[str]) -> Usage | None:
    """What the experts of ``model`` do while it reads ``texts`` of Python; None for a model without experts."""
    runner = model.core.runner
    decoder, graphs = runner.model, runner.graphs
    if not isinstance(decoder, Decoder) or not any(isinstance(block.mlp, MoE) for block in decoder.blocks):
        return None
    watching, watched = _watching(decoder)
    chosen: list[Tensor] = []
    kinds: list[str] = []
    try:
        runner.model, runner.graphs = watching, None
        for text in texts:
            tokens, pieces = model.tokens(text)
            model.read(tokens)
            chosen.append(torch.stack([torch.cat(w.seen)[: len(tokens)] for w in watched]))
            kinds += kinds_of(text, pieces)
            for w in watched:
                w.seen.clear()
    finally:
        runner.model, runner.graphs = decoder, graphs
    return counted(model.name, torch.cat(chosen, 1), kinds, len(watched[0].mixture.gate))


def _watching(decoder: Decoder) -> tuple[Decoder, list[Watched]]:
    """The same model, computed layer by layer, with mixtures that are watched."""
    found, watched = copy.copy(decoder), []
    found.blocks, found.together = list(decoder.blocks), None
    for i, block in enumerate(decoder.blocks):
        if isinstance(block.mlp, MoE):
            watched.append(Watched(block.mlp))
            found.blocks[i] = dataclasses.replace(block, mlp=watched[-1])
    return found, watched


def counted(model: str, chosen: Tensor, kinds: Sequence[str], experts: int) -> Usage:
    """``chosen`` [layers, tokens, most] has experts by number, -1 for none; ``kinds`` of the tokens."""
    names = [name for name, _ in Counter(kinds).most_common(KINDS)]
    place = {name: at for at, name in enumerate(names)}
    counts = np.zeros((len(chosen), experts, len(names)))
    tokens = np.zeros(len(names))
    rows = chosen.numpy()
    for at, kind in enumerate(kinds):
        if kind in place:
            tokens[place[kind]] += 1
            for layer, several in enumerate(rows[:, at]):
                counts[layer, several[several >= 0], place[kind]] += 1
    return Usage(model, names, counts, tokens)


def kinds_of(text: str, pieces: Sequence[str]) -> list[str]:
    """The kind of node that each token begins in."""
    import tree_sitter_python
    from tree_sitter import Language, Parser

    root = Parser(Language(tree_sitter_python.language())).parse(text.encode()).root_node
    found, at = [], 0
    for piece in pieces:
        first = at + len(piece.encode()) - len(piece.lstrip().encode())
        node = root.named_descendant_for_byte_range(first, first + 1) if piece.strip() else None
        found.append("white space" if node is None else node.type)
        at += len(piece.encode())
    return found


def plot(found: Usage) -> str:
    """An SVG picture: rows are kinds, columns the experts of all layers side by side, darker what is preferred."""
    prefers = found.preferences()
    layers, experts, kinds = prefers.shape
    wide, high, left = 6, 16, 150
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + layers * experts * wide + 10}" '
        f'height="{kinds * high + 40}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for k, kind in enumerate(found.kinds):
        parts.append(f'<text x="{left - 6}" y="{k * high + 12}" text-anchor="end">{kind}</text>')
        for column, times in enumerate(prefers[:, :, k].ravel()):
            strength = float(np.clip(np.log2(max(times, 1e-3)) / 2, -1, 1))
            shades = (1 - max(strength, 0), 1 - abs(strength), 1 - max(-strength, 0))
            colour = f"rgb({','.join(str(int(255 * shade)) for shade in shades)})"
            parts.append(
                f'<rect x="{left + column * wide}" y="{k * high}" width="{wide}" height="{high}" fill="{colour}"/>'
            )
    below = kinds * high + 14
    for layer in range(layers):
        x = left + layer * experts * wide
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{kinds * high}" stroke="black" stroke-width="0.5"/>')
        parts.append(f'<text x="{x + 2}" y="{below}">{layer}</text>')
    told = f"experts of each layer; blue: a kind goes there more often than any token, red: less ({found.model})"
    parts += [f'<text x="{left}" y="{below + 16}">{told}</text>', "</svg>"]
    return "\n".join(parts) + "\n"
