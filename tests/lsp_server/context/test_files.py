"""Files around a file, what it imports, and windows that are like its own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from famulus.lsp_server.context.files import around, most_alike, windows
from famulus.lsp_server.context.imports import imports
from famulus.lsp_server.context.words import similarity, words
from famulus.lsp_server.documents import Text


@pytest.mark.parametrize(
    ("language", "text", "path", "wanted", "names"),
    [
        ("python", "from a.b import c as d, e\n", "x.py", "a/b.py", ("c", "e")),
        ("python", "from .b import (c,\n  e,\n)\n", "p/x.py", "p/b.py", ("c", "e")),
        ("python", "from .. import b\n", "p/q/x.py", "p/b.py", ()),
        ("python", "    import a.b as z, c\n", "p/x.py", "a/b.py", ()),
        ("typescript", "import d, { A, type B } from './m/b'\n", "p/x.ts", "p/m/b.ts", ("d", "A", "B")),
        ("typescript", "import { A } from '../b.js'\n", "p/x.ts", "b.ts", ("A",)),
        ("cpp", '#include "b.h"\n', "p/x.cpp", "p/b.h", ()),
        ("java", "import a.b.C;\n", "src/main/java/a/X.java", "src/main/java/a/b/C.java", ("C",)),
        ("rust", "use crate::b::{C, D};\n", "src/x.rs", "src/b.rs", ("C", "D")),
    ],
)
def test_imports(tmp_path: Path, language: str, text: str, path: str, wanted: str, names: tuple[str, ...]) -> None:
    found = imports(language, text, tmp_path / path, [tmp_path])
    assert [i.names for i in found if tmp_path / wanted in i.paths][:1] == [names]


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("pack/core.py", "pack/test_core.py"),
        ("pack/core.py", "tests/test_core.py"),
        ("pack/core.py", "tests/pack/test_core.py"),
        ("tests/test_core.py", "pack/core.py"),
        ("tests/pack/test_core.py", "pack/core.py"),
        ("src/a.ts", "src/a.test.ts"),
        ("a_test.go", "a.go"),
        ("src/main/java/p/A.java", "src/test/java/p/ATest.java"),
    ],
)
def test_tests_and_what_they_test_belong_together(tmp_path: Path, path: str, other: str) -> None:
    for name in (path, other):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert around(tmp_path / path, [tmp_path])[0] == tmp_path / other


def test_siblings_are_of_the_same_kind(tmp_path: Path) -> None:
    for name in ("a.py", "ab.py", "b.py", "c.md", ".env", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "link.py").symlink_to(tmp_path / "b.py")
    assert [path.name for path in around(tmp_path / "a.py", [tmp_path])] == ["ab.py", "b.py"]
    assert around(tmp_path / "missing" / "a.py", [tmp_path]) == []


def test_the_window_most_alike_is_found() -> None:
    text = "".join(f"alpha{n} = beta{n} + gamma{n}\n" for n in range(100))
    found = most_alike(words("".join(f"alpha{n} beta{n} gamma{n}" for n in range(54, 62))), windows(Text(text)))
    assert found is not None and "alpha57" in found[1].text and found[1].text.count("\n") == 19
    assert most_alike(words("nothing like this"), windows(Text(text))) is None
    assert most_alike(words("alpha"), windows(Text(""))) is None


def test_similarity_is_the_share_of_common_words() -> None:
    assert similarity(words("one two three"), words("two three four")) == 0.5
    assert similarity(words(""), words("")) == 0.0
