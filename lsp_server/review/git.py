"""Reads git repositories, and never writes to one.

Only commands are called that list and print objects (``rev-parse``, ``rev-list``, ``for-each-ref``, ``merge-base``,
``ls-tree``, ``ls-files``, ``cat-file``, ``check-attr``, ``config --get``). None of them diffs, so that neither external
diffs nor text conversions nor filters can be asked to run; hooks, monitors, pagers, fetches of missing objects and
locks are switched off besides, whatever the repository's configuration and the environment say. Nothing is left to undo
when Famulus is killed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from famulus.engine.errors import FamulusError, InvalidRequest

SECONDS = 60.0
"""For one command of git; listing a large tree on a slow disk takes some."""
MOST_BYTES = 2 << 20
"""Of a file; larger ones are data, and are named as not read."""

SAFE = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat",
    "-c", "core.quotePath=false", "-c", "diff.external=", "-c", "protocol.allow=never", "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
)  # fmt: skip
"""A repository's configuration can name programs; none of them runs."""

BISECTION = "bisection"
_MOST_SHARED = 100

_KEPT = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
)  # fmt: skip
"""What git's environment says about where things are; hooks need it. All else (traces, pagers, programs) is dropped."""


class NoRepository(InvalidRequest):
    """There is no git, no repository, or it cannot be read."""


class UnknownRevision(InvalidRequest):
    """A name that means no commit here."""


class GitFailed(FamulusError):
    """A command of git failed that should not."""

    code, status = "git_failed", 500


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of git's processes: what could make it write, ask, fetch or start a program is gone."""
    kept = {name: value for name, value in given.items() if not name.startswith("GIT_") or name in _KEPT}
    counted = {
        name: value for name, value in given.items() if name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))
    }
    if "GIT_CONFIG_COUNT" in given:  # how a CI says that a directory is safe; what is given with -c outweighs it
        kept |= counted | {"GIT_CONFIG_COUNT": given["GIT_CONFIG_COUNT"]}
    ours = {
        "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_PAGER": "cat",
        "LC_ALL": "C.UTF-8", "LANGUAGE": "",
    }  # fmt: skip
    return kept | ours


