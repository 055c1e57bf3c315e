"""Experts that wait in the processor's memory change no answer; what is needed most stays on the device.

Host and device are two stores of tensors, so all of it is tested without a card.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from famulus.bench.random_model import built, random_weights
from famulus.engine.cache import Table
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.decoder import Decoder
from famulus.engine.expert_usage import FADE, Usage
from famulus.engine.loader import load
from famulus.engine.models import family
from famulus.engine.offload import OffloadedMoE, Residency, Store
from famulus.engine.runner import Runner
from famulus.engine.step import Chunk, Sequence, StepPlan
from famulus.kernels.linear import make_weight
from famulus.kernels.moe import Experts
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

FP32 = 1e-5


def offloaded(folder: Path, resident: int, precision: str = "fp32") -> Decoder:
    checkpoint = open_checkpoint(folder, stamps=folder.parent / "s")
    made = load(checkpoint, precision, folder.parent / "kept", lambda _: None, resident=resident)
    assert isinstance(made, Decoder) and made.residency is not None
    return made


@pytest.mark.parametrize("variant", ["qwen3_moe", "gpt_oss", "deepseek-v3"])
def test_fewer_slots_than_experts_give_the_same_logits(tmp_path: Path, variant: str) -> None:
    """Also where one step needs more experts than there are slots; and layer by layer as they are packed."""
    zoo.write(tmp_path / "m", variant)
    tokens = tiny.prompt(40)
    wanted = tiny.logits(tiny.open_model(tmp_path / "m"), tokens, (25, *[1] * 15))
    for resident in (2, 5):
        ours = offloaded(tmp_path / "m", resident)
        assert ours.residency is not None
        assert tiny.error(tiny.logits(ours, tokens, (25, *[1] * 15)), wanted) < FP32
        assert ours.residency.traffic.misses > 0 and ours.residency.traffic.evicted > 0
        for mlp in apart(ours):
            assert len(set(mlp.store.holder)) == resident, "no expert is there twice"
    packed = tiny.open_model(tmp_path / "m", "int4")
    assert isinstance(packed, Decoder)
    x = torch.randn(9, packed.args.hidden_size).bfloat16()
    for one, other in zip(packed.blocks, offloaded(tmp_path / "m", 3, "int4").blocks, strict=True):
        assert tiny.error(other.mlp(x), one.mlp(x)) < 0.02


def test_a_step_in_portions_is_the_same_step() -> None:
    """Two slots for four experts: in each portion there are tokens that have none of its experts. Also interpreted."""
    config = family("mixtral").tiny() | {"num_hidden_layers": 1}
    loaded = random_weights(config, "fp32", torch.device("cpu"))
    apart = replace(loaded, residency=Residency(torch.device("cpu"), 2, Usage(1, 4)))
    x = torch.randn(5, config["hidden_size"])
    with torch.inference_mode():
        found, wanted = (built(config, given, "fp32").blocks[0].mlp(x) for given in (apart, loaded))
    assert tiny.error(found, wanted) < FP32


def apart(model: Decoder) -> list[OffloadedMoE]:
    return [block.mlp for block in model.blocks if isinstance(block.mlp, OffloadedMoE)]


def test_the_next_layer_s_experts_are_on_their_way_before_it_asks(tmp_path: Path) -> None:
    """With layers that add little to the residual stream, as in large models, nearly all are foreseen rightly."""
    model = zoo.make("olmoe", num_hidden_layers=4, num_experts=32)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj")):
                value.mul_(0.02)
            if "norm" in name:
                value.fill_(1)
    tiny.write_folder(tmp_path / "m", model)
    ours = offloaded(tmp_path / "m", 12)
    assert ours.residency is not None
    traffic = ours.residency.traffic
    tiny.logits(ours, tiny.prompt(30), (1,) * 30)
    chosen = model.config.num_experts_per_tok
    # Nobody foresees what the first layer needs; of the other three nearly all was there.
    assert traffic.foreseen > 100
    assert traffic.misses < 30 * chosen


def store(slots: int, experts: int, usage: Usage | None = None) -> Store:
    """One matrix an expert, filled with the expert's number."""
    matrices = [make_weight(torch.full((16, 32), float(e)), "dense", torch.float32) for e in range(experts)]
    residency = Residency(torch.device("cpu"), slots, usage or Usage(1, experts))
    return residency.store(0, Experts.of(matrices))


