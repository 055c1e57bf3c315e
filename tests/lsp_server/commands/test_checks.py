"""What of the model's answers is kept: names that are there, code that parses, one sentence, one line."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from famulus.engine.errors import InvalidRequest
from famulus.engine.policy import Policy
from famulus.lsp_server.commands import commit, docstring, explain, fix, rewrite, staged
from famulus.lsp_server.commands.asking import code_in, indented
from famulus.lsp_server.commands.names import Candidate, missing_import, misspelt
from famulus.lsp_server.commands.rename import renamed
from famulus.lsp_server.commands.service import within
from famulus.lsp_server.documents import Change, Snapshot, Text

CODE = '''"""A module."""

import json


class Counter:
    def __init__(self):
        self.counts = {}

    @property
    def total(self):
        return sum(self.counts.values())

    def add(self, key, amount=1):
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]


def one_line(): return 1


def documented():
    """It is."""
'''


def seen(text: str, language: str = "python") -> Snapshot:
    return Snapshot("file:///p/a.py", 1, language, Text(text), Path("/p/a.py"))


# -- answers


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1", "x = 1\n"),
        ("Sure:\n```python\nx = 1\n```\nThis sets x.", "x = 1\n"),
        ("```\nx = 1\ny = 2", "x = 1\ny = 2\n"),
        ("  ```py\n  x\n  ```", "  x\n"),
    ],
)
def test_the_code_of_an_answer(answer: str, code: str) -> None:
    assert code_in(answer) == code


def test_code_is_moved_as_a_whole() -> None:
    assert indented("if a:\n    b\n\nc", "  ") == "  if a:\n      b\n\n  c"
    assert indented("    if a:\n        b", "") == "if a:\n    b"


# -- explaining


def test_facts_are_those_of_the_syntax_tree() -> None:
    found = "\n".join(explain.facts(CODE[CODE.index("    def add") : CODE.index("\n\n\ndef one")]))
    for part in ("function `add(self, key, amount=1)`", "calls `self.counts.get`", "changes `self.counts[key]`"):
        assert part in found
    assert explain.facts("def (") == []


def test_sentences_that_name_what_is_not_there_are_left_out() -> None:
    answer = "It adds to `counts`. It calls `frobnicate()`. It uses other_name too. It adds to `counts`. Then it"
    checked = explain.sentences_about(answer, CODE)
    assert checked.kept == ["It adds to `counts`."]
    assert checked.left_out == 2


# -- docstrings


@pytest.mark.parametrize(("at", "name"), [("self.counts = {}", "__init__"), ("sum(", "total"), ("class C", "Counter")])
def test_a_docstring_goes_below_the_head(at: str, name: str) -> None:
    text = Text(CODE)
    place = docstring.place_for(text, CODE.index(at))
    assert place.name == name
    after = CODE[: place.offset] + f'{place.indentation}"""Something."""\n' + CODE[place.offset :]
    assert docstring.same_but_docstring(CODE, after, name)
    assert 'Something."""' in ast.unparse(ast.parse(after))


@pytest.mark.parametrize(
    ("code", "at", "sentence"),
    [
        (CODE, "import json", "no function or class"),
        (CODE, "return 1", "on the line of its head"),
        (CODE, "It is", "has a docstring already"),
        ("def (", "def", "does not parse"),
    ],
)
def test_where_no_docstring_can_go_is_said(code: str, at: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        docstring.place_for(Text(code), code.index(at))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("\n    add the amount to the counts of a key\n\n    Args:", "Add the amount to the counts of a key."),
        ("Add.", None),
        ("Return the total number of apples.", None),
        ("Call `frobnicate` with the key.", None),
        ("This function adds an amount.", None),
        ("Adds {key: amount} to counts", None),
        ("", None),
    ],
)
def test_only_a_sentence_about_the_code_becomes_a_docstring(answer: str, sentence: str | None) -> None:
    code = CODE[CODE.index("    def add") : CODE.index("\n\n\ndef one")]
    assert docstring.sentence_of(answer, "add", code) == sentence


def test_a_docstring_that_changes_the_code_is_noticed() -> None:
    assert not docstring.same_but_docstring("def f():\n    return 1\n", 'def f():\n    """X."""\n    return 2\n', "f")
    assert not docstring.same_but_docstring("def f():\n    return 1\n", "def f():\n    return 1\n", "f")


# -- rewriting


def test_a_selection_is_widened_to_lines() -> None:
    start, end = rewrite.whole_lines(seen(CODE), CODE.index("counts = {}"), CODE.index("    @property"))
    assert CODE[start:end] == "        self.counts = {}\n"
    with pytest.raises(InvalidRequest, match="empty"):
        rewrite.whole_lines(seen("a\n\n\nb"), 2, 2)
    with pytest.raises(InvalidRequest, match="1 more than"):
        rewrite.whole_lines(seen("x" * 4001), 0, 4001)


