"""What a model reads of a notebook: its context, instructions like this one with their code, and the instruction.

The examples are the nearest recipes with the live names filled in, so that a small model has names to copy that are
right. All of it is Python with comments, which every code model continues; what ends the answer is an empty line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel import context, context_lines, defuse
from famulus.jupyter_kernel.candidate import Candidate
from famulus.jupyter_kernel.context import Context, Part
from famulus.jupyter_kernel.recipe import Recipe
from famulus.jupyter_kernel.retrieve import Index
from famulus.jupyter_kernel.schema import Schema

EXAMPLES = 4
TASK = "# Task: "
TITLES = ("examples", "instruction")
ADDED = 500
"""Tokens that examples and instruction may take beyond the budget of the context; they take far less mostly."""
OnText = Callable[[str], None]
LONGEST_EXAMPLE = 300
"""Characters; longer code teaches a model to ramble."""

_HOLE = re.compile(r"\{(\w+)(?:\.\w+)?\}")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Prompt:
    """``text`` is what the model continues; ``told`` is the same by parts, as ``%context`` shows it; ``bare`` is the
    notebook's part alone."""

    text: str
    told: Context
    bare: str = ""

    def asking(self, words: str) -> str:
        """The context and one instruction without examples: these would make likely what resembles them."""
        return "\n\n".join(part for part in (self.bare, task(words)) if part) + "\n"

    def asked(self, words: str) -> Context:
        """What :meth:`asking` tells, by parts."""
        text = self.asking(words)
        parts = tuple(part for part in self.told.parts if part.title != TITLES[0])
        return Context(text, parts, estimated_tokens(text), self.told.budget, self.told.left_out)


def build(
    words: str,
    schema: Schema,
    proposed: Sequence[Candidate],
    recipes: Index,
    *,
    recent: Sequence[str] = (),
    error: str = "",
    budget: int,
) -> Prompt:
    """The prompt for ``words``; ``proposed`` are the recipes' own candidates, the best first. ``budget`` in tokens,
    estimated, for the context alone."""
    told = context.render(schema, words, recent, error, budget=budget, count=estimated_tokens)
    shown = "\n\n".join(f"{task(said)}\n{code}" for said, code in examples(words, schema, proposed, recipes))
    parts = [told.text, shown, task(words)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    added = [Part(title, part, estimated_tokens(part)) for title, part in zip(TITLES, parts[1:], strict=True) if part]
    sent = Context(text, (*told.parts, *added), estimated_tokens(text), budget + ADDED, told.left_out)
    return Prompt(text, sent, told.text)


def repairing(prompt: str, code: str, error: str) -> str:
    """The prompt that follows an attempt that failed: the attempt, its error as one line, and the task again."""
    head, _, last = prompt.rstrip("\n").rpartition(f"\n\n{TASK}")
    said = defuse.message(error) or "it failed"
    return f"{head}\n\n{TASK}{last}\n{code}\n# {said}\n\n{TASK}{last} (corrected)\n"


def fixing(told: Context, code: str, error: str) -> str:
    """The prompt for a cell that failed: the notebook, the cell, its error, and where the corrected cell begins."""
    said = defuse.message(error) or "an error"
    parts = [told.text] if told.text else []
    return "\n\n".join([*parts, f"# This cell fails with {said}\n{code}", "# The same cell, corrected\n"])


def task(words: str) -> str:
    """An instruction as comment lines."""
    lines = [line.strip() for line in words.strip().splitlines() if line.strip()]
    return "\n".join([TASK + "".join(lines[:1]), *(f"# {line}" for line in lines[1:])])


def examples(words: str, schema: Schema, proposed: Sequence[Candidate], recipes: Index) -> list[tuple[str, str]]:
    """Instructions with code, the nearest last, where a model looks first."""
    by_id = {said.recipe.id: said.recipe for said in recipes.phrasings}
    chinese = bool(_CHINESE.search(words))
    found: dict[str, tuple[str, str]] = {}
    for candidate in proposed:
        recipe = by_id.get(candidate.recipe)
        if (
            recipe is None
            or recipe.id in found
            or len(candidate.code) > LONGEST_EXAMPLE
            or not harmless(candidate.code)
        ):
            continue
        code = without_imports(candidate.code)
        said = phrase(recipe, code, chinese)
        if said and code:
            found[recipe.id] = (said, code)
        if len(found) == EXAMPLES:
            break
    nearest = list(found.values())[::-1]
    return [*_plain(schema)[: EXAMPLES - len(nearest)], *nearest]


def phrase(recipe: Recipe, code: str, chinese: bool = False) -> str:
    """A phrasing of the recipe with what ``code`` has in its slots; "" where the code is no filling of the template."""
    values = _filled(recipe, code)
    says = [say for say in recipe.say if bool(_CHINESE.search(say)) == chinese] or list(recipe.say)
    for say in says:
        names = [name for name in re.findall(r"\{(\w+)\}", say) if name in recipe.slots]
        if all(name in values for name in names):
            return _HOLE.sub(lambda hole: _spoken(values.get(hole.group(1), hole.group())), say)
    return ""


def harmless(code: str) -> bool:
    """Whether no text within the code reads like an instruction to a model."""
    try:
        constants = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return not any(isinstance(value, str) and defuse.instructs(value) for value in constants)


def estimated_tokens(text: str) -> int:
    """Tokens of ``text``, near enough to fit a budget without asking the engine."""
    return (len(text) + 2) // 3


def without_imports(code: str) -> str:
    """Imports are added by program, to what the model writes as well."""
    lines = code.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("import ", "from "))).strip("\n")


def _filled(recipe: Recipe, code: str) -> dict[str, str]:
    """What stands in the slots, read back from code that came from the template; the result's name may be new."""
    pattern, at, seen = "", 0, set()
    for hole in _HOLE.finditer(recipe.code):
        name, alone = hole.group(1), "." not in hole.group()
        if name not in recipe.slots:
            continue
        pattern += re.escape(recipe.code[at : hole.start()])
        pattern += f"(?P={name})" if name in seen and alone else f"(?P<{name}>.+?)" if alone else ".+?"
        seen |= {name} if alone else set()
        at = hole.end()
    found = re.search(pattern + re.escape(recipe.code[at:]) + r"\Z", code, re.DOTALL)
    return found.groupdict() if found else {}


def _spoken(value: str) -> str:
    """A filled slot as one would say it."""
    try:
        constant = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    if isinstance(constant, list):
        return ", ".join(map(str, constant))
    return str(constant)


def _plain(schema: Schema) -> list[tuple[str, str]]:
    """Examples of the form alone, where no recipe is near."""
    return [_about(v.name, v.kind) for v in schema.variables[:2] if not context_lines.imported(v)]


def _about(name: str, kind: str) -> tuple[str, str]:
    if kind == "frame":
        return f"names of the columns of {name}", f"{name}.columns.tolist()"
    if kind in ("list", "tuple", "set", "dict", "text", "array", "series"):
        return f"length of {name}", f"len({name})"
    return f"show {name}", name