@dataclass
class Repository:
    """One repository. ``top`` is its work tree, None for a bare one; ``folder`` is where the user stands."""

    folder: Path
    top: Path | None = None
    index: Path = field(default_factory=Path)
    algorithm: str = "sha1"
    _environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def around(cls, folder: Path, variables: Mapping[str, str] | None = None) -> Repository:
        """The repository that holds ``folder``. Raises :class:`NoRepository`."""
        given = dict(os.environ if variables is None else variables)
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE"):
            if given.get(name):  # git reads them where it stands, and it will stand at the top
                given[name] = os.path.join(os.path.abspath(folder), given[name])
        found = cls(folder, _environment=environment(given))
        try:
            bare, inside, found.algorithm = found.lines(
                "rev-parse", "--is-bare-repository", "--is-inside-work-tree", "--show-object-format"
            )
            if inside == "true":
                found.top = found.path("rev-parse", "--show-toplevel")
            elif bare != "true":
                found.top = _work_tree_of(found)
            found.index = found.path("rev-parse", "--git-path", "index")
            found.folder = found.top or folder
        except GitFailed as error:
            raise _no_repository(folder, error.message) from error
        return found

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What a command of git that only reads prints. Raises :class:`GitFailed` with its complaint."""
        try:
            done = subprocess.run(
                ["git", "--no-pager", *SAFE, *arguments],
                cwd=self.folder,
                env=dict(self._environment),
                input=stdin,
                capture_output=True,
                timeout=SECONDS,
            )
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise NoRepository(f"There is no folder {self.folder}.") from error
            raise NoRepository("git is not installed.", fix="Install git, or give two folders to compare.") from error
        except NotADirectoryError as error:
            raise NoRepository(f"{self.folder} is no folder.") from error
        except subprocess.TimeoutExpired as error:
            raise GitFailed(f"git {arguments[0]} did not end within {SECONDS:g} s.") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise GitFailed(said.splitlines()[0].removeprefix("fatal: ") if said else f"git {arguments[0]} failed")
        return done.stdout

    def lines(self, *arguments: str) -> list[str]:
        """The lines that a command prints."""
        return os.fsdecode(self.run(*arguments)).splitlines()

    def path(self, *arguments: str) -> Path:
        """The one path that a command prints, which may hold line ends."""
        return Path(os.path.join(self.folder, os.fsdecode(self.run(*arguments).removesuffix(b"\n"))))

    def setting(self, name: str) -> str:
        """A value of git's configuration, "" for none."""
        try:
            return os.fsdecode(self.run("config", "--get", name)).strip()
        except GitFailed:
            return ""

    # -- revisions

    def commit(self, name: str) -> str:
        """The full name of the commit that ``name`` means. Raises :class:`UnknownRevision`."""
        found = self._resolved(f"{name}^{{commit}}")
        if found is None:
            fix = "Check its name with git log."
            if self.shallow:
                fix = "The history is cut short here (a shallow clone): fetch more with git fetch --unshallow."
            if (self.folder / name).exists():
                fix = "It is a path here, and a review compares whole versions: name a commit, or two folders."
            raise UnknownRevision(f"`{name}` means no commit in this repository.", fix=fix)
        return found

    def head(self) -> str | None:
        """The commit that is checked out; None before the first one."""
        return self._resolved("HEAD^{commit}")

    def parent(self, name: str) -> str | None:
        """The first parent of a commit; None if it has none. Raises :class:`UnknownRevision` if it is not there."""
        commit = self.commit(name)
        found = self._resolved(f"{commit}^1^{{commit}}")
        if found is None and self.shallow:
            raise UnknownRevision(f"The parent of `{name}` is not in this shallow clone.", fix="git fetch --deepen=1.")
        return found

    def merge_base(self, one: str, other: str) -> str:
        """Where two commits parted. Raises :class:`UnknownRevision` if they have nothing in common."""
        try:
            [found, *_] = self.lines("merge-base", self.commit(one), self.commit(other))
        except GitFailed as error:
            why = (
                "The history is cut short here: git fetch --unshallow." if self.shallow else "Give two revisions, A..B."
            )
            raise UnknownRevision(f"`{one}` and `{other}` have no common ancestor here.", fix=why) from error
        return found

    def pushed(self) -> str:
        """The last commit that the branch shares with where it is pushed to; for a branch that was never pushed, the
        last one that any remote branch has.

        Raises :class:`UnknownRevision` if there is no remote branch to compare with.
        """
        for name in ("@{push}", "@{upstream}"):
            if self._resolved(f"{name}^{{commit}}") is not None:
                return self.merge_base(name, "HEAD")
        if self.lines("for-each-ref", "--count=1", "refs/remotes"):
            own = self.lines("rev-list", "--boundary", self.commit("HEAD"), "--not", "--remotes")
            shared = [line[1:] for line in own if line.startswith("-")]
            if not own:
                return self.commit("HEAD")
            if shared:  # several, where what others did was merged
                return self.lines("merge-base", "--independent", *shared[:_MOST_SHARED])[0]
        raise UnknownRevision(
            "This branch was never pushed, and there is no remote branch to compare with.",
            fix="Name where it began, as in: famulus review main...HEAD.",
        )

    @cached_property
    def shallow(self) -> bool:
        """Whether the history is cut short."""
        with contextlib.suppress(GitFailed):
            return self.lines("rev-parse", "--is-shallow-repository") == ["true"]
        return False

    @cached_property
    def under_way(self) -> str:
        """What git is in the middle of: ``merge``, ``rebase``, :data:`BISECTION` …, or ""."""
        signs = {"MERGE_HEAD": "merge", "rebase-merge": "rebase", "rebase-apply": "rebase",
                 "CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert", "BISECT_LOG": BISECTION}  # fmt: skip
        folder = self.path("rev-parse", "--absolute-git-dir")
        return next((name for sign, name in signs.items() if (folder / sign).exists()), "")

    def submodule(self, path: str) -> str | None:
        """The commit at which the submodule at ``path`` stands; None if it is not checked out."""
        folder = self.folder / path
        if not (folder / ".git").exists():
            return None
        outer = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE")
        return Repository(folder, _environment={k: v for k, v in self._environment.items() if k not in outer}).head()

    def _resolved(self, name: str) -> str | None:
        if name.startswith("-") or "\0" in name:
            return None
        try:
            [found] = self.lines("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        except (GitFailed, ValueError):
            return None
        return found


class Blobs:
    """The bytes of a repository's files by name, from one ``git cat-file`` that stays. For any thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None if the object is missing, no file, or larger than :data:`MOST_BYTES`."""
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(name.encode() + b"\n")
                process.stdin.flush()
                header = process.stdout.readline().split()
            except OSError:
                header = []
            if len(header) != 3:
                if process.poll() is not None or not header:
                    self._end()  # a partial clone: git gave up because it may not fetch
                return None
            size = int(header[2])
            if size > MOST_BYTES or header[1] != b"blob":
                for start in range(0, size + 1, 1 << 20):
                    process.stdout.read(min(1 << 20, size + 1 - start))
                return None
            return process.stdout.read(size + 1)[:-1]

    def close(self) -> None:
        """Ends git's process."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # In a session of its own: a Ctrl-C is for Famulus, which still has to write its report.
            self._process = subprocess.Popen(
                ["git", "--no-pager", *SAFE, "cat-file", "--batch"],
                cwd=self._repository.folder, env=dict(self._repository._environment), start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def fields(output: bytes) -> Iterator[str]:
    """The parts of what a command prints with ``-z``; names that are no text keep their bytes."""
    return (os.fsdecode(part) for part in output.split(b"\0") if part)


def _work_tree_of(repository: Repository) -> Path | None:
    """The work tree when the user stands inside ``.git``."""
    folder = repository.path("rev-parse", "--absolute-git-dir")
    return folder.parent if folder.name == ".git" else None


def _no_repository(folder: Path, said: str) -> NoRepository:
    if "dubious ownership" in said:
        fix = f"If you trust it: git config --global --add safe.directory '{folder}'."
        return NoRepository(f"git does not read {folder}, because it belongs to somebody else.", fix=fix)
    if "not a git repository" in said:
        fix = "Go into one, or give two folders or two files: famulus review OLD NEW."
        return NoRepository(f"{folder} is in no git repository.", fix=fix)
    return NoRepository(f"git cannot read the repository of {folder}: {said.rstrip('.')}.")
