"""The neutral edits of ``famulus bench review`` change nothing, and its histories break by one hunk."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from famulus.bench import review_culprit
from famulus.bench.review_neutral import KINDS

MODULE = '''"""Sums."""


def total(rows):
    """The sum of rows."""
    found = 0
    for row in rows:
        found = found + row
    return found * 1


def largest(rows):
    """The largest."""
    best = max(rows)
    return best


def shown(rows):
    return 'total %d, largest %d' % (total(rows), largest(rows))
'''
SAME = "print(shown([3, 1, 2]), total([]), sorted(n for n in globals() if not n.startswith('_')))"


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_neutral_edit_keeps_what_the_module_does(kind: str, tmp_path: Path) -> None:
    files = KINDS[kind]("shelf/sums.py", MODULE, random.Random(0))
    assert files is not None and files["shelf/sums.py"] != MODULE
    answers = []
    for name, side in (("old", {"shelf/sums.py": MODULE}), ("new", files)):
        for path, text in {"shelf/__init__.py": "", "use.py": f"from shelf.sums import *\n{SAME}\n", **side}.items():
            (tmp_path / name / "shelf").mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        command = [sys.executable, "use.py"]
        answers.append(subprocess.run(command, cwd=tmp_path / name, capture_output=True, text=True, check=True).stdout)
    assert answers[0] == answers[1]


def test_a_history_has_thirty_hunks_of_which_one_breaks(tmp_path: Path) -> None:
    made = review_culprit.history(tmp_path, random.Random(1))

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(tmp_path), *arguments], capture_output=True, text=True).stdout

    difference = git("diff", "-U0", f"{made.good}..{made.bad}")
    assert difference.count("\n@@ ") == review_culprit.HUNKS
    line = git("show", f"{made.bad}:{made.path}").split("\n")[made.line - 1]
    assert made.breaking.partition("{n}")[0] in line
    path, bad = tmp_path / made.path, git("show", f"{made.bad}:{made.path}")
    good = git("show", f"{made.good}:{made.path}").split("\n")[made.line - 1]
    test = [sys.executable, "-B", "-c", "from tests.test_total import test_total; test_total()"]
    assert subprocess.run(test, cwd=tmp_path, capture_output=True).returncode == 1
    path.write_text(bad.replace(line, good))
    assert subprocess.run(test, cwd=tmp_path, capture_output=True).returncode == 0
