"""What this machine can do, and what follows: ``select()`` returns a :class:`Plan` that explains itself.

Nothing is assumed from a processor's name: the number of threads and the prompt speed are measured in a fraction of a
second, because with other load on the machine two threads can be slower than one.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from famulus.engine.errors import InvalidRequest

if TYPE_CHECKING:
    from famulus.engine.settings import Settings
from famulus.kernels.cpu.library import level, ready
from famulus.kernels.linear import linear, make_weight
from famulus.kernels.store import FORMATS, SCALE_BYTES

PAGE = 16
"""Tokens in a page of the KV cache."""

GPU_CHUNK = 1024
"""Tokens of a prompt in one step on a GPU."""


@dataclass(frozen=True)
class Plan:
    """Choices for one model on this machine. ``rows``: (what, choice, reason), for people.

    ``cache_tokens``, ``batch_tokens``, ``prefill_chunk``, ``infill_budget`` are in tokens. ``resident``: how many
    experts of each layer are on the GPU; 0: all that there are. ``kv``: what keys and values are kept in. ``w8a8``:
    whether prompts are multiplied in 8 bits.
    """

    device: str
    precision: str
    threads: int
    cache_tokens: int
    batch_tokens: int
    prefill_chunk: int
    infill_budget: int
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    resident: int = 0
    kv: str = "bf16"
    w8a8: bool = False


@dataclass(frozen=True)
class Size:
    """What a plan needs to know of a model: ``parameters`` outside the embedding, ``embedding`` values, ``context``
    tokens, ``kv_bytes`` per token of context in 16 bits; ``active`` parameters that one token meets where experts make
    these fewer, else 0. ``routed``: of the ``parameters``, those in experts, of which a layer has ``experts`` and a
    token goes to ``chosen``. ``stored``: the precision that the checkpoint has already, where that is a small one.
    ``kv_width``: how many values share a scale where keys and values are kept in 8 bits; 0: they stay whole."""

    parameters: int
    embedding: int
    context: int
    kv_bytes: int
    active: int = 0
    routed: int = 0
    experts: int = 0
    chosen: int = 0
    stored: str = ""
    kv_width: int = 0


def memory() -> int:
    """Bytes of memory that programs can still take (Linux, a container's limit included), else three quarters of what
    is installed."""
    return min(_system_memory(), *_container_memory())


def _system_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    return 8 << 30


def _container_memory(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What the limit of a container leaves, if there is one: a list of none or one (cgroup v2, else v1).

    What is taken is counted without file pages, which are given back on demand.
    """
    for limit, stat, taken in (
        ("memory.max", "memory.stat", "anon"),
        ("memory/memory.limit_in_bytes", "memory/memory.stat", "rss"),
    ):
        try:
            fields = dict(line.split() for line in (root / stat).read_text().splitlines())
            return [max(0, int((root / limit).read_text()) - int(fields[taken]))]
        except (OSError, ValueError, KeyError):
            continue  # no such file, or "max": no limit
    return []


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_counts() -> list[int]:
    """The numbers of threads worth trying on this machine, ascending."""
    return sorted({1, 2, 4, 8, 16, cores() // 2, cores()} & set(range(1, cores() + 1)))


def weight_bytes(size: Size, precision: str, device: str = "cpu") -> int:
    """Memory of the weights in ``precision``."""
    # Query, key, value and the way down have two int8 digits on a processor: some 40 % of the values outside the
    # embedding.
    int8 = 1.4 if device == "cpu" else 1.0
    per_value = {"int4+int8": 2.025, "int4": 0.625, "int8": int8, "fp8": 1.0, "bf16": 2.0, "fp32": 4.0}[precision]
    table = {"bf16": 2, "fp32": 4}.get(precision, 1)
    return int(size.parameters * per_value) + size.embedding * table


def kept_bytes(size: Size, kv: str) -> int:
    """Memory of one token's keys and values in all layers; ``kv``: "fp32", "bf16", "fp8" or "int8"."""
    if kv in FORMATS:
        return size.kv_bytes // 2 * (size.kv_width + SCALE_BYTES) // size.kv_width
    return size.kv_bytes * (2 if kv == "fp32" else 1)


def select(settings: Settings, size: Size) -> Plan:
    """The plan for a model of ``size``. Raises :class:`InvalidRequest` if it cannot fit this machine's memory."""
    rows: list[tuple[str, str, str]] = []

    def note(what: str, choice: object, reason: str) -> None:
        rows.append((what, str(choice), reason))

    device, why = _device(settings)
    note("device", device, why)
    if device == "cuda":
        return _gpu_plan(settings, size, rows)
    room = memory()
    precision, why = _precision(settings, size, room)
    note("precision", precision, why)
    if size.active:
        whole = f"of {size.parameters / 1e6:.0f} million outside the embedding: a mixture of experts"
        note("parameters per token", f"{size.active / 1e6:.0f} million", whole)
    threads, why = _threads(settings)
    note("threads", threads, why)
    kv, also = _kv(settings, size, precision)
    tokens, why = _cache(settings, size.context, kept_bytes(size, kv), room - weight_bytes(size, precision))
    note("KV cache", f"{tokens} tokens in {kv}", why + also)
    speed = _prompt_speed(size, precision)
    chunk = _whole(speed * 0.3, 64, 512)
    note(
        "prompt chunk",
        f"{chunk} tokens",
        f"at most 0.3 s a step at {speed:.0f} tokens/s, so that streams go on",
    )
    budget, why = settings.context_budget, "from the settings"
    if not budget:
        budget, why = _whole(speed * 1.5, 512, 4096), "a cold file is read in about 1.5 s"
    budget = min(budget, size.context // 2)
    note("context for completions", f"{budget} tokens", why)
    return Plan(device, precision, threads, tokens, chunk + 32, chunk, budget, rows, kv=kv)


def _device(settings: Settings) -> tuple[str, str]:
    found = torch.cuda.is_available()
    if settings.device == "cuda":
        why = _missing() if found else "torch finds none"
        if why:
            raise InvalidRequest(f"The settings ask for a GPU, and {why}.", fix="Set device to auto.")
        return "cuda", f"from the settings: {torch.cuda.get_device_name()}"
    if settings.device == "cpu":
        return "cpu", "from the settings"
    if found:
        return "cpu", f"torch finds {torch.cuda.get_device_name()}; set device to cuda to try it"
    return "cpu", f"torch {torch.__version__} finds no GPU"


def _missing() -> str:
    """What a GPU that is there lacks for our kernels; "" if nothing."""
    if importlib.util.find_spec("triton") is None:
        return "the kernels need triton, which is not installed"
    major, minor = torch.cuda.get_device_capability()
    return (
        "" if major >= 8 else f"its architecture sm_{major}{minor} is older than sm_80, for which the kernels are made"
    )


def _gpu_plan(settings: Settings, size: Size, rows: list[tuple[str, str, str]]) -> Plan:
    """What is read for every token is in the card's memory; sizes that depend on speed are not measured but fixed."""
    room = torch.cuda.mem_get_info()[0]
    precision, resident, why = _gpu_precision(settings, size, room)
    rows.append(("precision", precision, why))
    weights = weight_bytes(size, precision, "cuda")
    if resident:
        apart = (size.experts - resident) * _expert_bytes(size, precision)
        weights -= apart
        told = f"the others, {apart / 1e9:.1f} GB, wait in the processor's memory"
        rows.append(("experts on the GPU", f"{resident} of {size.experts} in each layer", told))
    kv, also = _kv(settings, size, precision)
    per_token = kept_bytes(size, kv)
    left = int(0.8 * (room - weights)) // per_token
    tokens = max(settings.kv_cache_tokens or min(left, 16 * size.context), PAGE) // PAGE * PAGE
    told = f"{tokens * per_token / 1e9:.1f} GB of the GPU's memory{also}"
    rows.append(("KV cache", f"{tokens} tokens in {kv}", told))
    budget = min(settings.context_budget or 4096, size.context // 2)
    rows.append(("context for completions", f"{budget} tokens", "a GPU reads prompts fast"))
    threads = settings.threads or 1
    w8a8 = settings.prompt_activations == "8bit"
    if w8a8:
        missing = _missing_for_w8a8(precision)
        rows.append(("activations of prompts", *(("16 bits", missing) if missing else ("8 bits", "from the settings"))))
        w8a8 = not missing
    return Plan("cuda", precision, threads, tokens, GPU_CHUNK + 64, GPU_CHUNK, budget, rows, resident, kv, w8a8)


def _missing_for_w8a8(precision: str) -> str:
    """Why prompts cannot be multiplied in 8 bits; "" if they can."""
    if precision not in ("int8", "fp8"):
        return f"8 need weights in int8 or fp8, and these are in {precision}"
    major, minor = torch.cuda.get_device_capability()
    if precision == "fp8" and (major, minor) < (8, 9):
        return f"sm_{major}{minor} does not multiply fp8; with precision int8 it does"
    return ""


def _gpu_precision(settings: Settings, size: Size, room: int) -> tuple[str, int, str]:
    """Precision, how many experts of a layer are on the card (0: all), and why."""
    wanted = ["bf16", "int8", "int4"]  # of two forms of 8 bits the more exact one
    why = "the most exact that fits the GPU's memory"
    if settings.precision != "auto":
        wanted, why = [settings.precision], "from the settings"
    elif size.stored:
        wanted, why = list(dict.fromkeys([size.stored, "int4"])), "as the checkpoint has it already"
    for precision in wanted:
        if weight_bytes(size, precision, "cuda") < 0.85 * room:
            return precision, 0, why if precision == wanted[0] or not size.stored else "it fits the GPU's memory"
    precision = wanted[-1]
    need = weight_bytes(size, precision, "cuda")
    if size.experts:
        # Three quarters of the card, less what every token meets; two layers' choices have to be there at once.
        one = _expert_bytes(size, precision)
        resident = min(size.experts - 1, int(0.75 * room - (need - size.experts * one)) // one)
        if resident >= 2 * size.chosen and (size.experts * one) < 0.8 * memory():
            return precision, resident, "the smallest, and even so not all experts fit the GPU's memory"
    raise InvalidRequest(
        f"The model needs {need / 1e9:.1f} GB in {precision} and {room / 1e9:.1f} GB of the GPU's memory are free.",
        fix="Choose a smaller model (famulus models list), or set device to cpu.",
    )


def _expert_bytes(size: Size, precision: str) -> int:
    """Of one expert in all layers together."""
    return weight_bytes(Size(size.routed, 0, 0, 0), precision, "cuda") // size.experts


def _precision(settings: Settings, size: Size, room: int) -> tuple[str, str]:
    if settings.precision == "fp8":
        raise InvalidRequest("Only a GPU computes with fp8.", fix="Set precision to auto, or device to cuda.")
    int4 = ["int4"] if ready() else ["int4+int8", "int4"]
    wanted = int4 if settings.precision in ("auto", "int4") else [settings.precision]
    reason = "from the settings"
    if settings.precision == "auto" and ready():
        reason = f"4 bits with products compiled for {level()}"
    elif settings.precision == "auto":
        reason = "4 bits for decoding, 8 bits for prompts (integer products)"
    for precision in wanted:
        # The second copy for prompts is a luxury: it may take a quarter of the memory, the model itself nearly all.
        share = 0.25 if precision == "int4+int8" else 0.9
        if weight_bytes(size, precision) < room * share:
            return precision, reason if precision == wanted[0] else "4 bits alone: memory is short"
    need, have = weight_bytes(size, wanted[-1]) / 1e9, room / 1e9
    raise InvalidRequest(
        f"The model needs {need:.1f} GB in {wanted[-1]} and {have:.1f} GB of memory are free.",
        fix="Choose a smaller model: famulus models list",
    )


def _threads(settings: Settings) -> tuple[int, str]:
    if settings.threads:
        torch.set_num_threads(settings.threads)
        return settings.threads, "from the settings"
    g = torch.Generator().manual_seed(0)
    # About what a small model's layer reads: of a smaller product, the way through Python would be most.
    weight = make_weight(torch.randn(4096, 576, generator=g), _int4(), torch.bfloat16)
    x = torch.randn(1, 576, generator=g).bfloat16()
    candidates = thread_counts()
    times = {n: _timed(n, lambda: linear(x, weight)) for n in candidates}
    best = min(times, key=lambda n: times[n])
    # A thread that gains less than a tenth is worth more to the editor.
    chosen = next(n for n in candidates if times[n] <= 1.1 * times[best])
    torch.set_num_threads(chosen)
    measured = ", ".join(f"{n}: {times[n] * 1e6:.0f} µs" for n in candidates)
    return chosen, f"measured on one layer ({measured}); watched and changed while running"


def _int4() -> str:
    return "tiles" if ready() else "int4"


def _timed(threads: int, run: Callable[[], object], seconds: float = 0.025) -> float:
    """The mean time of ``run`` with ``threads`` over about ``seconds``: a machine that is busy shows in the mean."""
    torch.set_num_threads(threads)
    run()  # the first call starts threads and prepares the product
    start, runs = time.perf_counter(), 0
    while runs == 0 or time.perf_counter() < start + seconds:
        run()
        runs += 1
    return (time.perf_counter() - start) / runs


def _prompt_speed(size: Size, precision: str) -> float:
    """Prompt tokens/s to expect: one layer-sized product measured, scaled by the parameters, halved for the rest."""
    form = "int8" if "int8" in precision else _int4() if precision == "int4" else "dense"
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    weight = make_weight(torch.randn(512, 576), form, dtype)
    x = torch.randn(64, 576).to(dtype)
    per_value = _timed(torch.get_num_threads(), lambda: linear(x, weight)) / (64 * 512 * 576)
    return 0.5 / (per_value * (size.active or size.parameters))


def _kv(settings: Settings, size: Size, precision: str) -> tuple[str, str]:
    """What keys and values are kept in, and what is to be said about it."""
    whole, asked = "fp32" if precision == "fp32" else "bf16", settings.kv_precision
    if asked == "auto":
        return whole, ""
    if not size.kv_width:
        return whole, f"; latents are small already, and not kept in {asked}" if asked in FORMATS else ""
    return asked, f"; {asked} from the settings"


def _cache(settings: Settings, context: int, per_token: int, room: int) -> tuple[int, str]:
    if settings.kv_cache_tokens:
        return max(settings.kv_cache_tokens, PAGE) // PAGE * PAGE, "from the settings"
    # Memory is only taken as tokens arrive; a tenth of what is free, at least one whole context where that fits.
    tokens = min(max(room // 10, min(512 << 20, room // 2)) // per_token, 2 * context)
    tokens = max(int(tokens) // PAGE * PAGE, 64 * PAGE)
    return tokens, f"{tokens * per_token / 1e6:.0f} MB at most, taken as tokens arrive"


def _whole(value: float, low: int, high: int) -> int:
    """The power of two at or below ``value``, within ``low`` and ``high``."""
    return 1 << (int(min(max(value, low), high)).bit_length() - 1)


def machine() -> str:
    """One line for tables: processor, cores, system, Python, torch."""
    name = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass
    capability = torch.backends.cpu.get_cpu_capability()
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{name}, {cores()} cores, {capability}, {sys.platform}, Python {python}, torch {torch.__version__}"
