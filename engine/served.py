"""The model to serve: chosen, planned for this machine, loaded, and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from famulus.engine import hardware
from famulus.engine.catalog import Catalog, Choice
from famulus.engine.checkpoint import Checkpoint, open_checkpoint
from famulus.engine.errors import BadWeights
from famulus.engine.folders import folders
from famulus.engine.loader import load
from famulus.engine.models import FAMILIES, family
from famulus.engine.prompt import PromptCard
from famulus.engine.protocol import ModelInfo
from famulus.engine.runner import Runner
from famulus.engine.settings import Settings
from famulus.engine.step import Limits
from famulus.engine.templates import ChatTemplate, FillFormat
from famulus.engine.text import Tokenizer
from famulus.engine.threads import Governor

CPU_ACTIVE = 4_000_000_000
"""Active parameters beyond which a model is not chosen for a processor by itself: it would crawl."""


@dataclass(frozen=True)
class Served:
    """A loaded model with what the core needs to run it. ``plan``: rows (what, choice, reason) for people."""

    runner: Runner
    tokenizer: Tokenizer
    card: PromptCard
    info: ModelInfo
    limits: Limits
    pages: int
    governor: Governor
    plan: list[tuple[str, str, str]]


def open_served(settings: Settings, progress: Callable[[str], None]) -> Served:
    """The configured model, or the best one on disk that this machine can run.

    Raises :class:`ModelNotFound`, :class:`BadWeights` and :class:`InvalidRequest` (memory, device).
    """
    torch.set_grad_enabled(False)
    progress("choosing the model")
    choice = choose(settings)
    progress(f"reading {choice.entry.id}")
    checkpoint = open_checkpoint(choice.path)
    size = model_size(checkpoint)
    plan = hardware.select(settings, size)
    model = load(checkpoint, plan.precision, folders().cache / "packed", progress, plan.device)
    tokenizer = read_tokenizer(checkpoint)
    card = describe(checkpoint, choice.entry.id, tokenizer, plan)
    info = ModelInfo(
        id=choice.entry.id,
        family=checkpoint.config["model_type"],
        context=card.context,
        vocabulary=tokenizer.vocab_size,
        parameters=size.parameters + size.embedding,
        precision=plan.precision,
        infill="fill-in-the-middle" if card.fill else "suffix as comment",
        chat=card.chat is not None,
        licence=choice.entry.licence,
    )
    pages = plan.cache_tokens // hardware.PAGE
    candidates = [plan.threads] if settings.threads or plan.device == "cuda" else hardware.thread_counts()
    limits = Limits(batch_tokens=plan.batch_tokens, prefill_chunk=plan.prefill_chunk)
    if plan.device == "cuda":
        limits = replace(limits, batch_sequences=64, busy_chunk=plan.prefill_chunk // 2)
    return Served(
        runner=Runner.create(model, pages),
        tokenizer=tokenizer,
        card=card,
        info=info,
        limits=limits,
        pages=pages,
        governor=Governor(candidates, plan.threads, torch.set_num_threads),
        plan=[("model", choice.entry.id, choice.reason), *plan.rows],
    )


def choose(settings: Settings) -> Choice:
    """The configured model, else the best one on disk that this machine can run. Raises :class:`ModelNotFound`."""
    return Catalog().choose(settings.model, hardware.memory() * 3 // 4, set(FAMILIES), active=CPU_ACTIVE)


def model_size(checkpoint: Checkpoint) -> hardware.Size:
    """Counts from what the family makes of the checkpoint's configuration. Raises :class:`BadWeights`."""
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    embedding = total = idle = 0
    for part in module.parts(args).values():
        total += part.values
        embedding += part.values if part.kind in ("embedding", "head") else 0
        idle += part.values - part.values * args.num_experts_per_tok // part.experts if part.experts else 0
    rows, width = args.kv_shape()
    kv = args.num_hidden_layers * rows * width * 2
    context = checkpoint.config.get("max_position_embeddings", 2048)
    active = total - embedding - idle if idle else 0
    return hardware.Size(total - embedding, embedding, context, kv, active)


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Raises :class:`BadWeights` for a tokenizer that does not belong to the weights."""
    source = checkpoint.tokenizer
    if isinstance(source, Path):
        tokenizer = Tokenizer.from_file(source, checkpoint.config)
    else:
        tokenizer = Tokenizer.from_gguf(source)
    rows = checkpoint.config["vocab_size"]
    if tokenizer.vocab_size > rows:
        raise BadWeights(
            f"The tokenizer in {checkpoint.path} has {tokenizer.vocab_size} tokens, the weights have {rows}: they "
            "belong to different models.",
            fix="Fetch the model again.",
        )
    return tokenizer


def describe(checkpoint: Checkpoint, model: str, tokenizer: Tokenizer, plan: hardware.Plan) -> PromptCard:
    """The prompt card: context, templates, budgets."""
    names = {tokenizer.special_id(name): name for name in tokenizer.mark_names}
    bos = names.get(tokenizer.bos_id, "")
    eos = next((names[i] for i in sorted(tokenizer.eos_ids) if i in names), "")
    chat = ChatTemplate(checkpoint.chat_template, bos, eos) if checkpoint.chat_template else None
    context = min(checkpoint.config.get("max_position_embeddings", 2048), plan.cache_tokens)
    return PromptCard(model, context, plan.infill_budget, chat, FillFormat.detect(tokenizer, checkpoint.config))
