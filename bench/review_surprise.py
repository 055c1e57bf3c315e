"""``famulus bench review --part surprise``: whether the model's surprise tells a wrong new line from a right one.

Functions of installed packages, as a commit would bring them: one statement new in a function that was there, or the
whole function new. Each as its authors wrote it, and with a slip in it. The rule's own numbers are compared.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from famulus.bench.report import table
from famulus.bench.surprise import HELD_OUT, TUNED_ON, Sample, samples
from famulus.engine.client import Client, connect
from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules.surprise import MUCH, chosen, surprise

_LINES = 40_000
"""More than any number of functions takes."""
_SECONDS = 60.0
ALARMS = (0.01, 0.02, 0.05, 0.1)
"""Shares of the functions without a slip in which a line may be told."""
SETTINGS = ("one statement is new", "the function is new")


@dataclass(frozen=True)
class Seen:
    """Bits for a token: of the line with the slip, of the same line as it was written, and of the strangest
    new line of the function without and with the slip."""

    setting: str
    kind: str
    slip: float
    right: float
    most_right: float
    most_slip: float


def report(most: int, seed: int) -> str:
    """The tables, for ``most`` functions."""
    with connect() as engine:
        engine.score("x = ", "1", deadline=_SECONDS)
        done = [seen for sample in _drawn(most, seed) for seen in _looked(engine, sample)]
    rows = []
    for setting in SETTINGS:
        some = [seen for seen in done if seen.setting == setting]
        rows.append([setting, len(some), f"{auc([s.slip for s in some], [s.right for s in some]):.2f}", _paired(some)])
    parts = [table(["the change", "functions", "AUC", "the slip is the stranger one"], rows)]
    parts += [_thresholds([seen for seen in done if seen.setting == setting], setting) for setting in SETTINGS]
    return "\n\n".join(parts)


def auc(wrong: Sequence[float], right: Sequence[float]) -> float:
    """How often a wrong line is above a right one, drawn at random; ties count half."""
    wins = sum((w > r) + 0.5 * (w == r) for w in wrong for r in right)
    return wins / max(1, len(wrong) * len(right))


def _paired(some: Sequence[Seen]) -> str:
    return f"{100 * sum(s.slip > s.right for s in some) / max(1, len(some)):.0f} %"


def _thresholds(some: Sequence[Seen], setting: str) -> str:
    """From which bits on a finding is how often wrong, and how many slips it tells at their line."""
    alarms = sorted((seen.most_right for seen in some), reverse=True)
    if not alarms:
        return ""
    bounds = [(f"{share:.0%} false alarms", alarms[int(share * len(alarms))]) for share in ALARMS]
    rows = []
    for name, bits in [*bounds, ("in use", MUCH)]:
        false = sum(value >= bits for value in alarms)
        caught = sum(seen.slip >= bits and seen.slip == seen.most_slip for seen in some)
        rows.append([name, f"{bits:.1f}", f"{100 * false / len(some):.1f} %", f"{100 * caught / len(some):.1f} %"])
    return f"{setting}:\n\n" + table(["threshold", "bits", "functions with a false alarm", "slips told"], rows)


def _drawn(most: int, seed: int) -> Iterator[Sample]:
    yield from samples((*TUNED_ON, *HELD_OUT), _LINES, seed)[:most]


def _looked(engine: Client, sample: Sample) -> Iterator[Seen]:
    """Both settings, where they can be made of this function."""
    original = sample.source.text.value
    wrong = sample.mutation.applied(original)
    line = sample.source.text.place(sample.mutation.start)[0] + 1
    node = sample.function.node
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    for setting, before in zip(
        SETTINGS,
        (_without_statement(original, node, line), _without(original, first, node.end_lineno or first)),
        strict=True,
    ):
        if before is not None:
            right, slip = (_bits(engine, before, text, line) for text in (original, wrong))
            if line in right and line in slip:
                most_right, most_slip = max(right.values()), max(slip.values())
                yield Seen(setting, sample.mutation.kind, slip[line], right[line], most_right, most_slip)


def _without_statement(text: str, node: ast.AST, line: int) -> str | None:
    """The file without the simple statement that is this line; None if there is none, or nothing would be left."""
    simple = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr | ast.Return | ast.Raise | ast.Assert
    alone = [n for n in ast.walk(node) if isinstance(n, simple) and n.lineno == line == n.end_lineno]
    return _without(text, line, line) if alone else None


def _without(text: str, first: int, last: int) -> str | None:
    lines = text.splitlines(keepends=True)
    changed = "".join([*lines[: first - 1], *lines[last:]])
    try:
        ast.parse(changed)
    except SyntaxError:
        return None
    return changed


def _bits(engine: Client, before: str, after: str, line: int) -> dict[int, float]:
    """What the rule makes of the function around ``line``; nothing where it does not look at it."""
    change: Change = between(Memory({"module.py": before.encode()}), Memory({"module.py": after.encode()}))
    for function in chosen(Context(change)):
        if line in function.changed:
            return surprise(engine, function, _SECONDS)
    return {}
