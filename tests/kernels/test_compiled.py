"""The compiled kernels, at every instruction level that this processor has, against float64 on awkward shapes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from famulus.kernels.block import attention_block, mlp_block
from famulus.kernels.check import outcomes
from famulus.kernels.cpu import compiled, ends, library
from famulus.kernels.layers import layers
from famulus.kernels.linear import linear, make_weight
from famulus.kernels.moe import moe
from famulus.kernels.moe_block import moe_block
from famulus.kernels.pack import Weight, dequantize_int4, quantize_int4, tile_int4, untile_int4, with_minimums
from famulus.kernels.rope import frequencies
from famulus.kernels.router import route

pytestmark = pytest.mark.skipif(not library.ready(), reason="the compiled kernels were not built")


@pytest.fixture(params=library.levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    library.force(request.param)
    yield request.param
    library.force(None)


SHAPES = [(m, n, k) for m in (1, 2, 3, 4, 5, 7, 8, 9, 13, 17, 129) for n, k in ((1, 32), (17, 96), (45, 160))]


def test_products_of_all_remainders_are_those_of_float64(level: str) -> None:
    """Activations have 7 bits a group beside int4 weights, and 15 bits a row beside int8 ones."""
    g = torch.Generator().manual_seed(seed := torch.seed() % (1 << 31))
    for m, n, k in SHAPES:
        x, bias = torch.randn(m, k, generator=g) * 10, torch.randn(n, generator=g)
        dense = torch.randn(n, k, generator=g)
        packed, scale, _ = quantize_int4(dense)
        flat = Weight(n, k, "tiles", tiles=tile_int4(packed, scale, -8 * scale), bias=bias)
        made = (make_weight(dense, form, torch.float32, bias) for form in ("tiles", "int8"))
        for weight, tolerance in zip((flat, *made), (0.01, 0.01, 1e-4), strict=True):
            exact = linear.reference(torch.eye(k), weight).t().double() - bias[:, None]
            run = compiled.linear if weight.format == "tiles" else compiled.rows8
            error = (run(x, weight) - bias - x.double() @ exact.t()).abs()
            assert (error / (x.norm(dim=1)[:, None] * exact.norm(dim=1))).max() < tolerance, (
                seed,
                m,
                n,
                k,
                weight.format,
            )


@pytest.mark.parametrize("block", [attention_block, mlp_block, route, moe, moe_block, layers], ids=lambda op: op.name)
def test_halves_of_a_layer_agree_with_their_references(level: str, block: object) -> None:
    chosen = next(i for i in block.implementations if i.name == "compiled")  # type: ignore[attr-defined]
    found = list(outcomes(block, chosen, seed := torch.seed() % (1 << 31)))  # type: ignore[arg-type]
    assert found
    assert not [o for o in found if not o.passed], seed


def test_levels_compute_the_same(level: str) -> None:
    """The sums of a group are exact; what is added in floats differs in its last bits only."""
    g = torch.Generator().manual_seed(3)
    weight, x = make_weight(torch.randn(80, 576, generator=g), "tiles", torch.float32), torch.randn(3, 576, generator=g)
    found = compiled.linear(x, weight)
    library.force("portable")
    assert torch.allclose(found, compiled.linear(x, weight), rtol=1e-4, atol=1e-4)


def test_zeros_and_huge_values_stay_what_they_are(level: str) -> None:
    weight = make_weight(torch.ones(20, 64), "tiles", torch.float32)
    assert compiled.linear(torch.zeros(2, 64), weight).eq(0).all()
    huge = compiled.linear(torch.full((1, 64), 1e30), weight)
    assert torch.allclose(huge, torch.full((1, 20), 64e30), rtol=0.01)


def test_angles_are_those_of_float64() -> None:
    positions, inverse = torch.randint(0, 9000, (40,)), frequencies(64, 1e4)
    cos, sin = ends.turns(positions, inverse, 1.5)
    angles = (positions[:, None].float() * inverse).double()  # f32, as every model computes them
    assert torch.allclose(cos[:, 0].double(), 1.5 * angles.cos().repeat(1, 2), atol=1e-6)
    assert torch.allclose(sin[:, 0].double(), 1.5 * torch.cat([-angles.sin(), angles.sin()], -1), atol=1e-6)


def test_the_largest_is_torchs_choice() -> None:
    rows = torch.randint(0, 50, (6, 999)).float()
    rows[1] = float("-inf")
    rows[2, [40, 7]] = float("nan")
    rows[3, 998] = 1e30
    assert torch.equal(ends.largest(rows, []), rows.argmax(-1))


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="sse9"):
        library.force("sse9")


def test_tiles_keep_every_nibble() -> None:
    packed, scale, minimum = quantize_int4(torch.randn(37, 96))
    scale, minimum = scale.half().float(), minimum.half().float()
    for kept, size in ((minimum, 320), (-8 * scale, 288)):
        tiles = tile_int4(packed, scale, kept)
        assert tiles.shape == (3, 3, size)
        for form in (tiles, with_minimums(tiles)):
            assert torch.equal(dequantize_int4(*untile_int4(form, 37)), dequantize_int4(packed, scale, kept))
