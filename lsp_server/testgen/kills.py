"""Which examples notice a mutant: they are called directly with the mutant's code, never through pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from famulus.lsp_server.execution.mutants import Mutant, equivalent, mutants
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.testgen.assertions import body
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.clock import TimeIsUp
from famulus.lsp_server.testgen.slips import slips
from famulus.lsp_server.testgen.stating import accepts

MOST = 80
"""Mutants of one function that are tried, and as many slips."""
_TOTAL = 2.0
"""Seconds in which all examples are run on a mutant, at least."""


@dataclass(frozen=True)
class Kills:
    """``of[n]``: the mutants, by position, that example ``n`` notices; ``untried``: how many more there are."""

    mutants: tuple[Mutant, ...]
    of: tuple[frozenset[int], ...]
    untried: int = 0

    @property
    def killed(self) -> frozenset[int]:
        """All that some example notices."""
        return frozenset().union(*self.of)


def of_function(aim: Aim) -> list[Mutant]:
    """Mutants of a function's code and slips in it, evenly chosen where there are many."""
    found = [m for m in mutants(aim.source, aim.function.lines, values=True) if m.function == aim.function.name]
    return [*_spread(aim, found), *_spread(aim, slips(aim.source, aim.function))]


def _spread(aim: Aim, found: Sequence[Mutant]) -> list[Mutant]:
    """Those that differ from the code, evenly chosen."""
    step = max(1.0, len(found) / (2 * MOST))
    some = [found[int(n * step)] for n in range(min(2 * MOST, len(found)))]
    different = [m for m in some if not equivalent(aim.source, m.source)]
    step = max(1.0, len(different) / MOST)
    return [different[int(n * step)] for n in range(min(MOST, len(different)))]


def kills(
    version: Version,
    aim: Aim,
    examples: Sequence[Example],
    *,
    of: Sequence[Mutant] | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Kills:
    """Run the examples on each mutant (``of``: these), until ``go_on`` says no: mutants not tried are not in the
    result."""
    calls = [example.call for example in examples]
    slowest = max((example.outcome.cpu for example in examples), default=0.0)  # the first call imports what is lazy
    limits = [min(1.0, max(0.02, 2 * slowest, 20 * example.outcome.cpu)) for example in examples]
    total = max(_TOTAL, 5 * sum(example.outcome.wall for example in examples))  # one that waits must not cost the rest
    noticed: list[set[int]] = [set() for _ in examples]
    tried: list[Mutant] = []
    wanted = of_function(aim) if of is None else of
    untried = len(wanted)
    for mutant in wanted:
        if not go_on():
            break
        try:
            answers = version.calls(
                aim.module, calls, cpu=limits, wall=1.0, total=total, losses=2, looks=True, imports=aim.prelude,
                patch=(aim.function.name, mutant.source),
            )  # fmt: skip
        except TimeIsUp:
            break
        untried -= 1
        if all(answer.kind == "invalid" for answer in answers):
            continue  # the code could not be put in place
        for position, answer in enumerate(answers):
            if answer.ended != "skipped" and _noticed(aim, examples[position], answer):
                noticed[position].add(len(tried))
        tried.append(mutant)
    return Kills(tuple(tried), tuple(frozenset(found) for found in noticed), untried)


def _noticed(aim: Aim, example: Example, answer: Outcome) -> bool:
    """Whether a test of the example fails with this answer: what it does not look at may differ."""
    if example.outcome.same(answer):
        return False
    if answer.kind not in ("value", "raised") or answer.kind != example.outcome.kind:
        return True
    said, other = body(aim, example.call, example.outcome), body(aim, example.call, answer)
    if said is None or other is None:
        return True
    return not all(any(accepts(line, given) for given in other.lines) for line in said.lines)
