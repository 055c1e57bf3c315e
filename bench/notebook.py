"""``famulus bench notebook``: instructions in plain words, through the real kernel; interrupts; rehearsals.

Each instruction is run in a namespace and a folder of its own and judged by a check that is executed there, as is
what had to stay intact. The *blind* half was written before the recipes and is kept from those who write them; the
*fresh* half was written later by someone who had not seen the recipes, is used for development after its first
measurement, and is reported by itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from famulus.bench import notebook_stalls
from famulus.bench.notebook_kernel import Notebook
from famulus.bench.notebook_score import Score, by_kernel, by_recipe
from famulus.bench.notebook_tasks import GROUPS, HALVES, Task, load
from famulus.bench.report import heading, median, percentile, table

PARTS = ("instructions", "interrupt", "rehearsal")
NEARNESS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01))


def scores(tasks: list[Task], seconds: float, *, kernel: bool) -> list[Score]:
    """Every words cell of the tasks, by the recipes alone and, if wanted, by the kernel."""
    alone = {(score.task, score.step): score for score in by_recipe(tasks)}
    if not kernel:
        return list(alone.values())
    found = []
    with Notebook() as notebook:
        for number, task in enumerate(tasks, 1):
            for score in by_kernel(task, notebook, seconds):
                other = alone[score.task, score.step]
                score.similarity, score.recipe_passed = other.similarity, other.recipe_passed
                score.recipe_code, score.recipe_why = other.recipe_code, other.recipe_why
                found.append(score)
            if sys.stderr.isatty():
                print(f"\r{number} of {len(tasks)} tasks", end="", file=sys.stderr, flush=True)
    return found


def by_group(found: list[Score]) -> str:
    """The table of groups and halves."""
    rows: list[tuple[str, list[Score]]] = [(group, [s for s in found if s.group == group]) for group in GROUPS]
    rows += [(f"{half} half", [score for score in found if score.half == half]) for half in HALVES]
    rows.append(("**all**", found))
    columns = ["instructions", "n", "nearest recipe, no model", "first try", "passed", "asked back"]
    columns += ["intact violations", "failed, data changed"]
    return table(columns, [_row(name, chosen) for name, chosen in rows if chosen])


def _row(name: str, chosen: list[Score]) -> list[object]:
    return [
        name,
        len(chosen),
        share(chosen, lambda score: score.recipe_passed),
        share(chosen, lambda score: score.first_try),
        share(chosen, lambda score: score.passed),
        sum(score.asked > 0 for score in chosen),
        sum(bool(score.violations) for score in chosen),
        sum(score.altered and not score.passed for score in chosen),
    ]


def share(chosen: Sequence[Score], good: Callable[[Score], bool]) -> str:
    """How many per cent are good."""
    return f"{sum(map(good, chosen)) / len(chosen):.0%}" if chosen else "-"


def by_nearness(found: list[Score]) -> str:
    """The table by likeness to the nearest phrasing of a recipe."""
    rows = []
    for low, high in NEARNESS:
        chosen = [score for score in found if low <= score.similarity < high]
        if chosen:
            blind = [score for score in chosen if score.blind]
            rows.append([f"{low:g} to {min(high, 1):g}", *_row("", chosen)[1:5], share(blind, lambda s: s.passed)])
    columns = [
        "likeness to the nearest recipe",
        "n",
        "nearest recipe, no model",
        "first try",
        "passed",
        "passed, blind",
    ]
    return table(columns, rows)


def by_source(found: list[Score]) -> str:
    """The table of where the code came from that ran."""
    rows = []
    for source in sorted({score.source for score in found}):
        chosen = [score for score in found if score.source == source]
        rows.append([source or "no code", len(chosen), share(chosen, lambda score: score.passed)])
    return table(["code from", "n", "passed"], rows)


def times(found: list[Score]) -> str:
    """The table of waiting times."""
    ran = [score for score in found if score.code]
    rows = []
    for name, values in (
        ("first sign of life", [score.first for score in ran]),
        ("code visible", [score.code_after for score in ran]),
        ("done", [score.seconds for score in ran]),
    ):
        known = [value for value in values if value == value]
        rows.append([name, f"{median(known):.2f} s", f"{percentile(known, 0.95):.2f} s"])
    return table(["after sending the cell", "median", "p95"], rows)


def sessions(found: list[Score]) -> str:
    """How many whole sessions went right in every step."""
    names = {score.task for score in found if score.group == "sessions"}
    whole = [name for name in names if all(score.passed for score in found if score.task == name)]
    return f"Whole sessions without a failed step: {len(whole)} of {len(names)}." if names else ""


def failures(found: list[Score], *, kernel: bool) -> str:
    """What failed. The blind half is not told."""
    lines = []
    for score in found:
        if score.blind or (score.passed if kernel else score.recipe_passed):
            continue
        code, why = (score.code, score.why) if kernel else (score.recipe_code, score.recipe_why)
        lines.append(f"- {score.task}: *{score.words}* ({why})\n\n      " + code.replace("\n", "\n      "))
    return "\n".join(lines)


def report(found: list[Score], *, kernel: bool, tell: bool) -> str:
    """All tables of the instructions, of the fresh half by themselves."""
    fresh = [score for score in found if score.half == "fresh"]
    others = [score for score in found if score.half != "fresh"]
    parts = [_tables(others, kernel=kernel)] if others else []
    parts += ["**The fresh half**", _tables(fresh, kernel=kernel)] if fresh else []
    parts.append(failures(found, kernel=kernel) if tell else "")
    return "\n\n".join(part for part in parts if part)


def _tables(found: list[Score], *, kernel: bool) -> str:
    parts = [by_group(found), sessions(found) if kernel else "", by_nearness(found)]
    if kernel:
        models = sorted({score.model for score in found if score.model})
        parts += [by_source(found), times(found), f"Model: {', '.join(models) or 'none was asked'}."]
    return "\n\n".join(part for part in parts if part)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench notebook", description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--group", choices=GROUPS, help="only the instructions of this group")
    parser.add_argument("--half", choices=HALVES, help="only this half")
    parser.add_argument("--only", metavar="ID", help="only this task")
    parser.add_argument("--n", type=int, help="only every k-th task, so that about this many are left")
    parser.add_argument("--recipes", action="store_true", help="only the recipes: no kernel, no model, in seconds")
    parser.add_argument("--failures", action="store_true", help="show what failed, but not of the blind half")
    parser.add_argument("--seconds", type=float, default=90.0, help="time for one instruction")
    parser.add_argument("--trials", type=int, default=200, help="interrupts")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every result there")
    options = parser.parse_args(arguments)
    print(heading("famulus bench notebook" + (f" --part {options.part}" if options.part else "")))
    if options.part in (None, "instructions"):
        tasks = chosen(load(), options.group, options.half, options.only, options.n)
        found = scores(tasks, options.seconds, kernel=not options.recipes)
        if options.json:
            options.json.write_text(json.dumps([told(score) for score in found], indent=1, ensure_ascii=False))
        print(report(found, kernel=not options.recipes, tell=options.failures))
    if options.part == "interrupt" or (options.part is None and not options.recipes):
        print("\n" + notebook_stalls.interrupts(options.trials))
    if options.part == "rehearsal" or (options.part is None and not options.recipes):
        print("\n" + notebook_stalls.rehearsals())


def chosen(tasks: list[Task], group: str | None, half: str | None, only: str | None, n: int | None) -> list[Task]:
    """The tasks that the options name. SystemExit if there are none."""
    left = [
        task for task in tasks if group in (None, task.group) and only in (None, task.id) and half in (None, task.half)
    ]
    if not left:
        raise SystemExit("There is no such task.")
    return left[:: max(1, len(left) // n)] if n else left


def told(score: Score) -> dict[str, object]:
    """A score as JSON; of the blind half without its words and code."""
    everything = dataclasses.asdict(score)
    hidden = ("words", "code", "why", "recipe_code", "recipe_why", "violations") if score.blind else ()
    return {key: value for key, value in everything.items() if key not in hidden}


if __name__ == "__main__":
    main()
