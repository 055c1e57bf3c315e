"""What is compared with what: from the words of the command to a change.

==================  ==========================================================
nothing             the last commit with the working tree
``REV``             ``REV`` with the working tree, as ``git diff REV``
``A..B``, ``A B``   ``A`` with ``B``; a side that is missing is ``HEAD``
``A...B``           where ``A`` and ``B`` parted, with ``B``
``REV^!``           the parent of ``REV`` with ``REV``
``staged``          the last commit, or ``REV``, with the index
``since_push``      what the remote branch has, with ``HEAD``; with ``worktree``, with the working tree
``OLD NEW``         two folders or two files, with or without git
==================  ==========================================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from famulus.engine.errors import InvalidRequest
from famulus.engine.policy import Policy
from famulus.lsp_server.review.change import Change, Memory, Tree, between
from famulus.lsp_server.review.folders import Folder, plain_bytes
from famulus.lsp_server.review.git import BISECTION, MOST_BYTES, Blobs, NoRepository, Repository
from famulus.lsp_server.review.renames import renames
from famulus.lsp_server.review.versions import Version, Versions


@dataclass(frozen=True)
class Asked:
    """What shall be compared, as the table above says. ``folder``: where the user stands."""

    targets: Sequence[str] = ()
    staged: bool = False
    worktree: bool = False
    since_push: bool = False
    folder: Path = Path()


@dataclass(frozen=True)
class Compared:
    """A change, the folder that it is in (None: a bare repository, or files without one), and what is to be said."""

    change: Change
    root: Path | None
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def compared(asked: Asked) -> Iterator[Compared]:
    """The change that is asked for; its trees can be read inside the ``with``.

    Raises :class:`InvalidRequest` where the words contradict each other or name nothing.
    """
    _consistent(asked)
    if len(asked.targets) == 2:
        old, new = (asked.folder / target for target in asked.targets)
        if old.exists() and new.exists():
            yield _on_disk(old, new, asked.targets)
            return
    try:
        repository = Repository.around(asked.folder)
    except NoRepository as error:
        gone = [target for target in asked.targets if not (asked.folder / target).exists()]
        if len(asked.targets) == 2 and len(gone) == 1:
            raise InvalidRequest(f"There is no {gone[0]}.", fix="Give two folders or two files that exist.") from error
        raise
    blobs = Blobs(repository)
    try:
        yield _in_git(asked, repository, blobs)
    finally:
        blobs.close()


def _consistent(asked: Asked) -> None:
    two = len(asked.targets) == 2 or any(".." in target or target.endswith("^!") for target in asked.targets)
    if len(asked.targets) > 2:
        raise InvalidRequest("There are at most two things to compare.", fix="See: famulus review --help.")
    if asked.staged and asked.worktree:
        raise InvalidRequest("--staged and --worktree name two different things.", fix="Choose one.")
    if two and (asked.staged or asked.worktree or asked.since_push):
        raise InvalidRequest("Two versions are named already.", fix="Leave out --staged, --worktree and --since-push.")
    if asked.since_push and (asked.targets or asked.staged):
        raise InvalidRequest("--since-push finds the old version itself.", fix="Give no revision, and not --staged.")


# -- git


def _in_git(asked: Asked, repository: Repository, blobs: Blobs) -> Compared:
    policy = Policy((repository.top,)) if repository.top is not None else None
    versions = Versions(repository, policy, blobs)
    old_name, new_name, title = _named(asked, repository)
    old = versions.commit(old_name) if old_name is not None else versions.nothing()
    if new_name == "index":
        new = versions.index()
    elif new_name == "working tree":
        if repository.top is None:
            raise NoRepository("This repository has no working tree.", fix="Name two revisions: A..B.")
        new = versions.working_tree()
    else:
        new = versions.commit(new_name)
    notes = []
    if repository.under_way and new_name in ("index", "working tree"):
        brings = repository.under_way != BISECTION
        counts = "what it brings counts as changed" if brings else "HEAD is the commit that it tries"
        notes.append(f"A {repository.under_way} is under way: {counts}.")
    unread = _differing(old, new)
    old.hide(new.refused)
    new.hide(old.refused)
    change = between(old, new, renames=renames(old, new), title=title)
    return Compared(_readable(change, unread, old.entries), repository.top, tuple(notes))


def _named(asked: Asked, repository: Repository) -> tuple[str | None, str, str]:
    """The old commit (None: nothing yet), the new commit or ``index`` or ``working tree``, and a title."""
    now = "index" if asked.staged else "working tree"
    if asked.since_push:
        base = repository.pushed()
        if asked.worktree:
            return base, now, f"{base[:8]} (pushed) against the working tree"
        return base, repository.commit("HEAD"), f"{base[:8]} (pushed)..HEAD"
    if not asked.targets:
        title = "staged changes" if asked.staged else "working tree against HEAD"
        return repository.head(), now, title
    if len(asked.targets) == 2:
        old, new = asked.targets
        return repository.commit(old), repository.commit(new), f"{old}..{new}"
    [target] = asked.targets
    if "..." in target:
        one, _, other = target.partition("...")
        one, other = one or "HEAD", other or "HEAD"
        return repository.merge_base(one, other), repository.commit(other), target
    if ".." in target:
        one, _, other = target.partition("..")
        return repository.commit(one or "HEAD"), repository.commit(other or "HEAD"), target
    if target.endswith("^!"):
        name = target.removesuffix("^!")
        return repository.parent(name), repository.commit(name), target
    return repository.commit(target), now, f"{'staged changes' if asked.staged else 'working tree'} against {target}"


def _differing(old: Version, new: Version) -> dict[str, str]:
    """The paths that differ and may not be read, with the reason."""
    found = {}
    for path in old.refused.keys() | new.refused.keys():
        if old.entries.get(path) != new.entries.get(path):
            found[path] = new.refused.get(path) or old.refused[path]
    return dict(sorted(found.items()))


# -- folders and files


def _on_disk(old: Path, new: Path, targets: Sequence[str]) -> Compared:
    title = f"{targets[0]} against {targets[1]}"
    if old.is_dir() != new.is_dir():
        raise InvalidRequest(
            f"{targets[0]} and {targets[1]} are not of one kind.", fix="Give two folders or two files."
        )
    if old.is_dir():
        left, right = Folder(old.resolve()), Folder(new.resolve())
        was, _ = left.paths(), right.paths()  # which fills `refused`
        before = {*was, *left.refused}
        unread = _unlike(left, right)
        left.hide(right.refused)
        right.hide(left.refused)
        change = between(left, right, renames=renames(left, right), title=title)
        return Compared(_readable(change, unread, before), right.root)
    sides: list[Tree] = [_file(path, target) for path, target in zip((old, new), targets, strict=True)]
    partner = {new.name: old.name} if old.name != new.name else {}
    return Compared(between(*sides, renames=partner, title=title), None)


def _file(path: Path, shown: str) -> Memory:
    content = plain_bytes(path.resolve())
    if content is None:
        raise InvalidRequest(f"{shown} cannot be read.", fix=f"Give plain files of at most {MOST_BYTES >> 20} MB.")
    return Memory({path.name: content})


def _unlike(left: Folder, right: Folder) -> dict[str, str]:
    """Files that one side alone refuses, or has; whether those that both refuse differ is not looked at."""
    return {
        path: left.refused.get(path) or right.refused[path]
        for path in sorted(left.refused.keys() ^ right.refused.keys())
    }


# -- both


def _readable(change: Change, unread: Mapping[str, str], before: Container[str]) -> Change:
    """The change without files of which a side could not be read; these are named. ``before``: the old side's."""
    lost = {
        file.path: f"is larger than {MOST_BYTES >> 20} MB, or git does not have it here"
        for file in change.files
        if (file.old_path is not None and file.old is None) or (file.new_path is not None and file.new is None)
    }
    kept = tuple(file for file in change.files if file.path not in lost)
    everything = {**unread, **lost}
    return replace(
        change, files=kept, unread=everything, unread_added=frozenset(p for p in everything if p not in before)
    )
