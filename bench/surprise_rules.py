"""Rules that turn evidence into hints, tried beside each other: thresholds from one set of functions, numbers from
another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from famulus.bench.report import table
from famulus.lsp_server.prediction.surprise.candidates import KINDS, Alternative
from famulus.lsp_server.prediction.surprise.decide import Weigh, choose, first_weight, weight
from famulus.lsp_server.prediction.surprise.scoring import FOLLOWING, Evidence

PRECISION, PER_THOUSAND = 0.8, 1.0
"""The bar: a rule is on only if it reaches both on the packages held out."""
TUNED_PRECISION, TUNED_PER_THOUSAND = 0.85, 0.5
"""What thresholds are tuned to: what is chosen on one set is a little worse on the next."""


@dataclass(frozen=True)
class Case:
    """A function's evidence; ``mutation`` is None for one that nobody changed. ``contrast``: gains in the other
    context, by alternative."""

    name: str
    lines: int
    mutation: Alternative | None
    text: str
    original: str
    evidence: list[Evidence]
    contrast: dict[Alternative, float] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a rule did."""

    restored: int = 0
    near: int = 0
    wrong: int = 0
    mutants: int = 0
    clean_hints: int = 0
    clean_lines: int = 0
    found: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def hints(self) -> int:
        """Hints on mutated functions."""
        return self.restored + self.near + self.wrong

    @property
    def precision(self) -> float:
        """The share of them that restores the original."""
        return self.restored / self.hints if self.hints else math.nan

    @property
    def recall(self) -> float:
        """The share of mutants that are restored."""
        return self.restored / self.mutants if self.mutants else math.nan

    @property
    def per_thousand(self) -> float:
        """Hints per 1,000 lines that nobody mutated."""
        return 1000 * self.clean_hints / self.clean_lines if self.clean_lines else math.nan

    @property
    def good(self) -> bool:
        """Whether the bar is reached."""
        return self.reaches(PRECISION, PER_THOUSAND)

    def reaches(self, precision: float, per_thousand: float) -> bool:
        """Whether hints are right so often, and so rare where nothing is wrong."""
        return self.hints > 0 and self.precision >= precision and self.per_thousand <= per_thousand

    def __str__(self) -> str:
        right = f"{self.precision:.2f} ({self.restored}/{self.hints})"
        return f"{right}, {self.recall:.2f}, {self.per_thousand:.1f} ({self.clean_hints})"


def ideas(case: Case) -> dict[str, Weigh]:
    """Every way to weigh evidence that is tried, by name."""

    def both(e: Evidence) -> float:
        return e.gain(FOLLOWING) if sum(e.after) >= 0 else -math.inf

    def first(e: Evidence) -> float:
        return e.gain(FOLLOWING) if e.rank == 0 else -math.inf

    def surprised(e: Evidence) -> float:
        return e.surprisal if e.rank == 0 else -math.inf

    def contrasted(e: Evidence) -> float:
        return min(e.gain(FOLLOWING), case.contrast.get(e.alternative, -math.inf))

    def relative(e: Evidence) -> float:
        return weight(e, case.contrast.get(e.alternative, -math.inf))

    return {
        "surprisal alone, alternative is the first choice": surprised,
        "the line": lambda e: e.line,
        "the line and 1 after": lambda e: e.gain(1),
        f"the line and {FOLLOWING} after": lambda e: e.gain(FOLLOWING),
        f"the line and {FOLLOWING} after, which gain too": both,
        f"the line and {FOLLOWING} after, per usual surprisal": first_weight,
        f"the line and {FOLLOWING} after, alternative is the first choice": first,
        f"the line and {FOLLOWING} after, in two contexts": contrasted,
        f"the line and {FOLLOWING} after, in two contexts, per usual surprisal": relative,
    }


def judge(cases: Sequence[Case], idea: str, threshold: float) -> Outcome:
    """What the rule does on ``cases``."""
    outcome = Outcome()
    for case in cases:
        hints = [hint.evidence.alternative for hint in choose(case.evidence, ideas(case)[idea], threshold)]
        mutation = case.mutation
        if mutation is None:
            outcome.clean_lines += case.lines
            outcome.clean_hints += len(hints)
            continue
        outcome.mutants += 1
        outcome.kinds[mutation.kind] += 1
        for hint in hints:
            if hint.applied(case.text) == case.original:
                outcome.restored += 1
                outcome.found[mutation.kind] += 1
            elif hint.start <= mutation.start + len(mutation.replacement) and hint.end >= mutation.start:
                outcome.near += 1
            else:
                outcome.wrong += 1
    return outcome


def tune(cases: Sequence[Case], idea: str) -> float:
    """The threshold that restores most; infinite where none reaches what is tuned to."""
    weights = sorted({w for c in cases for e in c.evidence if math.isfinite(w := ideas(c)[idea](e))})
    best, most = math.inf, 0
    for threshold in weights[:: max(1, len(weights) // 400)]:
        outcome = judge(cases, idea, threshold)
        if outcome.reaches(TUNED_PRECISION, TUNED_PER_THOUSAND) and outcome.restored > most:
            best, most = threshold, outcome.restored
    return best


def report(model: str, tuned: Sequence[Case], held_out: Sequence[Case]) -> str:
    """The tables."""
    rows: list[list[object]] = []
    best: tuple[int, str, float] | None = None
    for idea in ideas(tuned[0]):
        threshold = tune(tuned, idea)
        before, after = judge(tuned, idea, threshold), judge(held_out, idea, threshold)
        shown = f"{threshold:.1f}" if math.isfinite(threshold) else "none"
        rows.append([idea, shown, before, after, "yes" if after.good else "no"])
        if math.isfinite(threshold) and (best is None or before.restored > best[0]):
            best = before.restored, idea, threshold
    parts = [
        f"Model: {model}. {len(tuned) // 2} functions for tuning, {len(held_out) // 2} held out.\n",
        table(
            ["weight", "threshold", "tuning: precision, recall, per 1,000 clean lines", "held out: the same", "bar"],
            rows,
        ),
    ]
    if best is not None:
        parts += ["", f"By kind, for *{best[1]}* from {best[2]:.1f}:\n", _by_kind(held_out, best[1], best[2])]
    return "\n".join(parts)


def _by_kind(cases: Sequence[Case], idea: str, threshold: float) -> str:
    outcome = judge(cases, idea, threshold)
    rows: list[list[object]] = [[kind, outcome.kinds[kind], outcome.found[kind]] for kind in KINDS]
    rows.append(["all", outcome.mutants, outcome.restored])
    return table(["held out, kind of mutation", "mutants", "restored"], rows)