def test_what_does_not_parse_does_not_hold() -> None:
    start, end = CODE.index("        return sum"), CODE.index("\n\n    def add")
    assert rewrite.holds(seen(CODE), Change(start, end, "        return 0"))
    assert not rewrite.holds(seen(CODE), Change(start, end, "        return sum("))
    assert not rewrite.holds(seen(CODE), Change(start, end, "return 0"))
    assert not rewrite.holds(seen("let a = [1];\n", "typescript"), Change(8, 11, "[1"))
    assert rewrite.holds(seen("let a = [1];\n", "typescript"), Change(8, 11, "[1, 2]"))


def test_new_code_takes_the_place_of_the_old() -> None:
    assert (
        rewrite.fitted("    a = 1\r\n    b = 2", "a = 2\nif a:\n    b = 3\n")
        == "    a = 2\r\n    if a:\r\n        b = 3"
    )


@pytest.mark.parametrize(
    ("new", "instruction", "fits"),
    [
        ("def load(path, default):\n    return open(path).read() or default", "handle empty files", True),
        ("def load(path, default):\n    return load(path, default)", "handle errors", False),
        ("def main():\n    print('hello')", "handle errors", False),
        ("def read(path, default):\n    return open(path).read()", "handle errors", False),
        ("def read(path, default):\n    return open(path).read()", "rename load to read", True),
    ],
)
def test_a_rewriting_is_of_the_same_code(new: str, instruction: str, fits: bool) -> None:
    assert rewrite.kin("def load(path, default):\n    return open(path).read()", new, instruction) is fits


def test_a_rename_needs_no_model() -> None:
    code = 'def f(file):\n    # the file\n    x.file = open(file)\n    return "file", file\n'
    found = renamed(seen(code), 0, len(code), "Rename the parameter file to source")
    assert found == 'def f(source):\n    # the file\n    x.file = open(source)\n    return "file", source\n'
    assert renamed(seen(code), 0, len(code), "make it faster") is None
    for instruction, sentence in (
        ("rename nothing to it", "has no name nothing"),
        ("rename file to x", "is taken"),
        ("rename file to class", "is a keyword"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            renamed(seen(code), 0, len(code), instruction)


# -- mending


def test_names_that_are_not_defined_are_mended_from_those_that_are() -> None:
    text = Text("def f(amount):\n    return amuont\n")
    start = text.value.index("amuont")
    assert [f.title for f in misspelt(text, start, start + 6, ["amount", "other"])] == ["Change amuont to amount"]
    assert missing_import(text, "amuont") is None


@pytest.mark.parametrize(
    ("head", "after"),
    [
        ("", "import json\n"),
        ('"""A.\n\nB."""\n\n', '"""A.\n\nB."""\n\nimport json\n'),
        ("# a\n\nimport os\n", "# a\n\nimport json\nimport os\n"),
        ("from __future__ import annotations\n\n", "from __future__ import annotations\n\nimport json\n"),
    ],
)
def test_an_import_goes_where_imports_are(head: str, after: str) -> None:
    text = Text(head + "json.loads(x)\n")
    found = missing_import(text, "json")
    assert found is not None
    assert text.edited(found.change).value == after + "json.loads(x)\n"


@pytest.mark.asyncio
async def test_only_a_fix_that_mends_is_offered() -> None:
    code = "def f(amount):\n    return amuont\n"

    async def check(text: Text) -> list[str]:
        return [f"Undefined name `{word}`" for word in ("amuont", "amoun") if f"return {word}\n" in text.value]

    at = code.index("amuont")
    fixes = [Candidate(name, Change(at, at + 6, name)) for name in ("amoun", "amount + ", "amount")]
    before = Counter(await check(Text(code)))
    mended = await fix.first_that_holds(fixes, seen(code), "Undefined name `amuont`", before, check)
    assert mended is not None
    assert (mended.candidate.title, mended.proved) == ("amount", True)
    assert await fix.first_that_holds(fixes[:2], seen(code), "Undefined name `amuont`", before, check) is None
    foreign = await fix.first_that_holds(fixes, seen(code), "possibly None", before, check)
    assert foreign is not None
    assert not foreign.proved


# -- commits


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "core.fsmonitor=false", "-C", str(root), *arguments], check=True)


