"""What is compared: every kind of version of a git repository, whatever state it is in, and never written to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus.commands import application
from famulus.engine.errors import FamulusError, InvalidRequest
from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.comparison import Asked, Compared, compared
from famulus.lsp_server.review.git import MOST_BYTES, NoRepository, UnknownRevision

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def asked(repo: Any, *targets: str, cwd: Path | None = None, **options: bool) -> Compared:
    """What is compared, with everything read."""
    with compared(Asked(targets, folder=cwd or repo.path, **options)) as found:
        for tree in (found.change.old, found.change.new):
            for path in tree.paths():
                assert tree.read(path) is not None or path == "big.csv"
        return found


def change(repo: Any, *targets: str, cwd: Path | None = None, **options: bool) -> Change:
    return asked(repo, *targets, cwd=cwd, **options).change


def files(found: Change) -> dict[str, tuple[str, bytes | None, bytes | None]]:
    return {file.path: (file.status, file.old, file.new) for file in found.files}


# -- what is named


def test_the_working_tree_with_untracked_files_is_compared_with_the_last_commit(repo: Any) -> None:
    repo.commit({"same.py": "s\n", "changed.py": "1\n", "gone.py": "g\n", "staged.py": "1\n", ".gitignore": "*.log\n"})
    repo.write({"changed.py": "2\n", "gone.py": None, "new/file.py": "n\n", "x.log": "noise\n", "staged.py": "2\n"})
    repo.git("add", "staged.py")
    assert files(change(repo)) == {
        "changed.py": ("modified", b"1\n", b"2\n"),
        "gone.py": ("deleted", b"g\n", None),
        "new/file.py": ("added", None, b"n\n"),
        "staged.py": ("modified", b"1\n", b"2\n"),
    }
    assert change(repo, cwd=repo.path / "new").title == "working tree against HEAD"
    assert files(change(repo, cwd=repo.path / "new")) == files(change(repo, worktree=True))


def test_what_is_staged_is_compared_not_what_is_on_disk(repo: Any) -> None:
    repo.commit({"a.py": "1\n"})
    repo.write({"a.py": "2\n", "b.py": "b\n"})
    repo.git("add", ".")
    repo.write({"a.py": "3\n", "b.py": None})
    assert files(change(repo, staged=True)) == {"a.py": ("modified", b"1\n", b"2\n"), "b.py": ("added", None, b"b\n")}


def test_a_file_that_is_only_meant_to_be_added_is_not_staged(repo: Any) -> None:
    repo.commit({"a.py": "1\n"})
    repo.write({"b.py": "b\n"})
    repo.git("add", "--intent-to-add", "b.py")
    assert files(change(repo, staged=True)) == {}
    assert files(change(repo)) == {"b.py": ("added", None, b"b\n")}


def test_revisions_are_named_as_in_git(repo: Any) -> None:
    first = repo.commit({"a.py": "1\n"})
    repo.commit({"a.py": "2\n"})
    repo.git("checkout", "--quiet", "-b", "side", first)
    repo.commit({"b.py": "b\n"})
    repo.write({"c.py": "c\n"})
    assert files(change(repo, "HEAD~1..HEAD")) == {"b.py": ("added", None, b"b\n")}
    assert files(change(repo, "main..side")) == {
        "a.py": ("modified", b"2\n", b"1\n"),
        "b.py": ("added", None, b"b\n"),
    }
    assert files(change(repo, "main", "side")) == files(change(repo, "main..side"))
    assert files(change(repo, "main..")) == files(change(repo, "main..side"))
    assert files(change(repo, "main...side")) == {"b.py": ("added", None, b"b\n")}
    assert files(change(repo, "side^!")) == {"b.py": ("added", None, b"b\n")}
    assert files(change(repo, first)) == {"b.py": ("added", None, b"b\n"), "c.py": ("added", None, b"c\n")}
    assert files(change(repo, first, staged=True)) == {"b.py": ("added", None, b"b\n")}
    with pytest.raises(UnknownRevision, match=r"`nonsense` means no commit"):
        change(repo, "nonsense")
    for hostile in ("--output=stolen", "-c", "HEAD\0", "HEAD:a.py..HEAD"):
        with pytest.raises(UnknownRevision):
            change(repo, hostile)
    assert not (repo.path / "stolen").exists()


def test_a_push_publishes_what_the_remote_branch_lacks(repo: Any, new_repo: Callable[[str], Any]) -> None:
    repo.commit({"a.py": "1\n"})
    clone = new_repo("clone")
    clone.git("remote", "add", "origin", str(repo.path))
    clone.git("fetch", "--quiet", "origin")
    clone.git("checkout", "--quiet", "-b", "work", "--track", "origin/main")
    clone.commit({"a.py": "2\n"})
    clone.write({"a.py": "3\n"})
    assert files(change(clone, since_push=True)) == {"a.py": ("modified", b"1\n", b"2\n")}
    assert files(change(clone, since_push=True, worktree=True)) == {"a.py": ("modified", b"1\n", b"3\n")}
    clone.git("checkout", "--quiet", "-b", "untracked-branch")
    assert files(change(clone, since_push=True)) == {"a.py": ("modified", b"1\n", b"2\n")}
    clone.git("remote", "rename", "origin", "company")
    repo.commit({"c.py": "1\n"})
    clone.git("fetch", "--quiet", "company")
    clone.git("checkout", "--quiet", "--", "a.py")
    clone.git("merge", "--quiet", "--no-edit", "company/main")
    assert files(change(clone, since_push=True)).keys() == {"a.py"}, "what came from the remote is there already"
    clone.git("push", "--quiet", "company", "HEAD:refs/heads/below")
    assert files(change(clone, since_push=True)) == {}
    clone.commit({"b.py": "1\n"})
    assert files(change(clone, since_push=True)).keys() == {"b.py"}, "it stands on a branch that was pushed"
    with pytest.raises(UnknownRevision, match="never pushed"):
        change(repo, since_push=True)


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (("a", "b", "c"), {}),
        (("HEAD..HEAD",), {"staged": True}),
        (("HEAD..HEAD",), {"worktree": True}),
        ((), {"staged": True, "worktree": True}),
        (("HEAD",), {"since_push": True}),
        ((), {"since_push": True, "staged": True}),
    ],
)
def test_words_that_contradict_each_other_are_refused(
    repo: Any, targets: tuple[str, ...], options: dict[str, bool]
) -> None:
    repo.commit()
    with pytest.raises(InvalidRequest):
        change(repo, *targets, **options)


def test_two_folders_and_two_files_need_no_git(tmp_path: Path) -> None:
    for name, content in {
        "old/p/a.py": "1\n",
        "new/p/a.py": "2\n",
        "old/gone.py": "g\n",
        "new/p/come.py": "c\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "new/link.py").symlink_to("p/a.py")
    with compared(Asked(("old", "new"), folder=tmp_path)) as found:
        assert files(found.change) == {
            "gone.py": ("deleted", b"g\n", None),
            "p/a.py": ("modified", b"1\n", b"2\n"),
            "p/come.py": ("added", None, b"c\n"),
        }
        assert dict(found.change.unread) == {"link.py": "is a symbolic link"}
    with compared(Asked(("old/p/a.py", "new/p/come.py"), folder=tmp_path)) as found:
        assert files(found.change) == {"come.py": ("renamed", b"1\n", b"c\n")}
    with (
        pytest.raises(InvalidRequest, match="not of one kind"),
        compared(Asked(("old", "new/p/a.py"), folder=tmp_path)),
    ):
        pass


def test_without_a_repository_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoRepository), compared(Asked(folder=folder)):
            pass


# -- what repositories are like


def test_before_the_first_commit_everything_is_new(repo: Any) -> None:
    repo.write({"a.py": "1\n"})
    assert files(change(repo)) == {"a.py": ("added", None, b"1\n")}
    repo.git("add", ".")
    assert files(change(repo, staged=True)) == {"a.py": ("added", None, b"1\n")}
    with pytest.raises(UnknownRevision):
        change(repo, "HEAD")


def test_renames_are_found_also_of_changed_and_untracked_files(repo: Any) -> None:
    body = "".join(f"line {n} says something\n" for n in range(20))
    repo.commit({"lib/old_name.py": body, "other.py": "unrelated\n" * 9, "exact.py": "kept\nas\nit\nwas\n"})
    repo.write({"lib/old_name.py": None, "lib/new_name.py": body + "more\n", "exact.py": None})
    repo.write({"moved/exact.py": "kept\nas\nit\nwas\n", "brand_new.py": "nothing like it\n" * 20})
    found = change(repo)
    assert {file.path: (file.status, file.old_path) for file in found.files} == {
        "brand_new.py": ("added", None),
        "lib/new_name.py": ("renamed", "lib/old_name.py"),
        "moved/exact.py": ("renamed", "exact.py"),
    }


def test_names_and_contents_that_are_no_text_are_read(repo: Any) -> None:
    if sys.platform == "darwin":
        pytest.skip("the file system takes no names that are not UTF-8")
    name = os.fsdecode(b"caf\xe9 \n\"q'.py")
    repo.commit({name: "1\n", "latin.py": "# -*- coding: latin-1 -*-\n", "b.bin": b"\0\1", "plain.py": "x\n"})
    repo.write({name: "2\n", "latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "b.bin": b"\0\2"})
    found = change(repo)
    assert set(files(found)) == {name, "latin.py", "b.bin"}
    binary = found.file("b.bin")
    latin = found.file("latin.py")
    assert binary is not None and binary.binary and binary.hunks == ()
    assert latin is not None and latin.new_text.splitlines()[1] == "x = 'é'"
    repo.commit()
    assert set(files(change(repo, "HEAD~1..HEAD"))) == set(files(found))


@pytest.mark.parametrize(
    "form", ["terminal", "json", "sarif", "markdown", "github", "github-review", "gitlab", "stream"]
)
def test_names_that_are_no_text_are_reviewed_and_reported(
    repo: Any, form: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "darwin":
        pytest.skip("the file system takes no names that are not UTF-8")
    name = os.fsdecode(b"caf\xe9.py")
    repo.commit({name: "def f(a):\n    return a\n\n\nf(a=1)\n"})
    repo.write({name: "def f(b):\n    return b\n\n\nf(a=1)\n"})
    monkeypatch.chdir(repo.path)
    assert application.run(["review", "--no-run", "--format", form]) == 0
    shown = capfd.readouterr()
    assert not shown.err and "unknown-keyword" in shown.out


def test_line_ends_that_git_converts_are_no_change(repo: Any) -> None:
    repo.commit({"a.py": "1\n2\n", "b.py": "1\r\n", "c.py": "1\n"})
    repo.git("config", "core.autocrlf", "true")
    repo.write({"a.py": "1\r\n2\r\n", "b.py": "1\r\n", "c.py": "1\r\n2\r\n"})
    found = change(repo)
    assert list(files(found)) == ["c.py"]
    assert [hunk.new_lines for hunk in found.files[0].hunks] == [("2",)]


def test_files_that_were_only_touched_are_no_change(repo: Any) -> None:
    repo.commit({"big.csv": b"x" * (MOST_BYTES + 1), ".env": "K=1\n", **{f"f{n}.py": f"{n}\n" for n in range(5)}})
    (repo.path / "link.py").symlink_to("f1.py")
    repo.commit()
    for file in repo.path.glob("*.*"):
        os.utime(file, (1, 1), follow_symlinks=False)
    os.utime(repo.path / ".env", (1, 1))
    os.link(repo.path / "f2.py", repo.path.parent / "outside.py")
    found = change(repo)
    assert (files(found), dict(found.unread)) == ({}, {})
    assert found.new.read("f2.py") == b"2\n"
    assert files(change(repo)) == {}


def test_a_change_within_the_instant_of_the_commit_is_seen(repo: Any) -> None:
    """Of the same length, and with the time that the index holds."""
    for number in range(5):
        repo.commit({"a.py": f"{number}1\n"})
        before = (repo.path / "a.py").stat()
        repo.write({"a.py": f"{number}2\n"})
        os.utime(repo.path / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert list(files(change(repo))) == ["a.py"]


def test_links_submodules_large_and_secret_files_are_named_and_not_read(repo: Any, new_repo: Any) -> None:
    inner = new_repo("inner")
    inner.commit({"i.py": "1\n"})
    repo.commit({"a.py": "1\n", ".env": "K=1\n", "big.csv": b"x" * (MOST_BYTES + 1), "was_file.py": "1\n"})
    repo.git("submodule", "--quiet", "add", str(inner.path), "module")
    (repo.path / "link.py").symlink_to("/etc/passwd")
    (repo.path / "folder").symlink_to("/etc")
    repo.write({".env": "K=2\n", "big.csv": b"y" * (MOST_BYTES + 1), "was_file.py": None, "own.key": "k\n"})
    (repo.path / "was_file.py").symlink_to("a.py")
    os.mkfifo(repo.path / "pipe.py")
    repo.write({"a.py": "2\n"})
    os.link(repo.path / "a.py", repo.path.parent / "outside.py")
    found = change(repo)
    assert list(files(found)) == [".gitmodules"]
    assert found.unread["module"] == "is a submodule, which is not looked into"
    assert found.unread["link.py"] == found.unread["was_file.py"] == "is a symbolic link"
    assert "2 MB" in found.unread["big.csv"]
    assert "secrets" in found.unread[".env"]
    assert "hard links" in found.unread["a.py"]
    assert {"own.key", "link.py"} <= found.unread_added
    assert not {"big.csv", ".env"} & found.unread_added
    repo.commit({"a.py": None})
    assert set(change(repo, "HEAD~1..HEAD").unread) == {
        "module",
        "link.py",
        "folder",
        "was_file.py",
        "big.csv",
        ".env",
        "own.key",
    }
    assert files(change(repo)) == {}


def test_a_linked_folder_is_not_followed(repo: Any, tmp_path: Path) -> None:
    """For git the files are gone; what is behind the link is nobody's change."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.py").write_text("stolen\n")
    repo.commit({"sub/a.py": "1\n"})
    shutil.rmtree(repo.path / "sub")
    (repo.path / "sub").symlink_to(tmp_path / "elsewhere")
    assert files(change(repo)) == {"sub/a.py": ("deleted", b"1\n", None)}


