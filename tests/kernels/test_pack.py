"""Weight layouts come back as they went in, and other tools' 4-bit weights mean here what they mean there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from famulus.engine import ggml
from famulus.kernels import convert, pack
from famulus.kernels.linear import dense_of, linear, make_pairs


@pytest.mark.parametrize("group", [32, 64, 128])
def test_paired_groups_come_back(group: int) -> None:
    values = torch.randint(0, 16, (3, 7, 4 * group), dtype=torch.uint8)
    packed = pack.pair_groups(values, group)
    assert packed.shape == (3, 7, 2 * group)
    assert torch.equal(pack.unpair_groups(packed, group), values)
    assert torch.equal(packed[0, 0, 1], values[0, 0, 1] | (values[0, 0, group + 1] << 4))


def test_nibbles_in_canonical_order_come_back() -> None:
    values = torch.randint(0, 16, (5, 96), dtype=torch.uint8)
    assert torch.equal(pack.unpack_nibbles(pack.pack_nibbles(values)), values)


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("shape", [(128, 256), (130, 200), (1, 1)])
def test_fp8_is_within_half_a_step(blocks: bool, shape: tuple[int, int]) -> None:
    weight = torch.randn(shape)
    values, scales = pack.quantize_fp8(weight, blocks=blocks)
    back = values.float() * pack.fp8_scales(scales, *shape)
    assert (back - weight).abs().max() <= weight.abs().max() / 16
    again = pack.quantize_fp8(back, blocks=blocks)[0].float() * pack.fp8_scales(scales, *shape)
    assert torch.allclose(again, back, rtol=1e-5)


@pytest.mark.parametrize("digits", [1, 2])
def test_int8_comes_back(digits: int) -> None:
    first, second = torch.randint(-126, 127, (2, 5, 64))
    first[:, 7], second[:, 7] = torch.where(first[:, 7] < 0, -127, 127), 0  # the largest of a row sets its scale
    scales = 2.0 ** torch.randint(-9, 3, (5,))
    exact = first + second / pack.FINER if digits == 2 else first.float()
    values, found = pack.quantize_int8(exact * scales[:, None], digits)
    assert torch.equal(found, scales)
    assert torch.equal(values, torch.cat([first, second][:digits]).to(torch.int8))


@pytest.mark.parametrize("blocks", [True, False])
def test_fp8_comes_back(blocks: bool) -> None:
    values = torch.randn(256, 384).to(torch.float8_e4m3fn)
    values[:: 128 if blocks else 1, ::128] = pack.FP8_LARGEST  # the largest of every block, or row
    scales = 2.0 ** torch.randint(-9, 3, (2, 3) if blocks else (256,))
    again, found = pack.quantize_fp8(values.float() * pack.fp8_scales(scales, 256, 384), blocks=blocks)
    assert torch.equal(found, scales)
    assert torch.equal(again.view(torch.uint8), values.view(torch.uint8))


def test_int4_comes_back() -> None:
    values = torch.randint(0, 16, (5, 3, pack.GROUP), dtype=torch.uint8)
    values[..., 3], values[..., 20] = 0, 15  # the ends of a group set its scale and minimum
    scales = 2.0 ** torch.randint(-9, 3, (5, 3))
    minimums = torch.randint(-20, 6, (5, 3)) * scales
    packed = pack.pack_nibbles(values.view(5, -1))
    found = pack.quantize_int4(pack.dequantize_int4(packed, scales, minimums))
    assert all(map(torch.equal, found, (packed, scales, minimums)))


def test_mxfp4_comes_back() -> None:
    """Every code with every power of two that f16 holds, against the definition: sign, two bits of exponent, one of
    mantissa, without a leading one where the exponent is 0."""
    exponents = torch.arange(-24, 16)
    codes = torch.stack([torch.randperm(32) % 16 for _ in exponents]).to(torch.uint8).view(4, -1)
    scales = (2.0 ** exponents.float()).view(4, -1)
    layer = make_pairs(codes, scales.half(), None, 32, e2m1=True)
    assert torch.equal(pack.unpair_groups(layer.pairs, 32), codes)
    sign, power, half = 1 - (codes >> 3).float() * 2, (codes >> 1 & 3).float(), (codes & 1) / 2
    wanted = sign * torch.where(power == 0, half, (1 + half) * 2 ** (power - 1)) * scales.repeat_interleave(32, 1)
    assert torch.equal(dense_of(layer).view(torch.int32), wanted.view(torch.int32))  # the sign of zeros too


def _words(values: Tensor, order: tuple[int, ...] = tuple(range(8))) -> Tensor:
    """[..., 8 n] → [..., n] int32; nibble i of a word is its value ``order[i]``."""
    eight = values.long().view(*values.shape[:-1], -1, 8)[..., list(order)]
    words = (eight << torch.arange(0, 32, 4)).sum(-1)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).int()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("less_one", [False, True])
def test_gptq_weights_mean_what_they_mean_there(less_one: bool, mixed: bool) -> None:
    """Also zeros of 0, which borrow from their neighbour where one is taken off whole words; and mixed groups."""
    rows, columns, group = 16, 64, 32
    values = torch.randint(0, 16, (columns, rows))
    zeros = torch.randint(0, 16, (columns // group, rows))
    scales = torch.rand(columns // group, rows).half()
    groups = torch.arange(columns) // group
    groups = groups[torch.randperm(columns)] if mixed else groups
    stored = _words(zeros) - 0x11111111 if less_one else _words(zeros)
    grid = convert.gptq(_words(values.t()).t().contiguous(), stored, scales, groups, less_one=less_one)
    assert torch.equal(grid.values, values.t())
    assert torch.allclose(grid.dense(), ((values - zeros[groups]) * scales.float()[groups]).t(), atol=1e-5)
    assert grid.group == (1 if mixed else group)


def test_awq_weights_mean_what_they_mean_there() -> None:
    rows, columns, group = 24, 128, 64
    values = torch.randint(0, 16, (columns, rows))
    zeros = torch.randint(0, 16, (columns // group, rows))
    scales = torch.rand(columns // group, rows).half()
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    grid = convert.awq(_words(values, order), _words(zeros, order), scales)
    spread = (values - zeros.repeat_interleave(group, 0)) * scales.float().repeat_interleave(group, 0)
    assert torch.equal(grid.values, values.t())
    assert torch.allclose(grid.dense(), spread.t(), atol=1e-5)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q4_K"])
def test_blocks_of_ggml_are_exact(name: str) -> None:
    form = next(f for f in ggml.FORMATS.values() if f.name == name)
    raw = np.random.default_rng().integers(0, 256, (6, 3 * form.bytes), dtype=np.uint8)
    blocks = raw.reshape(-1, form.bytes)
    blocks[:, 1] &= 0x3B  # the halves at the front are small and finite
    blocks[:, 3] &= 0x3B
    read = {"Q4_0": convert.q4_0, "Q4_1": convert.q4_1, "Q4_K": convert.q4_k}[name]
    assert np.allclose(read(torch.from_numpy(raw)).dense().numpy(), ggml.dequantize(form, raw), rtol=1e-6, atol=1e-7)


def test_a_grid_becomes_a_layer() -> None:
    grid = convert.Grid(
        torch.randint(0, 16, (16, 128), dtype=torch.uint8), torch.rand(16, 2).half(), -torch.rand(16, 2).half(), 64
    )
    x = torch.randn(3, 128)
    layer = make_pairs(grid.values, grid.scales, grid.minimums, grid.group)
    assert torch.allclose(linear(x, layer), x @ grid.dense().t(), rtol=1e-4, atol=1e-4)
