"""Which files may be read: as git ignores them, never secrets, never outside, whatever names and links say."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.engine import denied, ignore
from famulus.engine.errors import PolicyRefused, from_wire
from famulus.engine.policy import Policy

CANARY = "canary-5f1c"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(autouse=True)
def lonely_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings of the user who runs the tests, for git and for us."""
    home = tmp_path_factory.mktemp("home")
    for name, value in {"HOME": home, "XDG_CONFIG_HOME": home / ".config", "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, str(value))
    return home


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def put(path: Path, text: str = CANARY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    return path


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["git", "-C", folder, *arguments], input=stdin, capture_output=True, timeout=30)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


# -- as git does

ATOMS = (
    "a", "b", "ab", "*", "**", "?", "[ab]", "[!a]", "[a-c]", "\\a", "/", "/", "/", "**/", "/**", "*a", "a*", "[]a]",
    "é", "[[:alpha:]]", "[a", "\\", "x y", " ", "\\ ", "!", "#", "**/b", "-", "[^b]", "[\\]a]", "[c-a]", "[a-]", "A",
    "[[:none:]]", "[[:a]", "\\/", "[a-\\c]", "\t",
)  # fmt: skip
SEGMENTS = ("**", "**", "**", "a", "b", "*", "?", "*b", "a*b*", "[ab]")
NAMES = ("a", "b", "ab", "ba", "c", "aab", "é", "x y", "a b", "#", "!a", "-", "]", "a ", "A", "abab", "a\n", "\\", "[a")


def random_ignore_file(choose: random.Random) -> str:
    lines = ["".join(choose.choices(ATOMS, k=choose.randint(1, 5))) for _ in range(choose.randint(1, 4))]
    lines += ["/".join(choose.choices(SEGMENTS, k=choose.randint(2, 6))) for _ in range(choose.randint(0, 2))]
    choose.shuffle(lines)
    lines = [("!" if choose.random() < 0.25 else "") + line for line in lines]
    start = "\ufeff" if choose.random() < 0.1 else ""
    return start + choose.choice(["\n", "\n", "\r\n"]).join(lines) + choose.choice(["", "\n"])


@needs_git
@pytest.mark.parametrize("seed", range(3))
def test_patterns_mean_what_git_says(root: Path, seed: int) -> None:
    choose = random.Random(seed)
    git(root, "init", "-q")
    for _ in range(60):
        content = random_ignore_file(choose)
        (root / ".gitignore").write_bytes(content.encode())
        paths = {"/".join(choose.choices(NAMES, k=choose.randint(1, 4))) for _ in range(40)}
        paths |= {"/".join(choose.choices("ab", k=choose.randint(1, 6))) for _ in range(20)}
        asked = "\0".join(sorted(paths)).encode() + b"\0"
        fields = git(root, "check-ignore", "--no-index", "-vnz", "--stdin", stdin=asked).split(b"\0")
        theirs = {fields[i + 3].decode(): fields[i + 1].decode() for i in range(0, len(fields) - 1, 4)}
        rules = ignore.parse(content.encode())
        for path in sorted(paths):
            parts = path.encode().split(b"/")
            line = ""
            for count in range(1, len(parts) + 1):
                found = rules.match(b"/".join(parts[:count]), count < len(parts))
                line = str(found.line) if found is not None and not (found.negative and count < len(parts)) else ""
                if found is not None and not found.negative:
                    break
            assert line == theirs[path], (content, path)


@needs_git
@pytest.mark.parametrize("seed", range(2))
def test_a_tree_of_ignore_files_means_what_git_says(root: Path, seed: int) -> None:
    """Nested ignore files, git's own exclude file, the user's global one; the workspace is a part of the repository."""
    choose = random.Random(100 + seed)
    for number in range(12):
        top = root / str(number)
        folders = [top, top / "a", top / "b", top / "a/ab", top / "a/ab/c", top / "b/a"]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for folder in folders:
            for name in choose.sample(NAMES, 4):
                if not (folder / name).exists():
                    (folder / name).touch()
        git(top, "init", "-q")
        for folder in (top, *choose.sample(folders, 3)):
            (folder / ".gitignore").write_bytes(random_ignore_file(choose).encode())
        put(top / ".git/info/exclude", random_ignore_file(choose))
        put(Path.home() / ".config/git/ignore", random_ignore_file(choose))
        workspace = choose.choice([top, top, top / "a"])
        ours = {path: Policy([workspace]).check(path).allowed for path in sorted(workspace.rglob("*"))}
        ours = {path: allowed for path, allowed in ours.items() if ".git" not in path.parts}
        asked = b"\0".join([b"a", *(os.fsencode(path.relative_to(top)) for path in ours)]) + b"\0"
        theirs = set(git(top, "check-ignore", "--no-index", "-z", "--stdin", stdin=asked).split(b"\0"))
        if workspace != top and b"a" in theirs:
            continue  # who opens an ignored folder wants to work in it
        for path, allowed in ours.items():
            assert allowed == (os.fsencode(path.relative_to(top)) not in theirs), path


@needs_git
def test_a_work_tree_and_a_submodule_have_the_exclude_file_of_their_repository(root: Path) -> None:
    main, tree = root / "main", root / "tree"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "one")
    git(main, "worktree", "add", "-q", str(tree))
    put(main / ".git/info/exclude", "*.log\n")
    assert not Policy([tree]).check(put(tree / "x.log"))
    assert Policy([tree]).check(put(tree / "x.txt"))
    put(main / "sub/.git", "gitdir: ../.git/modules/sub\n")
    put(main / ".git/modules/sub/info/exclude", "*.tmp\n")
    assert not Policy([main]).check(put(main / "sub/x.tmp"))


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_ignore_file_is_an_error(content: bytes, path: bytes) -> None:
    rules = ignore.parse(content)
    for directory in (True, False):
        found = rules.match(path, directory)
        assert found is None or found in rules.patterns


