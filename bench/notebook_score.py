"""Scores of instructions: by a real kernel, and by the nearest recipe alone, without kernel or model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from famulus.bench.notebook_direct import order, verdicts
from famulus.bench.notebook_kernel import KernelLost, Notebook, Ran, Verdict
from famulus.bench.notebook_tasks import Task
from famulus.jupyter_kernel import recipe


@dataclass
class Score:
    """One words cell. Times are seconds; ``first_try``: the first code that was thought of is the one that passed;
    ``altered``: names that the words are about have changed."""

    task: str
    step: int
    group: str
    half: str
    words: str
    passed: bool = False
    first_try: bool = False
    why: str = ""
    violations: list[str] = field(default_factory=list)
    altered: bool = False
    code: str = ""
    source: str = ""
    recipe: str = ""
    model: str = ""
    attempts: int = 0
    asked: int = 0
    seconds: float = float("nan")
    first: float = float("nan")
    code_after: float = float("nan")
    similarity: float = 0.0
    recipe_passed: bool = False
    recipe_code: str = ""
    recipe_why: str = ""

    @property
    def blind(self) -> bool:
        """Whether its words and code are not told."""
        return self.half == "blind"


def by_kernel(task: Task, notebook: Notebook, seconds: float) -> list[Score]:
    """Runs a task in the kernel. After a words cell that failed, its session goes on as if it had not."""
    scores = []
    notebook.prepare(task.setup)
    for at, step in enumerate(task.steps):
        if not step.words:
            notebook.python(step.python)
            continue
        score = Score(task.id, at, task.group, task.half, step.words)
        try:
            ran = notebook.watched(step, seconds)
            verdict = notebook.judge(step)
        except KernelLost as error:
            notebook.restart()
            ran, verdict = Ran("died", str(error)), Verdict("", [], False)
        _fill(score, ran, verdict)
        scores.append(score)
        done = score.passed and not verdict.violations and (verdict.altered or not step.changes)
        if not done and at + 1 < len(task.steps):
            _replay(task, at, notebook)
    return scores


def _fill(score: Score, ran: Ran, verdict: Verdict) -> None:
    tried = ran.record.get("attempts", [])
    score.why = f"{ran.status}: {ran.error}" if ran.status != "ok" else verdict.why
    score.passed = not score.why
    score.violations, score.altered = verdict.violations, verdict.altered
    score.code, score.source = ran.record.get("code", ""), ran.record.get("source", "")
    score.recipe, score.model = ran.record.get("recipe", ""), ran.record.get("model", "")
    score.attempts, score.asked = len(tried), ran.asked
    score.first_try = score.passed and bool(tried) and tried[0]["code"] == score.code
    score.seconds, score.first, score.code_after = ran.seconds, ran.first, ran.code_after


def _replay(task: Task, at: int, notebook: Notebook) -> None:
    """The session up to and with the step ``at``, by the references."""
    notebook.prepare(task.setup)
    for step in task.steps[: at + 1]:
        notebook.python(step.reference or step.python)


def by_recipe(tasks: Iterable[Task]) -> Iterator[Score]:
    """What the first proposal of the recipes does: names filled in, nothing rehearsed, no model asked."""
    said = phrasings()
    cases = [(task, at, step) for task in tasks for at, step in enumerate(task.steps) if step.words]
    replies = verdicts(order(task, at) for task, at, _step in cases)
    for (task, at, step), reply in zip(cases, replies, strict=True):
        score = Score(task.id, at, task.group, task.half, step.words)
        score.similarity = similarity(step.words, task, said)
        score.recipe_why, score.recipe_code = reply["why"][at] or "", reply["code"]
        score.recipe_passed = not score.recipe_why
        yield score


def phrasings() -> list[frozenset[str]]:
    """The words of all phrasings of all recipes, without the slots."""
    return [bag(re.sub(r"\{\w+\}", " ", say)) for one in recipe.load() for say in one.say]


def similarity(words: str, task: Task, said: list[frozenset[str]]) -> float:
    """How like the nearest phrasing an instruction is, 0-1: the Dice coefficient of their words.

    Names and numbers of the task's own count no more than slots do.
    """
    names = set(re.findall(r"\w+", (task.setup + " ".join(step.python for step in task.steps)).lower()))
    mine = frozenset(word for word in bag(words) if word not in names and not word[0].isdigit())
    return max((2 * len(mine & other) / (len(mine) + len(other)) for other in said if mine or other), default=0.0)


def bag(text: str) -> frozenset[str]:
    """The words of a text in lower case; pairs of characters for Chinese."""
    text = text.lower()
    chinese = re.findall(r"[\u4e00-\u9fff]+", text)
    pairs = {run[i : i + 2] for run in chinese for i in range(max(1, len(run) - 1))}
    return frozenset(pairs | set(re.findall(r"[a-z_0-9.]*[a-z_0-9]", text)))
