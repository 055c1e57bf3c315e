"""Whether the arguments of a call fit the parameters of a function, as ``inspect.Signature.bind`` would say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from famulus.lsp_server.review.index.facts import (
    DOUBLE_STAR,
    KEYWORD_ONLY,
    POSITIONAL,
    POSITIONAL_ONLY,
    STAR,
    Parameter,
    Shape,
)

TroubleKind = Literal["unknown-keyword", "missing-argument", "too-many-arguments", "positional-only", "given-twice"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a call does not fit: about which parameter, or how many positional arguments were given and are taken."""

    kind: TroubleKind
    name: str = ""
    given: int = 0
    taken: int = 0


def bind(parameters: Sequence[Parameter], shape: Shape) -> Trouble | None:
    """The first reason why the call cannot succeed, whatever ``*`` and ``**`` bring; None if it can."""
    return next(troubles(parameters, shape), None)


def troubles(parameters: Sequence[Parameter], shape: Shape) -> Iterator[Trouble]:
    """All reasons why a call of this shape fails."""
    by_position = [p for p in parameters if p.kind in (POSITIONAL_ONLY, POSITIONAL)]
    swallows = any(p.kind == DOUBLE_STAR for p in parameters)
    named = {p.name: p for p in parameters if p.kind in (POSITIONAL, KEYWORD_ONLY)}
    only = {p.name for p in parameters if p.kind == POSITIONAL_ONLY}
    if shape.positional > len(by_position) and not any(p.kind == STAR for p in parameters):
        yield Trouble("too-many-arguments", given=shape.positional, taken=len(by_position))
    filled = {p.name for p in by_position[: shape.positional]}
    for keyword in shape.keywords:
        if keyword in named:
            if keyword in filled:
                yield Trouble("given-twice", keyword)
        elif not swallows:
            yield Trouble("positional-only" if keyword in only else "unknown-keyword", keyword)
    yield from _missing(by_position, parameters, shape)


def _missing(by_position: Sequence[Parameter], parameters: Sequence[Parameter], shape: Shape) -> Iterator[Trouble]:
    """Parameters that no argument fills. ``*`` fills all behind the last positional argument, unless a later one is
    named: then what it brings would meet that name."""
    keywords = set(shape.keywords)
    for index, parameter in enumerate(by_position):
        if index < shape.positional or not parameter.needed:
            continue
        if parameter.kind == POSITIONAL and (parameter.name in keywords or shape.double_star):
            continue
        earlier = by_position[shape.positional : index]
        blocked = any(p.kind == POSITIONAL and p.name in keywords for p in earlier)
        if shape.star and not blocked:
            continue
        yield Trouble("missing-argument", parameter.name)
    for parameter in parameters:
        named = parameter.name in keywords or shape.double_star
        if parameter.kind == KEYWORD_ONLY and parameter.needed and not named:
            yield Trouble("missing-argument", parameter.name)


def without_first(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """What is left for the caller when the receiver fills the first position."""
    if parameters and parameters[0].kind in (POSITIONAL_ONLY, POSITIONAL):
        return tuple(parameters[1:])
    return tuple(parameters)


def after_partial(parameters: Sequence[Parameter], positional: int, keywords: Sequence[str]) -> tuple[Parameter, ...]:
    """What ``functools.partial`` leaves: filled positions are gone, filled names (and all behind them) need a name."""
    left: list[Parameter] = []
    named = False
    for index, p in enumerate(parameters):
        if p.kind in (POSITIONAL_ONLY, POSITIONAL) and index < positional:
            continue
        if p.kind in (POSITIONAL, KEYWORD_ONLY) and p.name in keywords:
            named = True
            left.append(Parameter(p.name, KEYWORD_ONLY, p.default or "...", p.annotation))
        elif named and p.kind == POSITIONAL:
            left.append(Parameter(p.name, KEYWORD_ONLY, p.default, p.annotation))
        elif not (named and p.kind == STAR):
            left.append(p)
    return tuple(left)


def spelled(parameters: Sequence[Parameter]) -> str:
    """The parameters as a person writes them, without annotations: ``net, *, rate=0.2``."""
    words: list[str] = []
    for index, p in enumerate(parameters):
        if p.kind != POSITIONAL_ONLY and index and parameters[index - 1].kind == POSITIONAL_ONLY:
            words.append("/")
        if p.kind == KEYWORD_ONLY and not any(q.kind in (STAR, KEYWORD_ONLY) for q in parameters[:index]):
            words.append("*")
        mark = {STAR: "*", DOUBLE_STAR: "**"}.get(p.kind, "")
        words.append(mark + p.name + ("" if p.default is None else f"={p.default}"))
    if parameters and parameters[-1].kind == POSITIONAL_ONLY:
        words.append("/")
    return ", ".join(words)
