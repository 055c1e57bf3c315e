"""The packed file: any safetensors reader takes it, tensors lie where the processor likes them, one is in memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from famulus.engine.packed import ALIGNED, map_file, save_file

KINDS = [torch.float32, torch.bfloat16, torch.int8, torch.uint8, torch.int32]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.lists(st.integers(1, 9), min_size=1, max_size=3)), max_size=8),
)
def test_what_was_written_is_read_at_aligned_places(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[torch.dtype, list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("packed") / "p.safetensors"
    made = {f"{i}/x": torch.randint(0, 100, shape).to(kind) for i, (kind, shape) in enumerate(shapes)}
    save_file(iter(made.items()), path)
    found, theirs = map_file(path), load_file(path)
    assert found.keys() == made.keys()
    for name, tensor in made.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
        assert torch.equal(theirs[name], tensor)
        assert found[name].data_ptr() % ALIGNED == 0


def test_a_tensor_that_is_not_laid_out_in_rows_is_written_in_rows(tmp_path: Path) -> None:
    tensor = torch.arange(12).int().view(3, 4).t()
    save_file([("x", tensor)], tmp_path / "p")
    assert torch.equal(map_file(tmp_path / "p")["x"], tensor)


def test_only_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for i in range(5):
            assert not [r for r in alive if r() is not None], "an earlier one is still held"
            yield str(i), fresh()

    def fresh() -> Tensor:
        tensor = torch.ones(1000)
        alive.append(weakref.ref(tensor))
        return tensor

    save_file(tensors(), tmp_path / "p")
    assert len(map_file(tmp_path / "p")) == 5


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    save_file([("x", torch.ones(1000))], path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SafetensorError):
        map_file(path)