def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.email", "a@b.c")
    git(tmp_path, "config", "user.name", "A")
    (tmp_path / "a b.py").write_text("def load(path):\n    return path\n\n\ndef other():\n    pass\n")
    (tmp_path / ".env").write_text("KEY=1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "x")
    return tmp_path


@pytest.mark.asyncio
async def test_the_index_is_read_without_its_secrets(tmp_path: Path) -> None:
    root = repository(tmp_path)
    with pytest.raises(InvalidRequest, match="Nothing is staged"):
        await staged.staged(root, lambda path: True)
    (root / "a b.py").write_text("def load(path):\n    return open(path)\n\n\ndef other():\n    pass\n")
    (root / ".env").write_text("KEY=secret\n")
    (root / "ü.txt").write_text("new\n")
    git(root, "add", "-A")
    changes = {c.path: c for c in await staged.staged(root, lambda path: path.name != ".env")}
    assert set(changes) == {"a b.py", ".env", "ü.txt"}
    assert (changes["a b.py"].kind, changes["a b.py"].names) == ("changed", ["load"])
    assert (changes["a b.py"].added, changes["a b.py"].removed) == (1, 1)
    assert changes["ü.txt"].kind == "added"
    assert changes[".env"].lines == []
    assert "secret" not in repr(changes)


@pytest.mark.asyncio
@pytest.mark.parametrize("setting", ["diff.noprefix", "diff.mnemonicPrefix", "diff.relative"])
async def test_paths_are_those_of_the_repository_however_git_is_set(tmp_path: Path, setting: str) -> None:
    root = repository(tmp_path)
    git(root, "config", setting, "true")
    (root / "sub").mkdir()
    (root / "sub" / "private.py").write_text("x = 1\n")
    (root / ".env").write_text("KEY=secret\n")
    (root / 'odd"name.py').write_text("y = 2\n")
    git(root, "add", "-A")
    judged: list[Path] = []

    def allowed(path: Path) -> bool:
        judged.append(path)
        return path.name == "private.py"

    changes = await staged.staged(root / "sub", allowed)
    assert {path.relative_to(root) for path in judged if path != Path(staged.UNREADABLE)} == {
        Path(".env"),
        Path("sub/private.py"),
    }
    assert [c.path for c in changes if c.lines] == ["sub/private.py"]


def test_only_the_open_folders_are_read_and_each_by_its_own_rules(tmp_path: Path) -> None:
    for name in ("one", "two", "two/inner", "closed"):
        (tmp_path / name).mkdir()
    (tmp_path / "two" / ".famulusignore").write_text("a.py\n")
    allowed = within(Policy([tmp_path / "one", tmp_path / "two", tmp_path / "two/inner"], trusted=True))
    judged = {name: allowed(tmp_path / name) for name in ("one/a.py", "two/a.py", "two/b.py", "closed/a.py")}
    assert judged == {"one/a.py": True, "two/a.py": False, "two/b.py": True, "closed/a.py": False}
    assert not allowed(tmp_path / "one/.env")
    assert not allowed(Path(staged.UNREADABLE))


@pytest.mark.asyncio
async def test_a_secret_that_got_another_name_stays_one(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / ".env").write_text("KEY=1\n" * 20)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "y")
    git(root, "mv", ".env", "settings.txt")
    (root / "settings.txt").write_text("KEY=1\n" * 20 + "NEW=secret\n")
    git(root, "add", "-A")
    (found,) = await staged.staged(root, lambda path: path.name != ".env")
    assert (found.kind, found.path, found.old, found.lines) == ("renamed", "settings.txt", ".env", [])


@pytest.mark.asyncio
async def test_programs_that_a_repository_names_do_not_run(tmp_path: Path) -> None:
    root = repository(tmp_path)
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "core.pager"):
        git(root, "config", name, str(trap))
    (root / ".gitattributes").write_text("*.py diff=x\n")
    (root / "a b.py").write_text("y = 1\n")
    git(root, "add", "a b.py")
    assert [c.path for c in await staged.staged(root, lambda path: True)] == ["a b.py"]
    assert not (tmp_path / "sprung").exists()


@pytest.mark.asyncio
async def test_a_folder_without_a_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not a git repository"):
        await staged.staged(tmp_path, lambda path: True)


def change(path: str, kind: str = "changed", names: tuple[str, ...] = ()) -> staged.FileChange:
    return staged.FileChange(path, kind, 1, 1, list(names), ["+def load(path):", "-def load(file):"])


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ([change("src/a.py", names=("load",))], "Change load in a.py"),
        ([change("a.py", "added"), change("b.py", "added")], "Add a.py and b.py"),
        ([change(f"src/{i}.py", "deleted") for i in range(5)], "Remove 5 files in src"),
        ([change("a.py", "added"), change("b.py", names=("f", "g"))], "Change f and g"),
    ],
)
def test_the_plain_subject_says_what_the_diff_says(changes: list[staged.FileChange], subject: str) -> None:
    assert commit.plain_subject(changes) == subject


@pytest.mark.parametrize(
    ("answer", "subject"),
    [
        ("Fixed the load path.", "Fix the load path"),
        ("feat(io): adds load for path", "Add load for path"),
        ('"Renaming file to path"', "Rename file to path"),
        ("Subject: Dropped file from load", "Drop file from load"),
        ("Add frobnicate_all to load", None),
        ("Update README and everything else", None),
        ("The load function was changed", None),
        ("Add " + "load " * 20, None),
    ],
)
def test_a_subject_is_imperative_and_names_nothing_foreign(answer: str, subject: str | None) -> None:
    assert commit.subject_of(answer, {"load", "path", "file", "def"}) == subject
