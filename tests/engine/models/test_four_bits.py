"""What AutoAWQ and AutoGPTQ wrote gives the logits of the weights that they meant; what is small stays as small.

The writer here works number by number, as the formats are described, and shares nothing with the reader.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.gpu_forms import gpu_fields, gpu_weight
from famulus.engine.layers import Part
from famulus.engine.models import family
from famulus.engine.source import Source
from famulus.engine.stored import Stored
from famulus.kernels.convert import Grid
from famulus.kernels.linear import linear
from tests.engine import tiny_models as tiny
from tests.engine.models import zoo

FP32 = 1e-5


@dataclass(frozen=True)
class Written:
    """How a matrix was brought to 4 bits. ``mixed``: a column's group is drawn, not its neighbours'."""

    method: str
    group: int = 32
    second: bool = False
    mixed: bool = False
    sym: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` says of it."""
        said: dict[str, Any] = {"quant_method": self.method, "bits": 4, "group_size": self.group}
        if self.method == "awq":
            return said | {"version": "gemm", "zero_point": True, "modules_to_not_convert": None}
        formats = {"checkpoint_format": "gptq_v2" if self.second else "gptq"}
        return said | {"desc_act": self.mixed, "sym": self.sym, "damp_percent": 0.1, **formats}

    def tensors(self, stem: str, weight: Tensor, g: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """The tensors of a matrix, and the one that they mean."""
        rows, columns = weight.shape
        size = columns if self.group == -1 else self.group
        groups = torch.arange(columns) // size
        if self.mixed:
            groups = groups[torch.randperm(columns, generator=g)]
        count = columns // size
        scales, zeros = torch.empty(count, rows).half(), torch.empty(count, rows).long()
        values = torch.empty(columns, rows).long()
        for n in range(count):
            mine = weight[:, groups == n]
            low, high = mine.amin(1).clamp(max=0), mine.amax(1).clamp(min=0)
            if self.sym:
                high = torch.maximum(high, -low)
                low = -high
            scales[n] = ((high - low) / 15).half()
            zeros[n] = 8 if self.sym else (-low / scales[n].float()).round().long().clamp(0, 15)
            exact = (mine / scales[n].float()[:, None] + zeros[n][:, None]).round().long().clamp(0, 15)
            values[groups == n] = exact.t()
        meant = ((values - zeros[groups]) * scales[groups].float()).t()
        found = {"scales": scales}
        if self.method == "awq":
            found |= {
                "qweight": _words(values, (0, 2, 4, 6, 1, 3, 5, 7)),
                "qzeros": _words(zeros, (0, 2, 4, 6, 1, 3, 5, 7)),
            }
        else:
            less = 0 if self.second else 0x11111111
            found["qweight"] = _words(values.t(), range(8)).t().contiguous()
            found["qzeros"] = _words(zeros, range(8)) - less
            found["g_idx"] = groups.int()
        return {f"{stem}.{end}": value for end, value in found.items()}, meant.contiguous()


def _words(values: Tensor, order: Any) -> Tensor:
    """[n, 8 m] → [n, m] int32: nibble i of a word is its value ``order[i]``."""
    found = torch.zeros(values.shape[0], values.shape[1] // 8, dtype=torch.int64)
    for nibble, which in enumerate(order):
        found += values[:, which::8] << (4 * nibble)
    return torch.where(found >= 1 << 31, found - (1 << 32), found).int()


def write(folder: Path, how: Written, variant: str, **more: Any) -> None:
    """``folder``/packed as the tool writes it, ``folder``/meant with the weights that it means."""
    zoo.write(folder / "packed", variant, **more)
    zoo.write(folder / "meant", variant, **more)
    packed: dict[str, Tensor] = {}
    meant: dict[str, Tensor] = {}
    g = torch.Generator().manual_seed(0)
    for name, value in load_file(folder / "packed" / "model.safetensors").items():
        stem, matrix = name.removesuffix(".weight"), value.dim() == 2 and ("proj" in name or ".experts." in name)
        small, meant[name] = how.tensors(stem, value, g) if matrix else ({name: value}, value)
        packed |= small
    save_file(packed, folder / "packed" / "model.safetensors")
    save_file(meant, folder / "meant" / "model.safetensors")
    said = json.loads((folder / "packed" / "config.json").read_text())
    (folder / "packed" / "config.json").write_text(json.dumps(said | {"quantization_config": how.config}))


@pytest.mark.parametrize(
    ("how", "variant"),
    [
        (Written("awq", 32), "llama"),
        (Written("awq", 128), "qwen3_moe"),
        (Written("awq", 64), "deepseek-v2-lite"),
        (Written("gptq", 64, sym=True), "qwen2"),
        (Written("gptq", 32, mixed=True), "llama"),
        (Written("gptq", -1, second=True), "olmoe"),
        (Written("gptq", 128, mixed=True, second=True), "mixtral"),
    ],
    ids=str,
)
def test_a_model_in_four_bits_says_what_its_weights_mean(tmp_path: Path, how: Written, variant: str) -> None:
    sizes = {"hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 128, "head_dim": 32}
    if variant.startswith("deepseek"):
        sizes = {"hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 64, "v_head_dim": 32}
        sizes |= {"kv_lora_rank": 64}
    write(tmp_path, how, variant, **sizes)
    tokens = tiny.prompt(40)
    wanted = tiny.logits(tiny.open_model(tmp_path / "meant"), tokens)
    assert tiny.error(tiny.logits(tiny.open_model(tmp_path / "packed"), tokens), wanted) < FP32
    # In 4 bits the grid itself is kept, but for minimums in f16; mixed groups are rounded to neighbours.
    ours, meant = (tiny.open_model(tmp_path / n, p).linears() for n, p in (("packed", "int4"), ("meant", "fp32")))
    for found, exact in zip(ours[1:], meant[1:], strict=True):
        if found.format in ("tiles", "int4"):
            eye = torch.eye(found.columns)
            assert tiny.error(linear.reference(eye, found), linear.reference(eye, exact)) < (0.1 if how.mixed else 0.01)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bits": 3}, "quantization_config.bits = '3'"),
        ({"bits": None}, "quantization_config.bits"),
        ({"group_size": 0}, "quantization_config.group_size"),
        ({"quant_method": "awq", "version": "gemv"}, "quantization_config.version = 'gemv'"),
        ({"quant_method": "awq", "zero_point": False}, "quantization_config.zero_point"),
        ({"checkpoint_format": "marlin"}, "quantization_config.checkpoint_format = 'marlin'"),
        ({"dynamic": {"-:lm_head": {}}}, "quantization_config.dynamic"),
        ({"pack_dtype": "int16"}, "quantization_config.pack_dtype"),
    ],
)
def test_what_a_quantisation_asks_for_in_vain_is_named(change: dict[str, Any], says: str) -> None:
    said = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    module = family("llama")
    module.Args.from_config(module.tiny() | {"quantization_config": said})
    with pytest.raises(BadWeights, match=says):
        module.Args.from_config(module.tiny() | {"quantization_config": said | change})


def test_words_that_do_not_go_together_are_named(tmp_path: Path) -> None:
    write(tmp_path, Written("gptq"), "llama")
    file = tmp_path / "packed" / "model.safetensors"
    whole = load_file(file)
    stem = "model.layers.1.mlp.down_proj"
    for end, value in (
        ("scales", whole[f"{stem}.scales"][:-1]),
        ("qzeros", whole[f"{stem}.qzeros"].float()),
        ("g_idx", whole[f"{stem}.g_idx"] + 9),
    ):
        save_file(whole | {f"{stem}.{end}": value.contiguous()}, file)
        with pytest.raises(BadWeights, match=r"layers\.1\.mlp\.down_proj"):
            tiny.open_model(tmp_path / "packed")


def source(folder: Path) -> Source:
    return Source(open_checkpoint(folder, stamps=folder.parent / "s"), Stored, gpu=True)


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.01), ("fp8", 0.05), ("int4", 0.1)])
def test_a_matrix_keeps_its_values_in_the_forms_of_a_gpu(tmp_path: Path, precision: str, error: float) -> None:
    zoo.write(tmp_path / "m", "llama")
    at = "model.layers.0.mlp.{}_proj.weight"
    part = Part("linear", (at.format("gate"), at.format("up")), ((160, 64), (160, 64)))
    given = source(tmp_path / "m")
    weight = gpu_weight(part, precision, gpu_fields(given, part, precision), torch.device("cpu"))
    x = torch.randn(5, 64)
    wanted = x @ given.dense(part).t()
    assert (linear.reference(x, weight) - wanted).norm() < error * wanted.norm()