@pytest.mark.parametrize("pattern", [b"*a" * 120 + b"b", b"**/*a*a/" * 60 + b"b", b"[!b]*" * 100 + b"[b]", b"?*" * 200])
def test_no_pattern_takes_long(pattern: bytes) -> None:
    rules = ignore.parse(pattern + b"\n/" + pattern)
    began = time.process_time()
    for path in (b"a" * 255, b"/".join([b"a" * 200] * 15)):
        rules.match(path, False)
    assert time.process_time() - began < 1


def test_the_real_ignore_files_of_projects_are_quick_to_read(root: Path) -> None:
    patterns = [f"*.{name}\n{name}/\n/build/**/{name}*\n" for name in map(str, range(500))]
    put(root / ".gitignore", "".join(patterns))
    began = time.process_time()
    assert not Policy([root]).check(put(root / "build/x/77y"))
    assert time.process_time() - began < 2


# -- ignore files and the workspace


def test_a_reason_names_the_line(root: Path) -> None:
    put(root / ".gitignore", "# made\n\n*.log\n")
    put(root / "sub/.famulusignore", "private/\n")
    policy = Policy([root])
    assert policy.check(put(root / "sub/x.log")).reason == "`x.log` is ignored by .gitignore line 3."
    told = policy.check(put(root / "sub/private/x.py")).reason
    assert told == "`x.py` is ignored by sub/.famulusignore line 1."
    assert policy.check(put(root / "sub/x.py")).reason == ""


def test_famulusignore_wins(root: Path) -> None:
    put(root / ".gitignore", "made/\n*.csv\n")
    put(root / ".famulusignore", "!made/\n*.sql\n!schema.sql\nhidden.csv\nprivate/\n!private/x.py\n")
    policy = Policy([root])
    for name, allowed in {
        "made/x.py": True, "made/deep/x.py": True, "x.csv": False, "x.sql": False, "schema.sql": True,
        "hidden.csv": False, "made/x.sql": False, "made/x.csv": True,
        "private/x.py": False,
    }.items():  # fmt: skip
        assert policy.check(put(root / name)).allowed == allowed, name


