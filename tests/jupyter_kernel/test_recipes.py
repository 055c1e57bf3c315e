"""Every recipe keeps to the format, is found by its own example, and does what its example says.

Run the recipes of one file with ``pytest tests/jupyter_kernel/test_recipes.py -k pandas``.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest

from famulus.jupyter_kernel import finish, recipe, slots
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.recipe import Recipe
from famulus.jupyter_kernel.retrieve import Index
from famulus.jupyter_kernel.schema import Schema

FILES = sorted(recipe.FOLDER.glob("*.toml"))


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    importlib.import_module("matplotlib.pyplot").close("all")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_recipes_keep_to_the_format(file: Path) -> None:
    found = {made.id: faults for made in recipe.read(file) if (faults := recipe.faults(made))}
    assert not found, "\n".join(f"{name}: {' '.join(faults)}" for name, faults in found.items())


def test_ids_are_unique() -> None:
    recipe.load()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_examples_come_true(file: Path, empty_folder: Path) -> None:
    """Words and data of an example must lead the recipe to code that does what the check says."""
    wrong = []
    for number, made in enumerate(recipe.read(file)):
        folder = empty_folder / str(number)
        folder.mkdir()
        os.chdir(folder)
        problem = example_fault(made)
        if problem:
            wrong.append(f"{made.id}: {problem}")
    assert not wrong, f"{len(wrong)} recipes:\n" + "\n".join(wrong)


def example_fault(made: Recipe) -> str:
    """What is wrong with a recipe's example, "" if nothing is."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    try:
        run(finish.with_imports(made.example["setup"], Schema()), namespace)
        schema = look({name: value for name, value in namespace.items() if name != "__builtins__"})
        proposed = slots.propose(made.example["words"], schema, 99, Index([made]))
        # Composition may write the very code of a recipe: then it stands for it.
        own = [candidate for candidate in proposed if candidate.recipe == made.id]
        proposed = own or [candidate for candidate in proposed if candidate.recipe == "query"]
        if not proposed:
            return f"its slots cannot be filled from {made.example['words']!r}"
        code = proposed[0].code
    except Exception:
        return traceback.format_exc(limit=3)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            namespace["result"] = run(code, namespace)
        namespace["stdout"] = out.getvalue()
        if made.gives == "plot":
            namespace["ax"] = importlib.import_module("matplotlib.pyplot").gca()
        for node in ast.parse(made.example["check"]).body:
            line = ast.unparse(node)
            if not eval(finish_expression(line, namespace), namespace):
                return f"{line} does not hold for\n{code}\nwhich gave {str(namespace['result'])[:300]}"
    except Exception:
        return f"{code}\n{traceback.format_exc(limit=1)}"
    finally:
        importlib.import_module("matplotlib.pyplot").close("all")
    return ""


def finish_expression(line: str, namespace: dict[str, object]) -> str:
    """A check, with what it imports put into the namespace."""
    imports = finish.with_imports(line, Schema()).removesuffix(line)
    exec(imports, namespace)
    return line


def run(code: str, namespace: dict[str, object]) -> object:
    """Runs a cell; the value of its last expression, else of what it bound last."""
    body = ast.parse(code).body
    last = body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(code, "<recipe>", "exec"), namespace)
        if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
            return namespace[last.targets[0].id]
        return None
    exec(compile(ast.Module(body[:-1], []), "<recipe>", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "<recipe>", "eval"), namespace)
