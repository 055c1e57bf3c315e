"""Diagnostics and quick fixes as an editor sees them, through the real server. No engine is there."""

from __future__ import annotations

import pytest

URI = "file:///project/mod.py"
CAPABILITIES = {
    "general": {"positionEncodings": ["utf-16"]},
    "textDocument": {
        "publishDiagnostics": {
            "versionSupport": True,
            "tagSupport": {"valueSet": [1, 2]},
            "codeDescriptionSupport": True,
        }
    },
    "workspace": {"workspaceEdit": {"documentChanges": True}},
}
PUBLISH = "textDocument/publishDiagnostics"


@pytest.fixture
def editor(inside):
    return inside(capabilities=CAPABILITIES)


def shown(editor, fits=lambda diagnostics: True, uri=URI):
    """What is published for a document, once it fits; everything before it is forgotten."""
    found = editor.told(PUBLISH, lambda p: p["uri"] == uri and fits(p["diagnostics"]))
    editor.forget()
    return found


def codes(diagnostics):
    return [d["code"] for d in diagnostics]


def insertion(line, character, text):
    here = {"line": line, "character": character}
    return {"range": {"start": here, "end": here}, "text": text}


def quick_fixes(editor, line, diagnostics=(), uri=URI, **context):
    asked = {
        "textDocument": {"uri": uri},
        "range": {"start": {"line": line, "character": 0}, "end": {"line": line, "character": 99}},
        "context": {"diagnostics": list(diagnostics), **context},
    }
    # Commands of other services stand in the same list; ours bring their edits along.
    return [a for a in editor.request("textDocument/codeAction", asked) or [] if "edit" in a]


def test_undefined_and_unused_names_are_shown_where_they_stand(editor):
    editor.open(URI, 'import os\n\nx = "😀" + missing\n', version=7)
    found = shown(editor)
    assert found["version"] == 7
    unused, undefined = found["diagnostics"]
    assert unused["code"] == "F401" and unused["tags"] == [1] and unused["severity"] == 4
    assert unused["codeDescription"]["href"].endswith("unused-import")
    assert undefined["code"] == "F821" and undefined["severity"] == 1 and undefined["source"] == "famulus"
    assert undefined["range"] == {"start": {"line": 2, "character": 11}, "end": {"line": 2, "character": 18}}


def test_a_client_that_knows_less_is_told_less(inside):
    editor = inside()
    editor.open(URI, "import os\n")
    found = editor.told(PUBLISH)
    assert found.get("version") is None
    assert "tags" not in found["diagnostics"][0] and "codeDescription" not in found["diagnostics"][0]


