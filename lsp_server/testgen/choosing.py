"""Which examples become the tests of a function: what selection, relations and the form of the tests say together."""

from __future__ import annotations

from collections.abc import Sequence

from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.testgen import selection, writing
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.kills import Kills
from famulus.lsp_server.testgen.relations import relations
from famulus.lsp_server.testgen.style import Style


def best(
    aim: Aim, examples: Sequence[Example], found: Kills, known: frozenset[int] | None, most: int, style: Style
) -> list[int]:
    """Positions of the examples that add most to ``known``, which mutants the project's tests notice (None: it has
    none); they make at most ``most`` tests, of which a table is one."""
    function = aim.function
    price = [selection.price(function, example.call, example.outcome) for example in examples]
    cover = selection.cover(found.of, known=known or (), cost=price, most=most)
    wanted = most if known is None else len(cover)
    worth = selection.worths(function, examples, cover)
    rich = selection.rich(cover, found.of, worth, price, wanted)
    different = selection.diverse(rich, selection.traits(examples, function), wanted, order=price)
    facts = [relations(example, function) if _tells(example.outcome) else frozenset() for example in examples]
    positions = selection.widest(different, facts, price, wanted)

    def few(some: Sequence[int]) -> bool:
        return len(writing.write(aim, [examples[n] for n in some], (), style)) <= most

    if known is None:
        return selection.fuller(positions, found.of, facts, price, few)
    return selection.fuller(positions, [kills - known for kills in found.of], [()] * len(examples), price, few)


def _tells(outcome: Outcome) -> bool:
    """Whether the answer is more than None: whatever the arguments were, that shows nothing of them."""
    done = outcome.arguments or outcome.receiver or outcome.output or outcome.files
    return outcome.value != ["const", "None"] or bool(done)
