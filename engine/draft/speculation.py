"""Brings drafts to steps: which sequences get one, how long it is, and what a step with drafts cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from famulus.engine.constraints import Mask
from famulus.engine.draft.budget import Acceptance, Budget, Evidence
from famulus.engine.draft.copying import BREAK, Copier
from famulus.engine.step import Sequence, StepPlan

LONGEST = 15
"""Tokens of a draft. With the one that is known they are the 16 rows up to which a row's numbers on a processor do not
depend on how many are computed together."""
REMEMBERED, BEFORE = 8, 32
"""Earlier answers to copy from, and how many tokens of the prompt before each help to find the place."""
EARLIER = 1024
"""Tokens of one that are kept."""
FORCED = Evidence("forced")


@dataclass(frozen=True)
class Room:
    """``count``: how many drafted tokens an answer has room for; ``mask``: what it must look like."""

    count: int
    mask: Mask | None = None


@dataclass
class Speculation:
    """The drafts of a core. ``most``: tokens of a step with drafts."""

    most: int = LONGEST + 1
    _copiers: dict[int, Copier] = field(default_factory=dict)
    _salts: dict[int, str] = field(default_factory=dict)
    _forced: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    _earlier: dict[str, deque[str]] = field(default_factory=dict)
    _usual: Acceptance = field(default_factory=Acceptance)
    _budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self._budget = Budget(self.most)

    def propose(self, plan: StepPlan, room: Mapping[int, Room]) -> dict[int, list[int]]:
        """The drafts worth computing with ``plan``, by sequence. ``room``: of the sequences that may have one."""
        self._retire(plan)
        drafts: dict[int, list[int]] = {}
        rates: dict[int, list[float]] = {}
        for sequence in (c.sequence for c in plan.chunks):
            mine = room.get(sequence.id)
            if mine is not None and mine.count > 0:
                drafts[sequence.id], rates[sequence.id] = self._draft(sequence, mine)
        chosen = self._budget.choose(rates, {c.sequence.id: c.start for c in plan.chunks})
        return {key: drafts[key][:count] for key, count in chosen.items()}

    def relative(self, plan: StepPlan) -> float:
        """What a step over ``plan`` takes, compared with the same one without drafts."""
        costs = self._budget.costs
        plain = costs.of(len(plan.chunks), sum(c.start for c in plan.chunks))
        return costs.of(*_size(plan)) / plain

    def observe(self, plan: StepPlan, seconds: float) -> None:
        """A step over ``plan``, which decodes only, took ``seconds``."""
        self._budget.costs.observe(*_size(plan), seconds)

    def _draft(self, sequence: Sequence, room: Room) -> tuple[list[int], list[float]]:
        """What a grammar leaves no choice of, else a copy as far as it is allowed; and the chance of each token."""
        copier, most = self._copier(sequence), min(LONGEST, room.count)
        copier.follow(sequence.tokens)
        if room.mask is None:
            return copier.draft(most)
        self._judge_forced(sequence)
        forced = room.mask.forced()[:most]
        if forced:
            self._forced[sequence.id] = len(sequence.tokens), forced
            return forced, [self._usual.rate(FORCED)] * len(forced)
        tokens, rates = copier.draft(most)
        legal = room.mask.legal(tokens)
        return tokens[:legal], rates[:legal]

    def _judge_forced(self, sequence: Sequence) -> None:
        """Were tokens that a grammar forced written as expected? The same text can be cut in other ways."""
        at, forced = self._forced.pop(sequence.id, (0, []))
        for written, expected in zip(sequence.tokens[at:], forced, strict=False):
            self._usual.observe(FORCED, written == expected)
            if written != expected:
                break

    def _copier(self, sequence: Sequence) -> Copier:
        """The one of ``sequence``, which copies from nothing that was said under another salt."""
        if sequence.id not in self._copiers:
            earlier = BREAK.join(self._earlier.get(sequence.salt, ()))
            self._copiers[sequence.id] = Copier(sequence.tokens, sequence.prompt, earlier, Acceptance(self._usual))
            self._salts[sequence.id] = sequence.salt
        return self._copiers[sequence.id]

    def _retire(self, plan: StepPlan) -> None:
        """Sequences that are in no step any more leave their answers to those that follow."""
        present = {c.sequence.id for c in plan.chunks}
        for key in [k for k in self._copiers if k not in present]:
            self._forced.pop(key, None)
            salt = self._salts.pop(key)
            answers = self._earlier.pop(salt, deque(maxlen=REMEMBERED))
            answers.append(self._copiers.pop(key).tail(BEFORE)[-EARLIER:])
            self._earlier[salt] = answers  # the last one used is the last to go
            while len(self._earlier) > REMEMBERED:
                del self._earlier[next(iter(self._earlier))]


def _size(plan: StepPlan) -> tuple[int, int]:
    """Tokens of a step, and of the contexts that they see."""
    return sum(c.count for c in plan.chunks), sum(c.count * c.start for c in plan.chunks)