def test_what_is_open_may_be_completed_in_itself_but_helps_nowhere_else(root: Path) -> None:
    put(root / ".gitignore", "draft.py\n")
    put(root / ".famulusignore", "never.py\n")
    policy = Policy([root])
    draft, never, secret = put(root / "draft.py"), put(root / "never.py"), put(root / ".env")
    outside = put(root.parent / "elsewhere.py")
    assert [policy.check(path, "buffer").allowed for path in (draft, never, secret, outside)] == [
        True,
        False,
        False,
        True,
    ]
    assert [policy.check(path, "context").allowed for path in (draft, never, secret, outside)] == [False] * 4


def test_changes_are_seen_at_once(root: Path) -> None:
    policy = Policy([root])
    path = put(root / "a/b/x.log")
    assert policy.check(path)
    for file in (root / ".gitignore", root / "a/.gitignore", root / "a/b/.famulusignore"):
        put(file, "*.log\n")
        assert not policy.check(path)
        put(file, "*.lag\n")
        assert policy.check(path)
        put(file, "*.log\n")
        os.utime(file, ns=(1, 1))
        assert not policy.check(path)
        file.unlink()
        assert policy.check(path)


@needs_git
def test_git_s_exclude_file_is_seen_when_it_comes(root: Path) -> None:
    git(root, "init", "-q")
    policy, path = Policy([root]), put(root / "x.log")
    (root / ".git/info/exclude").unlink(missing_ok=True)
    os.utime(root, ns=(1, 1))
    assert policy.check(path)
    put(root / ".git/info/exclude", "*.log")
    assert not policy.check(path)


def test_an_ignored_folder_that_somebody_opens_is_his_workspace(root: Path) -> None:
    put(root / ".git/HEAD", "ref: refs/heads/main\n")
    put(root / ".gitignore", "build/\n*.log\n")
    policy = Policy([root / "build"])
    assert policy.check(put(root / "build/x.py"))
    assert not Policy([root]).check(root / "build/x.py")
    assert not Policy([root / "src"]).check(put(root / "src/x.log"))


@pytest.mark.parametrize("name", [".gitignore", ".famulusignore"])
def test_an_ignore_file_that_cannot_be_followed_lets_nothing_through(root: Path, name: str) -> None:
    put(root / name, "x" * (ignore.MAX_BYTES + 1))
    policy, path = Policy([root]), put(root / "x.py")
    assert f"{name}, which is larger than" in policy.check(path).reason
    put(root / name, "*a\n" * ignore.MAX_WILD_BYTES)
    assert "of wildcards" in policy.check(path).reason
    if os.geteuid():
        put(root / name, "").chmod(0)
        assert "cannot be read" in policy.check(path).reason


def test_an_ignore_file_that_is_none_does_not_block(root: Path) -> None:
    (root / "a/.gitignore").mkdir(parents=True)
    os.mkfifo(root / ".gitignore")
    os.mkfifo(root / "a/.famulusignore")
    done: list[bool] = []
    asking = threading.Thread(
        target=lambda: done.append(Policy([root]).check(put(root / "a/x.py")).allowed), daemon=True
    )
    asking.start()
    asking.join(10)
    assert done == [True]


def test_files_outside_every_root(root: Path) -> None:
    neighbour = put(root.with_name("project-2") / "x.py")
    policy = Policy([root])
    for path in (neighbour, root / "../project-2/x.py", root / "a/../../project-2/x.py", Path("/etc/passwd"), "../x"):
        assert "outside the workspace" in policy.check(path).reason
    assert policy.check(put(root / "a/x.py")) and policy.check(root / "a/../a/x.py") and policy.check("a/x.py")
    assert Policy([root, neighbour.parent]).check(neighbour)
    assert "outside the workspace" in Policy([]).check(neighbour).reason
    assert "outside the workspace" in Policy([]).check("x.py").reason


# -- secrets

