"""What is trained is what is served: an untrained adapter changes nothing, a trained one gives the trainer's logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.decoder import Decoder
from famulus.engine.errors import BadWeights, ModelNotFound
from famulus.engine.ggml import FORMATS, dequantize
from famulus.engine.models import family, famulus_moe
from famulus.engine.stored import Stored
from famulus.engine.training.adapter import q4_1_blocks, write_adapter
from famulus.engine.training.changes import Changes, RoutedExperts, low_rank_changes
from famulus.engine.training.forward import Trained
from famulus.engine.training.recipe import TARGETS, LowRankSize, Recipe, Shape
from famulus.engine.training.start import finish, start
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

SHAPE = Shape(count=8, width=32, cap=4)
FAMILIES = (
    "llama-yarn", "qwen3-tied-biased", "qwen3_moe", "mixtral-window", "olmoe-clipped", "granite_moe", "gpt_oss",
    "deepseek-v2-lite", "deepseek-v3", "deepseek-v3.2",
)  # fmt: skip

EVERY = (*TARGETS, "gate_proj", "up_proj", "down_proj", "kv_a_proj_with_mqa", "q_a_proj", "q_b_proj")
"""Ends of the names of all linear layers of all families; experts are not among them."""

EXACT = 1e-4
"""Largest difference relative to the largest logit, in fp32."""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.write_folder(tmp_path / "base", tiny.random_model())


def decoder_of(folder: Path) -> Decoder:
    model = tiny.open_model(folder)
    assert isinstance(model, Decoder)
    return model


def routed(base: Path, seed: int) -> Changes:
    """Low-rank updates, experts and two rows; ``seed`` 0: untrained, else random values everywhere."""
    checkpoint = open_checkpoint(base)
    module = family(checkpoint.config["model_type"])
    parts = module.parts(module.Args.from_config(checkpoint.config))
    g = torch.Generator().manual_seed(seed)
    experts = {i: RoutedExperts(64, SHAPE, g) for i in range(2)}
    table = decoder_of(base).embedding.dense
    assert table is not None
    changes = Changes(low_rank_changes(parts, TARGETS, 4, 8.0), experts, table[[7, 270]], [7, 270])
    if seed:
        with torch.no_grad():
            for name, value in changes.named_parameters():
                noise = torch.randn(value.shape, generator=g)
                value.copy_(noise * (1.0 if name == "rows" else value.shape[-1] ** -0.5))
            for layer in experts.values():
                layer.correction.copy_(0.1 * torch.randn(SHAPE.count, generator=g))
                layer.top_p.fill_(0.3)
                for weight in (layer.gate, layer.up):
                    weight.copy_(on_grid(weight))
                width = SHAPE.width
                for e in range(SHAPE.count):
                    part = slice(e * width, (e + 1) * width)
                    layer.down[:, part] = on_grid(layer.down[:, part])
            for value in changes.low_rank.parameters():
                value.copy_(value.bfloat16().float())
    return changes.eval()


def on_grid(values: torch.Tensor) -> torch.Tensor:
    """As the adapter stores it."""
    blocks = q4_1_blocks(values.detach().contiguous()).numpy()
    return torch.from_numpy(dequantize(FORMATS[3], blocks)).view(values.shape)


def written(base: Path, folder: Path, changes: Changes) -> Path:
    checkpoint = open_checkpoint(base)
    module = family(checkpoint.config["model_type"])
    parts = module.parts(module.Args.from_config(checkpoint.config))
    config: dict[str, Any] = {
        "model_type": "famulus_moe",
        "num_experts": SHAPE.count,
        "num_experts_per_tok": SHAPE.cap,
        "moe_intermediate_size": SHAPE.width,
        "router_top_p": 0.3,
    }
    write_adapter(
        folder,
        changes,
        parts,
        Stored,
        base=str(base),
        base_digest=checkpoint.digest,
        rank=4,
        alpha=8.0,
        targets=TARGETS,
        config=config,
    )
    return folder


def test_untrained_experts_leave_the_base_as_it_is(base: Path, tmp_path: Path) -> None:
    adapter = written(base, tmp_path / "untrained", routed(base, 0))
    tokens = tiny.prompt(60)
    assert torch.equal(tiny.logits(tiny.open_model(adapter), tokens), tiny.logits(tiny.open_model(base), tokens))


def test_the_engine_computes_what_was_trained(base: Path, tmp_path: Path) -> None:
    """Prompt and single tokens through the engine's cache, against the pass that gradients go through."""
    changes = routed(base, 5)
    served = tiny.open_model(written(base, tmp_path / "trained", changes))
    tokens = [*tiny.prompt(58), 7, 270]
    with torch.no_grad():
        trained = Trained(decoder_of(base), changes)
        wanted = trained.logits(trained.hidden(torch.tensor([tokens]))[0])
    before = tiny.logits(tiny.open_model(base), tokens)
    assert tiny.error(before, wanted) > 0.05, "changes that change nothing prove nothing"
    for pieces in ((), (1, 16, 5, 30, 2), (1,) * 60):
        assert tiny.error(tiny.logits(served, tokens, pieces), wanted) < EXACT


