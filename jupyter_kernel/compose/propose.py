"""Composed queries as candidates: for each table that the words may mean, the code of each reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from famulus.jupyter_kernel.compose import chain_code, pandas_code
from famulus.jupyter_kernel.compose.chain_reader import chains
from famulus.jupyter_kernel.compose.query import Query
from famulus.jupyter_kernel.compose.reader import queries
from famulus.jupyter_kernel.mentions import Read, command
from famulus.jupyter_kernel.retrieve import Index, token_key
from famulus.jupyter_kernel.schema import Variable
from famulus.jupyter_kernel.words import lexicon

MAX_SUBJECTS = 3
# What is left of the match of a query that leaves out what the words tell to do: *tweet* the average price.
NOT_DONE = 0.5
# How far a series that is not named comes behind the table that it was made from, whose column has the same name.
UNNAMED = 0.1
_PRONOUNS = frozenset(("it", "them", "those", "these", "their", "its", "它", "它们", "这些", "其"))


@dataclass(frozen=True)
class Composed:
    """Code of one reading: ``gives`` as in a recipe, ``match`` the share of the instruction that it accounts for."""

    code: str
    gives: str
    match: float
    subject: str
    rows: bool


def composed(read: Read, index: Index, *, saves: bool = False) -> Iterator[Composed]:
    """Every reading of an instruction as a query over a table of the user's. ``saves``: the words save the result, so
    that a table by itself is something to ask for."""
    for subject, worth in _subjects(read):
        for rank, query in enumerate(queries(read, subject)):
            if rank == 0 and saves and subject.name in _said(read) and _empty(query):
                yield Composed(
                    subject.name,
                    "value",
                    _match(read, query.used, index),
                    subject.name,
                    subject.kind == "frame" and not subject.index,
                )
            made = pandas_code.write(query)
            if made is None or _empty(query):
                continue
            match = _match(read, query.used, index, plain=_plain(query)) * worth - 0.03 * rank
            yield Composed(
                made.text,
                made.gives,
                max(match, 0.0),
                subject.name,
                made.table and not query.keys and not subject.index,
            )
    for chain in chains(read):
        code = chain_code.write(chain)
        if code is not None:
            # Series have ways of their own.
            source = read.schema.variable(chain.source.variable)
            worth = 0.88 if source is not None and source.kind == "series" else 1.0
            yield Composed(code, "value", _match(read, chain.used, index) * worth, chain.source.variable, False)


def _said(read: Read) -> set[str]:
    """The names of variables that the words say."""
    return {mention.variable.name for mention in read.variables() if mention.score >= 0.9}


def _subjects(read: Read) -> list[tuple[Variable, float]]:
    """Tables that may be meant, with how sure that is: named, or holding the columns that are named, or the latest."""
    frames = [v for v in read.schema.variables if v.columns and _is_table(v)]
    named = _said(read)
    pronoun = any(token.text.lower() in _PRONOUNS for token in read.tokens)
    scored = []
    for age, frame in enumerate(frames):
        best: dict[int, float] = {}
        for mention in read.columns(frame):
            if mention.score >= 0.62:
                best[mention.start] = max(best.get(mention.start, 0.0), mention.score)
        score = sum(best.values()) + (3.0 if frame.name in named else 0.0) - 0.05 * age
        if frame.kind == "series" and frame.name not in named:
            score -= UNNAMED
        if frame.kind == "frame" and any(token.key in ("row", "column", "frame") for token in read.tokens):
            score += 0.2
        scored.append((score, frame))
    scored.sort(key=lambda pair: -pair[0])
    unsaid = 0.95 if pronoun else 0.8
    return [
        (frame, (1.0 if score > 0 else unsaid) if rank == 0 else 0.85 if score > 0 else 0.85 * unsaid)
        for rank, (score, frame) in enumerate(scored[:MAX_SUBJECTS])
    ]


def _is_table(variable: Variable) -> bool:
    if variable.kind == "list":
        return variable.element == "dict"
    return variable.kind == "frame" or (variable.kind == "series" and variable.library == "pandas")


def _empty(query: Query) -> bool:
    return not (
        query.conditions or query.keys or query.aggregates or query.order or query.limit or query.select or query.pick
        or query.chart
    )  # fmt: skip


def _plain(query: Query) -> bool:
    """Whether nothing but columns is asked for: then every other word says that something else is meant."""
    return not (query.conditions or query.keys or query.aggregates or query.order or query.limit or query.pick
                or query.chart or query.distinct)  # fmt: skip


def _match(read: Read, used: set[int], index: Index, plain: bool = False) -> float:
    """The share of the words' weight that the query used. Little words that no clause needed are not held against
    it, others are held against it doubly: they meant something."""
    known = lexicon().single.values()
    total = covered = 0.0
    for position, token in enumerate(read.tokens):
        if position in read.taken:
            continue
        weight = index.weight(token)
        total += weight
        if position in used or token.text.lower() in ("does", "are there", "is there"):
            covered += weight
        elif not plain and token.kind == "word" and token_key(token) not in index.rarity and token.key not in known:
            # A word that no recipe speaks of (placed, everybody) is more often filling than meaning.
            covered += 0.5 * weight
        elif token.weight <= 0.3:
            covered += 0.8 * weight
    done = NOT_DONE if command(read) not in (None, *used) else 1.0
    return done * max(0.0, 1 - (2.5 if plain else 1.6) * (total - covered) / total) if total else 0.0