SECRET = (
    ".env", ".env.local", ".env.production", ".envrc", "prod.env", "server.pem", "tls.key", "a.p12", "a.pfx", "a.jks",
    "app.keystore", "id_rsa", "id_rsa.pub", "id_ed25519", ".netrc", ".pgpass", ".npmrc", ".pypirc", "credentials",
    "credentials.json", "credentials.yml", "vault.kdbx", ".aws/config", ".ssh/config", ".gnupg/x",
    ".docker/config.json", ".kube/config", ".config/gcloud/x.db", ".Renviron", "secrets.yaml", "secrets.py",
    "main.tfstate", "main.tfstate.backup", "service-account-prod.json", "cert.crt", ".git/config", ".git-credentials",
    ".bash_history",
)  # fmt: skip
HARMLESS = (
    ".env.example", ".env.sample", "environment.py", "env.py", "keyboard.py", "key.py", "monkey.ts", "pem.go",
    "config.json", "credentials.go", "credentials_test.py", "secretary.py", "docker/config.json", "aws/config",
    ".github/workflows/ci.yml", ".gitignore", ".gitattributes", "authors.json", "ssh/client.py", "tokens.py", "README",
    "certificate.py", "a.pem.py",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_secrets_are_refused_in_every_disguise(root: Path, name: str) -> None:
    policy = Policy([root], trusted=True)
    folder, _, last = name.rpartition("/")
    below = f"deep/{folder}/" if folder else "deep/"
    for shape in (
        str, str.upper, str.title, lambda n: n + ".", lambda n: n + "  ", lambda n: n + "~", lambda n: n + ".bak",
        lambda n: n + ".old.1", lambda n: n + ".swp", lambda n: n + ".orig", lambda n: n[0] + "\u200d" + n[1:],
        lambda n: n.replace("e", "ｅ"), lambda n: n + ":stream",
    ):  # fmt: skip
        for purpose in ("context", "buffer"):
            verdict = policy.check(root / (below + shape(last)), purpose)  # type: ignore[arg-type]
            assert not verdict, (shape(last), purpose)
            assert verdict.reason.startswith("`") and verdict.reason.endswith(".")
    assert not policy.check_name(below + last)
    assert not policy.check_uri((root / below / last).as_uri())
    assert not policy.check_uri(f"untitled:{last}") or "/" in name
    with pytest.raises(PolicyRefused):
        policy.read(put(root / below / last), 1 << 20)


@pytest.mark.parametrize("name", HARMLESS)
def test_ordinary_files_are_not_taken_for_secrets(root: Path, name: str) -> None:
    assert Policy([root]).check(put(root / name)).reason == ""
    assert Policy([root]).read(root / name, 100) == CANARY


def test_secrets_outside_the_workspace_are_refused_in_the_editor_too(tmp_path: Path, root: Path) -> None:
    assert not Policy([root]).check(put(tmp_path / ".ssh/notes.txt"), "buffer")
    assert not Policy([put(tmp_path / ".ssh/x/y").parent]).check(tmp_path / ".ssh/x/y", "buffer")


def test_only_a_trusted_workspace_names_exceptions(root: Path) -> None:
    put(root / ".famulusignore", "!secrets.py\n!*.pem\n!.env*\n!certs/\n")
    trusted, stranger = Policy([root], trusted=True), Policy([root])
    for name in ("secrets.py", "a/secrets.py", "x.pem", ".env", "certs/x.key"):
        put(root / name)
        assert not stranger.check(root / name)
        assert trusted.check(root / name).allowed == name.endswith("secrets.py"), "wildcards name nothing"


# -- links, and names of all kinds


def test_links_are_followed_and_every_name_on_the_way_counts(root: Path, tmp_path: Path) -> None:
    put(root / ".gitignore", "private/\nshortcut\n")
    put(root / "private/x.py")
    put(root / "open/x.py")
    put(root / ".env")
    put(tmp_path / "outside/x.py")
    links = {
        "plain.txt": root / ".env", "a/b.txt": "../.env", "chain.txt": "plain.txt", "folder": "private",
        "away": tmp_path / "outside", "up": "../outside", "shortcut": "open", ".ssh": "open", "id_rsa": "open/x.py",
        "nowhere.py": "missing.py", "circle": "circle2", "circle2": "circle", "fine": "open", "fine.py": "fine/x.py",
    }  # fmt: skip
    for name, target in links.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(target)
    policy = Policy([root])
    refused = (
        "plain.txt", "a/b.txt", "chain.txt", "folder/x.py", "away/x.py", "up/x.py", "shortcut/x.py", ".ssh/x.py",
        "id_rsa", "nowhere.py", "circle", "circle/x", "fine/../.env", "away/../project/private/x.py",
    )  # fmt: skip
    for name in refused:
        assert not policy.check(root / name), name
        with pytest.raises(PolicyRefused):
            policy.read(root / name, 100)
    assert "leads nowhere" in policy.check(root / "nowhere.py").reason
    assert not policy.check(root / "plain.txt", "buffer")
    for name in ("fine/x.py", "fine.py", "away/../project/open/x.py"):
        assert policy.read(root / name, 100) == CANARY, name
    (tmp_path / "door").symlink_to(root)
    assert Policy([tmp_path / "door"]).read(tmp_path / "door/open/x.py", 100) == CANARY
    assert policy.read(tmp_path / "door/fine.py", 100) == CANARY
    assert not policy.check(tmp_path / "door/private/x.py")


def test_another_name_of_a_secret_is_not_read(root: Path) -> None:
    os.link(put(root / ".env"), root / "notes.txt")
    assert "hard links" in Policy([root]).check(root / "notes.txt").reason
    assert Policy([root]).check(root / "notes.txt", "buffer")


def test_names_of_all_kinds(root: Path) -> None:
    put(root / ".gitignore", "*.log\n")
    policy = Policy([root])
    for raw in (
        b"new\nline.py",
        b"\xff\xfe.py",
        b" lead.py",
        b"tab\t.py",
        b"-rf",
        b"a*b.py",
        b"back\\slash.py",
        b"\xe2\x80\xae.py",
    ):
        path = os.path.join(os.fsencode(root), raw)
        with open(path, "wb") as file:
            file.write(CANARY.encode())
        assert policy.read(path, 100) == CANARY  # type: ignore[arg-type]
        assert not policy.check(os.fsdecode(path + b".log"))
        assert not policy.check(os.fsdecode(path + b".pem"))
    for name in ("nul\0.py", "", "."):
        with pytest.raises(PolicyRefused):
            policy.read(name, 100)
    shown = policy.check(root / "evil\n\x1b[2J.pem").reason
    assert shown.isprintable()


def test_names_in_old_commits(root: Path) -> None:
    put(root / ".gitignore", "gone/\n")
    (root / "link").symlink_to("/etc")
    policy = Policy([root])
    for name in ("src/x.py", "link/x.py", "a b/é.py"):
        assert policy.check_name(name), name
    for name in ("src/.env", ".env", "gone/x.py", "../x.py", "/etc/passwd", "a/../../x", "", "a\0b", "keys/id_rsa"):
        assert not policy.check_name(name), name
    assert not policy.check_name("x.py", root.parent)


def test_addresses_of_open_documents(root: Path) -> None:
    put(root / ".gitignore", "*.log\n")
    policy = Policy([root])
    base = root.as_uri()
    for uri in (f"{base}/x.py", f"{base}/x.log", f"{base}/a%20b.py", "untitled:Untitled-1", "file:///elsewhere/x.py",
                f"vscode-notebook-cell:{root}/n.ipynb#W1", "git:/elsewhere/x.py?ref=HEAD"):  # fmt: skip
        assert policy.check_uri(uri), uri
    for uri in (f"{base}/.env", f"{base}/%2Eenv", f"{base}/a/../.ENV", "untitled:.env", "untitled:/users/x/.npmrc",
                f"git:{root}/.env?ref=HEAD", f"vscode-notebook-cell:{root}/.env#W1", "file:///elsewhere/id_rsa",
                "file://server/share/secrets.yaml", "http://[bad"):  # fmt: skip
        assert not policy.check_uri(uri), uri
    for uri in (f"{base}/x.log", "file:///elsewhere/x.py", "git:/elsewhere/x.py"):
        assert not policy.check_uri(uri, "context"), uri
    for uri in (f"{base}/x.py", "untitled:Untitled-1"):
        assert policy.check_uri(uri, "context"), uri


# -- reading


def test_only_plain_text_of_a_bounded_size_is_read(root: Path) -> None:
    policy = Policy([root])
    (root / "binary.py").write_bytes(b"a\0b")
    (root / "latin.py").write_bytes(b"\xe9\n")
    (root / "mark.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    os.mkfifo(root / "pipe.py")
    put(root / "long.py", "x" * 101)
    for name, words in {
        "binary.py": "is not text", "latin.py": "UTF-8", "pipe.py": "no plain file", "long.py": "larger than 100 bytes",
        "missing.py": "does not exist", ".": "no plain file", "sub/missing.py": "does not exist",
    }.items():  # fmt: skip
        with pytest.raises(PolicyRefused, match=words):
            policy.read(root / name, 100)
    fds = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        with pytest.raises(PolicyRefused):
            policy.read(root, 100)
    assert not fds or len(os.listdir("/proc/self/fd")) == fds
    assert policy.read(root / "mark.py", 100) == "x = 1\r\n"
    assert policy.read(root / "long.py", 101) == "x" * 101


def test_the_refusal_travels() -> None:
    assert type(from_wire("policy_refused", "`x` is outside the workspace.")) is PolicyRefused


def test_links_that_are_swapped_while_they_are_read_lead_nowhere(root: Path, tmp_path: Path) -> None:
    """Two threads swap files and folders for links to a secret; no read ever sees it."""
    put(tmp_path / "outside/x.py", "secret")
    put(root / ".env", "secret")
    put(root / "sub/x.py", "fine")
    put(root / "y.py", "fine")
    stop = threading.Event()

    def swapping(make: Callable[[], None], back: Callable[[], None]) -> None:
        while not stop.is_set():
            make()
            back()

    def folder_away() -> None:
        os.rename(root / "sub", root / "kept")
        os.symlink(tmp_path / "outside", root / "sub")

    def folder_back() -> None:
        os.unlink(root / "sub")
        os.rename(root / "kept", root / "sub")

    def file_away() -> None:
        os.symlink(".env", root / "new")
        os.replace(root / "new", root / "y.py")

    def file_back() -> None:
        (root / "new").write_text("fine")
        os.replace(root / "new", root / "y.py")

    threads = [
        threading.Thread(target=swapping, args=pair) for pair in ((folder_away, folder_back), (file_away, file_back))
    ]
    for thread in threads:
        thread.start()
    policy = Policy([root])
    seen, refused = set(), 0
    until = time.monotonic() + 2
    while time.monotonic() < until:
        for name in ("sub/x.py", "y.py"):
            try:
                seen.add(policy.read(root / name, 100))
            except PolicyRefused:
                refused += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert seen == {"fine"}
    assert refused, "nothing was ever swapped while it was read"


def test_asking_again_costs_little(root: Path) -> None:
    """50 µs are promised; this machine may be busy."""
    put(root / ".gitignore", "*.log\nbuild/\n/dist\n*.py[cod]\n")
    policy, path = Policy([root]), put(root / "a/b/c/x.py")
    for file in (root, root / "a", root / "a/b", root / "a/b/c", root / ".gitignore"):
        os.utime(file, ns=(1, 1))
    began = time.process_time()
    for _ in range(1000):
        policy.check(path)
    assert (time.process_time() - began) / 1000 < 0.0005


def test_it_needs_the_standard_library_only() -> None:
    engine = Path(denied.__file__).parent
    program = f"""
import sys, types
for name, path in (("famulus", {str(engine.parent)!r}), ("famulus.engine", {str(engine)!r})):
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package
import famulus.engine.policy as policy
assert not policy.Policy([]).check("x")
print(sorted(name for name in sys.modules if "site-packages" in (getattr(sys.modules[name], "__file__", "") or "")))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("[]\n", "")