@pytest.mark.parametrize("state", ["merge", "rebase", "bisection", "cherry-pick", "revert"])
def test_in_the_middle_of_something_the_review_goes_on(repo: Any, state: str) -> None:
    base = repo.commit({"a.py": "base\n", "b.py": "b\n"})
    repo.git("checkout", "--quiet", "-b", "side")
    side = repo.commit({"a.py": "side\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit({"a.py": "main\n"})
    if state == "merge":
        repo.git("merge", "side", check=False)
    elif state == "rebase":
        repo.git("rebase", "side", check=False)
    elif state == "cherry-pick":
        repo.git("cherry-pick", side, check=False)
    elif state == "revert":
        repo.git("revert", "--no-edit", base, check=False)
    else:
        repo.git("bisect", "start", "HEAD", base)
    repo.write({"b.py": "2\n"})
    found = asked(repo)
    assert files(found.change)["b.py"] == ("modified", b"b\n", b"2\n")
    assert [state in note for note in found.notes] == [True]
    assert ("brings" in found.notes[0]) == (state != "bisection")
    if state in ("merge", "rebase", "cherry-pick"):
        assert "a.py" in found.change.unread and "conflict" in found.change.unread["a.py"]
        assert "a.py" in change(repo, staged=True).unread
        repo.write({"a.py": "settled\n"})
        assert files(change(repo))["a.py"][2] == b"settled\n"


def test_worktrees_git_files_bare_and_detached_repositories(repo: Any, new_repo: Any, tmp_path: Path) -> None:
    first = repo.commit({"a.py": "1\n"})
    repo.commit({"a.py": "2\n"})
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), first)
    linked = type(repo)(tmp_path / "linked")
    assert (linked.path / ".git").is_file()
    linked.write({"a.py": "3\n"})
    assert files(change(linked)) == {"a.py": ("modified", b"1\n", b"3\n")}
    repo.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    bare = type(repo)(tmp_path / "bare.git")
    found = asked(bare, "HEAD~1..HEAD")
    assert (files(found.change), found.root) == ({"a.py": ("modified", b"1\n", b"2\n")}, None)
    with pytest.raises(NoRepository, match="no working tree"):
        change(bare)
    assert files(change(repo, cwd=repo.path / ".git")) == {}
    outer = new_repo("outer")
    outer.commit({"o.py": "1\n"})
    outer.git("submodule", "--quiet", "add", str(repo.path), "inside")
    module = type(repo)(outer.path / "inside")
    module.write({"a.py": "4\n"})
    assert files(change(module)) == {"a.py": ("modified", b"2\n", b"4\n")}
    outer.commit({})
    assert change(outer).unread == {}
    module.commit({})
    assert list(change(outer).unread) == ["inside"]  # it stands at another commit


