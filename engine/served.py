"""The model to serve: chosen, planned for this machine, loaded, and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from famulus.engine import hardware
from famulus.engine.catalog import Catalog, Choice
from famulus.engine.checkpoint import Checkpoint, open_checkpoint
from famulus.engine.draft.speculation import Speculation
from famulus.engine.folders import folders
from famulus.engine.graphs import BATCHES as RECORDED
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
from famulus.kernels.cpu.library import ready

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
    speculation: Speculation | None = None


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
    packed = folders().cache / "packed"
    model = load(checkpoint, plan.precision, packed, progress, plan.device, plan.resident, w8a8=plan.w8a8)
    tokenizer = Tokenizer.of(checkpoint)
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
    if ready():  # further rows of a product cost little
        limits = replace(limits, batch_sequences=24)
    if plan.device == "cuda":
        limits = replace(limits, batch_sequences=64, busy_chunk=plan.prefill_chunk // 2)
    runner = Runner.create(model, pages, plan.kv)
    return Served(
        runner=runner,
        tokenizer=tokenizer,
        card=card,
        info=info,
        limits=limits,
        pages=pages,
        governor=Governor(candidates, plan.threads, torch.set_num_threads),
        plan=[("model", choice.entry.id, choice.reason), *plan.rows],
        speculation=speculation(runner) if settings.speculation == "auto" else None,
    )


def speculation(runner: Runner) -> Speculation:
    """Drafts for what ``runner`` computes: in steps as large as a recorded one on a GPU."""
    return Speculation() if runner.graphs is None else Speculation(RECORDED[-1])


def choose(settings: Settings) -> Choice:
    """The configured model, else the best one on disk that this machine can run. Raises :class:`ModelNotFound`."""
    return Catalog().choose(settings.model, hardware.memory() * 3 // 4, set(FAMILIES), active=CPU_ACTIVE)


def model_size(checkpoint: Checkpoint) -> hardware.Size:
    """Counts from what the family makes of the checkpoint's configuration. Raises :class:`BadWeights`."""
    module = family(checkpoint.config["model_type"])
    args = module.Args.from_config(checkpoint.config)
    embedding = total = idle = routed = experts = 0
    for part in module.parts(args).values():
        total += part.values
        embedding += part.values if part.kind in ("embedding", "head") else 0
        routed += part.values if part.experts else 0
        experts = max(experts, part.experts)
        idle += part.values - part.values * args.num_experts_per_tok // part.experts if part.experts else 0
    rows, width = args.kv_shape()
    kv = args.num_hidden_layers * rows * width * 2
    context = checkpoint.config.get("max_position_embeddings", 2048)
    active = total - embedding - idle if idle else 0
    chosen = args.num_experts_per_tok if experts else 0
    stored = stored_precision(checkpoint)
    scaled = width if rows > 1 else 0  # latents, one for all heads, stay whole
    return hardware.Size(total - embedding, embedding, context, kv, active, routed, experts, chosen, stored, scaled)


def stored_precision(checkpoint: Checkpoint) -> str:
    """What a GPU would hold the matrices in without rounding them again: "fp8", "int4", or "" for larger ones."""
    said = checkpoint.config.get("quantization_config")
    method = said.get("quant_method") if isinstance(said, Mapping) else None
    if method is not None:
        return {"fp8": "fp8", "mxfp4": "int4", "awq": "int4", "gptq": "int4"}.get(str(method), "")
    small = ("Q4_0", "Q4_1", "Q4_K", "MXFP4")
    last = checkpoint.config["num_hidden_layers"] - 1
    names = (f"model.layers.{last}.{which}.weight" for which in ("mlp.up_proj", "mlp.experts.up_proj"))
    return "int4" if any(checkpoint.has(n) and checkpoint.raw(n).dtype in small for n in names) else ""


def describe(checkpoint: Checkpoint, model: str, tokenizer: Tokenizer, plan: hardware.Plan) -> PromptCard:
    """The prompt card: context, templates, budgets."""
    names = {tokenizer.special_id(name): name for name in tokenizer.mark_names}
    bos = names.get(tokenizer.bos_id, "")
    eos = next((names[i] for i in sorted(tokenizer.eos_ids) if i in names), "")
    chat = ChatTemplate(checkpoint.chat_template, bos, eos) if checkpoint.chat_template else None
    context = min(checkpoint.config.get("max_position_embeddings", 2048), plan.cache_tokens)
    return PromptCard(model, context, plan.infill_budget, chat, FillFormat.detect(tokenizer, checkpoint.config))
