"""``python -m famulus.bench.notebook_pairs INTO``: cells and their instructions to train on, run and checked.

The grammar is that of the recipes: a phrasing with its slots filled, over data with other names each time. The example
of a recipe brings data and a check; variables, columns and words are renamed alike in all of them, so that what is true
of the example must be true of its variant. A part follows another cell, over data of its own; a part is a cell that
failed with its error, and the cell corrected. Split
by recipe: no instruction that is measured on was learned in other words.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import importlib
import io
import json
import lzma
import multiprocessing
import os
import random
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from famulus.jupyter_kernel import finish, prompt, recipe, slots
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.recipe import Recipe
from famulus.jupyter_kernel.retrieve import Index
from famulus.jupyter_kernel.schema import Schema

BUDGET = 600
"""Tokens of context, as the kernel asks for."""
REPAIRS = 0.12
"""Share of the pairs that correct a cell."""
TURNS = 0.2
"""Share of the pairs that follow another cell, about other data of the same notebook."""

VARIABLES = (
    "df data sales orders table people items stats log events visits users staff trips rates weather scores "
    "records rows frame sample measured stock prices inventory readings grades payments tickets flights books "
    "movies songs plants sensors cells tests runs daily monthly raw clean left right first second current previous"
)
"""Names that variables get."""

COLUMNS = (
    "city region country team branch store shop product item brand category kind status name title author owner "
    "customer client price cost amount revenue profit margin quantity units weight height width depth age score grade "
    "points rating votes views clicks visits hours minutes duration distance speed temperature pressure humidity level "
    "salary bonus budget tax discount balance debt population area volume start_date end_date "
    "created updated shipped ordered department role sex label segment channel source target lat lon alt"
)
"""Names that columns and keys get."""

SPLITS = ("train", "validation", "held-out")

_CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Pair:
    """``text`` is what the kernel would have the model continue. ``setup`` makes the data; ``check``: expressions that
    are true when the cell was run, each with the imports that it needs; ``plot``: they look at axes."""

    text: str
    answer: str
    recipe: str
    setup: str
    check: tuple[tuple[str, str], ...]
    plot: bool

    def told(self, split: str) -> dict[str, object]:
        """What is written down; how a cell is judged is not learned."""
        left = ("setup", "check", "plot") if split == "train" else ()
        return {name: value for name, value in vars(self).items() if name not in left}


def pairs(made: Recipe, count: int, chance: random.Random, others: Sequence[Recipe] = ()) -> Iterator[Pair]:
    """Up to ``count`` different pairs of one recipe; cells that do not do what the check says are left out. ``others``:
    recipes whose cells may have been run before."""
    seen: set[str] = set()
    alone = Index([made])
    for attempt in range(2 * count):
        found = variant(made, alone, chance, others, plain=attempt == 0)
        if found is None:
            if attempt == 0:
                return
        elif found.text not in seen:
            seen.add(found.text)
            yield found
            if len(seen) == count:
                return


def variant(made: Recipe, alone: Index, chance: random.Random, others: Sequence[Recipe], plain: bool) -> Pair | None:
    """One pair under other names (``plain``: under those of the example), None where it does not come true."""
    texts = [made.example["setup"], made.example["words"], made.example["check"]]
    if not plain:
        texts = renamed(texts, made, chance)
    setup, words, check = texts
    recent: tuple[str, ...] = ()
    if others and not plain and chance.random() < TURNS:
        recent = earlier(chance.choice(others), chance)
    setup = "\n".join([*recent, setup])
    space: dict[str, object] = {"__name__": "__main__"}
    try:
        run(finish.with_imports(setup, Schema()), space)
        schema = seen(space)
        own = [c for c in slots.propose(words, schema, 99, alone) if c.recipe == made.id]
        if not own or not holds(own[0].code, check, made, space):
            return None
    except Exception:  # any error of any library: the variant makes no sense
        return None
    code = prompt.without_imports(own[0].code)
    chinese = chance.random() < 0.35
    says = [say for say in made.say if bool(_CHINESE.search(say)) == chinese]
    said = (spoken(made, own[0].code, chance.choice(says)) if says and chance.random() < 0.8 else "") or words
    if not code:
        return None
    asked = prompt.build(said, schema, (), alone, recent=recent, budget=BUDGET)
    text = asked.asking(said)
    if chance.random() < REPAIRS:
        broken = misspelt(code, chance)
        error = error_of(broken, setup) if broken else ""
        if error:
            text = prompt.repairing(text, broken, error)
    checks = tuple((finish.with_imports(line, Schema()).removesuffix(line), line) for line in expressions(check))
    return Pair(text, code + "\n\n", made.id, finish.with_imports(setup, Schema()), checks, made.gives == "plot")


def earlier(made: Recipe, chance: random.Random) -> tuple[str, ...]:
    """The cells of a turn before: data and what was done with it, run; none where that does not come true."""
    setup, words, check = renamed([made.example["setup"], made.example["words"], made.example["check"]], made, chance)
    space: dict[str, object] = {"__name__": "__main__"}
    try:
        run(finish.with_imports(setup, Schema()), space)
        own = [c for c in slots.propose(words, seen(space), 99, Index([made])) if c.recipe == made.id]
        return (setup, own[0].code) if own and holds(own[0].code, check, made, space) else ()
    except Exception:  # any error of any library
        return ()


def seen(space: dict[str, object]) -> Schema:
    """What the kernel would see of a namespace."""
    return look({name: value for name, value in space.items() if name != "__builtins__"})


def renamed(texts: list[str], made: Recipe, chance: random.Random) -> list[str]:
    """The texts with variables and columns of the setup renamed alike. Names that also stand for something else (an
    attribute, an argument, a word of the template) keep theirs."""
    setup = texts[0]
    try:
        tree = ast.parse(setup)
    except SyntaxError:
        return texts
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    keys = {
        k.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Dict)
        for k in n.keys
        if isinstance(k, ast.Constant) and isinstance(k.value, str) and k.value.isidentifier()
    }
    everything = "\n".join([*texts, made.code])
    fixed = set(re.findall(r"\.(\w+)", everything)) | set(re.findall(r"(\w+)\s*=[^=]", made.code + texts[2]))
    mapping: dict[str, str] = {}
    for names, pool in ((bound, VARIABLES.split()), (keys - bound, COLUMNS.split())):
        for name in sorted(names - fixed):
            free = [p for p in pool if p not in mapping.values() and not re.search(rf"\b{p}\b", everything)]
            if free and len(name) > 1 and chance.random() < 0.9:
                mapping[name] = chance.choice(free)
    if not mapping:
        return texts
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, mapping)) + r")\b")
    return [pattern.sub(lambda found: mapping[found[1]], text) for text in texts]


def spoken(made: Recipe, code: str, say: str) -> str:
    """A phrasing with what ``code`` has in its slots, "" where a slot cannot be read back."""
    one = Recipe(made.id, made.library, (say,), made.slots, made.code, made.gives, made.example)
    return prompt.phrase(one, code, bool(_CHINESE.search(say)))


def holds(code: str, check: str, made: Recipe, space: dict[str, object]) -> bool:
    """Whether ``code`` does what the example's check says."""
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            space["result"] = run(code, space)
        space["stdout"] = out.getvalue()
        if made.gives == "plot":
            space["ax"] = importlib.import_module("matplotlib.pyplot").gca()
        for line in expressions(check):
            exec(finish.with_imports(line, Schema()).removesuffix(line), space)
            if not eval(line, space):
                return False
    finally:
        if made.gives == "plot":
            importlib.import_module("matplotlib.pyplot").close("all")
    return True


