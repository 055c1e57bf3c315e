"""Tests look like those of the project, and come into its files without a change to anything but imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.testgen import writing
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.formatting import demanded, formatted
from famulus.lsp_server.testgen.importing import added
from famulus.lsp_server.testgen.style import Style, in_quotes, read

SOURCE = '''
def chunks(items: list[int], size: int) -> list[list[int]]:
    """Split a list into pieces."""
    if size < 1:
        raise ValueError("size must be at least 1")
    return [items[n : n + size] for n in range(0, len(items), size)]
'''
NEEDED = ["import pytest", "from bins import chunks", "import math"]
RUFF = str(Path(sys.executable).with_name("ruff"))


def examples() -> tuple[Aim, list[Example]]:
    """Four calls that answer, and one that raises."""
    aim = Aim("bins.py", "bins", SOURCE, functions(SOURCE)["chunks"])
    answers = {("[]", "1"): "[]", ("[1]", "1"): "[[1]]", ("[1, 2]", "1"): "[[1], [2]]", ("[1, 2]", "2"): "[[1, 2]]"}
    found = [
        Example(Call("chunks", args), Outcome({"value": _form(ast.literal_eval(v))})) for args, v in answers.items()
    ]
    refused = {
        "raised": ["exception", "ValueError", ["list", [["str", "size must be at least 1"]]]],
        "at": ["bins.py", 5],
    }
    told = {"kinds": ["ValueError", "Exception"], "message": "size must be at least 1"}
    return aim, [*found, Example(Call("chunks", ("[1, 2]", "0")), Outcome({**refused, **told}))]


def _form(value: object) -> list[object]:
    return ["list", [_form(item) for item in value]] if isinstance(value, list) else ["int", str(value)]


def clean(text: str, folder: Path) -> bool:
    """Whether ruff finds the imports sorted and the text formatted."""
    for command in (["check", "--select", "I,F,E", "--line-length", "88"], ["format", "--check"]):
        done = subprocess.run(
            [RUFF, *command, "--isolated", "--no-cache", "--stdin-filename", "test_bins.py", "-"],
            input=text, cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            return False
    return True


@pytest.mark.parametrize("form", ["functions", "classes", "unittest"])
@pytest.mark.parametrize("tables", [True, False])
def test_a_new_file_is_clean_short_and_in_the_form_of_the_project(tmp_path: Path, form: str, tables: bool) -> None:
    style = Style(form=form, tables=tables and form != "unittest", annotated=True, documented=True)  # type: ignore[arg-type]
    (tmp_path / "bins.py").write_text(SOURCE)
    tests = writing.write(*examples(), style=style)
    text = formatted(writing.module(tests, style), tmp_path / "test_bins.py", tmp_path, style)
    assert clean(text, tmp_path), text
    tree = ast.parse(text)
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    assert sorted(n.name for n in nodes) == sorted(test.name for test in tests)
    assert len(nodes) == (2 if style.tables else 5)
    assert all(ast.get_docstring(n) and isinstance(n.returns, ast.Constant) for n in nodes)
    assert all((n.end_lineno or 0) - n.lineno < 12 for n in nodes)
    holders = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    assert [ast.unparse(b) for holder in holders for b in holder.bases] == ["unittest.TestCase"] * (form == "unittest")
    assert bool(holders) == (form != "functions")
    assert ("pytest.raises" in text) == (form != "unittest")


def test_the_tests_of_a_test_case_run_without_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bins.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    style = Style(form="unittest", tables=False)
    text = writing.module(writing.write(*examples(), style=style), style)
    assert "pytest" not in text
    names: dict[str, type[unittest.TestCase]] = {}
    exec(compile(text, "test_bins.py", "exec"), names)
    monkeypatch.delitem(sys.modules, "bins")
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(names["TestChunks"])
    result = unittest.TextTestRunner(stream=open(tmp_path / "out", "w")).run(suite)  # noqa: SIM115
    assert (result.testsRun, result.wasSuccessful()) == (5, True)


def test_a_class_whose_name_is_taken_has_another() -> None:
    style = Style(form="unittest")
    text = writing.rendered(writing.write(*examples(), (), style), style, {"TestChunks", "TestChunks2"})
    assert "class TestChunks3(unittest.TestCase):" in text


@pytest.mark.parametrize(
    "before",
    [
        "",
        '"""Tests."""\n',
        "import pytest\n",
        '"""Tests."""\n\nfrom __future__ import annotations\n\nimport os\n\nimport pytest\n\nfrom bins import find\n',
        "import os\nimport sys\n\nimport numpy\nimport requests\n\nfrom bins import (\n    Bin,\n    find,\n)\n",
        "import math\n\nimport pytest\n\nfrom bins import chunks\n",
        "from bins import Bin, zip_all\n",
        "from bins import Bin, a_rather_long_name_of_a_function, another_long_name_of_one, zip_all\n",
        "import os\n\nfrom . import other\n",
    ],
)
def test_imports_come_where_those_of_the_file_are(tmp_path: Path, before: str) -> None:
    (tmp_path / "bins.py").write_text(SOURCE)
    rows = added(before, NEEDED, own="bins")
    text = "\n".join(rows) + "\n"
    names = {
        a.asname or a.name for n in ast.parse(text).body if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    assert {"pytest", "chunks", "math"} <= names
    kept = iter(rows)
    assert all(
        any(row == other or row in other for other in kept) for row in before.splitlines() if "import" not in row
    )
    sorted_ = subprocess.run(
        [RUFF, "check", "--select", "I", "--isolated", "--no-cache", "--stdin-filename", "test_bins.py", "-"],
        input=text + "\n\ndef test_a():\n    pass\n", cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert sorted_.returncode == 0, sorted_.stdout


def test_unsorted_imports_are_left_as_they_are() -> None:
    before = "import sys\nimport os\nfrom bins import find\nimport abc\n\n\ndef test_a():\n    pass\n"
    rows = added(before, ["from bins import chunks", "import pytest"], own="bins")
    assert [row for row in rows if row in before.splitlines()] == [
        row for row in before.splitlines() if row != "from bins import find"
    ]
    assert {"import pytest", "from bins import chunks, find"} <= set(rows)


def test_the_style_is_read_from_the_neighbours(tmp_path: Path) -> None:
    cases = "import unittest\n\n\nclass PriceTests(unittest.TestCase):\n" + "".join(
        f'    def test_{n}(self):\n        """It is so."""\n        self.assertEqual(\'a\', \'a\')\n' for n in range(3)
    )
    found = read([cases])
    assert (found.form, found.ending, found.quote, found.documented, found.tables) == (
        "unittest",
        "Tests",
        "'",
        True,
        False,
    )
    assert read(["class TestA:\n    def test_b(self):\n        pass\n"]).form == "classes"
    assert read(["def test_a():\n    x = " + "1 + " * 25 + "1\n"]).width > 88


def test_rules_of_the_project_are_kept(tmp_path: Path) -> None:
    (tmp_path / "bins.py").write_text(SOURCE)
    file = tmp_path / "test_bins.py"
    assert demanded(Style(), file, tmp_path) == Style()
    (tmp_path / "ruff.toml").write_text("lint.select = ['D103', 'D4', 'ANN', 'PT', 'E', 'F', 'I']\nline-length = 100\n")
    style = demanded(Style(), file, tmp_path)
    assert style.annotated and style.documented
    file.write_text(formatted(writing.module(writing.write(*examples(), style=style), style), file, tmp_path, style))
    done = subprocess.run([RUFF, "check", "--no-cache", str(file)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_format_is_blacks_where_only_that_is_configured(tmp_path: Path) -> None:
    long = (
        "def test_a():\n    assert function('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 9) == 1\n"
    )
    file, single = tmp_path / "test_a.py", Style(quote="'", width=100)
    assert formatted(long, file, tmp_path, Style()).count("\n") > 2
    assert formatted(long, file, tmp_path, single) == long
    (tmp_path / "pyproject.toml").write_text("[tool.black]\nline-length = 120\n")
    assert formatted(long, file, tmp_path, single) == long.replace("'", '"')
    (tmp_path / "ruff.toml").write_text("line-length = 120\nformat.quote-style = 'preserve'\n")
    assert formatted(long, file, tmp_path, Style()) == long


@pytest.mark.parametrize(
    ("line", "quote", "written"),
    [
        ("assert cart.items == {'fig': 1}", '"', 'assert cart.items == {"fig": 1}'),
        ('assert said == "it\'s"', "'", 'assert said == "it\'s"'),
        ("assert said == 'a \"b\"'", '"', "assert said == 'a \"b\"'"),
        ("    (1, 'a'),", '"', '    (1, "a"),'),
    ],
)
def test_texts_have_the_quotes_of_the_file(line: str, quote: str, written: str) -> None:
    assert in_quotes(line, quote) == written
