"""``famulus eval``: an adapter beside its base, its card, and what is said of wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from famulus.engine.training import card
from famulus.engine.training.evaluation.experts import counted, kinds_of, plot
from famulus.engine.training.recipe import LowRankSize, Recipe, Shape
from famulus.engine.training.start import finish, start
from tests.conftest import Famulus
from tests.engine import tiny_models as tiny


@pytest.mark.slow
@pytest.mark.timeout(400)  # ten runs of the command
def test_an_adapter_is_compared_with_its_base_and_shows_its_card(lonely: Famulus, tmp_path: Path) -> None:
    shipped = lonely("models", "info", "famulus-16e")
    assert shipped.returncode == 0 and "# famulus-16e" in shipped.stdout and card.UNKNOWN not in shipped.stdout, shipped
    assert lonely("models", "verify", "famulus-16e").returncode == 0
    base = tiny.write_folder(tmp_path / "base", tiny.random_model(max_position_embeddings=4096))
    sizes = {"low_rank": LowRankSize(2, 4.0, ("q_proj",)), "experts": Shape(4, 32, 2, 1.5)}
    recipe = Recipe(base=str(base), precision="fp32", device="cpu", **sizes)  # type: ignore[arg-type]
    folder = lonely.home / "data/models/famulus-16e"
    started = start(recipe)
    finish(started, recipe, folder)
    text = card.card("famulus-16e", recipe, tmp_path, [], (2.0, 1.0), licence="MIT", base_digest="0" * 64)
    card.put(folder, text)
    known = lonely("models", "info", "famulus-16e")
    assert known.returncode == 0 and "yes, as famulus_moe" in known.stdout, known
    assert "# famulus-16e" in known.stdout and card.UNKNOWN in known.stdout
    assert lonely("models", "verify", "famulus-16e").returncode == 0
    parts = [f"--only={part}" for part in ("lines", "text", "experts")]
    done = lonely("eval", "famulus-16e", *parts, "--items", "3", "--json", "--plot", tmp_path / "plot.svg")
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    assert found["models"] == ["base", "famulus-16e"]
    assert {m["measure"]: m["items"] for m in found["measures"]} == {
        "exact match": 3,
        "valid Python": 3,
        "bits per byte": 3,
    }
    bits = found["measures"][-1]
    assert bits["found"][0] > 1 and bits["found"][1] == pytest.approx(bits["found"][0], rel=0.02), "it is untrained"
    [experts] = found["experts"]
    assert experts["model"] == "famulus-16e" and 1 <= experts["active"] <= 2 and experts["experts"] == 8
    assert 0 < experts["entropy"] <= 1 and experts["tokens"]["identifier"] > 100
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")
    kept = tmp_path / "kept.jsonl"
    again = ("--only=text", "--json", "--resume", kept)
    [first] = json.loads(lonely("eval", "famulus-16e", *again, "--items", "2").stdout)["measures"]
    kept.write_text(kept.read_text().replace(f"[{first['values'][0][0]},", "[12345.5,"))
    [more] = json.loads(lonely("eval", "famulus-16e", *again, "--items", "3").stdout)["measures"]
    assert more["values"][0][0] == 12345.5 and more["values"][1] == first["values"][1], "as the file has it"
    assert more["values"][2] == pytest.approx(bits["values"][2]) and len(kept.read_text().splitlines()) == 4
    assert "is of other models or items" in lonely("eval", base, *again).stderr
    assert "There are no experts in base to watch." in lonely("eval", base, "--only", "experts").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--only", "lyrics"], 2, "there is no part 'lyrics'; there are: lines, spans"),
        (["no-such-model"], 1, "There is no model called 'no-such-model'."),
        (["smollm2-135m-instruct", "smollm2-135m-instruct"], 1, "would be compared with itself. Name two different"),
        (["--items", "0"], 2, "--items"),
    ],
)
def test_wrong_input_is_one_sentence(lonely: Famulus, arguments: list[str], status: int, sentence: str) -> None:
    done = lonely("eval", *arguments)
    assert done.returncode == status and sentence in done.stderr, done
    assert len(done.stderr.strip().splitlines()) == 1 and not done.stdout


def test_what_an_expert_prefers_is_told_by_the_syntax_tree() -> None:
    text = "def total(values):\n    # sum\n    return 'a'\n"
    pieces = ["def", " total", "(", "values", "):", "\n   ", " #", " sum", "\n   ", " return", " '", "a", "'", "\n"]
    assert "".join(pieces) == text
    kinds = kinds_of(text, pieces)
    named = dict(zip(pieces, kinds, strict=True))
    assert named[" total"] == "identifier" and named[" sum"] == "comment" and named["a"] == "string_content"
    assert named["\n   "] == "white space"
    chosen = torch.tensor([[[0, 1] if kind == "identifier" else [1, -1] for kind in kinds]])
    found = counted("m", chosen, kinds, 3)
    assert found.active == pytest.approx(1 + kinds.count("identifier") / len(kinds))
    assert found.dead == 1 and 0 < found.entropy < 1
    strongest = {kind: (expert, times) for kind, _, expert, times in found.strongest()}
    assert strongest["identifier"] == (0, pytest.approx(len(kinds) / kinds.count("identifier")))
    assert plot(found).count("<rect") == 1 + 3 * len(found.kinds)
