"""DeepSeek-V3's heads that predict several tokens (MTP, DeepSeek-V3 §2.2): block ``k`` after the model's own.

``h'_i = block(M [norm(embedding(t_{i+1})); norm(h_i)])``: from what the model (or the head before) said at a position,
and the token that follows it, the token after that. Embedding and output matrix are the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from famulus.engine import decoder
from famulus.engine.batch import Batch
from famulus.engine.decoder import Decoder
from famulus.engine.layers import Block, Loaded, Part, embed
from famulus.engine.models import deepseek
from famulus.engine.models.deepseek import Args
from famulus.kernels.linear import linear
from famulus.kernels.norm import rms_norm
from famulus.kernels.pack import Weight
from famulus.kernels.store import Store


def parts(args: Args) -> dict[str, Part]:
    """The weights of all heads; their blocks count on after the model's."""
    found: dict[str, Part] = {}
    hidden = args.hidden_size
    for i in range(args.num_hidden_layers, args.num_hidden_layers + args.num_nextn_predict_layers):
        at = f"model.layers.{i}"
        found |= deepseek.block_parts(args, i)
        found[f"{i}.mix"] = decoder.linear_part((f"{at}.eh_proj",), ((hidden, 2 * hidden),), False, 2)
        for ours, theirs in (("embedded", "enorm"), ("hidden", "hnorm"), ("last", "shared_head.norm")):
            found[f"{i}.{ours}_norm"] = Part("norm", (f"{at}.{theirs}.weight",), ((hidden,),))
    return found


@dataclass(frozen=True)
class Head:
    """One head. Norms are f32; ``model`` lends its embedding."""

    model: Decoder
    embedded_norm: Tensor
    hidden_norm: Tensor
    mix: Weight
    block: Block
    last_norm: Tensor

    def __call__(self, hidden: Tensor, batch: Batch, kv: Store) -> Tensor:
        """``hidden`` [tokens, hidden] f32: what :meth:`Decoder.forward`, or the head before, gave at the position
        before each of ``batch.tokens`` → the same for this head, which :meth:`Decoder.logits` turns into the logits of
        the token after. ``kv``: a store of the head's own."""
        eps, compute = self.block.eps, self.block.compute
        embedded = rms_norm(embed(batch.tokens, self.model.embedding), self.embedded_norm, eps, compute)
        both = torch.cat([embedded, rms_norm(hidden, self.hidden_norm, eps, compute)], 1)
        h = linear(both, self.mix).float()
        self.block(h, batch, kv)
        return rms_norm(h, self.last_norm, eps, torch.float32)


def build(args: Args, loaded: Loaded, model: Decoder) -> list[Head]:
    """The heads over loaded weights, the nearest first."""
    found = []
    for i in range(args.num_hidden_layers, args.num_hidden_layers + args.num_nextn_predict_layers):
        block = Block(
            loaded.norms[f"{i}.attention_norm"],
            deepseek.attention(args, loaded, i),
            loaded.norms[f"{i}.mlp_norm"],
            deepseek.mlp(args, loaded, i),
            args.rms_norm_eps,
            model.compute,
        )
        norms = (loaded.norms[f"{i}.embedded_norm"], loaded.norms[f"{i}.hidden_norm"])
        found.append(Head(model, *norms, loaded.weights[f"{i}.mix"], block, loaded.norms[f"{i}.last_norm"]))
    return found