def holds(found: Store) -> bool:
    """Whether every slot holds the weights of the expert that it says."""
    dense = found.device[0].stacked.dense
    assert dense is not None
    return all(bool((dense[s] == e).all()) for s, e in enumerate(found.holder) if e >= 0)


def test_slots_always_hold_what_they_say_whatever_is_asked_for() -> None:
    draw = random.Random(1)
    found = store(4, 12)
    for _ in range(200):
        found.residency.usage.step([draw.choice(["python", "rust"])])
        wanted = draw.sample(range(12), draw.randint(1, 4))
        found.residency.usage.add(0, wanted, [1] * len(wanted))
        found.need(wanted)
        assert set(wanted) <= set(found.resident)
        found.foresee(draw.sample(range(12), draw.randint(0, 8)))
        assert holds(found) and len(set(found.holder)) == 4
        table = found.places(found.resident)
        assert [int(table[e]) for e in found.holder] == [0, 1, 2, 3] and int(table[-1]) == -1
    t = found.residency.traffic
    assert t.hits > t.foreseen > 0 and t.misses > 0 and t.evicted > 0


def test_what_is_worth_least_for_the_language_goes_first() -> None:
    usage = Usage(1, 6)
    found = store(3, 6, usage)
    for language, often in (("python", [0, 1]), ("rust", [4, 5])):
        for _ in range(50):
            usage.step([language])
            usage.add(0, often, [2, 2])
    usage.step(["python", "python", "rust"])
    assert usage.language == "python"
    found.need([0, 1, 3])
    found.need([2])
    assert set(found.resident) == {0, 1, 2}, "3 was never chosen before"
    usage.step(["rust"])
    found.need([4, 5])
    assert {4, 5} < set(found.resident)


def test_a_skewed_use_is_answered_from_few_slots() -> None:
    """Four of 32 experts take nine of ten choices: after a while nearly all of those are hits, and old habits fade."""
    draw = random.Random(2)
    usage = Usage(1, 32)
    found = store(6, 32, usage)
    for hot in (range(4), range(20, 24)):
        for _ in range(1500):
            usage.step(["python"])
            wanted = draw.sample(list(hot), 2) if draw.random() < 0.9 else draw.sample(range(32), 2)
            usage.add(0, wanted, [1, 1])
            found.need(wanted)
        before = (found.residency.traffic.hits, found.residency.traffic.misses)
        for _ in range(200):
            usage.step(["python"])
            wanted = draw.sample(list(hot), 2) if draw.random() < 0.9 else draw.sample(range(32), 2)
            usage.add(0, wanted, [1, 1])
            found.need(wanted)
        hits, misses = (
            a - b for a, b in zip((found.residency.traffic.hits, found.residency.traffic.misses), before, strict=True)
        )
        assert hits / (hits + misses) > 0.85
    assert FADE < 1


def test_counts_come_back_at_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "experts" / "m.json"
    usage = Usage(2, 4, file)
    usage.step(["python"])
    usage.add(1, [2, 3], [5, 1])
    usage.save()
    again = Usage(2, 4, file)
    again.step(["python"])
    assert again.worth(1)[2] > again.worth(1)[3] > again.worth(1)[0]
    assert Usage(2, 8, file).counts == {}, "of another model"
    file.write_text('{"python": [["x"]]}')
    assert Usage(2, 4, file).counts == {}
    file.write_text("[")
    assert Usage(2, 4, file).counts == {}


def test_a_step_counts_for_the_language_of_most_of_its_sequences(tmp_path: Path) -> None:
    zoo.write(tmp_path / "m", "mixtral")
    ours = offloaded(tmp_path / "m", 2)
    runner = Runner.create(ours, 8)
    made: list[Any] = [
        Sequence(i, "r", "chat", tiny.prompt(5, i), table=Table("", [i]), language=name)
        for i, name in enumerate(("rust", "python", "python"))
    ]
    runner.forward(StepPlan(tuple(Chunk(s, 0, 5) for s in made)), lambda: None)
    assert ours.residency is not None
    counts = ours.residency.usage.counts
    assert set(counts) == {"python"}
    assert float(counts["python"].sum()) == 15 * 2 * ours.layers
