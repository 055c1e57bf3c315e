"""The run that makes famulus-16e, in small: a corpus and pairs → packed → trained → an adapter that fills holes."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
import torch

from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.errors import InvalidRequest
from famulus.engine.templates import FillFormat
from famulus.engine.text import Tokenizer
from famulus.engine.training import __main__ as whole
from famulus.engine.training import card
from famulus.engine.training.infilling import hole
from famulus.engine.training.mixture import Mix, packed_corpus
from famulus.engine.training.packing import Packed
from famulus.engine.training.recipe import Shares, read_recipe
from tests.engine import tiny_models as tiny

SOURCE = Path(hole.__code__.co_filename).read_text()
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"

EVALUATED = {
    "version": "1",
    "machine": "a machine",
    "models": ["famulus-16e"],
    "measures": [
        {"part": "lines", "measure": "exact match", "items": 320, "found": [0.125], "intervals": [[0.09, 0.16]]}
    ],
}

RECIPE = """
base = {base!r}
device = "cpu"
precision = "fp32"
fill = ["<|spare_0|>", "<|spare_1|>", "<|spare_2|>", "<|spare_3|>", "<|spare_4|>"]
[low_rank]
rank = 2
[experts]
count = 4
width = 32
cap = 2
active = 1.5
[run]
length = 128
batch = 4
micro = 4
steps = 12
rate = 1e-2
warmup = 2
[mix]
holes = 20.0
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tiny.write_folder(tmp_path / "base", tiny.random_model(vocab_size=280))
    tiny.write_tokenizer(folder / "tokenizer.json", spare=5)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": CHAT}))
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split in ("train", "validation"):
        with lzma.open(folder / f"{split}.jsonl.xz", "wt") as file:
            for part in range(3):
                text = SOURCE[part * 1000 : (part + 1) * 1000]
                line = {"package": "p", "path": f"p/{split}{part}.py", "licence": "MIT", "text": text}
                file.write(json.dumps(line) + "\n")
    with lzma.open(folder / "pairs-notebook.train.jsonl.xz", "wt") as file:
        pair = {"messages": [{"role": "user", "content": "show the largest"}], "answer": "df.max()"}
        file.write(json.dumps(pair) + "\n" + json.dumps({"text": "# Task: the sum\n", "answer": "a + b\n\n"}) + "\n")
    return folder


def test_a_corpus_becomes_an_adapter(
    base: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, run = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(RECIPE.format(base=str(base)))
    whole.main([str(recipe), str(corpus), str(run), "--workers", "1", "--only-pack"])
    assert sorted(path.name for path in run.iterdir()) == ["train.safetensors", "validation.safetensors"]
    whole.main([str(recipe), "not needed any more", str(run), "--workers", "1"])
    told = capsys.readouterr().out
    change = float(told.rsplit("(", 1)[1].split("%")[0])
    assert change < -10, told
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 10]
    told = (run / "adapter" / "README.md").read_text()
    assert "# famulus-16e" in told and "of 12 steps" in told and "nats a token (-" in told and card.UNKNOWN in told
    (tmp_path / "eval.json").write_text(json.dumps(EVALUATED))
    card.main([str(run / "adapter"), str(tmp_path / "eval.json")])
    told = (run / "adapter" / "README.md").read_text()
    assert "| lines | exact match | 320 | 0.125 (0.090 to 0.160) |" in told and card.UNKNOWN not in told
    checkpoint = open_checkpoint(run / "adapter")
    form = FillFormat.detect(Tokenizer.of(checkpoint), checkpoint.config)
    assert form is not None and form.name == "trained-spm" and form.file == "<|spare_4|>"
    assert tiny.logits(tiny.open_model(run / "adapter"), tiny.prompt(20)).isfinite().all()


def test_pairs_count_from_the_answer_and_end_the_turn(base: Path, corpus: Path, tmp_path: Path) -> None:
    (corpus / "train.jsonl.xz").write_bytes(lzma.compress(b""))
    packed = packed_corpus(str(base), corpus, "train", Mix(64, ()), tmp_path / "kept", 1)
    tokenizer = Tokenizer.of(open_checkpoint(base))
    told, spoken = (packed.targets[row][packed.targets[row] >= 0].tolist() for row in (0, 1))
    assert tokenizer.decode(told[:-1]).endswith("a + b\n\n") and told[-1] == min(tokenizer.eos_ids)
    assert tokenizer.decode(spoken[:-1]) == "df.max()" and spoken[-1] == tokenizer.special_id("<|im_end|>")
    assert tokenizer.decode(packed.tokens[1].tolist()).startswith("user\nshow the largest")
    twice = packed_corpus(str(base), corpus, "train", Mix(64, (), Shares(notebook=2)), tmp_path / "twice", 1)
    assert len(twice) == 2 * len(packed)


def test_a_share_takes_some_pairs_and_a_hole_can_be_learned_with_what_stands_around_it(
    base: Path, corpus: Path, tmp_path: Path
) -> None:
    with lzma.open(corpus / "pairs-notebook.train.jsonl.xz", "wt") as file:
        for n in range(400):
            file.write(json.dumps({"text": f"# {n}\n", "answer": "a"}) + "\n")
    marks = tuple(f"<|spare_{n}|>" for n in range(5))

    def packed(name: str, **shares: float) -> Packed:
        asked = Shares(**{"holes": 0.0, "passes": 0.0, "notebook": 0.0} | shares)  # type: ignore[arg-type]
        return packed_corpus(str(base), corpus, "train", Mix(256, marks, asked), tmp_path / name, 1)

    taken = {share: packed(f"pairs{share}", notebook=share).counted / 2 for share in (0.25, 1.0, 1.25)}
    assert taken[1.0] == 400 and 70 < taken[0.25] < 130 and taken[1.25] == 400 + taken[0.25]
    some, whole = packed("holes", holes=20.0), packed("around", holes=20.0, around=True)
    assert torch.equal(some.tokens, whole.tokens) and some.counted < whole.counted / 3
    first = Tokenizer.of(open_checkpoint(base)).special_id("<|spare_0|>")
    assert 3 < int((some.tokens == first).sum()) < 30 and not packed("text", passes=1.0).tokens.eq(first).any()


def test_a_corpus_without_documents_is_refused(base: Path, corpus: Path, tmp_path: Path) -> None:
    (corpus / "held-out.jsonl.xz").write_bytes(lzma.compress(b""))
    with pytest.raises(InvalidRequest, match="nothing to learn from in its split 'held-out'"):
        packed_corpus(str(base), corpus, "held-out", Mix(64, ()), tmp_path / "kept", 1)


def test_the_recipes_of_the_real_runs_can_be_read() -> None:
    for name, marks in (("famulus-16e.toml", 5), ("famulus-16e-cpu.toml", 0)):
        recipe = read_recipe(Path(whole.__file__).with_name(name))
        assert recipe.experts is not None and recipe.experts.count == 16 and len(recipe.fill) == marks
