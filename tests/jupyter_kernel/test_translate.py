"""Which source answers, what is tried, what runs by itself and what is only shown. The model here says what it is
told to say; the copies are namespaces of this process."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from famulus.jupyter_kernel.candidate import Rehearsal
from famulus.jupyter_kernel.context import Context
from famulus.jupyter_kernel.errors import NotUnderstood
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.model import About, Request, Written
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.translate import GOOD_MATCH, Translation, translate

STRANGE = "what would the fjords have earned had every parrot paid"


@dataclass
class Scripted:
    """A model with answers of its own; ``asked`` keeps every request."""

    answers: tuple[str, ...] = ()
    parameters: int = 135_000_000
    trouble: str = ""
    seed: int | None = 7
    asked: list[Request] = field(default_factory=list)
    ready: bool = True
    told: Context | None = None

    @property
    def about(self) -> About:
        return About("scripted", self.parameters, 8192)

    def begin(self, seconds: float = 0.0) -> None:
        pass

    async def connect(self) -> bool:
        return not self.trouble

    async def write(self, request: Request, n: int = 8, on_text: Any = lambda _text: None) -> list[Written]:
        self.asked.append(request)
        for answer in self.answers[:1]:
            on_text(answer)
        return [Written(answer) for answer in self.answers[:n]]

    async def score(self, text: str, codes: Sequence[str]) -> list[float | None]:
        return [-2.0 if text.endswith("# Task: cell\n") else -1.0 for _ in codes]


class Copies:
    """Rehearses in a copy of a namespace."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    async def rehearse(self, code: str, *, seconds: float = 10.0) -> Rehearsal:
        before = copy.deepcopy({k: v for k, v in self.namespace.items() if k != "pd"})
        scope = {**copy.deepcopy(before), "pd": pd}
        kept = dict(scope)
        value = None
        try:
            tree = ast.parse(code)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(tree, "<cell>", "exec"), scope)
                if isinstance(last, ast.Expr):
                    value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), scope)
        except Exception as error:
            return Rehearsal("error", error=type(error).__name__, message=str(error))
        names = [name for name in scope if name not in ("__builtins__", "pd")]
        return Rehearsal(
            "ok",
            bound=tuple(name for name in names if name not in before),
            rebound=tuple(name for name in names if name in before and scope[name] is not kept[name]),
            changed=tuple(n for n in before if n in scope and repr(scope[n]) != repr(before[n])),
            value=None if value is None else repr(value),
            stdout=out.getvalue(),
        )


@dataclass
class Watching:
    """A panel that keeps what it is told."""

    stages: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    attempts: list[tuple[Attempt, str]] = field(default_factory=list)

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def writing(self, code: str) -> None:
        self.written.append(code)

    def attempt(self, attempt: Attempt, objection: str) -> None:
        self.attempts.append((attempt, objection))


def namespace() -> dict[str, Any]:
    return {"sales": pd.DataFrame({"city": ["Oslo", "Rome"], "price": [12, 8]}), "nums": [3, 4], "pd": pd}


def found(words: str, model: Scripted | None = None, watcher: Watching | None = None, **options: Any) -> Translation:
    live = namespace()
    return asyncio.run(
        translate(words, look(live), Copies(live), watcher or Watching(), model=model, **options)
    )  # fmt: skip


def test_a_recipe_that_fits_is_not_waited_for() -> None:
    model = Scripted(("sales['price'].max()",))
    best = found("mean price per city in sales", model)
    assert best.best.candidate.source == "recipe" and not best.guess
    assert model.asked == []


def test_what_no_recipe_knows_is_asked_of_the_model_and_shown_as_it_writes() -> None:
    model, watcher = Scripted(("sales['price'].sum() * 2",) * 3), Watching()
    best = found(STRANGE, model, watcher)
    assert best.best.candidate.code == "sales['price'].sum() * 2" and best.best.candidate.source == "model"
    assert best.model == "scripted" and best.seed == 7
    assert watcher.written == ["sales['price'].sum() * 2"]


def test_what_a_small_model_wrote_is_shown_and_not_run() -> None:
    answers = ("sales['price'].sum() * 2",) * 4
    assert found(STRANGE, Scripted(answers)).guess, "however often it came to it"
    assert found(STRANGE, Scripted(answers, parameters=7_000_000_000)).guess == ""


FAIRLY = "mean price per city of the parrots"


def test_a_small_model_is_not_asked_where_a_recipe_fits_fairly_well() -> None:
    small, large = (Scripted(("sales['price'].max()",), parameters=size) for size in (135_000_000, 7_000_000_000))
    best = found(FAIRLY, small)
    assert best.best.candidate.source == "recipe" and best.best.candidate.match < GOOD_MATCH
    assert small.asked == [] and best.model == "" and best.note == ""
    found(FAIRLY, large)
    assert large.asked, "a large one is"


def test_a_guess_that_leaves_out_what_the_words_name_is_not_run() -> None:
    assert found(f"{STRANGE} 17 'krill'", Scripted(("sales['price'].sum() * 2",) * 4)).guess


@pytest.mark.parametrize("code", ["sales = sales.head(1)", "sales['price'] = 0", "nums.append(9)", "nums.clear()"])
def test_a_model_changes_nothing_unasked(code: str) -> None:
    watcher = Watching()
    try:
        best = found(STRANGE, Scripted((code,) * 4), watcher)
    except NotUnderstood:
        return
    assert best.best.candidate.code != code
    assert not {*best.best.rehearsal.changed, *best.best.rehearsal.rebound}  # type: ignore[union-attr]


def test_without_anything_that_fits_the_nearest_is_named() -> None:
    with pytest.raises(NotUnderstood, match="closest: “"):
        found(STRANGE)
    with pytest.raises(NotUnderstood, match="no help: no engine"):
        found(STRANGE, Scripted(trouble="no engine"))


def test_a_model_in_trouble_is_noted_and_the_recipes_go_on() -> None:
    best = found(FAIRLY, Scripted(trouble="it is frozen"))
    assert best.best.candidate.source == "recipe"


def test_what_fails_is_repaired_and_every_try_is_told() -> None:
    watcher = Watching()
    best = found(STRANGE, Scripted(("sales['Price'].sum() * 3",) * 3), watcher)
    assert best.best.candidate.code == "sales['price'].sum() * 3" and best.best.candidate.source == "repair"
    assert any("KeyError" in objection for _, objection in watcher.attempts)


def test_what_was_avoided_is_not_tried_again() -> None:
    first = found("mean price per city in sales").best.candidate.code
    tried = [a.candidate.code for a in found("mean price per city in sales", avoided={first}).attempts]
    assert first not in tried
