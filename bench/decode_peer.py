"""``transformers`` over the very tensors of ours: views where both lay them out alike, else copies of small ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from famulus.engine.layers import Loaded, Part
from famulus.engine.models import family


def peer_model(config: Mapping[str, Any], loaded: Loaded, device: torch.device, dtype: torch.dtype) -> Any:
    """The model of ``config`` as ``transformers`` builds it, with the weights of ``loaded`` (dense ones, in ``dtype``).

    Raises :class:`KeyError` or :class:`ValueError` for a family whose tensors it keeps otherwise.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    said = AutoConfig.for_model(**config)
    with torch.device("meta"):
        build: Any = AutoModelForCausalLM.from_config
        model = build(said, dtype=dtype).eval()
    module = family(config["model_type"])
    args = module.Args.from_config(config)
    wanted = dict(model.named_parameters())
    given: dict[str, Tensor] = {}
    side_by_side: dict[str, Tensor] = {}
    for name, part in module.parts(args).items():
        if part.kind == "experts":
            at = part.sources[0].split(".{}.")[0]
            dense = loaded.experts[name].stacked.dense
            assert dense is not None
            given[f"{at}.{'gate_up_proj' if len(part.sources) == 2 else 'down_proj'}"] = dense[: part.experts]
            if part.shares:
                side_by_side[part.shared] = _side_by_side(dense[part.experts :], len(part.sources))
            continue
        for own, rows in _tensors(part, name, loaded, side_by_side):
            stored = module.rename(own, args)
            if stored.rows is None:
                given[stored.name] = rows.to(dtype)
                continue
            if stored.name not in given:
                given[stored.name] = torch.empty(wanted[stored.name].shape, dtype=dtype, device=device)
            given[stored.name][stored.rows] = rows.to(dtype)
    missing = set(wanted) - set(given) - ({"lm_head.weight"} if args.tie_word_embeddings else set())
    different = [n for n, t in given.items() if n not in wanted or wanted[n].shape != t.shape]
    if missing or different:
        raise ValueError(f"transformers keeps other tensors: {sorted(missing)[:3]}, {different[:3]}")
    model.load_state_dict(given, strict=False, assign=True)
    model.tie_weights()
    rotary = model.model.rotary_emb  # its frequencies are no parameters, so they are still nowhere
    model.model.rotary_emb = type(rotary)(config=said).to(device)
    return model


def _side_by_side(experts: Tensor, halves: int) -> Tensor:
    """The MLP of shared ``experts`` [count, rows, columns]: gates over ups, or columns side by side."""
    if halves == 2:
        return experts.reshape(len(experts), 2, -1, experts.shape[-1]).transpose(0, 1).flatten(0, 2)
    return experts.transpose(0, 1).flatten(1)


def _tensors(part: Part, name: str, loaded: Loaded, side_by_side: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """The checkpoint's tensors that a part is made of, as views of it."""
    if part.kind == "norm":
        return [(part.sources[0], loaded.norms[name])]
    sizes = [shape[0] for shape in part.shapes]
    if name in side_by_side:
        return list(zip(part.sources, torch.split(side_by_side[name], sizes), strict=True))
    weight = loaded.weights[name]
    assert weight.dense is not None
    found = list(zip(part.sources, torch.split(weight.dense, sizes), strict=True))
    if part.biases and weight.bias is not None:
        found += zip(part.biases, torch.split(weight.bias, sizes), strict=True)
    return found


def peer_step(model: Any, batch: int, context: int, steps: int, device: torch.device) -> Callable[[], None]:
    """One step of decoding with its best settings: static cache, grouped experts, compiled on a GPU."""
    from transformers import StaticCache

    if hasattr(model, "set_experts_implementation") and hasattr(model.config, "moe_intermediate_size"):
        model.set_experts_implementation("grouped_mm")
    cache = StaticCache(config=model.config, max_cache_len=context + steps + 8)
    run = torch.compile(model, mode="max-autotune-no-cudagraphs") if device.type == "cuda" else model
    place = torch.tensor([context], device=device)
    tokens = torch.full((batch, 1), 7, device=device)

    def step() -> None:
        nonlocal tokens, place
        found = run(tokens, past_key_values=cache, cache_position=place, position_ids=place.expand(batch, 1))
        tokens = found.logits[:, -1].argmax(-1, keepdim=True)
        tokens.tolist()
        place = place + 1

    return step
