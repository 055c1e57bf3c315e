"""One run of a review: which rules run when, for how long, and what of their findings is shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from famulus.engine.errors import FamulusError
from famulus.lsp_server.review import registry
from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.finding import Finding, Grade, Numbering, Place, by_weight
from famulus.lsp_server.review.ignoring import read_baseline, sift
from famulus.lsp_server.review.rule import Clock, Context, Rule, Stage, TimeUp
from famulus.lsp_server.review.summary import summary

MOST_SHOWN = 10
"""Findings that are shown unless all are asked for."""
MOST_OF_A_CAUSE = 3
"""Of these as many, if there are others."""
SECONDS = 60.0
"""The time of a review unless another is asked for."""

_WEIGHT = {Stage.RUN: 4.0, Stage.MODEL: 1.0}
"""How the rules after the static ones share what is left of the time."""

RuleState = Literal["done", "time up", "not reached", "failed", "not possible", "interrupted"]


@dataclass(frozen=True)
class Options:
    """What was asked for. ``budget`` in seconds, None for as long as it takes; ``only`` and ``skipped`` name rules;
    ``baseline``: a file of settled findings besides the project's own."""

    budget: float | None = SECONDS
    only: Sequence[str] = ()
    skipped: Sequence[str] = ()
    interpreter: Path | None = None
    run_code: Literal["sandboxed", "unsafe", "no"] = "sandboxed"
    baseline: Path | None = None
    instead: Sequence[Rule] | None = None
    """Run these rules, and none of the registry."""
    sarif_old: Sequence[Path] = ()
    """Reports of other tools on the old side."""
    sarif_new: Sequence[Path] = ()
    """Reports of other tools on the new side."""
    fresh: bool = False
    """Run again what earlier reviews have run."""


@dataclass(frozen=True)
class RuleRun:
    """How one rule fared."""

    rule: str
    state: RuleState
    seconds: float
    findings: int


@dataclass(frozen=True)
class Report:
    """What a review found. ``findings`` are all that count, the weightiest first; ``suppressed`` says how many were
    left out and why (``ignored in the code`` → 2)."""

    title: str
    findings: tuple[Finding, ...]
    facts: Mapping[str, str]
    left_out: tuple[str, ...]
    unread: Mapping[str, str]
    runs: tuple[RuleRun, ...]
    seconds: float
    files: int
    changed_lines: int
    complete: bool = True
    suppressed: Mapping[str, int] = field(default_factory=dict)
    summary: str = ""
    """One sentence: what changed, and what the findings that count mean."""
    words: tuple[str, ...] = ()
    """The same in sentences of the model, which the findings bear out; empty unless they were asked for."""

    def shown(self, *, everything: bool = False, most: int = MOST_SHOWN) -> list[Finding]:
        """The findings to show: with a proof, at most ``most`` of them; or all.

        One changed definition with many callers does not keep the others from being seen.
        """
        if everything:
            return list(self.findings)
        ranked = [finding for finding in self.findings if counts(finding)]
        causes: Counter[str] = Counter()
        first: list[tuple[int, Finding]] = []
        later: list[tuple[int, Finding]] = []
        for place, finding in enumerate(ranked):
            cause = _cause(finding)
            causes[cause] += 1
            (first if causes[cause] <= MOST_OF_A_CAUSE else later).append((place, finding))
        return [finding for _, finding in sorted((first + later)[:most], key=lambda pair: pair[0])]

    def headline(self, shown: Sequence[Finding]) -> str:
        """How it went, in a few words: how many findings there are, or why there is none."""
        if shown:
            return f"{len(shown):,} finding{'' if len(shown) == 1 else 's'}"
        if not self.complete:
            return "nothing found so far"
        unanswered = bool(self.runs) and all(run.state == "not possible" for run in self.runs)
        return "no answer" if unanswered else "nothing to report"

    def hidden(self, shown: Sequence[Finding]) -> dict[str, int]:
        """How many findings ``shown`` lacks, by reason."""
        seen = {finding.fingerprint for finding in shown}
        return dict(Counter(_why_hidden(f) for f in self.findings if f.fingerprint not in seen))

    def reaches(self, grade: Grade) -> bool:
        """Whether a finding is of this grade or a better one."""
        return any(counts(finding) and finding.grade.rank <= grade.rank for finding in self.findings) or (
            grade is Grade.MODEL_ONLY and bool(self.findings)
        )


def _places(finding: Finding) -> Iterator[Place]:
    yield finding.place
    yield from (related.place for related in finding.related)


def _cause(finding: Finding) -> str:
    """What findings have in common that one change made."""
    return str(finding.related[0].place) if finding.related else f"{finding.rule} {finding.place}"


def counts(finding: Finding) -> bool:
    """Whether a finding is shown unless all are asked for."""
    return finding.grade is not Grade.MODEL_ONLY and finding.certainty != "possible"


def _why_hidden(finding: Finding) -> str:
    if counts(finding):
        return "of less weight"
    return "only the model's" if finding.grade is Grade.MODEL_ONLY else "only possible"


