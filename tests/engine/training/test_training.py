"""A run learns, goes on where it was cut as if nothing had happened, and what it wrote is what the engine serves."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.decoder import Decoder
from famulus.engine.errors import BadWeights, InvalidRequest
from famulus.engine.training.frozen import whole
from famulus.engine.training.gradients import rounded
from famulus.engine.training.loop import Report, evaluate, schedule, train
from famulus.engine.training.packing import IGNORED, Item, batch, pack
from famulus.engine.training.recipe import LowRankSize, Recipe, Shape, Steps, read_recipe
from famulus.engine.training.start import finish, start
from famulus.kernels.pack import Weight, dequantize_int4, quantize_int4
from tests.engine import tiny_models as tiny

RUN = Steps(length=32, batch=4, micro=2, steps=24, rate=1e-2, warmup=2, save_every=1000, balance=0.01)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    base = tiny.write_folder(tmp_path / "base", tiny.random_model(hidden_size=64))
    tiny.write_tokenizer(base / "tokenizer.json", spare=0)
    return Recipe(
        base=str(base),
        device="cpu",
        precision="fp32",
        low_rank=LowRankSize(rank=4, alpha=8.0),
        experts=Shape(count=8, width=32, cap=4, active=2.5),
        fill=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        run=RUN,
    )


def lesson() -> list[Item]:
    """A cycle that a model without training cannot know."""
    cycle = [5, 9, 200, 31, 77, 8, 150, 64]
    return [Item((cycle * 6)[at : at + 40]) for at in range(8)]


def test_a_tiny_run_learns_and_its_adapter_is_served(recipe: Recipe, tmp_path: Path) -> None:
    started = start(recipe)
    packed, held = pack(lesson(), RUN.length, 0), pack(lesson()[:2], RUN.length, 0)
    before = evaluate(started.trained, held, 2)
    shown: list[Report] = []
    assert train(started.trained, packed, recipe, tmp_path / "run", shown.append) == RUN.steps
    after = evaluate(started.trained, held, 2)
    assert after < 0.5 * before, (before, after)
    assert [r.step for r in shown] == list(range(1, RUN.steps + 1)) and all(1 <= r.active <= 4 for r in shown)
    finish(started, recipe, tmp_path / "adapter")
    assert sum(f.stat().st_size for f in (tmp_path / "adapter").iterdir()) < 400_000
    tokens = list(lesson()[3].tokens)[:32]
    with torch.no_grad():
        wanted = started.trained.logits(started.trained.hidden(torch.tensor([tokens]))[0])
    served = tiny.logits(tiny.open_model(tmp_path / "adapter"), tokens)
    # experts are stored with 4 bits, so the logits move a little and the answer does not
    assert tiny.error(served, wanted) < 0.1
    assert (served.argmax(-1)[8:] == torch.tensor(lesson()[3].tokens)[9:33]).float().mean() > 0.8


def test_what_is_learned_rounded_is_what_is_served(recipe: Recipe, tmp_path: Path) -> None:
    size = replace(recipe.low_rank, rounded=True)
    recipe = replace(recipe, low_rank=size, run=replace(RUN, steps=12))
    started = start(recipe)
    packed, held = pack(lesson(), RUN.length, 0), pack(lesson()[:2], RUN.length, 0)
    before = evaluate(started.trained, held, 2)
    train(started.trained, packed, recipe, tmp_path / "run", lambda _: None)
    assert evaluate(started.trained, held, 2) < 0.8 * before
    for up in (p for n, p in started.trained.changes.named_parameters() if n.startswith("low_rank")):
        up.data = up.data.bfloat16().float()  # as the adapter keeps them
    finish(started, recipe, tmp_path / "adapter")
    kept = open_checkpoint(tmp_path / "adapter")
    sides = [kept.tensor(f"model.layers.0.self_attn.{side}_proj.weight").data for side in "qkv"]
    merged = torch.cat([torch.tensor(side) for side in sides])
    served = dequantize_int4(*quantize_int4(merged))
    update = started.trained.changes.of("0.qkv")
    assert update is not None
    weight = started.trained.decoder.blocks[0].attention.linears()[0]
    used = rounded(whole(weight, torch.float32) + update.update()).detach()
    assert float((used - merged).abs().max()) > 1e-3 and torch.allclose(used, served, atol=1e-6)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(started.trained._linear(x, weight, "0.qkv"), x @ served.T, atol=1e-5)


def test_a_run_that_was_cut_ends_as_if_it_had_not_been(recipe: Recipe, tmp_path: Path) -> None:
    short = replace(recipe, run=replace(RUN, steps=6))
    packed = pack(lesson(), RUN.length, 0)
    whole = start(short)
    train(whole.trained, packed, short, tmp_path / "whole", lambda _: None)

    class Cut(Exception):
        pass

    def cut(report: Report) -> None:
        if report.step == 3:
            raise Cut

    with pytest.raises(Cut):
        train(start(short).trained, packed, short, tmp_path / "cut", cut)
    again = start(short)
    steps: list[int] = []
    train(again.trained, packed, short, tmp_path / "cut", lambda r: steps.append(r.step))
    assert steps == [4, 5, 6]
    for name, value in whole.trained.changes.state_dict().items():
        assert torch.equal(value, again.trained.changes.state_dict()[name]), name


def test_layers_that_are_computed_again_learn_the_same(recipe: Recipe, tmp_path: Path) -> None:
    packed, learned = pack(lesson(), RUN.length, 0), []
    for again in (False, True):
        told = replace(recipe, run=replace(RUN, steps=3, recompute=again))
        started, active = start(told), list[float]()
        train(started.trained, packed, told, tmp_path / str(again), lambda r, active=active: active.append(r.active))
        learned.append((started.trained.changes.state_dict(), active))
    for name, value in learned[0][0].items():
        assert torch.allclose(value, learned[1][0][name], atol=1e-5), name
    assert learned[0][1] == pytest.approx(learned[1][1])


def test_a_base_in_4_bits_learns_what_its_rounded_weights_would(tmp_path: Path) -> None:
    """The same loss and gradients as beside dense weights of the rounded values, in under half the memory."""
    base = tiny.write_folder(tmp_path / "base", tiny.random_model(hidden_size=64))
    tiny.write_tokenizer(base / "tokenizer.json", spare=0)
    told = Recipe(base=str(base), device="cpu", precision="int4", fill=("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    small, dense = start(told).trained, start(replace(told, precision="bf16")).trained
    pairs = [*zip(weights(small.decoder), weights(dense.decoder), strict=True)]
    assert all(a.dense is None for a, _ in pairs) and 2 * held(small.decoder) < 1.3 * held(dense.decoder)
    for a, b in pairs:
        assert b.dense is not None
        exact = b.dense.clone()
        b.dense.copy_(whole(a, torch.bfloat16))
        assert 0 < float((b.dense - exact).abs().max()) < 0.1 * float(exact.abs().max())
    # its rows are used in f32, those of a dense table in bf16; that alone would move the gradients
    small.decoder.embedding, small.decoder.head = dense.decoder.embedding, dense.decoder.head
    g = torch.Generator().manual_seed(0)
    for name, value in small.changes.named_parameters():
        value.data.add_(0.1 * torch.randn(value.shape, generator=g))
        dense.changes.get_parameter(name).data.copy_(value.data)
    tokens = torch.tensor([item.tokens for item in lesson()])
    for trained in (small, dense):
        with torch.enable_grad():
            loss, _ = trained.loss(tokens[:, :-1], tokens[:, 1:])
            loss.backward()  # type: ignore[no-untyped-call]
    for name, value in small.changes.named_parameters():
        other = dense.changes.get_parameter(name).grad
        assert value.grad is not None and other is not None
        assert float(value.grad.abs().max()) > 0 or name == "rows", name
        assert float((value.grad - other).norm()) <= 1e-3 * float(other.norm()), name


def weights(decoder: Decoder) -> list[Weight]:
    return [decoder.embedding, *(w for b in decoder.blocks for w in (*b.attention.linears(), *b.mlp.linears()))]


def held(decoder: Decoder) -> int:
    """Bytes."""
    return sum(w.decode_bytes for w in weights(decoder))


def test_the_state_of_another_run_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    one = replace(recipe, run=replace(RUN, steps=1))
    packed = pack(lesson(), RUN.length, 0)
    train(start(one).trained, packed, one, tmp_path / "run", lambda _: None)
    other = replace(one, seed=7)
    with pytest.raises(BadWeights, match="another recipe or other data"):
        train(start(other).trained, packed, other, tmp_path / "run", lambda _: None)
    (tmp_path / "run" / "state" / "tensors.safetensors").write_bytes(b"torn")
    with pytest.raises(BadWeights, match="damaged"):
        train(start(one).trained, packed, one, tmp_path / "run", lambda _: None)


def test_targets_count_from_where_an_item_says() -> None:
    packed = pack([Item([1, 2, 3, 4], start=2), Item([5, 6])], 4, 0)
    assert packed.tokens.tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]  # the rest of the first lies behind the second
    assert packed.targets.tolist() == [[IGNORED, 3, 4, 0], [6, 0, IGNORED, IGNORED]]
    assert packed.counted == 5


def test_what_fits_into_a_sequence_is_not_torn_apart() -> None:
    chance = random.Random(5)
    items = [Item([n + 1] * chance.randint(1, 31), start=1) for n in range(300)]
    packed = pack(items, 32, 0)
    assert sorted(len(item.tokens) for item in items) == sorted(
        sum(1 for t in row if t == n) for row in packed.tokens.tolist() for n in set(row) - {0}
    )
    full = sum(len(item.tokens) + 1 for item in items) / packed.tokens.numel()
    assert full > 0.97 and packed.counted == sum(len(item.tokens) for item in items)


def test_every_epoch_takes_each_sequence_once_in_another_order() -> None:
    packed = pack([Item([i] * 3) for i in range(1, 9)], 4, 0)
    epochs = [[int(t[0]) for step in range(4) for t in batch(packed, step + 4 * e, 2, 3)[0]] for e in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(1, 9)) and epochs[0] != epochs[1]


def test_the_rate_rises_stays_and_falls() -> None:
    wsd = Steps(steps=100, warmup=10, decay=0.2)
    assert [round(schedule(wsd, s), 3) for s in (0, 9, 50, 79, 90, 99)] == [0.1, 1.0, 1.0, 1.0, 0.5, 0.05]
    cosine = replace(wsd, schedule="cosine")
    rates = [schedule(cosine, s) for s in range(10, 100)]
    assert rates == sorted(rates, reverse=True) and rates[0] == 1.0 and 0.05 <= rates[-1] < 0.06


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bose = 'x'", "unknown key bose. Did you mean base?"),
        ("[run]\nstep = 3", "unknown key run.step. Did you mean run.steps?"),
        ("[run]\nsteps = 'many'", "run.steps is 'many', which is no int"),
        ("[run]\nbatch = 3\nmicro = 2", "a multiple of run.micro"),
        ("[experts]\ncap = 40", "experts.cap = 40"),
        ("fill = ['<a>']", "three names"),
        ("run = 3", "run is no table"),
        ("run = [", "not valid TOML"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        read_recipe(path)
    assert sentence in str(caught.value), caught.value


def test_a_recipe_says_what_a_run_does(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("base = 'm'\n[experts]\nwidth = 128\n[low_rank]\ntargets = ['q_proj']\n[run]\nrate = 1e-3\n")
    found = read_recipe(path)
    assert (found.base, found.experts, found.low_rank.targets) == ("m", Shape(width=128), ("q_proj",))
    assert found.run == Steps(rate=1e-3)
