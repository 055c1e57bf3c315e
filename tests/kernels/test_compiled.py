"""The compiled kernels, at every instruction level that this processor has, against float64 on awkward shapes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from famulus.kernels.block import attention_block, mlp_block
from famulus.kernels.check import outcomes
from famulus.kernels.cpu import compiled, library
from famulus.kernels.linear import linear, make_weight
from famulus.kernels.pack import dequantize_int4, quantize_int4, tile_int4, untile_int4

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
        for form, tolerance in (("tiles", 0.01), ("int8", 1e-4)):
            weight = make_weight(dense, form, torch.float32, bias)
            exact = linear.reference(torch.eye(k), weight).t().double() - bias[:, None]
            run = compiled.linear if form == "tiles" else compiled.rows8
            error = (run(x, weight) - bias - x.double() @ exact.t()).abs()
            assert (error / (x.norm(dim=1)[:, None] * exact.norm(dim=1))).max() < tolerance, (seed, m, n, k, form)


@pytest.mark.parametrize("block", [attention_block, mlp_block], ids=lambda op: op.name)
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


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="sse9"):
        library.force("sse9")


def test_tiles_keep_every_nibble() -> None:
    packed, scale, minimum = quantize_int4(torch.randn(37, 96))
    scale, minimum = scale.half().float(), minimum.half().float()
    back = untile_int4(tile_int4(packed, scale, minimum), 37)
    assert torch.equal(dequantize_int4(*back), dequantize_int4(packed, scale, minimum))