def expressions(check: str) -> list[str]:
    """The lines of a check."""
    return [ast.unparse(node) for node in ast.parse(check).body]


def run(code: str, space: dict[str, object]) -> object:
    """Runs a cell; the value of its last expression, else of what it bound last."""
    body = ast.parse(code).body
    last = body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(code, "<cell>", "exec"), space)
        if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
            return space[last.targets[0].id]
        return None
    exec(compile(ast.Module(body[:-1], []), "<cell>", "exec"), space)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)


def misspelt(code: str, chance: random.Random) -> str:
    """The cell with one text or name spelt wrong, as a small model does; "" where there is none."""
    words = sorted(set(re.findall(r"[A-Za-z_]\w{3,}", code)))
    if not words:
        return ""
    word = chance.choice(words)
    at = chance.randrange(1, len(word))
    wrong = word[:at] + word[at + 1 :] if chance.random() < 0.5 else word + "s"
    return re.sub(rf"\b{re.escape(word)}\b", wrong, code)


def error_of(code: str, setup: str) -> str:
    """What a cell really fails with over the data of ``setup``, "" where it does not."""
    space: dict[str, object] = {"__name__": "__main__"}
    try:
        run(finish.with_imports(setup, Schema()), space)
        with contextlib.redirect_stdout(io.StringIO()):
            run(finish.with_imports(code, Schema()), space)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def split_of(made: Recipe) -> str:
    """Of every hundred recipes five are held out and three validate."""
    place = zlib.crc32(made.id.encode()) % 100
    return "held-out" if place < 5 else "validation" if place < 8 else "train"


