"""Tests for unittest: what pytest's fixtures give is made by the test itself."""

from __future__ import annotations

import re
from dataclasses import replace

from famulus.lsp_server.testgen.assertions import FIXTURES
from famulus.lsp_server.testgen.writing import Written

_SET = re.compile(r'^(\s*)monkeypatch\.setattr\((".+?"), (.+)\)$')
_SETENV = re.compile(r'^(\s*)monkeypatch\.setenv\((".+?"), (.+)\)$')
_DELENV = re.compile(r'^(\s*)monkeypatch\.delenv\((".+?"), raising=False\)$')
_NEAR = re.compile(r"^(\s*)assert (.+) == pytest\.approx\((-?[\d.e+-]+)\)$")


def converted(one: Written) -> Written | None:
    """A test without anything of pytest; None where that cannot be."""
    head, _, body = one.text.partition("\n")
    given = re.search(r"\((.*)\)", head)
    needed = {name.partition(":")[0].strip() for name in given[1].split(",")} if given else set()
    if head.startswith("@") or needed - {"", *FIXTURES}:
        return None
    rows = body.split("\n")
    imports = [line for line in one.imports if line != "import pytest"]
    start: list[str] = []
    if "monkeypatch" in head or "capsys" in head:
        start.append("    self.addCleanup(mock.patch.stopall)")
        imports.append("from unittest import mock")
    if "capsys" in head:
        start += ["    output = io.StringIO()", '    mock.patch("sys.stdout", output).start()']
        imports.append("import io")
    if "tmp_path" in head:
        start += [
            "    folder_of_test = tempfile.TemporaryDirectory()",
            "    self.addCleanup(folder_of_test.cleanup)",
            "    tmp_path = Path(folder_of_test.name)",
        ]
        imports += ["import tempfile", "from pathlib import Path"]
    rows = [_plain(row) for row in rows]
    text = "\n".join([re.sub(r"\(.*\)", "()", head), *start, *rows])
    if "os.environ.pop" in text:
        imports.append("import os")
    if re.search(r"\bpytest\.(?!raises\()|\bmonkeypatch\b|\bcapsys\b", text):
        return None
    return replace(one, text=text, imports=tuple(dict.fromkeys(imports)))


def _plain(row: str) -> str:
    """A line without a fixture of pytest."""
    row = row.replace("capsys.readouterr().out", "output.getvalue()")
    row = row.replace("ended.value.code", "ended.exception.code")
    row = row.replace("pytest.raises(SystemExit) as ended", "self.assertRaises(SystemExit) as ended")
    row = _SET.sub(r"\1mock.patch(\2, \3).start()", row)
    row = _SETENV.sub(r'\1mock.patch.dict("os.environ", {\2: \3}).start()', row)
    row = _DELENV.sub(r'\1mock.patch.dict("os.environ").start()\n\1os.environ.pop(\2, None)', row)
    return _NEAR.sub(r"\1self.assertAlmostEqual(\2, \3, places=6)", row)
