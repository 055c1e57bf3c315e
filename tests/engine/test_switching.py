"""A running engine takes another model: what runs ends on the old one, what comes is answered by the new one."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from famulus.engine.client import connect
from famulus.engine.errors import BadWeights, EngineUnavailable, FamulusError, Overloaded
from famulus.engine.settings import InvalidSettings, load_settings, write_model
from tests.conftest import MODEL, serving

ONE = json.dumps({"model": "one"})


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_runs_ends_on_the_old_model_and_what_comes_meets_the_new_one(
    serve: Any, eventually: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = serve("Named", "--core-settings", json.dumps({"model": "one", "gate": str(gate)}))
    client, old = running.client, running.worker_pid()
    with client.generate("abc", max_tokens=100_000) as answer:
        next(iter(answer))
        assert client.use("two")["id"] == "two"
        assert running.worker_pid() != old and not gone(old)
        assert client.models() == ["two"] and client.status()["open_requests"] == 1
        with client.generate("x", max_tokens=3) as other:
            assert "".join(d.text for d in other) == "XXX"
        assert other.model == "two" and client.status()["open_requests"] == 1
        gate.touch()
        assert set("".join(d.text for d in answer)) == set("ABC") and answer.model == "one"
    eventually(lambda: gone(old), 10, "the old worker leaves when its last request has ended")
    with running.http() as http:
        told = http.get("/metrics").text
    assert "famulus_open_requests 0.0" in told and 'famulus_requests_total{end="done"} 2.0' in told


@pytest.mark.parametrize(
    ("model", "kind", "sentence"),
    [("broken", BadWeights, "model.gguf is truncated"), ("deadly", EngineUnavailable, "died while it loaded")],
)
def test_a_model_that_cannot_be_loaded_changes_nothing(
    serve: Any, model: str, kind: type[FamulusError], sentence: str
) -> None:
    running = serve("Named", "--core-settings", ONE)
    pid = running.worker_pid()
    with pytest.raises(kind, match=sentence):
        running.client.use(model)
    assert running.worker_pid() == pid and running.client.models() == ["one"]


def test_two_changes_at_once_are_refused_in_one_sentence(serve: Any) -> None:
    running = serve("Named", "--core-settings", ONE)

    def attempt(model: str) -> str:
        try:
            return str(running.client.use(model)["id"])
        except Overloaded as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(attempt, ["two"] * 4))
    assert "two" in told and any("loading another model already" in t for t in told), told


def test_the_setting_is_written_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "famulus.toml"
    assert load_settings(write_model("one", file)).model == "one"
    file.write_text('# mine\nthreads = 1\n model = "old"  # was good\nspeculation = "off"\n')
    file.chmod(0o640)
    write_model('a "b"\\c é', file)
    assert load_settings(file).model == 'a "b"\\c é'
    assert file.read_text().splitlines()[:2] == ["# mine", "threads = 1"] and load_settings(file).speculation == "off"
    assert file.stat().st_mode & 0o777 == 0o640
    file.write_text("no = toml =")
    with pytest.raises(InvalidSettings):
        write_model("one", file)
    assert file.read_text() == "no = toml ="


@pytest.mark.slow
def test_the_engine_takes_an_adapter_of_the_embedded_model() -> None:
    """With the real weights: the answer in flight is the base's to its end, the next one is the adapter's."""
    with serving() as famulus:
        adapter = famulus.home / "data/models/shouting"
        low_rank(adapter)
        client = connect(famulus.home, start=False)
        alone = text(client)
        with client.generate("def add(a, b):", max_tokens=300, temperature=0.0, ignore_eos=True) as answer:
            first = next(iter(answer)).text
            used = famulus("models", "use", "shouting")
            assert used.returncode == 0 and "The engine serves shouting now." in used.stdout, used
            rest = first + "".join(d.text for d in answer)
        assert rest.startswith(alone) and answer.model == MODEL
        changed = text(client)
        assert changed != alone
        missing = famulus("models", "use", "shuting")
        assert missing.returncode != 0 and "famulus models list" in missing.stderr, missing


def text(client: Any) -> str:
    with client.generate("def add(a, b):", max_tokens=12, temperature=0.0, ignore_eos=True) as answer:
        return "".join(d.text for d in answer)


def low_rank(folder: Path) -> None:
    """An adapter in PEFT's form that changes what the embedded model says."""
    folder.mkdir(parents=True)
    said = {"peft_type": "LORA", "base_model_name_or_path": "smollm2-135m-instruct", "r": 8, "lora_alpha": 64}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    g, tensors = torch.Generator().manual_seed(0), {}
    for layer in range(10, 20):
        at = f"base_model.model.model.layers.{layer}.mlp.down_proj"
        tensors[f"{at}.lora_A.weight"] = torch.randn(8, 1536, generator=g) / 40
        tensors[f"{at}.lora_B.weight"] = torch.randn(576, 8, generator=g) / 8
    save_file(tensors, folder / "adapter_model.safetensors")