def made_once(made: Recipe, others: Sequence[Recipe], count: int, folder: Path) -> Path:
    """The file with the pairs of one recipe, made if it is not there: a run that was cut goes on."""
    said = hashlib.sha256(f"{made!r} {others!r} {count} {REPAIRS} {TURNS}".encode()).hexdigest()
    path = folder / f"{said[:24]}.jsonl"
    if not path.is_file():
        split = split_of(made)
        with contextlib.redirect_stdout(io.StringIO()):  # cells print
            told = [p.told(split) for p in pairs(made, count, random.Random(made.id), others)]
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in told), encoding="utf-8")
        os.replace(draft, path)
    return path


def _settle(folder: str) -> None:
    """A process of the pool: cells write their files into a folder of its own."""
    importlib.import_module("matplotlib").use("agg")
    os.chdir(tempfile.mkdtemp(dir=folder))


def main() -> None:
    """Writes ``pairs-notebook.SPLIT.jsonl.xz`` and says how many recipes gave how many pairs."""
    parser = argparse.ArgumentParser(prog="python -m famulus.bench.notebook_pairs", description=__doc__)
    parser.add_argument("into", type=Path)
    parser.add_argument("--count", type=int, default=70, help="pairs of a recipe, at most")
    parser.add_argument("--recipes", type=int, default=0, help="only so many recipes (0: all)")
    parser.add_argument("--split", choices=SPLITS, help="only the recipes of this one")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    said = parser.parse_args()
    into, totals, silent = said.into.resolve(), dict.fromkeys([said.split] if said.split else SPLITS, 0), 0
    parts = into / "parts-notebook"
    parts.mkdir(parents=True, exist_ok=True)
    recipes = [made for made in recipe.load() if split_of(made) in totals]
    quiet = {split: [r for r in recipes if split_of(r) == split and r.gives != "plot"] for split in totals}
    if said.recipes:
        recipes = random.Random(0).sample(recipes, said.recipes)
    with contextlib.ExitStack() as stack:
        files = {
            split: stack.enter_context(lzma.open(into / f"pairs-notebook.{split}.jsonl.xz", "wt", encoding="utf-8"))
            for split in totals
        }
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        spawn = multiprocessing.get_context("spawn")  # libraries with threads do not survive a fork
        pool = stack.enter_context(ProcessPoolExecutor(said.workers, spawn, _settle, (scratch,)))
        before = [random.Random(made.id).sample(quiet[split_of(made)], 4) for made in recipes]
        done = pool.map(made_once, recipes, before, [said.count] * len(recipes), [parts] * len(recipes))
        for made, path in zip(recipes, done, strict=True):
            text = path.read_text(encoding="utf-8")
            silent += not text
            totals[split_of(made)] += text.count("\n")
            files[split_of(made)].write(text)
    shutil.rmtree(parts)
    print(json.dumps({**totals, "recipes without pairs": silent}))


if __name__ == "__main__":
    main()
