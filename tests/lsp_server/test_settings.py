"""Settings arrive by every way that clients have, hold for the right documents, and a wrong one is said by name."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.lsp_server import settings
from famulus.lsp_server.settings import Settings

ROOT = Path(__file__).parents[2]
ASKS = {"workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["completion", "enabled", "delay", "languages", "python", "x"]), inner, max_size=4
        )
    ),
)


def of(editor, uri="file:///a.py"):
    """The settings that hold for an open document."""

    def look():
        return editor.session.settings.for_document(editor.session.document(uri).snapshot())

    return editor.loop.call(look)


def warnings(editor):
    return [m["params"]["message"] for m in editor.messages if m.get("method") == "window/showMessage"
            and "The setting" in m["params"]["message"]]  # fmt: skip


def settled(editor):
    """Wait until all that was sent has been heard, answers of ours included."""
    for _ in range(2):
        with pytest.raises(Exception, match="-32601"):
            editor.request("no/such")


def test_the_page_is_the_table():
    rows = re.findall(
        r"^\| `(famulus\.\S+)` \| (.+?) \| `(.+?)` \| .+\.", (ROOT / "docs/settings.md").read_text(), re.M
    )
    assert rows == list(settings.table())


def test_the_page_lists_what_clients_say_about_themselves():
    page = (ROOT / "docs/settings.md").read_text().partition("initializationOptions.famulus")[2]
    rows = re.findall(r"^\| `(\w+)` \| `false` \|", page, re.M)
    assert rows == [field.encode_name for field in msgspec.structs.fields(settings.Options)]


def test_the_vscode_extension_offers_the_same_settings():
    declared = json.loads((ROOT / "editors/vscode/package.json").read_text())["contributes"]["configuration"]
    offered = {}
    for group in declared if isinstance(declared, list) else [declared]:
        offered |= group["properties"]
    ours = {name: json.loads(default) for name, _, default in settings.table()}
    assert {name: offered[name]["default"] for name in ours} == ours
    assert offered.keys() - ours.keys() == set(settings.EDITORS_OWN)


@pytest.mark.parametrize("word", ["url", "path", "key", "token", "program", "command", "trust", "host", "model"])
def test_no_setting_can_name_a_program_a_place_or_a_key(word):
    assert not any(word in name.lower() for name, _, _ in settings.table())
    assert not any(kind == "string" for _, kind, _ in settings.table())


@given(json_values)
def test_nothing_that_is_given_breaks_anything(given):
    said = []
    found = settings.merge(Settings(), given, lambda name, wrong: said.append(name))
    for language in ("python", "x"):
        found = settings.for_language(found, given, language, lambda name, wrong: said.append(name))
    assert isinstance(found, Settings)
    assert msgspec.convert(msgspec.to_builtins(found), Settings) == found
    assert all(name.startswith("famulus") for name in said)


def test_a_wrong_value_leaves_the_default_and_is_named():
    said = []
    given = {
        "completion": {"enabled": "yes", "delay": -1, "candidates": 2, "minimumConfidence": None, "nonsense": 1},
        "context": 7,
        "languages": [1],
    }
    found = settings.merge(Settings(), given, lambda *what: said.append(what))
    settings.for_language(found, given, "go", lambda *what: said.append(what))
    assert (found.completion.enabled, found.completion.delay, found.completion.candidates) == (True, None, 2)
    assert [name for name, _ in said] == [
        "famulus.completion.enabled", "famulus.completion.delay", "famulus.completion.nonsense", "famulus.context",
        "famulus.languages",
    ]  # fmt: skip
    assert [name for name, wrong in said if not wrong] == ["famulus.completion.nonsense"]


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"famulus": s}], ids=["bare", "wrapped"])
@pytest.mark.parametrize("way", ["at the start", "pushed", "asked"])
def test_every_way_leads_to_the_settings(inside, way, wrap):
    given = {"completion": {"delay": 7}, "languages": {"python": {"completion": {"multiline": "never"}}}}
    if way == "at the start":
        editor = inside(options={"settings": wrap(given)})
    elif way == "pushed":
        editor = inside(options={"settings": {"completion": {"delay": 1, "candidates": 9}}})
        editor.notify("workspace/didChangeConfiguration", {"settings": wrap(given)})
    else:
        editor = inside(capabilities=ASKS, settings=given)
        editor.told("workspace/configuration")
    editor.open("file:///a.py", "")
    editor.open("file:///a.go", "", "go")
    settled(editor)
    assert of(editor).completion.delay == 7
    assert of(editor).completion.candidates == (9 if way == "pushed" else 3)
    assert of(editor).completion.multiline == "never"
    assert of(editor, "file:///a.go").completion.multiline == "auto"


def test_folders_have_settings_of_their_own_and_changes_are_heard(inside):
    editor = inside(initialize=False)
    delays = {None: 1, "file:///w/a": 2, "file:///w/b": 3}
    editor.answers["workspace/configuration"] = lambda params: [
        {"completion": {"delay": delays[item.get("scopeUri")]}} for item in params["items"]
    ]
    folders = [{"uri": "file:///w/a", "name": "a"}]
    editor.initialize(capabilities=ASKS, workspaceFolders=folders)
    asked = editor.told("client/registerCapability")
    assert asked["registrations"][0]["method"] == "workspace/didChangeConfiguration"
    for name in ("a", "b", "c"):
        editor.open(f"file:///w/{name}/x.py", "")
    settled(editor)

    def found():
        return [of(editor, f"file:///w/{name}/x.py").completion.delay for name in ("a", "b", "c")]

    assert found() == [2, 1, 1]
    event = {"added": [{"uri": "file:///w/b", "name": "b"}], "removed": folders}
    editor.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    settled(editor)
    assert found() == [1, 3, 1]
    delays[None] = 5
    editor.notify("workspace/didChangeConfiguration", {"settings": None})
    settled(editor)
    assert found() == [5, 3, 5]


def test_a_wrong_setting_is_said_once_and_an_unknown_one_logged_once(inside, caplog):
    given = {"completion": {"delay": "soon"}, "command": "/bin/sh", "unheardOf": True}
    with caplog.at_level(logging.WARNING, "famulus.lsp"):
        editor = inside(capabilities=ASKS, settings=given)
        editor.told("workspace/configuration")
        for _ in range(3):
            editor.notify("workspace/didChangeConfiguration", {"settings": None})
        settled(editor)
    assert len(warnings(editor)) == 1
    assert "famulus.completion.delay cannot be used: it must be integer 0 to 5000 or null." in warnings(editor)[0]
    assert [r.getMessage() for r in caplog.records if "no setting" in r.getMessage()] == [
        "there is no setting famulus.unheardOf"
    ]


def test_trust_and_the_like_are_said_at_the_start_and_never_set(inside):
    editor = inside(options={"famulus": {"trusted": True, "status": "yes", "later": 1}, "settings": {"trusted": True}})
    options = editor.loop.call(lambda: editor.session.options)
    assert (options.trusted, options.status) == (True, False)
    other = inside(options={"settings": {"trusted": True, "famulus": {"trusted": True}}})
    assert other.loop.call(lambda: other.session.options.trusted) is False
    for strange in ([], "x", {"famulus": [1]}, {"famulus": None, "settings": 7}):
        assert inside(options=strange).loop.call(lambda: True)
