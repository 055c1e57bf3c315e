"""The Triton kernels without a GPU: interpreted against their references, and compiled for cards that are not here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from famulus.kernels.check import registry
from famulus.kernels.op import GPU_FAMILIES, load_gpu

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it exists for Linux on x86-64 only", allow_module_level=True)


@pytest.mark.parametrize("family", GPU_FAMILIES)
def test_a_kernel_agrees_with_its_reference_in_the_interpreter(family: str) -> None:
    """In a process of its own: whether Triton interprets is settled when it is first imported."""
    command = [sys.executable, "-P", "-m", "famulus.kernels", "check", "--gpu", family]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stdout.startswith("0 passed")


@pytest.mark.parametrize("architecture", [80, 89, 90, 120])
@pytest.mark.parametrize("family", GPU_FAMILIES)
def test_a_kernel_compiles_for_every_card_and_fits(family: str, architecture: int) -> None:
    aot = importlib.import_module("famulus.kernels.gpu.aot")
    assert load_gpu()
    found = [i for o in registry().values() for i in o.implementations if i.gpu and i.run.__module__.endswith(family)]
    assert found, "the family registers nothing"
    for implementation in found:
        launches = aot.launches(implementation, architecture)
        assert launches, "no kernel is launched for its real shapes"
        for launch in launches:
            made = aot.compiled(launch, architecture)
            assert made.spilled == 0, made
            assert made.shared <= aot.SHARED[architecture], made
            assert made.tensor_cores or not aot.multiplies(launch), made
            assert made.eight_bits or not aot.multiplies_8_bits(launch), made
            assert not made.tf32, made
            if implementation.gpu.streams:
                assert 16 in made.asynchronous and not made.bytewise, made


@pytest.mark.parametrize(
    "test",
    [
        "test_parity.py::test_sequences_of_unequal_length_share_steps[qwen3_moe]",
        "test_parity.py::test_sequences_of_unequal_length_share_steps[deepseek-v2]",
        "test_parity.py::test_keys_and_values_in_8_bits_are_rounded_once[qwen2-fp8]",
        "test_offload.py::test_a_step_in_portions_is_the_same_step",
        "test_shared_experts.py::test_shared_experts_behind_the_others_compute_the_same[deepseek-v2-fp32]",
    ],
)
def test_a_whole_model_computes_the_same_with_the_kernels(test: str) -> None:
    """Interpreted, the kernels stand in for torch's operations everywhere in a model: prompts and single tokens, and
    experts that are fetched in portions."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/engine/models/{test}"]
    ran = subprocess.run(
        command,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
