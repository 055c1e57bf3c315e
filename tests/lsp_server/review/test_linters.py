"""Only what a tool says since the change is told, whatever moved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.linting.sarif import SarifUnreadable, read
from famulus.lsp_server.review.review import Options, Review
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules import neutral
from famulus.lsp_server.review.rules.linters import RULE


def _context(old: Mapping[str, str], new: Mapping[str, str], root: Path | None = None) -> Context:
    sides = [Memory({path: text.encode() for path, text in side.items()}) for side in (old, new)]
    context = Context(between(*sides), root=root)
    list(neutral.RULE.check(context))
    return context


def _found(old: Mapping[str, str], new: Mapping[str, str], root: Path | None = None) -> list[Finding]:
    context = _context(old, new, root)
    found = list(RULE.check(context))
    assert not context.left_out
    return found


BAD = "import os\n\n\ndef f():\n    return nowhere\n"


def test_only_new_remarks_are_told() -> None:
    assert not _found({"a.py": BAD}, {"a.py": "# a note\n" + BAD + "\n\ndef g():\n    return 1\n"})
    [found] = _found({"a.py": BAD}, {"a.py": BAD + "\n\ndef g():\n    return elsewhere\n"})
    assert (found.rule, found.grade, found.severity) == ("linters/ruff/F821", Grade.PROVED, "error")
    assert (str(found.place), found.place.symbol, found.place.column) == ("a.py:9", "g", 12)
    assert found.message == "Undefined name `elsewhere` (ruff F821)." and found.proof.kind == "tool"


def test_a_star_import_is_no_fault() -> None:
    assert not _found({"a.py": "x = 1\n"}, {"a.py": "from b import *\nx = name\n", "b.py": "name = 1\n"})


def test_a_second_one_of_the_same_kind_is_new_at_the_changed_line() -> None:
    [found] = _found({"a.py": "def f():\n    return x\n"}, {"a.py": "def f():\n    print(x)\n    return x\n"})
    assert found.place.line == 2


def test_a_remark_on_an_unchanged_line_is_told() -> None:
    [found] = _found({"a.py": "import os\nprint(os)\n"}, {"a.py": "import os\nprint(1)\n"})
    assert (found.rule, found.place.line, found.severity) == ("linters/ruff/F401", 1, "note")
    assert found.suggestion is not None
    [edit] = found.suggestion.edits
    assert (edit.path, edit.line, edit.end_line, edit.text) == ("a.py", 1, 1, "")


def test_what_moves_to_another_file_or_is_laid_out_anew_is_not_new() -> None:
    assert not _found({"a.py": BAD, "b.py": "x = 1\n"}, {"a.py": "y = 1\n", "b.py": "x = 1\n" + BAD})
    assert not _found(
        {"a.py": "def f():\n  return [nowhere,1]\n"},
        {"a.py": "def f():\n    return [\n        nowhere,\n        1,\n    ]\n"},
    )


def test_a_file_that_no_longer_parses_is_told_once() -> None:
    [found] = _found({"a.py": "x = 1\n"}, {"a.py": "x = (1\ny = 2\ndef\n"})
    assert found.rule == "linters/ruff/invalid-syntax" and found.severity == "error"


def test_the_configuration_of_the_project_counts_where_the_user_named_it(tmp_path: Path) -> None:
    settings = "[tool.ruff.lint]\nselect = ['E711', 'I']\n"
    old = {"pyproject.toml": settings, "pkg/__init__.py": "", "pkg/b.py": "b = 1\n", "pkg/a.py": "x = 1\n"}
    new = {**old, "pkg/a.py": "import os\n\nfrom pkg.b import b\n\nprint(os, b == None, nowhere)\n"}
    [found] = _found(old, new, tmp_path)
    assert (found.rule, found.grade, found.severity) == ("linters/ruff/E711", Grade.MEASURED, "note")
    [found] = _found(old, new)
    assert found.rule == "linters/ruff/F821", "without a folder nobody vouches for the configuration"


def test_another_configuration_does_not_make_old_remarks_new(tmp_path: Path) -> None:
    old = {"ruff.toml": "lint.select = ['F']\n", "a.py": "x = 1\nif x == None: pass\n"}
    new = {"ruff.toml": "lint.select = ['E711']\n", "a.py": "x = 2\nif x == None: pass\n"}
    assert not _found(old, new, tmp_path)


def test_a_broken_configuration_is_said_and_no_more(tmp_path: Path) -> None:
    context = _context({"a.py": "x = 1\n"}, {"a.py": BAD, "ruff.toml": "select = 3\n"}, tmp_path)
    assert not list(RULE.check(context))
    assert len(context.left_out) == 1 and context.left_out[0].startswith("ruff: Ruff failed")


def _sarif(results: Sequence[dict[str, Any]], **run: Any) -> str:
    rules = [{"id": "X1", "defaultConfiguration": {"level": "error"}, "messageStrings": {"m": {"text": "Bad {0}"}}}]
    tool = {"driver": {"name": "checker", "rules": rules}}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": results, **run}]})


def _result(line: int, uri: str = "a.py", **more: Any) -> dict[str, Any]:
    place = {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}
    return {"ruleId": "X1", "message": {"text": "Bad call."}, "locations": [place], **more}


def _by_sarif(tmp_path: Path, old: str | None, new: str) -> list[Finding]:
    context = _context({"a.py": "a()\nb()\n"}, {"a.py": "z()\na()\nb()\nc()\n"}, tmp_path)
    (tmp_path / "new.sarif").write_text(new)
    context.sarif_new = (tmp_path / "new.sarif",)
    if old is not None:
        (tmp_path / "old.sarif").write_text(old)
        context.sarif_old = (tmp_path / "old.sarif",)
    found = [f for f in RULE.check(context) if f.rule.startswith("linters/checker")]
    assert not context.left_out
    return found


def test_reports_of_other_tools_are_differenced(tmp_path: Path) -> None:
    [found] = _by_sarif(tmp_path, _sarif([_result(1)]), _sarif([_result(2), _result(4)]))
    assert (str(found.place), found.severity, found.grade) == ("a.py:4", "error", Grade.MEASURED)
    assert found.message == "Bad call (checker X1)."
    own: dict[str, Any] = {"partialFingerprints": {"primaryLocationLineHash": "77"}}
    assert not _by_sarif(tmp_path, _sarif([_result(1, **own)]), _sarif([_result(4, **own)]))


def test_without_a_report_of_the_old_side_only_changed_lines_count(tmp_path: Path) -> None:
    found = _by_sarif(tmp_path, None, _sarif([_result(2), _result(4), _result(1, baselineState="unchanged")]))
    assert [f.place.line for f in found] == [4]


def test_what_a_report_says_is_understood_in_its_usual_forms(tmp_path: Path) -> None:
    (tmp_path / "a.sarif").write_text(
        _sarif(
            [
                _result(1, (tmp_path / "src" / "a b.py").as_uri()),
                _result(2, suppressions=[{"kind": "inSource"}]),
                _result(3, kind="pass"),
                _result(4, "https://example.org/a.py"),
                _result(5, "../outside.py"),
                {"ruleIndex": 0, "message": {"id": "m", "arguments": ["thing"]}, "locations": [
                    {"physicalLocation": {"artifactLocation": {"index": 0}, "region": {}}}
                ]},
                {"ruleId": "X1", "message": {"text": "about nothing"}},
            ],
            artifacts=[{"location": {"uri": "b.py"}}],
        )
    )  # fmt: skip
    found = read(tmp_path / "a.sarif", tmp_path)
    assert [(r.path, r.line, r.message) for r in found] == [("src/a b.py", 1, "Bad call"), ("b.py", 1, "Bad thing")]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"runs": 3}', '{"runs": [3]}', '{"runs": [{"results": [{}]}]}', "\0"])
def test_a_report_that_is_none_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.sarif").write_text(text)
    with pytest.raises(SarifUnreadable):
        read(tmp_path / "a.sarif")
    context = _context({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
    context.sarif_new = (tmp_path / "a.sarif",)
    assert not list(RULE.check(context)) and context.left_out[0].startswith("SARIF: ")


def test_a_review_reads_the_reports_it_is_given(tmp_path: Path) -> None:
    change = between(Memory({"a.py": b"a()\n"}), Memory({"a.py": b"a()\nc()\n"}))
    (tmp_path / "old.sarif").write_text(_sarif([_result(1)]))
    (tmp_path / "new.sarif").write_text(_sarif([_result(1), _result(2)]))
    options = Options(only=["linters"], sarif_old=[tmp_path / "old.sarif"], sarif_new=[tmp_path / "new.sarif"])
    found = list(Review(change, options).run())
    assert [str(f.place) for f in found if f.rule == "linters/checker/X1"] == ["a.py:2"]