def test_what_is_stored_small_is_not_rounded_again_on_a_gpu(tmp_path: Path) -> None:
    """Grids in groups of 128, blocks of fp8 with rows in another order, MXFP4: bit for bit."""
    write(tmp_path, Written("awq", 128), "llama", hidden_size=256, intermediate_size=512, head_dim=64)
    at = "model.layers.0.mlp.{}_proj"
    part = Part("linear", (at.format("gate") + ".weight", at.format("up") + ".weight"), ((512, 256), (512, 256)))
    given = source(tmp_path / "packed")
    grid, x = given.grid(part), torch.randn(3, 256)
    assert isinstance(grid, Grid) and grid.group == 128
    weight = gpu_weight(part, "int4", gpu_fields(given, part, "int4"), torch.device("cpu"))
    assert (weight.format, weight.group) == ("pairs", 128)
    assert tiny.error(linear.reference(x, weight), x @ given.dense(part).t()) < 1e-3

    digits = torch.randn(256, 200).to(torch.float8_e4m3fn)
    scales = torch.rand(2, 2) + 0.5
    codes = torch.randint(0, 256, (2, 64, 2, 16), dtype=torch.uint8)
    exponents = torch.randint(103, 130, (2, 64, 2), dtype=torch.uint8)
    stored = {"f.weight": digits, "f.weight_scale_inv": scales, "e_blocks": codes, "e_scales": exponents}
    file = tmp_path / "packed" / "model.safetensors"
    save_file(load_file(file) | stored, file)
    mixed = [*range(0, 128, 2), *range(1, 128, 2), *range(255, 127, -1)]
    across = [*range(128, 256), *range(128)]
    for rows, kept in ((None, True), (mixed, True), (across, False)):
        given = Source(open_checkpoint(tmp_path / "packed"), lambda n, rows=rows: Stored(n, rows=rows), gpu=True)
        part = Part("linear", ("f.weight",), ((256, 200),))
        fields = gpu_fields(given, part, "fp8")
        assert (fields["fp8_scales"].shape == (2, 2)) == kept
        weight = gpu_weight(part, "fp8", fields, torch.device("cpu"))
        y = torch.randn(3, 200)
        assert tiny.error(linear.reference(y, weight), y @ given.dense(part).t()) < (FP32 if kept else 0.1)

    given = Source(open_checkpoint(tmp_path / "packed"), lambda n: Stored("e", 1, mxfp4=True), gpu=True)
    part = Part("linear", ("e",), ((64, 64),))
    weight = gpu_weight(part, "int4", gpu_fields(given, part, "int4"), torch.device("cpu"))
    assert weight.format == "e2m1"
    assert torch.equal(linear.reference(torch.eye(64), weight).t(), given.dense(part))
