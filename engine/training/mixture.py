"""The items of a whole run: a corpus and pairs → packed tokens on disk, made once, by all cores."""

from __future__ import annotations

import itertools
import json
import lzma
import math
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from famulus.engine.catalog import Catalog
from famulus.engine.checkpoint import open_checkpoint
from famulus.engine.errors import InvalidRequest
from famulus.engine.prompt import PromptCard, render
from famulus.engine.protocol import Chat, Message, Text
from famulus.engine.templates import ChatTemplate, FillFormat
from famulus.engine.text import Tokenizer
from famulus.engine.training.corpus import Document
from famulus.engine.training.data.build import documents
from famulus.engine.training.infilling import infilling
from famulus.engine.training.packing import Item, Packed, pack
from famulus.engine.training.recipe import Shares

GROUP = 64
"""Documents of one package that see each other as context, and are one task of a process."""


PAIRS = ("notebook", "edit", "summary", "values", "answers")
"""Kinds of pairs that may lie beside a corpus."""


@dataclass(frozen=True)
class Mix:
    """What a run's items are made of."""

    length: int
    fill: tuple[str, ...]
    shares: Shares = field(default_factory=Shares)
    seed: int = 0


@dataclass(frozen=True)
class Speaker:
    """A base's tokenizer and formats."""

    tokenizer: Tokenizer
    card: PromptCard
    end: int


@cache
def speaker(base: str, fill: tuple[str, ...], budget: int) -> Speaker:
    """Of the model ``base``, with ``fill`` as its marks. Raises what opening a model raises."""
    catalog = Catalog()
    path = catalog.path(catalog.find(base))
    if path is None:
        raise InvalidRequest(f"{base} is not on this machine.")
    checkpoint = open_checkpoint(path)
    tokenizer = Tokenizer.of(checkpoint)
    form = FillFormat.detect(tokenizer, {"fill": list(fill)} if fill else checkpoint.config)
    chat = ChatTemplate(checkpoint.chat_template) if checkpoint.chat_template else None
    return Speaker(tokenizer, PromptCard(base, 1 << 20, budget, chat, form), min(tokenizer.eos_ids))


def packed_corpus(base: str, corpus: Path, split: str, mix: Mix, kept: Path, workers: int) -> Packed:
    """The split's documents as text and as holes, and the pairs that lie beside them; ``kept``: the file in which the
    result stays for the next time."""
    if not kept.is_file():
        tasks: list[tuple[Callable[..., Packed], tuple[Any, ...]]]
        tasks = [(_packed, (base, group, mix, n)) for n, group in enumerate(_groups(corpus, split))]
        tasks += [(_packed_pairs, (base, lines, mix)) for lines in _pairs(corpus, split, mix)]
        if workers == 1:
            parts = [work(*arguments) for work, arguments in tasks]
        else:
            # torch's threads do not survive a fork
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                parts = [task.result() for task in [pool.submit(work, *arguments) for work, arguments in tasks]]
        if not parts:
            raise InvalidRequest(f"The corpus {corpus} has nothing to learn from in its split {split!r}.")
        kept.parent.mkdir(parents=True, exist_ok=True)
        tokens, targets = (torch.cat([getattr(p, name) for p in parts]) for name in ("tokens", "targets"))
        save_file({"tokens": tokens, "targets": targets}, kept)
    return Packed(**load_file(kept))


def _groups(corpus: Path, split: str) -> Iterator[list[Document]]:
    package, group = "", list[Document]()
    for line in documents(corpus, split):
        if group and (line["package"] != package or len(group) == GROUP):
            yield group
            group = []
        package = line["package"]
        group.append(Document(line["path"], line["text"]))
    if group:
        yield group


def _packed(base: str, group: list[Document], mix: Mix, number: int) -> Packed:
    speaks, chance = speaker(base, mix.fill, mix.shares.budget), random.Random(mix.seed * 1_000_003 + number)
    items: list[Item] = []
    for document in group:
        times = _times(mix.shares.passes, chance)
        items += [Item(speaks.tokenizer.encode(document.text)) for _ in range(times)]
        others = [d for d in group if d is not document]
        for _ in range(_times(mix.shares.holes * document.text.count("\n") / 100, chance)):
            made = infilling(document, others, speaks.tokenizer, speaks.card, chance)
            if made is not None:
                items.append(Item(made.tokens) if mix.shares.around else made)
    chance.shuffle(items)
    return pack(items, mix.length, speaks.end)


def _times(mean: float, chance: random.Random) -> int:
    return int(mean) + (chance.random() < mean % 1)


def _pairs(corpus: Path, split: str, mix: Mix) -> Iterator[list[dict[str, Any]]]:
    """Prompts with their answers, a thousand at a time: a line has the ``text`` that is continued, or the ``messages``
    of a conversation, and the ``answer``. Of each kind as often as the mix's shares say, one time after the other: what
    is the same shall not lie side by side."""
    for kind in PAIRS:
        path, share = corpus / f"pairs-{kind}.{split}.jsonl.xz", float(getattr(mix.shares, kind))
        chance = random.Random(f"{mix.seed} {kind}")
        for time in range(math.ceil(share) if path.is_file() else 0):
            with lzma.open(path, "rt", encoding="utf-8") as file:
                taken = (json.loads(line) for line in file if share >= time + 1 or chance.random() < share - time)
                while lines := list(itertools.islice(taken, 1000)):
                    yield lines


def _packed_pairs(base: str, lines: list[dict[str, Any]], mix: Mix) -> Packed:
    speaks = speaker(base, mix.fill, mix.shares.budget)
    told: list[Item] = []
    turns: list[Item] = []
    for line in lines:
        asked: Chat | Text
        if "text" in line:
            asked, items = Text(line["text"], heal=True), told
        else:
            messages = [Message(m["role"], m["content"]) for m in line["messages"]]
            asked, items = Chat(messages, answer_prefix=line.get("answer_prefix", "")), turns
        prompt = render(asked, speaks.tokenizer, speaks.card, reserve=1)
        answer = prompt.heal.decode() + line["answer"]
        items.append(Item([*prompt.tokens, *speaks.tokenizer.encode(answer)], start=len(prompt.tokens)))
    both = [pack(items, mix.length, end) for items, end in ((told, speaks.end), (turns, _turn_end(speaks))) if items]
    return Packed(torch.cat([p.tokens for p in both]), torch.cat([p.targets for p in both]))


def _turn_end(speaks: Speaker) -> int:
    """The token with which the model ends its answer in a conversation."""
    return speaks.tokenizer.special_id("<|im_end|>") or speaks.end
