"""Rules that turn evidence into hints, tried beside each other: thresholds from one set of functions, numbers from
another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from famulus.bench.report import table
from famulus.lsp_server.prediction.surprise.candidates import KINDS, Alternative, Kind
from famulus.lsp_server.prediction.surprise.decide import RULES, Weigh, choose, weight
from famulus.lsp_server.prediction.surprise.scoring import FOLLOWING, Evidence

PRECISION, PER_THOUSAND = 0.8, 1.0
"""The bar: a rule is on only if it reaches both on the packages held out."""
TUNED_PRECISION, TUNED_PER_THOUSAND = 0.85, 0.5
"""What thresholds are tuned to: what is chosen on one set is a little worse on the next."""


IN_USE = "all of it (what the language server does)"


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


@dataclass(frozen=True)
class Tuned:
    """A rule: from which weight on, and for which kinds of changes."""

    threshold: float
    kinds: frozenset[Kind] = frozenset(KINDS)


@dataclass
class Outcome:
    """What a rule did."""

    restored: int = 0
    wrong: int = 0
    mutants: int = 0
    clean_hints: int = 0
    clean_lines: int = 0
    found: Counter[str] = field(default_factory=Counter)
    """Mutants that were restored, by kind."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Mutants."""
    shown: Counter[str] = field(default_factory=Counter)
    """Hints, those in clean functions among them."""

    @property
    def hints(self) -> int:
        """Hints on mutated functions."""
        return self.restored + self.wrong

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

    def gain(e: Evidence) -> float:
        return e.gain(FOLLOWING)

    def usual(e: Evidence) -> float:
        return gain(e) / max(e.usual, 0.5)

    def other(e: Evidence) -> float:
        return case.contrast.get(e.alternative, -math.inf)

    def given(fits: bool, value: float) -> float:
        return value if fits else -math.inf

    every = f"the line and {FOLLOWING} after"
    return {
        "surprisal alone, alternative is the first choice": lambda e: given(e.rank == 0, e.surprisal),
        "the line": lambda e: e.line,
        "the line and 1 after": lambda e: e.gain(1),
        every: gain,
        f"{every}, alternative is the first choice": lambda e: given(e.rank == 0, gain(e)),
        f"{every}, which gain too": lambda e: given(sum(e.after) >= 0, gain(e)),
        f"{every}, per usual surprisal": usual,
        f"{every}, in two contexts": lambda e: min(gain(e), other(e)),
        f"{every}, in two contexts, per usual surprisal": lambda e: min(usual(e), other(e) / max(e.usual, 0.5)),
        IN_USE: lambda e: weight(e, other(e)),
    }


def judge(cases: Sequence[Case], idea: str, tuned: Tuned) -> Outcome:
    """What the rule does on ``cases``."""
    outcome = Outcome()
    for case in cases:
        evidence = [e for e in case.evidence if e.alternative.kind in tuned.kinds]
        hints = [hint.evidence.alternative for hint in choose(evidence, ideas(case)[idea], tuned.threshold)]
        mutation = case.mutation
        outcome.shown.update(hint.kind for hint in hints)
        if mutation is None:
            outcome.clean_lines += case.lines
            outcome.clean_hints += len(hints)
            continue
        outcome.mutants += 1
        outcome.kinds[mutation.kind] += 1
        for hint in hints:
            right = hint.applied(case.text) == case.original
            outcome.restored += right
            outcome.wrong += not right
            outcome.found[mutation.kind] += right
    return outcome


def tune(cases: Sequence[Case], idea: str) -> Tuned:
    """The threshold that restores most, with the kinds of changes that are mostly right from there on; an infinite one
    where none is good enough."""
    weights = sorted({w for c in cases for e in c.evidence if math.isfinite(w := ideas(c)[idea](e))})
    best, most = Tuned(math.inf), 0
    for threshold in weights[:: max(1, len(weights) // 200)]:
        every = judge(cases, idea, Tuned(threshold))
        right = [kind for kind in KINDS if every.found[kind] >= TUNED_PRECISION * max(1, every.shown[kind])]
        tuned = Tuned(threshold, frozenset(right))
        outcome = judge(cases, idea, tuned)
        if outcome.reaches(TUNED_PRECISION, TUNED_PER_THOUSAND) and outcome.restored > most:
            best, most = tuned, outcome.restored
    return best


def report(model: str, tuning: Sequence[Case], held_out: Sequence[Case]) -> str:
    """The tables."""
    rows: list[list[object]] = []
    for idea in ideas(tuning[0]):
        tuned = tune(tuning, idea)
        before, after = judge(tuning, idea, tuned), judge(held_out, idea, tuned)
        known = f"{tuned.threshold:.1f}" if math.isfinite(tuned.threshold) else "none"
        rows.append([idea, known, _kinds(tuned), before, after, "yes" if after.good else "no"])
    sizes = [f"{len(c) // 2} functions of {sum(x.lines for x in c) // 2} lines" for c in (tuning, held_out)]
    parts = [
        f"Model: {model}. For tuning {sizes[0]}, held out {sizes[1]}; each once as it is and once mutated.\n",
        table(["weight", "threshold", "without", "tuning: precision, recall, hints / 1,000", "held out", "bar"], rows),
    ]
    rule = RULES.get(model)
    if rule is None:
        return "\n".join([*parts, f"\nThe language server has no rule for {model}: it shows no hints."])
    used = Tuned(rule.threshold, rule.kinds)
    parts.append(f"\nThe rule for {model}: from {rule.threshold:.1f}, without {_kinds(used)}.\n")
    parts.append(f"Held out: {judge(held_out, IN_USE, used)}.\n")
    return "\n".join([*parts, _by_kind(held_out, used)])


def _kinds(tuned: Tuned) -> str:
    """The kinds that a rule leaves out."""
    if not math.isfinite(tuned.threshold):
        return ""
    return ", ".join(kind for kind in KINDS if kind not in tuned.kinds) or "none"


def _by_kind(cases: Sequence[Case], tuned: Tuned) -> str:
    outcome = judge(cases, IN_USE, tuned)
    rows: list[list[object]] = [[kind, outcome.kinds[kind], outcome.found[kind]] for kind in KINDS]
    rows.append(["all", outcome.mutants, outcome.restored])
    return table(["held out, kind of mutation", "mutants", "restored"], rows)