def test_a_quick_fix_edits_this_version(editor):
    editor.open(URI, "import os\nimport sys\nprint(sys.path)\n", version=3)
    shown(editor)
    (action,) = quick_fixes(editor, 0)
    assert action["kind"] == "quickfix" and action["isPreferred"] and action["diagnostics"][0]["code"] == "F401"
    (change,) = action["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 3}
    start, end = {"line": 0, "character": 0}, {"line": 1, "character": 0}
    assert change["edits"] == [{"range": {"start": start, "end": end}, "newText": ""}]
    assert quick_fixes(editor, 1) == []
    assert quick_fixes(editor, 0, only=["refactor"]) == []
    assert quick_fixes(editor, 0, only=["quickfix"]) != []


def test_no_fix_is_offered_for_a_text_that_has_changed(editor):
    editor.open(URI, "import os\n")
    shown(editor)
    editor.change(URI, 2, insertion(0, 0, "# "))
    assert quick_fixes(editor, 0) == []


def test_the_line_being_typed_is_left_alone_until_a_real_pause(editor):
    editor.open(URI, "import os\n\n")
    shown(editor, lambda d: codes(d) == ["F401"])
    editor.change(URI, 2, insertion(1, 0, "unknown"), insertion(0, 0, "also\n"))
    editor.change(URI, 3, insertion(2, 7, "_name"))
    first = shown(editor, lambda d: len(d) > 1)
    assert codes(first["diagnostics"]) == ["F821", "F401"] and first["version"] == 3
    assert codes(shown(editor, lambda d: len(d) > 2)["diagnostics"]) == ["F821", "F401", "F821"]


def test_a_block_that_is_begun_is_left_alone_until_a_real_pause(editor):
    editor.open(URI, "import os\n\nprint(1)\n")
    shown(editor, lambda d: codes(d) == ["F401"])
    editor.change(URI, 2, insertion(1, 0, "for one in []:\n    "))
    assert shown(editor)["diagnostics"] == []
    (found,) = shown(editor)["diagnostics"]
    assert "indented block" in found["message"]


def test_what_is_wrong_above_a_block_that_is_begun_is_shown_at_once(editor):
    editor.open(URI, "import os\n\nprint(1)\n")
    shown(editor, lambda d: codes(d) == ["F401"])
    editor.change(URI, 2, insertion(1, 0, "x = = 1\nfor one in []:\n    "))
    (found,) = shown(editor)["diagnostics"]
    assert found["code"] == "syntax" and found["range"]["start"]["line"] == 1


def test_what_was_shown_stays_while_its_line_is_typed_on(editor):
    editor.open(URI, "x = 1\n")
    editor.change(URI, 2, insertion(1, 0, "unknown"))
    shown(editor, lambda d: codes(d) == ["F821"])
    editor.change(URI, 3, insertion(1, 7, " + other"))
    assert codes(shown(editor)["diagnostics"]) == ["F821", "F821"]


def test_saving_shows_everything_at_once(editor):
    editor.open(URI, "x = 1\n")
    editor.change(URI, 2, insertion(1, 0, "print(y)"))
    editor.notify("textDocument/didSave", {"textDocument": {"uri": URI}})
    assert codes(shown(editor)["diagnostics"]) == ["F821"]


def test_what_is_mended_goes_away_and_a_closed_document_is_cleared(editor):
    editor.open(URI, "import os\n")
    shown(editor)
    editor.change(URI, 2, insertion(1, 0, "print(os.sep)\n"))
    assert shown(editor, lambda d: not d)["version"] == 2
    editor.change(URI, 3, insertion(0, 0, "import sys\n"))
    shown(editor, lambda d: codes(d) == ["F401"])
    editor.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert shown(editor)["diagnostics"] == []


def test_a_syntax_error_silences_what_follows_from_it(editor):
    editor.open(URI, "import os\ndef f(:\n    return missing\n")
    (found,) = shown(editor)["diagnostics"]
    assert found["code"] == "syntax" and found["severity"] == 1 and found["range"]["start"]["line"] == 1


def test_syntax_errors_come_for_other_languages(editor):
    uri = "file:///project/main.go"
    editor.open(uri, "package main\n\nfunc main() {\n\tprintln((1)\n}\n", language="go")
    (found,) = shown(editor, uri=uri)["diagnostics"]
    assert found["code"] == "syntax" and found["range"]["start"]["line"] == 3


def test_what_python_refuses_and_the_grammar_does_not_is_a_syntax_error_as_well(editor):
    editor.open(URI, "import os\nreturn = 3\n")
    assert any(d["severity"] == 1 for d in shown(editor)["diagnostics"])


def test_settings_turn_each_source_off(inside):
    editor = inside(
        capabilities=CAPABILITIES | {"workspace": {"configuration": True}},
        settings={"prediction": {"ruff": False}},
    )
    editor.told("workspace/configuration")
    editor.open(URI, "import os\ndef f(:\n")
    assert codes(shown(editor)["diagnostics"]) == ["syntax"]
    editor.open("file:///project/b.py", "import os\n")
    editor.settings = {"prediction": {"ruff": True, "syntax": False}}
    editor.notify("workspace/didChangeConfiguration", {"settings": None})
    assert codes(shown(editor, uri="file:///project/b.py")["diagnostics"]) == ["F401"]


def test_what_another_server_shows_is_not_shown_twice(editor):
    editor.open(URI, "import os\nimport re\nprint(nowhere)\n")
    assert codes(shown(editor)["diagnostics"]) == ["F401", "F401", "F821"]
    place = {"start": {"line": 0, "character": 7}, "end": {"line": 0, "character": 9}}
    theirs = {"range": place, "message": 'Import "os" is not accessed', "severity": 4, "source": "Pylance"}
    assert quick_fixes(editor, 0, [theirs]) == []
    kept = shown(editor)["diagnostics"]
    assert [d["range"]["start"]["line"] for d in kept] == [1, 2]
    editor.change(URI, 2, insertion(0, 0, "\n"))
    assert [d["range"]["start"]["line"] for d in shown(editor)["diagnostics"]] == [2, 3]


def test_an_editor_that_runs_ruff_itself_gets_none_of_ours(editor):
    editor.open(URI, "import os\nprint(nowhere)\n")
    shown(editor)
    place = {"start": {"line": 0, "character": 7}, "end": {"line": 0, "character": 9}}
    quick_fixes(editor, 0, [{"range": place, "message": "`os` imported but unused", "code": "F401", "source": "Ruff"}])
    assert shown(editor)["diagnostics"] == []


def test_a_trusted_project_configures_ruff_and_a_broken_configuration_is_passed_over(inside, tmp_path):
    config = tmp_path / "ruff.toml"
    config.write_text('[lint.per-file-ignores]\n"a.py" = ["F401"]\n')
    editor = inside(options={"famulus": {"trusted": True}})
    first, second = ((tmp_path / name).as_uri() for name in ("a.py", "b.py"))
    editor.open(first, "import os\nprint(missing)\n")
    assert codes(shown(editor, uri=first)["diagnostics"]) == ["F821"]
    config.write_text("not = [toml")
    editor.open(second, "import os\n")
    assert codes(shown(editor, uri=second)["diagnostics"]) == ["F401"]


def test_one_error_is_enough_for_a_line_that_does_not_parse(editor):
    editor.open(URI, "x = (1\ny = 2\n")
    (ours,) = shown(editor)["diagnostics"]
    theirs = {"range": ours["range"], "message": '"(" was not closed', "severity": 1, "source": "Pylance"}
    quick_fixes(editor, 0, [theirs])
    assert shown(editor)["diagnostics"] == []


def test_cells_of_a_notebook_know_the_names_of_the_cells_before(editor):
    cells = {
        "cell:1": "%pip list\nimport math\n",
        "cell:2": "!ls\nawait math.sqrt(display(1))\n",
        "cell:3": "def broken(:\n",
    }
    editor.notify(
        "notebookDocument/didOpen",
        {
            "notebookDocument": {
                "uri": "file:///project/n.ipynb",
                "notebookType": "jupyter-notebook",
                "version": 1,
                "cells": [{"kind": 2, "document": uri} for uri in cells],
            },
            "cellTextDocuments": [
                {"uri": uri, "languageId": "python", "version": 1, "text": text} for uri, text in cells.items()
            ],
        },
    )
    assert codes(shown(editor, uri="cell:3")["diagnostics"]) == ["syntax"]
    assert not [m for m in editor.messages if m.get("method") == PUBLISH]
