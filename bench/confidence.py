"""``famulus bench confidence``: how far can the model's own log-probabilities be trusted?

At random keys of real functions of the standard library the engine is asked for the rest of the line. A suggestion is
*right* where it is exactly what the author wrote next. A logistic curve of its log-probabilities is fitted on some
functions; the tables are of others. The printed weights are what ``lsp_server/completion/confidence.py`` holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from famulus.bench.report import heading, table
from famulus.bench.typist import Function, functions, keys
from famulus.engine.client import connect as connect_client
from famulus.engine.protocol import Delta, Infill
from famulus.engine.stream import Stream, connect
from famulus.lsp_server.completion.candidates import Candidate, Scored
from famulus.lsp_server.completion.confidence import UNKNOWN, Curve, curve, features

MODULES = (
    "ast", "difflib", "json.decoder", "tarfile", "zipfile", "urllib.parse", "http.cookies", "email.message", "optparse",
    "pprint", "random", "sched", "smtplib", "tempfile", "threading", "timeit", "tokenize", "traceback", "uuid", "wave",
    "mailbox", "plistlib", "pstats", "netrc", "gettext", "ftplib", "dis", "cmd", "bdb", "codecs",
)  # fmt: skip
"""None of the replay's own."""
KEYS = 10
"""Keys of each function at which is asked."""
ROUNDS = 25
"""Of Newton's method."""
RIDGE = 0.1


@dataclass(frozen=True)
class Sample:
    """A suggestion: its log-probabilities, its characters, and whether the author wrote just that."""

    function: str
    text: str
    logprobs: tuple[float, ...]
    right: bool


async def collect(count: int, seed: int, kept: Path | None) -> tuple[str, list[Sample]]:
    """The model's name, and suggestions in ``count`` functions; they are written to ``kept`` as they come."""
    dice = random.Random(seed)
    samples: list[Sample] = []
    model = ""
    async with connect() as stream:
        for function in functions(count, seed, MODULES):
            typed = keys(function.body)
            for at in sorted(dice.sample(range(len(typed)), min(KEYS, len(typed)))):
                before = "".join(typed[:at])
                name, found = await _ask(stream, function, before, dice)
                model = name or model
                samples += found
                _append(found, kept)
    return model, samples


def read(file: Path) -> list[Sample]:
    """Suggestions that were kept."""
    kept = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Sample(s["function"], s["text"], tuple(s["logprobs"]), s["right"]) for s in kept]


def served_model() -> str:
    """The model that the engine serves."""
    with connect_client() as client:
        client.tokenize("x")
        return str(client.status()["model"]["id"])


def _append(samples: Sequence[Sample], file: Path | None) -> None:
    if file is not None:
        with open(file, "a", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(sample)) + "\n" for sample in samples)


async def _ask(stream: Stream, function: Function, typed: str, dice: random.Random) -> tuple[str, list[Sample]]:
    prompt = Infill(function.before + typed, function.after, path=function.path, language="python", max_lines=1)
    candidate, model = Candidate("", prompt.prefix[-256:]), ""
    async for event in stream.generate(prompt, max_tokens=48, logprobs=0):
        if isinstance(event, Delta):
            candidate.take(event)
        model = getattr(event, "model", model)
    truth = function.body[len(typed) :]
    text = candidate.text
    # What is left of it when the user has typed some of it already: that is shown as well.
    agreed = next((i for i, (a, b) in enumerate(zip(text, truth, strict=False)) if a != b), min(len(text), len(truth)))
    starts = {0, dice.randrange(agreed + 1)} if agreed < len(text) else {0, dice.randrange(max(1, agreed))}
    found = []
    for start in sorted(starts):
        part = candidate.part(start)
        if part.text.strip() and part.logprobs:
            right = truth[start:].startswith(part.text.rstrip())
            found.append(Sample(function.name, part.text, part.logprobs, right))
    return model, found


def _scored(sample: Sample) -> Scored:
    return Scored(sample.text, sample.logprobs)


def fit(samples: Sequence[Sample]) -> Curve:
    """The logistic curve, by Newton's method with a small ridge."""
    import numpy as np

    x = np.array([(1.0, *(-value for value in features(_scored(s)))) for s in samples])
    y = np.array([float(s.right) for s in samples])
    weights = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (p - y) + RIDGE * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(x.shape[1])
        weights -= np.linalg.solve(bend, slope)
    bias, first, rest = (round(float(weight), 2) for weight in weights)
    return Curve(bias, first, rest, threshold=0.0)


def judge(samples: Sequence[Sample], used: Curve) -> str:
    """What each threshold would do."""
    rated = [(used.probability(_scored(s)), s) for s in samples]
    everything = sum(len(s.text) for _, s in rated if s.right)
    rows: list[list[object]] = []
    for threshold in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6):
        shown = [s for p, s in rated if p >= threshold]
        right = [s for s in shown if s.right]
        rows.append(
            [
                f"{threshold:.2f}",
                f"{len(shown) / len(rated):.0%}",
                f"{len(right) / len(shown):.0%}" if shown else "-",
                f"{sum(len(s.text) for s in right) / everything:.0%}" if everything else "-",
                f"{sum(len(s.text) for s in shown if not s.right) / max(1, len(rated)):.1f}",
            ]
        )
    columns = ["shown from", "shown", "of these right", "right characters kept", "wrong characters per key"]
    return table(columns, rows)


def calibration(samples: Sequence[Sample], used: Curve) -> str:
    """Promised and kept, by tenth of confidence; and the log loss."""
    rated = [(used.probability(_scored(s)), s.right) for s in samples]
    rows: list[list[object]] = []
    for tenth in range(10):
        inside = [(p, right) for p, right in rated if int(min(p, 0.999) * 10) == tenth]
        if inside:
            said, was = sum(p for p, _ in inside) / len(inside), sum(r for _, r in inside) / len(inside)
            rows.append([f"{tenth / 10:.1f} to {tenth / 10 + 0.1:.1f}", len(inside), f"{said:.2f}", f"{was:.2f}"])
    loss = -sum(math.log(max(1e-9, p if right else 1 - p)) for p, right in rated) / len(rated)
    return table(["confidence", "suggestions", "mean", "right"], rows) + f"\n\nLog loss {loss:.3f}."


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench confidence", description=__doc__)
    parser.add_argument("--functions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--samples", type=Path, help="keep the suggestions in this file; take them from it if it exists"
    )
    options = parser.parse_args(arguments)
    print(heading(f"famulus bench confidence --functions {options.functions} --seed {options.seed}"))
    if options.samples is not None and options.samples.exists():
        model, samples = served_model(), read(options.samples)
    else:
        model, samples = asyncio.run(collect(options.functions, options.seed, options.samples))
    names = sorted({s.function for s in samples})
    held = set(names[::3])
    learn, test = [s for s in samples if s.function not in held], [s for s in samples if s.function in held]
    fitted = fit(learn)
    shipped = curve(model)
    print(f"{model}: {len(learn)} suggestions to fit on, {len(test)} to judge by.")
    print(f"Fitted: {fitted}; on all: {fit(samples)}")
    print(f"Shipped: {shipped}{' (the default)' if shipped is UNKNOWN else ''}\n")
    print(judge(test, fitted) + "\n")
    print(calibration(test, fitted) + "\n")
    print("With the shipped curve:\n\n" + calibration(test, shipped))


if __name__ == "__main__":
    main()
