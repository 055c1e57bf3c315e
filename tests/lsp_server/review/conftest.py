"""Real git repositories for the tests of the review."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

QUIET = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "n",
    "GIT_AUTHOR_EMAIL": "n@example.com",
    "GIT_COMMITTER_NAME": "n",
    "GIT_COMMITTER_EMAIL": "n@example.com",
}
"""The user's own configuration plays no part, in git's commands and in ours."""


@pytest.fixture(autouse=True, scope="module")
def _nothing_kept_before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an earlier run of the tests has kept plays no part either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAMULUS_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@dataclass
class Repo:
    """A repository on disk."""

    path: Path

    def git(self, *arguments: str | bytes, cwd: Path | None = None, check: bool = True) -> str:
        """What a command of git prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | QUIET
        command = ["git", "-c", "protocol.file.allow=always", *arguments]
        done = subprocess.run(command, cwd=cwd or self.path, env=environment, capture_output=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return os.fsdecode(done.stdout).strip()

    def write(self, files: dict[str, str | bytes | None]) -> None:
        """Puts files on disk; None deletes one."""
        for name, content in files.items():
            file = self.path / name
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: dict[str, str | bytes | None] | None = None, message: str = "change") -> str:
        """A commit of everything, with these files; its name."""
        self.write(files or {})
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def state(self) -> dict[str, str]:
        """Every file below ``.git``, with a digest and its time: what a reader must leave as it was."""
        folder = Path(self.git("rev-parse", "--absolute-git-dir"))
        return {
            str(file.relative_to(folder)): f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.stat().st_mtime_ns}"
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }


@pytest.fixture(autouse=True)
def own_git_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of the machine's user."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, QUIET[name])


@pytest.fixture
def new_repo(tmp_path: Path) -> Callable[[str], Repo]:
    """Makes an empty repository of a name."""

    def make(name: str) -> Repo:
        repo = Repo(tmp_path / name)
        repo.path.mkdir(parents=True)
        repo.git("init", "--quiet", "--initial-branch=main")
        return repo

    return make


@pytest.fixture
def repo(new_repo: Callable[[str], Repo]) -> Repo:
    """An empty repository."""
    return new_repo("repo")


PLUGIN = """
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof
from famulus.lsp_server.review.registry import plugin
from famulus.lsp_server.review.rule import Stage


def finding(key, grade=Grade.PROVED, path="a.py", line=1, **more):
    proof = Proof(kind="test", text=f"because of {key}")
    more = {"message": f"a.py:{line} has {key}.", "rule": "plugged/thing", **more}
    return Finding(grade=grade, place=Place(path=path, line=line), key=key, proof=proof, **more)


class Plugged:
    name, title, stage = "plugged", "what a plugin looks for", Stage.STATIC

    def check(self, context):
RULE


@plugin
def famulus_review_rules():
    return [Plugged()] + MORE
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package with a rule ``plugged``, whose ``check`` has this body; as pip would, in its own folder."""

    def install(rule: str, *, more: str = "[]", name: str = "plugged_rules", before: str = "") -> None:
        folder = tmp_path / f"site-{name}"
        (folder / f"{name}-1.dist-info").mkdir(parents=True)
        body = textwrap.indent(textwrap.dedent(rule).strip(), " " * 8)
        text = textwrap.dedent(before) + PLUGIN.replace("RULE", body).replace("MORE", textwrap.dedent(more))
        (folder / f"{name}.py").write_text(text)
        (folder / f"{name}-1.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (folder / f"{name}-1.dist-info/entry_points.txt").write_text(f"[famulus.plugins]\n{name} = {name}\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setenv(
            "PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        )

    return install
