"""The plan: every choice has a reason, settings decide where they speak, what does not fit is said in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from famulus.engine import hardware
from famulus.engine.errors import InvalidRequest
from famulus.engine.hardware import PAGE, Plan, Size
from famulus.engine.models.llama import Args, parts, tiny
from famulus.engine.settings import Settings

SMALL = Size(parameters=106_000_000, embedding=28_000_000, context=8192, kv_bytes=23_040)
"""As the embedded model."""
LARGE = Size(parameters=7_000_000_000, embedding=550_000_000, context=32_768, kv_bytes=57_344)
WHATS = ["device", "precision", "threads", "KV cache", "prompt chunk", "context for completions"]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A plan sets torch's threads for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``memory(gigabytes)``: what the machine claims to have free."""

    def claim(gigabytes: float) -> None:
        monkeypatch.setattr(hardware, "memory", lambda: int(gigabytes * 1e9))

    return claim


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Famulus was installed without a compiler."""
    monkeypatch.setattr(hardware, "ready", lambda: False)


def plan(size: Size = SMALL, **given: Any) -> Plan:
    return hardware.select(Settings(**{"device": "cpu", "threads": 1, **given}), size)


def row(plan: Plan, what: str) -> tuple[str, str]:
    [(choice, reason)] = [(c, r) for w, c, r in plan.rows if w == what]
    return choice, reason


def test_every_choice_is_listed_with_its_reason(memory: Any) -> None:
    memory(16)
    made = hardware.select(Settings(), SMALL)
    assert [what for what, _, _ in made.rows] == WHATS
    assert all(choice and reason for _, choice, reason in made.rows)
    assert row(made, "device")[0] == made.device
    assert row(made, "precision")[0] == made.precision
    assert row(made, "threads")[0] == str(made.threads)
    assert row(made, "KV cache")[0].startswith(str(made.cache_tokens))
    assert row(made, "prompt chunk")[0].startswith(str(made.prefill_chunk))
    assert row(made, "context for completions")[0].startswith(str(made.infill_budget))


def test_a_plan_holds_together_on_any_machine(memory: Any) -> None:
    for gigabytes in (2, 4, 16, 256):
        memory(gigabytes)
        made = plan()
        assert made.cache_tokens % PAGE == 0
        assert made.cache_tokens >= 1024
        assert made.prefill_chunk < made.batch_tokens
        assert 0 < made.infill_budget <= SMALL.context // 2
        assert made.cache_tokens * SMALL.kv_bytes <= gigabytes * 1e9 / 2


def test_settings_decide_and_are_named_as_the_reason(memory: Any) -> None:
    memory(16)
    made = plan(precision="bf16", threads=1, kv_cache_tokens=5000, context_budget=700)
    assert (made.device, made.precision, made.threads) == ("cpu", "bf16", 1)
    assert made.cache_tokens == 5000 // PAGE * PAGE
    assert made.infill_budget == 700
    for what in ("device", "precision", "threads", "KV cache", "context for completions"):
        assert row(made, what)[1] == "from the settings"
    assert torch.get_num_threads() == 1


def test_keys_and_values_in_8_bits_leave_room_for_nearly_twice_as_many(memory: Any) -> None:
    memory(4)
    size = replace(SMALL, context=100_000, kv_width=64)
    whole = plan(size)
    assert (whole.kv, row(whole, "KV cache")[0]) == ("bf16", f"{whole.cache_tokens} tokens in bf16")
    for kv in ("int8", "fp8"):
        made = plan(size, kv_precision=kv)
        assert (made.kv, row(made, "KV cache")[0]) == (kv, f"{made.cache_tokens} tokens in {kv}")
        assert 1.85 < made.cache_tokens / whole.cache_tokens < 1.9, "of 128 bytes of a head 68 are left"
        assert "from the settings" in row(made, "KV cache")[1]
    latents = plan(SMALL, kv_precision="int8")
    assert latents.kv == "bf16"
    assert "latents" in row(latents, "KV cache")[1]
    assert plan(size, precision="fp32").kv == "fp32"


@pytest.mark.parametrize(
    ("precision", "planned"), [("int4", "int4+int8"), ("int8", "int8"), ("bf16", "bf16"), ("fp32", "fp32")]
)
@pytest.mark.usefixtures("uncompiled")
def test_a_precision_from_the_settings_is_taken(memory: Any, precision: str, planned: str) -> None:
    memory(16)
    assert plan(precision=precision).precision == planned


@pytest.mark.skipif(not hardware.ready(), reason="the compiled kernels were not built")
def test_compiled_kernels_need_no_second_copy_for_prompts(memory: Any) -> None:
    memory(64)
    choice, reason = row(plan(), "precision")
    assert (choice, "compiled" in reason) == ("int4", True)


@pytest.mark.usefixtures("uncompiled")
def test_with_little_memory_the_second_copy_for_prompts_is_left_out(memory: Any) -> None:
    memory(40)
    assert plan(LARGE).precision == "int4"
    choice, reason = row(plan(LARGE), "precision")
    assert (choice, "memory is short" in reason) == ("int4", True)
    memory(64)
    assert plan(LARGE).precision == "int4+int8"


@pytest.mark.parametrize("given", [{}, {"precision": "int4"}, {"precision": "fp32"}])
def test_a_model_that_does_not_fit_is_refused_in_one_sentence_with_numbers(memory: Any, given: dict[str, Any]) -> None:
    memory(4)
    with pytest.raises(InvalidRequest) as caught:
        plan(LARGE, **given)
    need = {"fp32": "30.2 GB"}.get(given.get("precision", ""), "4.9 GB")
    assert need in caught.value.message
    assert "4.0 GB" in caught.value.message
    assert caught.value.message.count(". ") == 0
    assert "models list" in caught.value.fix


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_not_invented(memory: Any) -> None:
    memory(16)
    with pytest.raises(InvalidRequest, match="GPU"):
        plan(device="cuda")
    made = plan(device="auto")
    assert made.device == "cpu"
    assert "finds no GPU" in row(made, "device")[1]


def test_threads_are_measured_within_the_cores(memory: Any) -> None:
    memory(16)
    made = plan(threads=0)
    assert 1 <= made.threads <= hardware.cores()
    assert torch.get_num_threads() == made.threads
    reason = row(made, "threads")[1]
    for count in hardware.thread_counts():
        assert f"{count}: " in reason
    assert "µs" in reason


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 64])
def test_only_numbers_of_threads_that_the_machine_has_are_tried(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: cores)
    counts = hardware.thread_counts()
    assert counts == sorted(set(counts))
    assert counts[0] == 1
    assert counts[-1] == cores


def test_a_slow_machine_gets_small_chunks_and_small_contexts(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory(64)
    sizes = []
    for speed in (10, 1000, 100_000):
        monkeypatch.setattr(hardware, "_prompt_speed", lambda *_, speed=speed: float(speed))
        made = plan(LARGE)
        sizes.append((made.prefill_chunk, made.infill_budget))
        assert f"{speed} tokens/s" in row(made, "prompt chunk")[1]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_the_memory_of_this_machine_is_a_sane_number() -> None:
    assert 100e6 < hardware.memory() < 1e15
    assert hardware.cores() >= 1


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "3000\n", "memory.stat": "anon 1000\nfile 1500\n"}, [2000]),
        ({"memory.max": "max\n", "memory.stat": "anon 1000\n"}, []),
        ({"memory/memory.limit_in_bytes": "3000", "memory/memory.stat": "cache 9\nrss 500\n"}, [2500]),
        ({}, []),
    ],
)
def test_a_container_s_limit_counts(tmp_path: Path, files: dict[str, str], left: list[int]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert hardware._container_memory(tmp_path) == left


def test_the_machine_is_described_in_one_line() -> None:
    line = hardware.machine()
    assert "\n" not in line
    for part in (f"{hardware.cores()} cores", torch.__version__, torch.backends.cpu.get_cpu_capability()):
        assert part in line


@pytest.mark.parametrize(
    ("precision", "wanted"),
    [("fp32", 134e6 * 4), ("bf16", 134e6 * 2), ("int8", 106e6 * 1.4 + 28e6), ("int4", 106e6 * 0.625 + 28e6)],
)
def test_the_weights_take_what_their_precision_says(precision: str, wanted: float) -> None:
    assert hardware.weight_bytes(SMALL, precision) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("hidden", "inner", "heads", "kv_heads", "layers"), [(576, 1536, 9, 3, 30), (3584, 18944, 28, 4, 28)]
)
def test_the_second_digits_of_the_int8_form_are_counted(
    hidden: int, inner: int, heads: int, kv_heads: int, layers: int
) -> None:
    """SmolLM2-135M and Qwen2.5-Coder-7B: what is packed, part by part, is what the plan reckons with."""
    shape = {"hidden_size": hidden, "intermediate_size": inner, "num_attention_heads": heads}
    sizes = {"num_key_value_heads": kv_heads, "head_dim": hidden // heads, "num_hidden_layers": layers}
    linears = [p for p in parts(Args.from_config({**tiny(), **shape, **sizes})).values() if p.kind == "linear"]
    values = sum(rows * columns for p in linears for rows, columns in p.shapes)  # type: ignore[misc]
    packed = sum(p.digits * rows * columns for p in linears for rows, columns in p.shapes)  # type: ignore[misc]
    assert hardware.weight_bytes(Size(values, 0, 2048, 1), "int8") == pytest.approx(packed, rel=0.05)


def test_a_gpu_is_taken_when_asked_for(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself no plan computes on a GPU: our kernels have not run on one yet."""
    memory(16)
    card = {"capability": (9, 0), "free": 80 << 30}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: card["capability"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (card["free"], card["free"]))
    made = plan(device="auto")
    assert made.device == "cpu"
    assert "H100" in row(made, "device")[1]
    made = plan(LARGE, device="cuda")
    assert (made.device, made.precision) == ("cuda", "bf16")
    made = plan(replace(LARGE, kv_width=128), device="cuda", kv_precision="fp8")
    assert (made.kv, row(made, "KV cache")[0]) == ("fp8", f"{made.cache_tokens} tokens in fp8")
    assert f"{made.cache_tokens * LARGE.kv_bytes * 132 / 256 / 1e9:.1f} GB" in row(made, "KV cache")[1]
    card["free"] = 12 << 30
    assert plan(LARGE, device="cuda").precision == "int8", "more exact than fp8, and no larger"
    assert plan(LARGE, device="cuda", precision="fp8").precision == "fp8"
    assert not plan(LARGE, device="cuda", precision="fp8").w8a8, "it costs accuracy"
    for capability, precision, choice in (
        ((9, 0), "fp8", "8 bits"),
        ((8, 6), "int8", "8 bits"),
        ((8, 6), "fp8", "16 bits"),
        ((9, 0), "int4", "16 bits"),
    ):
        card["capability"] = capability
        made = plan(LARGE, device="cuda", precision=precision, prompt_activations="8bit")
        assert (row(made, "activations of prompts")[0], made.w8a8) == (choice, choice == "8 bits")
    card["free"] = 2 << 30
    with pytest.raises(InvalidRequest, match="GPU's memory"):
        plan(LARGE, device="cuda")
    experts = Size(30_000_000_000, 600_000_000, 32_768, 98_304, 3_000_000_000, 28_000_000_000, 128, 8)  # as Qwen3-30B
    memory(64)
    for gigabytes, least, most in ((24, 0, 0), (16, 60, 127), (12, 40, 90)):
        card["free"] = gigabytes << 30
        made = plan(experts, device="cuda")
        assert (made.precision, least <= made.resident <= most) == ("int4", True), (gigabytes, made.resident)
        share = made.resident / 128 if made.resident else 1
        held = (2e9 + 28e9 * share) * 0.625 + 0.6e9 + made.cache_tokens * experts.kv_bytes
        assert held < card["free"] and made.cache_tokens > 4096
        if made.resident:
            choice, reason = row(made, "experts on the GPU")
            assert choice == f"{made.resident} of 128 in each layer" and "GB" in reason
    memory(8)  # where should the others wait?
    with pytest.raises(InvalidRequest, match="GPU's memory"):
        plan(experts, device="cuda")
    memory(64)
    card["free"] = 80 << 30
    assert plan(replace(experts, stored="fp8"), device="cuda").precision == "fp8"
    assert "as the checkpoint" in row(plan(replace(experts, stored="int4"), device="cuda"), "precision")[1]
    card["capability"] = (7, 5)
    with pytest.raises(InvalidRequest, match="sm_75"):
        plan(device="cuda")