@dataclass
class Review:
    """A review that runs. :meth:`run` gives the findings as they come; :meth:`report` what was found so far.
    ``notes`` are sentences that the report shall say as well."""

    change: Change
    options: Options = field(default_factory=Options)
    root: Path | None = None
    progress: Callable[[str], None] = lambda text: None
    notes: Sequence[str] = ()
    found: list[Finding] = field(default_factory=list)
    runs: list[RuleRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clock = Clock(self.options.budget)
        available, troubles = registry.rules()
        chosen = registry.chosen(available, self.options.only, self.options.skipped)
        self._rules = chosen if self.options.instead is None else list(self.options.instead)
        self.context = Context(
            self.change,
            root=self.root,
            seconds=self.options.budget,
            interpreter=self.options.interpreter,
            run_code=self.options.run_code,
            fresh=self.options.fresh,
            progress=self.progress,
            left_out=[*self.notes, *troubles],
            sarif_old=tuple(self.options.sarif_old),
            sarif_new=tuple(self.options.sarif_new),
            found=self.found,
        )
        self._settled = read_baseline(self.root, self.options.baseline)
        self._numbering = Numbering()
        self._changed_lines = 0
        self._ended = False

    def run(self) -> Generator[Finding]:
        """Runs the rules, the static ones first. Closing the generator, or Ctrl-C, ends the rule that runs."""
        self._changed_lines = sum(file.changed_lines for file in self.change.files)
        waiting = [rule for rule in self._rules if rule.stage is not Stage.STATIC]
        for rule in self._rules:
            if rule.stage is Stage.STATIC:
                yield from self._one(rule, Clock(None))
                continue
            waiting.remove(rule)
            share = self._share(rule, waiting)
            if self._clock.left <= 0:
                self.runs.append(RuleRun(rule.name, "not reached", 0.0, 0))
                continue
            yield from self._one(rule, self._clock.share(share))
        self._ended = True

    def _share(self, rule: Rule, later: Sequence[Rule]) -> float:
        """The part of the time that is left which a rule may take, so that something is left for those after it."""
        own = _WEIGHT[rule.stage]
        return own / (own + sum(_WEIGHT[other.stage] for other in later if not self._is_idle(other)))

    def _is_idle(self, rule: Rule) -> bool:
        idle: Callable[[Context], bool] | None = getattr(rule, "idle", None)
        try:
            return idle is not None and idle(self.context)
        except Exception:  # as in `_one`; the rule itself will tell
            return False

    def _one(self, rule: Rule, clock: Clock) -> Generator[Finding]:
        started, before = time.monotonic(), len(self.found)
        self.progress(rule.title)
        self.context.clock = clock
        state: RuleState = "interrupted"
        checking = rule.check(self.context)
        try:
            for finding in checking:
                if registry.wanted(finding.rule, self.options.only, self.options.skipped):
                    finding = self._numbering(finding)
                    self.found.append(finding)
                    yield finding
            state = "done"
        except TimeUp:
            state = "time up"
        except FamulusError as error:
            state = "not possible"
            self.context.left_out.append(f"{rule.title[:1].upper()}{rule.title[1:]}: {error}")
        except Exception as error:  # one rule that fails, perhaps a plugin's, must not take the others with it
            state = "failed"
            self.context.left_out.append(f"The rule {rule.name} failed ({type(error).__name__}: {error}).")
        finally:
            if isinstance(checking, Generator):
                checking.close()  # at once, not when nobody refers to it any more: it may have processes
            self.runs.append(RuleRun(rule.name, state, time.monotonic() - started, len(self.found) - before))

    def report(self) -> Report:
        """What was found so far, without what is settled, ranked."""
        sifted = sift(self.found, self.change, self.root, self._settled)
        return Report(
            title=self.change.title,
            findings=tuple(sorted(map(self._surprising, sifted.kept), key=by_weight)),
            facts=dict(self.context.facts),
            left_out=tuple(dict.fromkeys([*self.context.left_out, *self._unfinished(), *sifted.complaints])),
            unread=dict(self.change.unread),
            runs=tuple(self.runs),
            seconds=time.monotonic() - self._clock.started,
            files=len(self.change.files),
            changed_lines=self._changed_lines,
            complete=self._ended,
            suppressed=dict(sifted.suppressed),
            summary=summary(
                self.change, [finding for finding in sifted.kept if counts(finding)], at_once=not self._ended
            ),
        )

    def _surprising(self, finding: Finding) -> Finding:
        """The finding with the bits of the strangest line that it is about."""
        lines = (self.context.surprise.get(p.path, {}).get(p.line, 0.0) for p in _places(finding) if p.side == "new")
        return replace(finding, surprise=max(finding.surprise, *lines))

    def unsettled(self, finding: Finding) -> bool:
        """Whether a finding that comes while the rules run counts: it is not settled."""
        return bool(sift([finding], self.change, self.root, self._settled).kept)

    def _unfinished(self) -> Iterator[str]:
        """What the time was too short for, or was not waited for."""
        states = {run.rule: run.state for run in self.runs}
        late: dict[str, list[str]] = {}
        for rule in self._rules:
            late.setdefault(states.get(rule.name, "interrupted"), []).append(rule.title)
        within = f" in {self.options.budget:g} s" if self.options.budget else ""
        for state, words in (("time up", f"Not finished{within}"), ("not reached", f"Not reached{within}")):
            if state in late:
                yield f"{words}: {', '.join(late[state])}. Give it more time with --budget."
        if "interrupted" in late:
            yield f"Interrupted before the end: {', '.join(late['interrupted'])}."


def review(change: Change, options: Options | None = None, root: Path | None = None, **more: Any) -> Report:
    """A review from beginning to end."""
    running = Review(change, options or Options(), root, **more)
    for _ in running.run():
        pass
    return running.report()
