"""Bugs written by hand: what a person might have written instead of the code in ``bench/testgen_bugs``.

Each has a call that shows it, so that none of them is a matter of taste.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from famulus.bench.testgen_holdout import Spoilt
from famulus.bench.testgen_plain import AnyFunction
from famulus.bench.testgen_sample import Chosen, Project, definitions

FOLDER = Path(__file__).parent / "testgen_bugs"


@dataclass(frozen=True)
class Slip:
    """``old`` (which stands once in the function) became ``new``. ``shows``: an expression, evaluated in the module,
    whose value is another one then; the names of a method's class are in it."""

    module: str
    function: str
    why: str
    old: str
    new: str
    shows: str


def project() -> Project:
    """The right code."""
    return Project("bugs", "", {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.py"))})


def bugs() -> list[tuple[Chosen, Slip, Spoilt]]:
    """Each function with what is wrong with it."""
    right = project()
    found = []
    for slip in slips():
        path = f"{slip.module}.py"
        text = right.files[path].decode()
        chosen = Chosen(right, path, slip.function, text, dict(definitions(ast.parse(text).body))[slip.function])
        found.append((chosen, slip, _wrong(chosen, slip)))
    return found


def _wrong(chosen: Chosen, slip: Slip) -> Spoilt:
    """The module with the slip. Raises ValueError where its old text does not stand once in the function."""
    node: AnyFunction = chosen.node
    lines = chosen.text.splitlines(keepends=True)
    code = "".join(lines[node.lineno - 1 : node.end_lineno])
    place = max(0, code.find(slip.old.partition("\n")[0]))
    indent = re.match(r"[ ]*", code[code.rfind("\n", 0, place) + 1 :])
    old, new = (part.replace("\n", "\n" + (indent[0] if indent else "")) for part in (slip.old, slip.new))
    if code.count(old) != 1:
        raise ValueError(f"{slip.module}.{slip.function}: {slip.old!r} stands {code.count(old)} times in it")
    before, after = "".join(lines[: node.lineno - 1]), "".join(lines[node.end_lineno :])
    line = node.lineno + code[: code.index(old)].count("\n")
    source = before + code.replace(old, new) + after
    return Spoilt("bug", line, slip.why, " ".join(slip.new.split()), slip.function, chosen.first, source)


def slips() -> list[Slip]:
    """All of them, as they stand in ``slips.txt``: the place, why, the call; then lines with ``-`` and ``+``."""
    found = []
    for block in (FOLDER / "slips.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            (place, why, shows), rest = lines[:3], lines[3:]
            module, _, function = place.partition(" ")
            old, new = ("\n".join(line[1:] for line in rest if line[0] == sign) for sign in "-+")
            found.append(Slip(module, function, why, old, new, shows))
    return found