def test_an_adapter_with_experts_learns_on(base: Path, tmp_path: Path) -> None:
    """A second adapter over the first one: the experts stay, and the engine merges both updates."""
    below = written(base, tmp_path / "trained", routed(base, 5))
    recipe = Recipe(base=str(below), device="cpu", precision="fp32", low_rank=LowRankSize(3, 6.0, EVERY))
    started = start(recipe)
    tokens, g = tiny.prompt(50), torch.Generator().manual_seed(0)
    ids = torch.tensor([tokens])
    first = tiny.logits(tiny.open_model(below), tokens)
    with torch.no_grad():
        assert tiny.error(started.trained.logits(started.trained.hidden(ids)[0]), first) < EXACT
        for value in started.trained.changes.parameters():
            value.copy_((0.5 * torch.randn(value.shape, generator=g) * value.shape[-1] ** -0.5).bfloat16())
        wanted = started.trained.logits(started.trained.hidden(ids)[0])
    finish(started, recipe, tmp_path / "above")
    assert tiny.error(first, wanted) > 0.05, "changes that change nothing prove nothing"
    assert tiny.error(tiny.logits(tiny.open_model(tmp_path / "above"), tokens), wanted) < EXACT


@pytest.mark.parametrize("variant", FAMILIES)
def test_every_family_learns_and_serves_what_it_learned(variant: str, tmp_path: Path) -> None:
    """The pass for gradients gives the engine's logits, and an adapter written for the family those after training."""
    zoo.write(tmp_path / "m", variant)
    said = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(said | {"eos_token_id": None, "bos_token_id": None}))
    (tmp_path / "m" / "generation_config.json").unlink(missing_ok=True)
    tokens = tiny.prompt(20)  # fewer than an indexer chooses
    recipe = Recipe(base=str(tmp_path / "m"), device="cpu", precision="fp32", low_rank=LowRankSize(3, 6.0, EVERY))
    started = start(recipe)
    trained = started.trained
    with torch.no_grad():
        found = trained.logits(trained.hidden(torch.tensor([tokens]))[0])
    assert tiny.error(found, tiny.logits(tiny.open_model(tmp_path / "m"), tokens)) < EXACT
    ids = torch.tensor([tokens])
    with torch.enable_grad():
        loss, _ = trained.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for n, p in trained.changes.named_parameters() if ".up." in n]
    assert gradients and all(g is not None and float(g.abs().max()) > 0 for g in gradients)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in trained.changes.parameters():
            value.copy_((0.5 * torch.randn(value.shape, generator=g) * value.shape[-1] ** -0.5).bfloat16())
        wanted = trained.logits(trained.hidden(ids)[0])
    assert tiny.error(found, wanted) > 0.05, "changes that change nothing prove nothing"
    finish(started, recipe, tmp_path / "adapter")
    assert tiny.error(tiny.logits(tiny.open_model(tmp_path / "adapter"), tokens), wanted) < EXACT


