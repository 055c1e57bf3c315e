"""What a training run is told: a TOML file, every field with a default."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from famulus.engine.errors import InvalidRequest

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Which linear layers get a low-rank update unless a recipe says otherwise."""

PRECISIONS = ("bf16", "fp32", "int4")
"""In which the frozen base is in memory; in the last one it is computed with in bf16."""


@dataclass(frozen=True)
class Shape:
    """Of the routed experts of a layer. ``active``: how many experts a token shall meet on average."""

    count: int = 16
    width: int = 64
    cap: int = 4
    active: float = 2.6
    scale: float = 1.0


@dataclass(frozen=True)
class LowRankSize:
    """Of the low-rank updates. ``targets``: ends of the names of linear layers. ``rounded``: what a weight and its
    update come to is rounded to 4 bits in every step, as it is when it is served, so that an update learns to be one
    that rounding leaves (Bondarenko et al. 2024)."""

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = TARGETS
    rounded: bool = False


@dataclass(frozen=True)
class Steps:
    """How long and how fast. ``length``: tokens of a sequence; ``batch`` sequences are one step, ``micro`` of them are
    in memory at once.

    The rate rises over ``warmup`` steps and stays ("wsd", falling over the last ``decay`` share of all steps) or falls
    along a cosine ("cosine"). ``z``: weight of the mean square of the router's logits. ``balance``: by how much the
    correction of an expert moves in a step. ``minutes``: ends a run early, the schedule's end is then cut off (0: no
    limit).
    """

    length: int = 1024
    batch: int = 8
    micro: int = 2
    steps: int = 200
    rate: float = 5e-4
    schedule: str = "wsd"
    warmup: int = 20
    decay: float = 0.2
    weight_decay: float = 0.01
    clip: float = 1.0
    z: float = 1e-4
    balance: float = 1e-3
    minutes: float = 0.0
    save_every: int = 100
    recompute: bool = False


@dataclass(frozen=True)
class Shares:
    """What a corpus gives. ``holes`` of a hundred lines of the documents, in prompts of ``budget`` tokens; ``around``:
    what stands around a hole is learned as well. ``passes``: how often every document is taken as it stands; of the
    pairs beside it, how often each kind (0: not at all). A fraction takes as many of them, by chance."""

    holes: float = 3.0
    budget: int = 640
    around: bool = False
    passes: float = 1.0
    notebook: float = 1.0
    edit: float = 1.0
    summary: float = 1.0
    values: float = 1.0
    answers: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A whole run. ``base``: catalog id or path; ``experts``: None for low-rank updates alone; ``fill``: names of
    control tokens that mark prefix, suffix and middle of a hole (and perhaps repository and file), whose rows of the
    embedding are trained."""

    base: str = "famulus-16e"
    seed: int = 0
    device: str = "auto"
    precision: str = "bf16"
    low_rank: LowRankSize = field(default_factory=LowRankSize)
    experts: Shape | None = None
    fill: tuple[str, ...] = ()
    run: Steps = field(default_factory=Steps)
    mix: Shares = field(default_factory=Shares)


def read_recipe(path: Path) -> Recipe:
    """Raises :class:`InvalidRequest` naming the key that is unknown or has a value of another kind."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"The recipe {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The recipe {path} is not valid TOML: {error}.") from error
    recipe: Recipe = _made(Recipe, said, "")
    check(recipe)
    return recipe


_TABLES: dict[str, type[Any]] = {"low_rank": LowRankSize, "experts": Shape, "run": Steps, "mix": Shares}


def _made(kind: type[Any], said: Mapping[str, Any], at: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    given: dict[str, Any] = {}
    for key, value in said.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f" Did you mean {at}{near[0]}?" if near else ""
            raise InvalidRequest(f"The recipe has the unknown key {at}{key}.{hint}")
        if not at and key in _TABLES:
            if not isinstance(value, dict):
                raise InvalidRequest(f"The recipe's {key} is no table.")
            given[key] = _made(_TABLES[key], value, f"{key}.")
            continue
        given[key] = _value(f"{at}{key}", str(fields[key].type), value)
    return kind(**given)


def _value(key: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple"):
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
    elif kind == "float" and type(value) in (int, float):
        return float(value)
    elif kind == type(value).__name__:
        return value
    raise InvalidRequest(f"The recipe's {key} is {str(value)[:50]!r}, which is no {kind}.")


def check(recipe: Recipe) -> None:
    """Raises :class:`InvalidRequest` for numbers that no run can have."""
    run = recipe.run
    wrong = [
        (run.length < 16, f"run.length = {run.length}: at least 16 tokens"),
        (run.steps < 1, f"run.steps = {run.steps}: at least 1"),
        (run.batch < 1 or run.micro < 1 or run.batch % run.micro, "run.batch: a multiple of run.micro"),
        (not 0 < run.rate < 1, f"run.rate = {run.rate}: between 0 and 1"),
        (run.schedule not in ("wsd", "cosine"), f"run.schedule = {run.schedule!r}: wsd or cosine"),
        (not 0 <= run.decay <= 1, f"run.decay = {run.decay}: between 0 and 1"),
        (recipe.low_rank.rank < 1, f"low_rank.rank = {recipe.low_rank.rank}: at least 1"),
        (len(recipe.fill) not in (0, 3, 5), "fill: three names of control tokens, five, or none"),
        (recipe.precision not in PRECISIONS, f"precision = {recipe.precision!r}: {', '.join(PRECISIONS)}"),
    ]
    if recipe.experts is not None:
        e = recipe.experts
        wrong.append((not 1 <= e.cap <= e.count, f"experts.cap = {e.cap}: between 1 and experts.count"))
        wrong.append((not 0 < e.active <= e.cap, f"experts.active = {e.active}: above 0, at most experts.cap"))
        wrong.append((e.width % 32 != 0 or e.width < 32, f"experts.width = {e.width}: a multiple of 32"))
    for is_wrong, what in wrong:
        if is_wrong:
            raise InvalidRequest(f"The recipe cannot be run: {what}.")
