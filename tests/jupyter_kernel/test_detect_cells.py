"""Real code stays Python, and so does code with a mistake: cells taken from what is installed here, then broken."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import json
import random
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from zlib import crc32

import pytest

from famulus.jupyter_kernel.detect import read

DATA = Path(__file__).with_name("data")
MAGICS = frozenset((DATA / "magics.txt").read_text().split())
FOLDERS = (
    "pandas/core",
    "numpy/lib",
    "numpy/_core",
    "matplotlib",
    "networkx/algorithms",
    "polars",
    "papermill",
    "ipywidgets",
)
STANDARD = "textwrap statistics random csv json collections datetime heapq bisect argparse difflib fractions functools "
STANDARD += "pathlib shutil string turtle calendar decimal itertools sqlite3 asyncio logging unittest zipfile tkinter"
CELLS = 2000


def sources(rng: random.Random, part: int) -> Iterator[str]:
    """Texts of modules of the standard library and of installed packages, in the order of the dice.

    The weights of the classifier were fitted on cells of the files of part 1; the tests read those of part 0.
    """
    files: list[Path] = []
    for name in STANDARD.split():
        found = importlib.util.find_spec(name)
        if found and found.origin and found.origin.endswith(".py"):
            place = Path(found.origin)
            files += sorted(place.parent.rglob("*.py"))[:25] if found.submodule_search_locations else [place]
    for folder in FOLDERS:
        package, _, rest = folder.partition("/")
        found = importlib.util.find_spec(package)
        if found and found.submodule_search_locations:
            files += sorted((Path(found.submodule_search_locations[0]) / rest).rglob("*.py"))
    files = [file for file in files if crc32(file.name.encode()) % 2 == part]
    rng.shuffle(files)
    for file in files:
        text = file.read_text(encoding="utf-8", errors="ignore")
        if 500 < len(text) < 120_000:
            yield text


def examples(docstring: str, rng: random.Random) -> Iterator[str]:
    """The examples of a docstring, one by one or a few together, as they would stand in cells."""
    try:
        found = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return
    while found:
        take = rng.choice((1, 1, 1, 2, 3, 5))
        yield "".join(example.source for example in found[:take]).rstrip("\n")
        found = found[take:]


def blocks(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Examples, short functions and rows of statements of one module, each with its kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    lines = text.split("\n")

    def source(first: ast.stmt, last: ast.stmt) -> str:
        start = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", []))])
        return textwrap.dedent("\n".join(lines[start - 1 : last.end_lineno]))

    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            body = node.body
            for example in examples(ast.get_docstring(node) or "", rng):
                yield "example", example
            if isinstance(node, ast.FunctionDef) and node.end_lineno and 2 < node.end_lineno - node.lineno < 30:
                yield "function", source(node, node)
            i = 0
            while i < len(body):
                take = rng.choice((1, 2, 3, 4, 6))
                part = source(body[i], body[min(len(body), i + take) - 1])
                if part.count("\n") < 40:
                    yield "statements", part
                i += take


def notebooks() -> Iterator[str]:
    """The code cells of the notebooks that installed packages bring along."""
    for package in ("papermill", "nbclient", "nbconvert", "networkx"):
        found = importlib.util.find_spec(package)
        for folder in found.submodule_search_locations or () if found else ():
            for file in sorted(Path(folder).rglob("*.ipynb")):
                try:
                    notebook = json.loads(file.read_text(encoding="utf-8"))
                    if notebook["metadata"]["kernelspec"]["language"] == "python":
                        codes = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
                        yield from (code for code in codes if parses(code) or code.startswith(("%", "!")))
                except (KeyError, ValueError):
                    continue


def hand_written() -> list[str]:
    """Cells as people type them into notebooks, English and Chinese."""
    lines = (DATA / "cells.txt").read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines]


def parses(code: str) -> bool:
    try:
        compile(code, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


@cache
def real_cells(seed: int = 1, count: int = CELLS, part: int = 0) -> list[str]:
    """Distinct cells that a person wrote: examples, statements, functions, notebook cells, some with magics."""
    rng = random.Random(seed)
    wanted = Counter(example=count * 45 // 100, statements=count * 38 // 100, function=count * 18 // 100)
    cells: dict[str, None] = dict.fromkeys([*hand_written(), *notebooks()])
    magic = (
        "%matplotlib inline\n{}",
        "%%time\n{}",
        "{}\n!ls -l",
        "files = !ls\n{}",
        "{}\n%timeit f(x)",
        "%load_ext x\n{}",
    )
    for text in sources(rng, part):
        try:
            found = list(blocks(text, rng))
        except (SyntaxError, ValueError):
            continue
        rng.shuffle(found)
        share = Counter[str]()
        for kind, cell in found:
            if wanted[kind] > 0 and share[kind] < 25 and cell.strip() and cell not in cells and parses(cell):
                wanted[kind] -= 1
                share[kind] += 1
                cells[cell if rng.random() > 0.04 else rng.choice(magic).format(cell)] = None
        if not any(wanted[kind] > 0 for kind in ("example", "statements", "function")):
            break
    return list(cells)[:count]


def drop(chars: str) -> Callable[[str, random.Random], str]:
    def mutate(code: str, rng: random.Random) -> str:
        places = [i for i, c in enumerate(code) if c in chars]
        i = rng.choice(places)
        return code[:i] + code[i + 1 :]

    return mutate


def add(chars: str) -> Callable[[str, random.Random], str]:
    def mutate(code: str, rng: random.Random) -> str:
        i = rng.randrange(len(code) + 1)
        return code[:i] + rng.choice(chars) + code[i:]

    return mutate


def slip(word: str, rng: random.Random) -> str:
    i = rng.randrange(len(word))
    turned = word[: max(i - 1, 0)] + word[max(i - 1, 0) : i + 1][::-1] + word[i + 1 :]
    other = word[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[i + 1 :]
    return rng.choice((turned, word[:i] + word[i + 1 :], word[:i] + word[i] + word[i:], other))


def misspell(code: str, rng: random.Random) -> str:
    words = (
        r"\b(?:import|from|def|class|return|for|while|if|elif|else|try|except|with|lambda|raise|and|or|not|in|is|as)\b"
    )
    found = rng.choice(list(re.finditer(words, code)))
    return code[: found.start()] + slip(found[0], rng) + code[found.end() :]


def indent(code: str, rng: random.Random) -> str:
    lines = code.split("\n")
    i = rng.randrange(len(lines))
    lines[i] = rng.choice((" " * rng.randrange(1, 9) + lines[i], lines[i].lstrip(), lines[i][1:]))
    return "\n".join(lines)


def half_typed(code: str, rng: random.Random) -> str:
    whole = code.rstrip()
    start = whole.rfind("\n") + 1 if rng.random() < 0.6 else 0
    return whole[: rng.randrange(start + 1, len(whole))]


def python2(code: str, rng: random.Random) -> str:
    name = rng.choice([node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)] or ["x"])
    old = (
        "print {0}",
        'print "{0}:", {0}',
        "print {0}, len({0})",
        "exec {0}",
        'raise ValueError, "{0}"',
        "print '%s' % {0}",
    )
    line = rng.choice(old).format(name)
    swapped = re.sub(r"\bprint\((.*)\)", r"print \1", code)
    return swapped if swapped != code else rng.choice((line, f"{code}\n{line}", f"{line}\n{code}"))


def unquote(code: str, rng: random.Random) -> str:
    found = rng.choice(list(re.finditer(r"(?<![\"'])([\"'])((?:(?!\1)[^\\\n])+)\1(?![\"'])", code)))
    return code[: found.start()] + found[2] + code[found.end() :]


def query(code: str, rng: random.Random) -> str:
    sql = rng.choice(("SELECT * FROM users WHERE age > 30", "SELECT name, sum(price) FROM sales GROUP BY name"))
    return rng.choice(
        (f"query = {sql}\n{code}", f"{code}\npd.read_sql({sql}, con)", f'q = "{sql}\n{code}', f"cur.execute({sql})")
    )


def uncomment(code: str, rng: random.Random) -> str:
    found = rng.choice(list(re.finditer(r"# ?(?=\w)", code)))
    return code[: found.start()] + code[found.end() :]


def undocument(code: str, rng: random.Random) -> str:
    i = rng.choice([found.start() for found in re.finditer("\"\"\"|'''", code)])
    return code[:i] + code[i + 3 :]


def typeset(code: str, rng: random.Random) -> str:
    wide = rng.choice((("(", "（"), (")", "）"), (",", "，"), (":", "："), ('"', "“"), ("'", "’"), ("=", "＝")))
    return code.replace(*wide, rng.choice((1, -1)))


def pasted(code: str, rng: random.Random) -> str:
    broken = rng.choice((drop("()[]\"':,"), half_typed, add("()[]{}\"',")))(code, rng).split("\n")
    shape = rng.choice(((">>> ", "... "), ("In [3]: ", "   ...: ")))
    return "\n".join(shape[i > 0] + line for i, line in enumerate(broken))


def fenced(code: str, rng: random.Random) -> str:
    return rng.choice(("```python\n{}\n```", "```\n{}\n```", "{}\n```")).format(code)


def split_word(code: str, rng: random.Random) -> str:
    found = rng.choice(list(re.finditer(r"[A-Za-z_]{4,}", code)))
    i = rng.randrange(found.start() + 1, found.end())
    return code[:i] + " " + code[i:]


MUTATIONS: dict[str, tuple[int, Callable[[str, random.Random], str]]] = {
    "a bracket less": (12, drop("()[]{}")),
    "a quote less": (8, drop("\"'")),
    "a colon or comma less": (8, drop(":,")),
    "an operator or dot less": (5, drop("=+-*/%.<>")),
    "a sign more": (12, add("()[]{}\"':,=")),
    "a keyword misspelt": (12, misspell),
    "indentation": (7, indent),
    "half typed": (10, half_typed),
    "Python 2": (6, python2),
    "quotes forgotten": (3, unquote),
    "SQL": (2, query),
    "a comment without its sign": (3, uncomment),
    "a docstring without its quotes": (2, undocument),
    "typeset signs": (4, typeset),
    "prompts": (3, pasted),
    "fences": (1, fenced),
    "a space in a word": (2, split_word),
}


def broken_cells(cells: list[str], seed: int, count: int = CELLS) -> list[tuple[str, str, str]]:
    """Cells that no longer parse: (what was done, the cell that it was, the cell)."""
    rng = random.Random(seed)
    cells, typed = ([cell for cell in some if parses(cell) and cell not in MAGICS] for some in (cells, hand_written()))
    weights = [weight for weight, _ in MUTATIONS.values()]
    broken: list[tuple[str, str, str]] = []
    while len(broken) < count:
        kind = rng.choices(list(MUTATIONS), weights)[0]
        cell = rng.choice(typed if rng.random() < 0.25 else cells)
        try:
            changed = MUTATIONS[kind][1](cell, rng)
        except (IndexError, ValueError, SyntaxError):
            continue
        if changed.strip() and not parses(changed):
            broken.append((kind, cell, changed))
    return broken


def names_of(code: str) -> frozenset[str]:
    """What would be bound where this cell is run: all names that it reads or binds."""
    try:
        return frozenset(node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name))
    except (SyntaxError, ValueError):
        return frozenset()


def kinds_of(cells: list[tuple[str, str, frozenset[str]]]) -> tuple[Counter[str], list[tuple[str, str, str]]]:
    """How often each reading is given, and (what was done, reading, cell) where it is not Python."""
    kinds = Counter[str]()
    other: list[tuple[str, str, str]] = []
    for done, cell, names in cells:
        kind = read(cell, names, magics=MAGICS).kind
        kinds[kind] += 1
        if kind != "python":
            other.append((done, kind, cell))
    return kinds, other


@pytest.mark.parametrize("bound", [False, True], ids=["unbound", "bound"])
def test_real_cells_are_python(bound: bool, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [("as it is", cell, names_of(cell) if bound else frozenset[str]()) for cell in real_cells()]
    kinds, other = kinds_of(cells)
    with capsys.disabled():
        print(f"\nreal cells: {dict(kinds)}")
    assert len(cells) == CELLS
    assert not other


@pytest.mark.parametrize("bound", [False, True], ids=["unbound", "bound"])
def test_broken_cells_are_never_words(bound: bool, capsys: pytest.CaptureFixture[str]) -> None:
    broken = broken_cells(real_cells(), seed=2 + bound)
    kinds, other = kinds_of(
        [(done, cell, names_of(whole) if bound else frozenset[str]()) for done, whole, cell in broken]
    )
    with capsys.disabled():
        print(f"\nbroken cells: {dict(kinds)}, by {len({done for done, _, _ in broken})} kinds of mistakes")
    assert len(broken) == CELLS
    assert not [cell for cell in other if cell[1] == "words"]
    assert kinds["unsure"] <= 0.01 * CELLS, other
