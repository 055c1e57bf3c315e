"""The model card of an adapter, filled by its run: what it learned from, how, and what came of it.

``python -m famulus.engine.training.card ADAPTER EVALUATION.json`` puts what ``famulus eval --json`` found into it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from famulus import __version__
from famulus.engine import manifest
from famulus.engine.errors import InvalidRequest
from famulus.engine.training.data.build import SPLITS
from famulus.engine.training.recipe import Recipe

UNKNOWN = "It was not evaluated yet."
_TITLE = "## Evaluation\n\n"


def card(
    name: str,
    recipe: Recipe,
    corpus: Path,
    log: Sequence[Mapping[str, Any]],
    held: tuple[float, float],
    *,
    licence: str,
    base_digest: str,
) -> str:
    """The text. ``log``: lines of the run's log, oldest first; ``held``: nats a token of the validation packages before
    and after."""
    last = log[-1] if log else {}
    run = recipe.run
    done = f"{last.get('step', 0)} of {run.steps} steps of {run.batch} sequences of {run.length} tokens"
    speed = f", {last['rate']:.0f} tokens a second at the end" if last else ""
    size = recipe.experts
    experts = f"{size.count} routed experts of width {size.width} beside every layer, " if size is not None else ""
    rows = [f"| {line['step']} | {line['loss']:.4f} | {line['active']:.2f} |" for line in _some(log)]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"An adapter over {recipe.base}, whose weights stay as they are: {experts}low-rank updates of rank"
            f" {recipe.low_rank.rank} on {', '.join(recipe.low_rank.targets)}.",
            "",
            f"- Revision: made with Famulus {__version__}, on the weights {base_digest[:16]}.",
            f"- Licence: {licence or 'that of its base'}; data under the licences below.",
            "- It writes code and short notebook cells. What it writes may be wrong: read it before it runs.",
            "",
            "## Data",
            "",
            *_data(corpus),
            "",
            "## Training",
            "",
            f"{done}{speed}. Validation: {held[0]:.4f} → {held[1]:.4f} nats a token ({held[1] / held[0] - 1:+.1%}).",
            "",
            "| step | loss | experts a token |",
            "|---:|---:|---:|",
            *rows,
            "",
            "```json",
            json.dumps(asdict(recipe), indent=1),
            "```",
            "",
            _TITLE + UNKNOWN + "\n",
        ]
    )


def _some(log: Sequence[Mapping[str, Any]], most: int = 12) -> list[Mapping[str, Any]]:
    """Evenly taken, the first and the last among them."""
    if len(log) <= most:
        return list(log)
    return [log[round(i * (len(log) - 1) / (most - 1))] for i in range(most)]


def _data(corpus: Path) -> list[str]:
    try:
        sources = json.loads((corpus / "sources.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["Of where its texts are from nothing was written down."]
    found = ["| split | packages | files | million characters |", "|---|---:|---:|---:|"]
    for split in SPLITS:
        mine = [s for s in sources if s["split"] == split]
        size = sum(s["characters"] for s in mine) / 1e6
        found.append(f"| {split} | {len(mine)} | {sum(s['files'] for s in mine)} | {size:.1f} |")
    licences = Counter(s["licence"] for s in sources)
    pairs = sorted({p.name.split(".")[0].removeprefix("pairs-") for p in corpus.glob("pairs-*.train.jsonl.xz")})
    found += ["", "Licences of the packages: " + ", ".join(f"{n} {name}" for name, n in licences.most_common()) + "."]
    found += ["", f"Pairs of what is asked and its answer: {', '.join(pairs)}."] if pairs else []
    names = ", ".join(f"{s['package']} {s['version']} ({s['licence']})" for s in sources if s["split"] == "train")
    return [*found, "", f"Learned from: {names}."]


def evaluated(text: str, found: Mapping[str, Any]) -> str:
    """The card with what ``famulus eval --json`` printed. Raises :class:`InvalidRequest` for anything else."""
    try:
        models, measures = found["models"], found["measures"]
        rows = [f"| part | measure | items | {' | '.join(models)} |", f"|---|---|---:|{'---:|' * len(models)}"]
        for m in measures:
            pairs = zip(m["found"], m["intervals"], strict=True)
            cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, (low, high) in pairs]
            rows.append(f"| {m['part']} | {m['measure']} | {m['items']} | {' | '.join(cells)} |")
        told = f"`famulus eval`, Famulus {found['version']}, {found['machine']}; in brackets 95 % intervals."
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"That is nothing that famulus eval --json printed ({error}).") from error
    head = text.partition(_TITLE)[0].rstrip("\n")
    return f"{head}\n\n{_TITLE}" + "\n".join([*rows, "", told]) + "\n"


def put(folder: Path, text: str) -> None:
    """Writes the card of the adapter in ``folder`` and keeps its manifest true. Raises :class:`StorageFailed`."""
    path = folder / manifest.CARD
    path.write_text(text, encoding="utf-8")
    known = manifest.read(folder)
    if known is not None:
        now = manifest.FileDigest(path.stat().st_size, manifest.sha256_of(path))
        manifest.write(folder, replace(known, files={**known.files, path.name: now}))


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m famulus.engine.training.card", description=__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("evaluation", type=Path, help="what `famulus eval NAME --json` printed")
    said = parser.parse_args(arguments)
    text = (said.adapter / manifest.CARD).read_text(encoding="utf-8")
    put(said.adapter, evaluated(text, json.loads(said.evaluation.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