def test_one_wide_product_is_the_sum_over_the_chosen_experts() -> None:
    g = torch.Generator().manual_seed(1)
    layer = RoutedExperts(64, SHAPE, g)
    with torch.no_grad():
        layer.down.copy_(torch.randn(layer.down.shape, generator=g) * 0.1)
        layer.correction.copy_(torch.randn(SHAPE.count, generator=g) * 0.2)
        x = torch.randn(40, 64, generator=g)
        counts = []
        for top_p in (0.05, 0.25, 0.9):
            layer.top_p.fill_(top_p)
            found, _ = layer(x)
            assert torch.allclose(found, layer.reference(x), atol=1e-5)
            counts.append(float((layer.shares(x)[0] > 0).sum(1).float().mean()))
    assert counts[0] == 1 and 1 < counts[1] < 4 and counts[2] == 4, counts


def test_balancing_evens_the_loads_and_reaches_the_wanted_number_of_experts() -> None:
    g = torch.Generator().manual_seed(2)
    layer = RoutedExperts(64, Shape(count=8, width=32, cap=4, active=2.5), g)
    changes = Changes({}, {0: layer}).train()
    x = torch.randn(512, 64, generator=g) + torch.randn(64, generator=g)  # all tokens lean to the same experts
    loads, means = [], []
    for _ in range(150):
        layer(x)
        loads.append(layer.loads.clone())
        means.append(changes.balance(0.02))
    spread = [float(load.std() / load.mean()) for load in (loads[0], loads[-1])]
    assert spread[1] < 0.4 * spread[0], spread
    assert abs(sum(means[-20:]) / 20 - 2.5) < 0.3, means[-20:]


def test_a_low_rank_adapter_of_others_is_merged(base: Path, tmp_path: Path) -> None:
    """In PEFT's own form and names, for any family; the base's name may be relative to it."""
    model = load_file(base / "model.safetensors")
    adapter = tmp_path / "lora"
    adapter.mkdir()
    said = {"peft_type": "LORA", "base_model_name_or_path": "../base", "r": 3, "lora_alpha": 6, "bias": "none"}
    (adapter / "adapter_config.json").write_text(json.dumps(said))
    name = "model.layers.1.mlp.down_proj"
    down, up = torch.randn(3, 160), torch.randn(64, 3)
    stored = {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
    save_file(stored, adapter / "adapter_model.safetensors")
    model[f"{name}.weight"] += 2 * up @ down
    whole = tmp_path / "whole"
    whole.mkdir()
    for file in base.iterdir():
        (whole / file.name).write_bytes(file.read_bytes())
    save_file(model, whole / "model.safetensors")
    tokens = tiny.prompt(30)
    wanted = tiny.logits(tiny.open_model(whole), tokens)
    assert tiny.error(tiny.logits(tiny.open_model(adapter), tokens), wanted) < EXACT
    before = open_checkpoint(adapter).digest
    save_file({k: v * 2 for k, v in stored.items()}, adapter / "adapter_model.safetensors")
    assert open_checkpoint(adapter).digest != before, "packed weights of another adapter would be served"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"peft_type": "IA3"}, "no low-rank adapter"),
        ({"use_dora": True}, "asks for use_dora = 'True'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": 0}, "no usable r"),
        ({"base_model_name_or_path": "qwen2.5-coder-7b"}, "famulus models pull qwen2.5-coder-7b"),
        ({"base_model_name_or_path": "Qwen/Qwen2.5-Coder-7B"}, "famulus models pull qwen2.5-coder-7b"),
        ({"base_model_name_or_path": "nobody/nothing"}, "which is not here"),
        ({"base_model_name_or_path": "."}, "stands on more than"),
        ({"famulus": {"base_digest": "0"}}, "trained on other weights"),
    ],
)
def test_an_adapter_that_cannot_be_applied_is_refused_in_one_sentence(
    base: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    adapter = written(base, tmp_path / "adapter", routed(base, 0))
    (adapter / "famulus-manifest.json").unlink()
    said = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(said | change))
    with pytest.raises((BadWeights, ModelNotFound)) as caught:
        tiny.open_model(adapter)
    assert sentence in str(caught.value), caught.value


def test_the_family_says_how_many_experts_a_token_meets_at_most() -> None:
    args = famulus_moe.Args.from_config(famulus_moe.tiny())
    assert (args.rule.top_k, args.rule.top_p, args.rule.score) == (4, 0.5, "sigmoid")
    with pytest.raises(BadWeights, match="router_top_p"):
        famulus_moe.Args.from_config(famulus_moe.tiny() | {"router_top_p": 0.0})
