"""What a model is told of the notebook for one instruction: ranked, within a budget, and shown to whoever asks.

The whole text is Python that does nothing: imports, cells that ran before, and comments about variables. Strings that
come from data are quoted or left out (:mod:`famulus.jupyter_kernel.defuse`), so that no data can add a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel import context_code, context_lines, defuse, mentions
from famulus.jupyter_kernel.context_lines import Detail
from famulus.jupyter_kernel.schema import Schema, Variable

CELLS = 4
"""Earlier cells that are told at most, the newest ones."""

VARIABLES = 40
IN_FULL = 3
"""Variables told at most, and how many of those that the words do not mention are told with samples."""

MENTIONED = 0.6
"""From this score on, the words mean a variable."""

NEAR = 8
"""By how many variables one comes earlier that the last cells or the error name."""

IMPORTS, RAN, VARIABLES_TITLE, ERROR = "imports", "recent cells", "variables", "last error"
_TITLES = (IMPORTS, RAN, VARIABLES_TITLE, ERROR)


@dataclass(frozen=True)
class Part:
    """One part of what is sent; ``tokens`` in the units of the budget."""

    title: str
    text: str
    tokens: int


@dataclass(frozen=True)
class Context:
    """What is sent, whole and by parts. ``left_out`` are variables that found no room."""

    text: str
    parts: tuple[Part, ...]
    tokens: int
    budget: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Piece:
    """Something to tell: ``forms`` from the longest to the shortest, ``order`` its place within its part."""

    title: str
    order: tuple[float, ...]
    forms: tuple[str, ...]
    name: str = ""


def render(
    schema: Schema,
    words: str,
    recent: Sequence[str] = (),
    error: str = "",
    *,
    budget: int,
    count: Callable[[str], int] = len,
) -> Context:
    """The context for ``words`` in at most ``budget`` units of ``count`` (characters where none is given).

    ``recent`` is the code of earlier cells, the newest last; ``error`` the last error or its traceback. What the words
    mention comes first into the budget, then the error, imports, the newest cell and recently bound variables. Within
    the text, what changes from cell to cell stands last, so that an engine can reuse the beginning.
    """
    chosen: list[tuple[_Piece, str]] = []
    left, used = budget, 0
    for piece in _pieces(schema, words, recent, error):
        for form in piece.forms:
            cost = count(form + "\n")
            if cost <= left:
                chosen.append((piece, form))
                left -= cost
                break
    # Tokens of a whole are not always the sum of those of its parts.
    while (used := count(_text(chosen))) > budget and chosen:
        chosen.pop()
    told = {piece.name for piece, _ in chosen}
    left_out = tuple(v.name for v in schema.variables if v.name not in told and not context_lines.imported(v))
    if not chosen:
        return Context("", (), 0, budget, left_out)
    parts = tuple(Part(title, text, count(text)) for title in _TITLES if (text := _text(chosen, title)))
    return Context(_text(chosen), parts, used, budget, left_out)


def explain(context: Context, unit: str = "tokens") -> str:
    """What ``%context`` prints: exactly the text that was sent, with the tokens of each part."""
    if not context.parts:
        return f"Nothing of the notebook is sent (budget: {context.budget} {unit})."
    lines = [f"Sent to the model: {context.tokens} of {context.budget} {unit}."]
    for part in context.parts:
        lines += ["", f"── {part.title} · {part.tokens} {unit}", part.text]
    if context.left_out:
        lines += ["", f"No room for: {', '.join(context.left_out)}."]
    return "\n".join(lines)


def _text(chosen: Iterable[tuple[_Piece, str]], title: str = "") -> str:
    titles = (title,) if title else _TITLES
    told = [(piece, form) for piece, form in chosen if piece.title in titles]
    told.sort(key=lambda item: (_TITLES.index(item[0].title), item[0].order))
    return "\n".join(form for _, form in told)


def _pieces(schema: Schema, words: str, recent: Sequence[str], error: str) -> list[_Piece]:
    """Everything that may be told, what matters most first."""
    scores, columns = _mentioned(schema, words)
    cells = [told for code in recent[-CELLS:] if (told := context_code.cell(code))]
    near = set(re.findall(r"\w+", "\n".join((*cells[-2:], error[-500:]))))
    asked, others = [], []
    for age, variable in enumerate(schema.variables):
        score = scores.get(variable.name, 0.0)
        if score >= MENTIONED:
            asked.append((-score, age, variable))
        elif not context_lines.imported(variable):
            others.append((age - NEAR * (variable.name in near), age, variable))
    asked.sort(key=lambda item: item[:2])
    others.sort(key=lambda item: item[:2])

    def piece(variable: Variable, age: int, details: tuple[Detail, ...], mentioned: bool) -> _Piece:
        wanted = columns.get(variable.name, frozenset())
        forms = dict.fromkeys(context_lines.line(variable, detail, wanted) for detail in details)
        return _Piece(VARIABLES_TITLE, (float(mentioned), -age), tuple(filter(None, forms)), variable.name)

    pieces = [piece(variable, age, ("full", "brief", "short"), True) for _, age, variable in asked[:VARIABLES]]
    if said := defuse.message(error):
        pieces.append(_Piece(ERROR, (), (f"# last error: {said}",)))
    if imports := context_lines.imports(schema):
        pieces.append(_Piece(IMPORTS, (), (imports,)))
    ran = [_Piece(RAN, (float(at),), (code,)) for at, code in enumerate(cells)][::-1]
    pieces += ran[:1]
    for place, (_, age, variable) in enumerate(others[: max(0, VARIABLES - len(asked))]):
        details: tuple[Detail, ...] = ("full", "brief", "short") if place < IN_FULL else ("brief", "short")
        pieces.append(piece(variable, age, details, False))
    return [piece for piece in pieces + ran[1:] if piece.forms]


def _mentioned(schema: Schema, words: str) -> tuple[Mapping[str, float], Mapping[str, frozenset[str]]]:
    """How surely the words mean each variable, 0–1, and which columns of it they name."""
    scores: dict[str, float] = {}
    columns: dict[str, frozenset[str]] = {}
    for mention in mentions.read(words, schema).mentions:
        name = mention.variable.name
        scores[name] = max(scores.get(name, 0.0), mention.score)
        if mention.column is not None:
            columns[name] = columns.get(name, frozenset()) | {mention.column.name}
    return scores, columns
