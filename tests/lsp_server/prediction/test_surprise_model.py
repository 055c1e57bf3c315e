"""Surprise with the embedded model, through the real server."""

from __future__ import annotations

import pytest

URI = "file:///project/files.py"
RIGHT = '''def read_lines(path, encoding):
    """All lines of a file, without their ends."""
    with open(path, encoding=encoding) as file:
        return [line.rstrip("\\n") for line in file]
'''
WRONG = RIGHT.replace("encoding=encoding", "encoding=path")
PUBLISH = "textDocument/publishDiagnostics"


@pytest.mark.slow
def test_a_wrong_variable_is_told_with_the_right_one_as_a_quick_fix(served, inside):
    editor = inside(home=served.home)
    editor.open(URI, RIGHT)
    start, end = {"line": 2, "character": 29}, {"line": 2, "character": 37}
    editor.change(URI, 2, {"range": {"start": start, "end": end}, "text": "path"})
    found = editor.told(PUBLISH, lambda p: any(d["code"] == "surprise" for d in p["diagnostics"]), timeout=90)
    (hint,) = found["diagnostics"]
    assert hint["severity"] == 4 and "`encoding` may be meant here instead of `path`" in hint["message"]
    assert hint["range"]["start"] == start
    asked = {"textDocument": {"uri": URI}, "range": hint["range"], "context": {"diagnostics": [hint]}}
    (action,) = [a for a in editor.request("textDocument/codeAction", asked) if "edit" in a]
    (edit,) = action["edit"]["changes"][URI]
    assert edit["newText"] == "encoding" and edit["range"] == hint["range"]
    assert not action.get("isPreferred")