def test_a_shallow_clone_says_that_history_is_missing(repo: Any, tmp_path: Path) -> None:
    for number in range(3):
        repo.commit({"a.py": f"{number}\n"})
    repo.git("clone", "--quiet", "--depth=2", repo.path.as_uri(), str(tmp_path / "shallow"))
    shallow = type(repo)(tmp_path / "shallow")
    assert files(change(shallow, "HEAD~1..HEAD")) == {"a.py": ("modified", b"1\n", b"2\n")}
    with pytest.raises(UnknownRevision, match="--unshallow"):
        change(shallow, "HEAD~2..HEAD")
    with pytest.raises(UnknownRevision, match="shallow"):
        change(shallow, "HEAD~1^!")


def test_an_object_that_a_partial_clone_lacks_is_not_fetched(repo: Any, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.commit({"a.py": "1\n", "b.py": "1\n"})
    repo.commit({"a.py": "2\n", "b.py": "1\n"})
    repo.git("clone", "--quiet", "--no-checkout", "--filter=blob:none", repo.path.as_uri(), str(tmp_path / "partial"))
    partial = type(repo)(tmp_path / "partial")
    before = partial.state()
    with compared(Asked(("HEAD~1..HEAD",), folder=partial.path)) as found:
        assert files(found.change) == {}
        assert "git does not have it here" in found.change.unread["a.py"]
    assert partial.state() == before


def test_a_sparse_checkout_lacks_nothing(repo: Any) -> None:
    repo.commit({"in/a.py": "1\n", "out/b.py": "1\n"})
    repo.git("sparse-checkout", "set", "in")
    assert not (repo.path / "out").exists()
    repo.write({"in/a.py": "2\n"})
    assert list(files(change(repo))) == ["in/a.py"]


def test_a_repository_with_the_newer_object_names(new_repo: Any, tmp_path: Path) -> None:
    repo = new_repo("plain")
    repo.git("init", "--quiet", "--object-format=sha256", str(tmp_path / "sha256"))
    newer = type(repo)(tmp_path / "sha256")
    newer.commit({"a.py": "1\n", "b.py": "1\n"})
    os.utime(newer.path / "b.py", (1, 1))
    newer.write({"a.py": "2\n"})
    assert files(change(newer)) == {"a.py": ("modified", b"1\n", b"2\n")}


def test_a_git_that_lists_its_index_in_another_form_is_understood(
    repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git promises nothing about the times that it lists; without them, files are read."""
    repo.commit({"same.py": "1\n", "changed.py": "1\n"})
    repo.write({"changed.py": "2\n"})
    other = tmp_path / "bin/git"
    other.parent.mkdir()
    other.write_text(f'#!/bin/bash\nexec {shutil.which("git")} "${{@/--debug/--cached}}"\n')
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
    assert files(change(repo)) == {"changed.py": ("modified", b"1\n", b"2\n")}
    assert files(change(repo, staged=True)) == {}


def test_a_hook_sees_the_index_that_its_commit_will_have(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git commit FILE` makes an index of its own, and tells hooks where it is."""
    repo.commit({"a.py": "1\n", "b.py": "1\n"})
    repo.write({"a.py": "2\n", "b.py": "2\n"})
    shutil.copy(repo.path / ".git/index", repo.path / ".git/next-index")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/next-index")
    monkeypatch.chdir(repo.path)
    environment = dict(os.environ)
    subprocess.run(["git", "add", "a.py"], cwd=repo.path, env=environment, check=True)
    assert list(files(change(repo, staged=True, cwd=Path()))) == ["a.py"]
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert list(files(change(repo, staged=True))) == []


# -- what must not happen

HOSTILE = """
[core]
    fsmonitor = {trap} fsmonitor
    hooksPath = {hooks}
    pager = {trap} pager
    editor = {trap} editor
    sshCommand = {trap} ssh
    untrackedCache = true
    askPass = {trap} askpass
    alternateRefsCommand = {trap} alternates
[diff]
    external = {trap} external
    renames = copies
[diff "trap"]
    textconv = {trap} textconv
    command = {trap} command
[filter "trap"]
    clean = {trap} clean
    smudge = {trap} smudge
    process = {trap} process
    required = true
[alias]
    rev-parse = !{trap} alias
    ls-files = !{trap} alias
    cat-file = !{trap} alias
[gc]
    auto = 1
[maintenance]
    auto = true
[credential]
    helper = !{trap} credential
[feature]
    manyFiles = true
"""


@pytest.fixture
def hostile(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose configuration, hooks and attributes name programs at every place. Each would leave a mark."""
    marks = tmp_path / "marks"
    trap = tmp_path / "trap"
    trap.write_text(f'#!/bin/sh\necho "$@" >>{marks}\ncat\n')
    trap.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    repo.commit({"a.py": "1\n", "b.py": "1\n", "filtered.py": "1\n", "c.py": "1\n"})
    repo.commit({"a.py": "2\n"})
    repo.write({".gitattributes": "*.py diff=trap\nfiltered.py filter=trap\n", "c.py": "2\n", "new.py": "n\n"})
    for hook in ("post-index-change", "post-checkout", "pre-auto-gc", "reference-transaction", "fsmonitor-watchman"):
        (hooks / hook).write_text(f"#!/bin/sh\necho {hook} >>{marks}\n")
        (hooks / hook).chmod(0o755)
        shutil.copy(hooks / hook, repo.path / ".git/hooks" / hook)
    with open(repo.path / ".git/config", "a") as config:
        config.write(HOSTILE.format(trap=trap, hooks=hooks))
    repo.write({"filtered.py": "2\n"})
    for file in ("b.py", "filtered.py"):
        os.utime(repo.path / file, (1, 1))
    for name in ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "PAGER"):
        monkeypatch.setenv(name, f"{trap} {name}")
    for name in ("GIT_TRACE", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE_PACKET", "GIT_TRACE_SETUP"):
        monkeypatch.setenv(name, str(tmp_path / "marks"))
    monkeypatch.setenv("GIT_OPTIONAL_LOCKS", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"{trap} counted")
    return marks


ALL_WAYS: list[tuple[tuple[str, ...], dict[str, bool]]] = [
    ((), {}),
    ((), {"staged": True}),
    (("HEAD~1",), {}),
    (("HEAD~1..HEAD",), {}),
    (("HEAD~1...HEAD",), {}),
    (("HEAD^!",), {}),
]


def test_a_hostile_configuration_starts_nothing_and_nothing_is_written(repo: Any, hostile: Path) -> None:
    before, on_disk = repo.state(), sorted(repo.path.rglob("*"))
    for targets, options in ALL_WAYS:
        found = change(repo, *targets, **options)
        if not targets and not options:
            assert list(files(found)) == [".gitattributes", "c.py", "new.py"]
            assert found.unread["filtered.py"].startswith("goes through a filter of git (trap)")
    assert not hostile.exists(), hostile.read_text()
    assert (repo.state(), sorted(repo.path.rglob("*"))) == (before, on_disk)


def test_the_traps_are_real(repo: Any, hostile: Path) -> None:
    """Git itself falls into them, so that the test above says something."""
    subprocess.run(["git", "status"], cwd=repo.path, capture_output=True)
    subprocess.run(["git", "diff"], cwd=repo.path, capture_output=True)
    assert {"clean", "counted"} <= {word for line in hostile.read_text().splitlines() for word in line.split()}


KILLED = """
import os, signal, sys
from pathlib import Path
from famulus.lsp_server.review.comparison import Asked, compared
with compared(Asked(folder=Path(sys.argv[1]))) as found:
    for path in found.change.old.paths():
        found.change.old.read(path)
    print("reading", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_behind_when_the_review_is_killed(repo: Any, hostile: Path) -> None:
    before = repo.state()
    done = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, str(repo.path)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("reading\n", -9)
    assert repo.state() == before
    assert not hostile.exists()
    until = time.monotonic() + 30
    while _readers(repo.path) and time.monotonic() < until:
        os.sched_yield()
    assert not _readers(repo.path)


def _readers(folder: Path) -> list[str]:
    """The processes of git that stand in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(folder) and b"cat-file" in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_a_broken_repository_is_one_sentence(repo: Any) -> None:
    repo.commit({"a.py": "1\n"})
    shutil.rmtree(repo.path / ".git/objects")
    (repo.path / ".git/HEAD").write_text("nonsense\n")
    with pytest.raises(FamulusError) as failed:
        change(repo)
    assert "\n" not in str(failed.value)


@pytest.mark.e2e
def test_the_whole_command_leaves_the_repository_as_it_was_also_when_killed(repo: Any, hostile: Path) -> None:
    """All rules run, those that run code of the project too."""
    repo.write({"calc.py": "def half(n):\n    return n / 2\n", "tests/test_calc.py": "from calc import half\n"})
    before, on_disk = repo.state(), sorted(repo.path.rglob("*"))
    famulus = [str(Path(sys.executable).with_name("famulus")), "review", "--format", "stream", "--budget", "20"]
    for lines in (2, 10**6):
        with subprocess.Popen(famulus, cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            seen = [line for line, _ in zip(process.stdout, range(lines), strict=False)]
            if lines < 10**6:
                process.kill()
            process.communicate(timeout=60)
        assert seen, "it ended before its first word"
        assert (repo.state(), sorted(repo.path.rglob("*"))) == (before, on_disk)
        assert not hostile.exists(), hostile.read_text()
    assert json.loads(seen[-1])["event"] == "end"
