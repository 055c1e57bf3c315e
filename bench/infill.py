"""``famulus bench infill``: hide one line of a real function, ask for it back, and compare ways of asking.

The lines come from the standard library, which the model has seen: the rows of one table can be compared with each
other, not with other people's tables. *Equal*: the same line but for white space. *Same code*: the same syntax tree
where the line parses alone. The ways: the bare prefix; with the cut-back last word (token healing); with the following
lines shown as a comment (what the engine does); and the best of six candidates by the likelihood of the three
lines after the cursor.
"""

from __future__ import annotations

import argparse
import ast
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.bench.report import heading, median, table
from famulus.bench.typist import MODULES
from famulus.engine.client import Client, connect, infill

CANDIDATES = 5
"""Sampled candidates beside the greedy one."""


@dataclass(frozen=True)
class Hole:
    """A hidden line: everything before it (with its indentation), the line, everything after."""

    before: str
    line: str
    after: str
    path: str


def holes(count: int, seed: int) -> list[Hole]:
    """Lines of function bodies that say something: 10 to 80 characters, not a comment, not the first of a string."""
    found = []
    for module in MODULES:
        path = Path(ast.__file__).parent / f"{module}.py"
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            for statement in node.body:
                at = statement.lineno - 1
                simple = isinstance(statement, ast.Assign | ast.Return | ast.AugAssign | ast.Raise)
                if not simple or statement.end_lineno != statement.lineno or at + 1 >= (node.end_lineno or 0):
                    continue
                line = lines[at].strip()
                if 10 <= len(line) <= 80:
                    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
                    found.append(Hole("".join(lines[:at]) + indent, line, "".join(lines[at + 1 :]), path.name))
    return random.Random(seed).sample(found, count)


def bare(client: Client, hole: Hole) -> str:
    """The prefix as it stands."""
    return client.generate(hole.before[-3000:], max_tokens=32, stop=["\n"]).read()


def healed(client: Client, hole: Hole) -> str:
    """The engine's infilling without what follows."""
    return client.generate(infill(hole.before, path=hole.path, language="python"), max_tokens=32).read()


def shown(client: Client, hole: Hole) -> str:
    """The engine's infilling."""
    asked = infill(hole.before, "\n" + hole.after, path=hole.path, language="python")
    return client.generate(asked, max_tokens=32).read()


def ranked(client: Client, hole: Hole) -> str:
    """Greedy and sampled candidates, the one after which the next three lines are likeliest."""
    asked = infill(hole.before, "\n" + hole.after, path=hole.path, language="python")
    greedy = shown(client, hole)
    sampled = [client.generate(asked, max_tokens=32, temperature=0.8, seed=seed).read() for seed in range(CANDIDATES)]
    following = "\n" + "".join(hole.after.splitlines(keepends=True)[:3])
    best, best_score = greedy, float("-inf")
    for line in dict.fromkeys(c for c in [greedy, *sampled] if c.strip()):
        scores = client.score(hole.before[-3000:], line + following)
        score = sum(s.logprob or 0.0 for s in scores) / max(1, len(scores))
        if score > best_score:
            best, best_score = line, score
    return best


WAYS: dict[str, Callable[[Client, Hole], str]] = {
    "bare prefix": bare,
    "healed": healed,
    "healed, suffix as comment": shown,
    "best of six": ranked,
}


def same_code(a: str, b: str) -> bool:
    """Equal but for layout."""
    try:
        return ast.dump(ast.parse(a.strip())) == ast.dump(ast.parse(b.strip()))
    except SyntaxError:
        return a.split() == b.split()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench infill", description=__doc__)
    parser.add_argument("--holes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(heading(f"famulus bench infill --holes {options.holes} --seed {options.seed}"))
    chosen = holes(options.holes, options.seed)
    rows = []
    with connect() as client:
        for name, ask in WAYS.items():
            answers = [ask(client, hole) for hole in chosen]
            right = sum(same_code(a, h.line) for a, h in zip(answers, chosen, strict=True))
            empty = sum(not a.strip() for a in answers)
            length = median([float(len(a.strip())) for a in answers])
            rows.append([name, f"{right} of {len(chosen)}", empty, f"{length:.0f}"])
    print(table(["way", "same code", "empty", "characters, median"], rows))


if __name__ == "__main__":
    main()
