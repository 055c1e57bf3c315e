"""``famulus train`` on a folder: what it reads, what it says, and that the adapter is a model like any other."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Famulus
from tests.engine import tiny_models as tiny

FUNCTION = '''def rank_{i}(values, limit={i}):
    """The largest values, at most ``limit`` of them."""
    return sorted(values, reverse=True)[:limit]


def total_{i}(values, limit={i}):
    """The sum of the largest values."""
    return sum(rank_{i}(values, limit))
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for i in range(12):
        (folder / f"part_{i}.py").write_text(FUNCTION.format(i=i) * (i + 1))
    (folder / "notes.csv").write_text("1,2\n")
    (folder / "secrets.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    return folder


def test_a_model_learns_a_project_and_is_listed(lonely: Famulus, project: Path, tmp_path: Path) -> None:
    base = tiny.write_folder(tmp_path / "base", tiny.random_model())
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[run]\nlength = 64\nbatch = 4\nmicro = 4\nsteps = 12\nrate = 1e-2\nwarmup = 2\n")
    told = lonely("train", project.name, "--base", base, "--recipe", recipe, "--dry-run", cwd=project.parent)
    assert told.returncode == 0 and "12 source files" in told.stdout, told
    assert "left out: 2 files, no source code" in told.stdout
    done = lonely("train", project, "--base", base, "--recipe", recipe, "--name", "ours", "--precision", "int4")
    assert done.returncode == 0, done
    assert "bits per byte" in done.stdout and "1 other files" in done.stdout, done.stdout
    assert "The adapter is in" in done.stdout and "famulus models use ours" in done.stdout
    assert "will serve ours" in lonely("models", "use", "ours").stdout
    assert tomllib.loads((lonely.home / "config/famulus.toml").read_text()) == {"model": "ours"}
    listed = lonely("models", "list")
    assert "ours" in listed.stdout
    known = lonely("models", "info", "ours")
    assert "yes, as llama" in known.stdout, known
    again = lonely("models", "verify", "ours")
    assert again.returncode == 0, again


def test_only_what_git_tracks_is_learned_from_where_that_is_asked(lonely: Famulus, project: Path) -> None:
    subprocess.run(["git", "init", "-q", project], check=True)
    subprocess.run(["git", "add", "part_3.py", "part_4.py", "part_5.py"], check=True, cwd=project)
    told = lonely("train", project, "--from-git", "--dry-run")
    assert "3 source files" in told.stdout, told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "There is no folder nowhere."),
        ([".", "--name", "../x"], "cannot be called '../x'"),
        ([".", "--from-git"], "git"),
        ([".", "--precision", "int3"], "precision = 'int3': bf16, fp32, int4"),
        (["empty"], "holds too little to learn from"),
    ],
)
def test_what_cannot_be_learned_from_is_said_in_one_sentence(
    lonely: Famulus, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = lonely("train", *arguments, cwd=tmp_path)
    assert done.returncode != 0 and sentence in done.stderr, done
    assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
