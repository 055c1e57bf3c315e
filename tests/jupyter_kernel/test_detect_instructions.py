"""Written instructions are recognised as words. The weights were fitted on one file and never saw the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from famulus.jupyter_kernel.detect import read

DATA = Path(__file__).with_name("data")
MAGICS = frozenset((DATA / "magics.txt").read_text().split())
TYPICAL = frozenset((DATA / "names.txt").read_text().split())


def instructions(name: str) -> list[str]:
    """One instruction a line, in which ``\\n`` stands for a new line."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines]


def hard(instruction: str) -> bool:
    """Whether IPython would take it for a magic or for a question to itself."""
    return instruction.split()[0].lower() in MAGICS or instruction.endswith(("?", "？"))


@pytest.mark.parametrize("names", [frozenset(), TYPICAL], ids=["empty", "typical"])
@pytest.mark.parametrize(
    ("file", "count", "magics_and_questions", "chinese"),
    [("instructions.txt", 600, 120, 120), ("instructions_held_out.txt", 180, 50, 55)],
)
def test_instructions_are_words(
    file: str,
    count: int,
    magics_and_questions: int,
    chinese: int,
    names: frozenset[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cells = instructions(file)
    readings = {cell: read(cell, names, magics=MAGICS) for cell in cells}
    assert len(readings) >= count
    assert sum(map(hard, cells)) >= magics_and_questions
    assert sum(bool(re.search("[\u4e00-\u9fff]", cell)) for cell in cells) >= chinese
    kinds = [reading.kind for reading in readings.values()]
    share = kinds.count("words") / len(kinds)
    with capsys.disabled():
        print(f"\n{file}: {kinds.count('words')} of {len(kinds)} words ({share:.1%}), {kinds.count('unsure')} unsure")
    missed = {cell: reading.reason for cell, reading in readings.items() if reading.kind != "words"}
    assert share >= 0.98, missed
    assert kinds.count("unsure") <= 0.01 * len(kinds), missed


def test_no_instruction_is_in_both_files() -> None:
    assert not set(instructions("instructions.txt")) & set(instructions("instructions_held_out.txt"))
