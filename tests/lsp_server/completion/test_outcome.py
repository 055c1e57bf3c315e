"""What became of a suggestion is read from the edits alone, however the client describes them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from pygls.workspace import PositionCodec

from famulus.lsp_server.completion.following import Piece, kept_characters, slid, trimmed
from famulus.lsp_server.completion.ledger import FILE, FOLDER, Ledger
from famulus.lsp_server.completion.outcome import Outcomes
from famulus.lsp_server.documents import Change, Document, Text
from famulus.lsp_server.session import Session

Rows = list[dict[str, Any]]


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._due: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._due.append((self.time + seconds, future))
        await future

    async def pass_by(self, seconds: float) -> None:
        await asyncio.sleep(0)
        until = self.time + seconds
        while due := [entry for entry in self._due if entry[0] <= until]:
            entry = min(due, key=lambda entry: entry[0])
            self._due.remove(entry)
            self.time = entry[0]
            entry[1].set_result(None)
            for _ in range(3):
                await asyncio.sleep(0)
        self.time = until


class Desk:
    """A user at an editor. ``style`` is how the editor describes an edit; the texts are the same."""

    def __init__(self, folder: Path, text: str, style: str = "exact", *, enabled: bool = True) -> None:
        self.folder, self.style = folder, style
        self.clock = Clock()
        link = SimpleNamespace(model={"id": "tiny"})
        self.session = Session(None, link)  # type: ignore[arg-type]
        given = SimpleNamespace(statistics=SimpleNamespace(enabled=enabled))
        self.session.settings = SimpleNamespace(for_document=lambda snapshot: given)  # type: ignore[assignment]
        self.ledger = Ledger(folder)
        self.outcomes = Outcomes(self.session, self.ledger, now=self.clock.now, sleep=self.clock.sleep)
        before, self.mark, after = text.partition("|")
        self.cursor = len(before)
        self.document = Document("file:///secret/name.py", before + after, 1, "python", PositionCodec())
        self.document.changed = self.session.changed
        self.history: list[str] = []

    def offer(self, *texts: str, source: str = "the engine") -> None:
        for number, text in enumerate(texts):
            self.outcomes.offered(self.document, self.cursor, f"c{number}", text, 120.0, source)

    def replace(self, start: int, end: int, text: str) -> None:
        """One edit; the cursor goes behind what it puts in."""
        value = self.document.text.value
        self.history.append(value)
        if self.style == "slid":
            # As editors do that compare texts: behind the longest common beginning.
            while end == start < len(value) and text and value[start] == text[0]:
                text = text[1:] + text[0]
                start = end = start + 1
        elif self.style == "lines":
            known = self.document.text
            first, last = known.starts[known.place(start)[0]], known.line_end(known.place(end)[0])
            start, end, text = first, last, value[first:start] + text + value[end:last]
        elif self.style == "whole":
            new = value[:start] + text + value[end:]
            self.document.apply_change(types.TextDocumentContentChangeWholeDocument(new))
            return
        self.document.apply_change(
            types.TextDocumentContentChangePartial(range=self.document.range_of(start, end), text=text)
        )

    def insert(self, text: str) -> None:
        """At the cursor, in one edit."""
        at, self.cursor = self.cursor, self.cursor + len(text)
        self.replace(at, at, text)

    def type(self, text: str) -> None:
        for character in text:
            self.insert(character)

    def undo(self) -> None:
        change = trimmed(self.document.text, Change(0, len(self.document.text), self.history[-1]))
        self.replace(change.start, change.end, change.inserted)
        self.cursor = change.start

    async def rows(self) -> Rows:
        await self.session.close()
        where = self.folder / FOLDER / FILE
        if not where.exists():
            return []
        database = sqlite3.connect(where)
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("SELECT * FROM suggestion ORDER BY at, length")]
        database.close()
        return found


Story = Callable[[Desk], Awaitable[None]]


def told(tmp_path: Path, story: Story, text: str = "x = |\ny = 1\n", style: str = "exact", **more: Any) -> Rows:
    async def run() -> Rows:
        desk = Desk(tmp_path, text, style, **more)
        await story(desk)
        return await desk.rows()

    return asyncio.run(run())


def only(rows: Rows, *names: str) -> Any:
    [row] = rows
    return row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)


every_style = pytest.mark.parametrize("style", ["exact", "slid", "lines", "whole"])


@every_style
def test_what_is_accepted_at_once_and_left_alone_is_kept(tmp_path: Path, style: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute(a, b)")
        await desk.clock.pass_by(1)
        desk.insert("compute(a, b)")
        desk.replace(0, 0, "# above\n")
        await desk.clock.pass_by(31)
        desk.replace(len(desk.document.text), len(desk.document.text), "z = 2\n")
        await desk.clock.pass_by(300)

    rows = told(tmp_path, story, style=style)
    assert only(rows, "outcome", "how", "accepted", "kept_soon", "kept_later") == ("accepted", "all", 13, 13, 13)
    assert only(rows, "model", "language", "source", "length", "latency_ms") == ("tiny", "python", "model", 13, 120.0)


@every_style
def test_what_is_typed_to_the_end_was_right_but_not_accepted(tmp_path: Path, style: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("aab")
        desk.type("aa")
        desk.outcomes.offered(desk.document, desk.cursor, "c0", "b", 1.0, "type-through")
        desk.type("b\n")

    assert only(told(tmp_path, story, style=style), "outcome", "accepted", "length") == ("typed", 0, 3)


@every_style
def test_the_text_behind_may_begin_alike(tmp_path: Path, style: str) -> None:
    """Then nobody can see in the texts where the insertion was."""

    async def story(desk: Desk) -> None:
        desk.offer("compute(a) + compute(b) + ")
        desk.type("com")
        desk.insert("pute(a) + compute(b) + ")
        await desk.clock.pass_by(31)

    rows = told(tmp_path, story, "x = |compute(c)\n", style)
    assert only(rows, "outcome", "how", "accepted", "kept_soon") == ("accepted", "all", 23, 23)


@every_style
def test_words_then_the_rest(tmp_path: Path, style: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute(alpha, beta)\nreturn x")
        desk.insert("compute")
        await desk.clock.pass_by(20)
        desk.type("(")
        desk.insert("alpha, ")
        await desk.clock.pass_by(20)
        desk.insert("beta)")
        await desk.clock.pass_by(31)

    rows = told(tmp_path, story, style=style)
    assert only(rows, "outcome", "how", "accepted", "kept_soon") == ("accepted", "line", 19, 19)


@every_style
def test_edited_afterwards(tmp_path: Path, style: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute(alpha, beta)")
        desk.insert("compute(alpha, beta)")
        await desk.clock.pass_by(10)
        at = desk.document.text.value.index("beta")
        desk.replace(at, at + 4, "gamma")
        await desk.clock.pass_by(21)
        at = desk.document.text.value.index("(alpha, gamma)")
        desk.replace(at, at + 14, "")
        await desk.clock.pass_by(300)

    rows = told(tmp_path, story, style=style)
    assert only(rows, "kept_soon", "kept_later", "reverted") in [(16, 7, 0), (17, 7, 0)]


@every_style
def test_undone_and_done_again(tmp_path: Path, style: str) -> None:
    async def undone(desk: Desk) -> None:
        desk.offer("compute(alpha)")
        desk.insert("compute(alpha)")
        await desk.clock.pass_by(3)
        desk.undo()
        await desk.clock.pass_by(400)

    async def again(desk: Desk) -> None:
        desk.offer("compute(alpha)")
        desk.insert("compute(alpha)")
        desk.undo()
        desk.insert("compute(alpha)")
        await desk.clock.pass_by(400)

    rows = told(tmp_path / "undone", undone, style=style)
    assert only(rows, "outcome", "reverted", "kept_soon", "kept_later") == ("accepted", 1, 0, 0)
    assert only(told(tmp_path / "again", again, style=style), "reverted", "kept_later") == (0, 14)


@every_style
@pytest.mark.parametrize(("seconds", "outcome"), [(0.7, "brief"), (0.8, "rejected")])
def test_typed_against(tmp_path: Path, style: str, seconds: float, outcome: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute()")
        await desk.clock.pass_by(seconds)
        desk.type("z")

    assert only(told(tmp_path, story, style=style), "outcome") == outcome


def test_going_elsewhere_is_no_rejection(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("total()")
        await desk.clock.pass_by(2)
        desk.cursor = 0
        desk.offer("import os")
        desk.insert("import os")

    rows = told(tmp_path, story)
    assert {(row["outcome"], row["length"]) for row in rows} == {("left", 7), ("accepted", 9)}


def test_a_client_that_says_what_it_shows_is_believed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute()")
        desk.outcomes.shown("c0")
        await desk.clock.pass_by(1)
        desk.type("z")
        desk.outcomes.offered(desk.document, desk.cursor, "never shown", "oo()", 1.0, "the engine")
        await desk.clock.pass_by(1)
        desk.type("q")

    assert only(told(tmp_path, story), "outcome", "length") == ("rejected", 9)


def test_typing_so_fast_that_the_client_merges_keys_is_no_acceptance(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute(alpha)")
        for piece in ("com", "put", "e(", "al"):
            desk.insert(piece)
        desk.type("x")

    assert only(told(tmp_path, story), "outcome", "accepted") == ("rejected", 0)


def test_enter_with_its_indentation_is_typed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("\n        return 1")
        desk.insert("\n        ")
        desk.type("z")

    assert only(told(tmp_path, story), "outcome", "accepted") == ("rejected", 0)


@pytest.mark.parametrize("first", [True, False])
def test_the_client_knows_of_short_acceptances(tmp_path: Path, first: bool) -> None:
    """Whether its word or the change arrives first."""

    async def story(desk: Desk) -> None:
        desk.offer("1)")
        if first:
            desk.outcomes.accepted("c0")
        desk.insert("1)")
        if not first:
            desk.outcomes.accepted("c0")
        desk.outcomes.accepted("c0")
        await desk.clock.pass_by(31)

    rows = told(tmp_path, story)
    assert only(rows, "outcome", "how", "accepted", "kept_soon") == ("accepted", "all", 2, 2)


def test_of_several_candidates_the_one_that_was_taken_counts(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("alpha()", "beta(1, 2)", "alphabet")
        desk.insert("beta(1, 2)")
        await desk.clock.pass_by(31)

    assert only(told(tmp_path, story), "outcome", "accepted", "kept_soon") == ("accepted", 10, 10)


@every_style
def test_closers_that_stand_there_already(tmp_path: Path, style: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("alpha, beta)")
        desk.replace(desk.cursor, desk.cursor + 1, "alpha, beta)")
        await desk.clock.pass_by(31)

    rows = told(tmp_path, story, "f(|)\n", style)
    assert only(rows, "outcome", "how", "kept_soon") == ("accepted", "all", 12)


def test_pairs_that_the_editor_closes_are_typed_through(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("f(alpha)")
        desk.type("f")
        desk.replace(desk.cursor, desk.cursor, "()")
        desk.cursor += 1
        desk.outcomes.offered(desk.document, desk.cursor, "c0", "alpha)", 1.0, "type-through")
        desk.insert("alpha")
        await desk.clock.pass_by(31)

    assert only(told(tmp_path, story), "outcome", "accepted", "kept_soon") == ("accepted", 6, 6)


@every_style
def test_windows_line_ends(tmp_path: Path, style: str) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("if a:\n    return b")
        desk.insert("if a:\r\n    return b")
        await desk.clock.pass_by(31)

    assert only(told(tmp_path, story, "x = 1\r\n|\r\ny = 1\r\n", style), "how", "kept_soon") == ("all", 18)


def test_backspace_puts_it_back_on_offer(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("alpha")
        desk.type("al")
        desk.replace(desk.cursor - 1, desk.cursor, "")
        desk.cursor -= 1
        desk.insert("lpha")

    assert only(told(tmp_path, story), "outcome", "accepted") == ("accepted", 4)


def test_a_file_that_is_closed_keeps_what_it_has(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("alpha, beta")
        desk.insert("alpha, beta")
        await desk.clock.pass_by(5)
        desk.session.closed(desk.document)
        await desk.clock.pass_by(500)

    assert only(told(tmp_path, story), "kept_soon", "kept_later") == (11, 11)


def test_nobody_claims_to_know_what_was_not_looked_at(tmp_path: Path) -> None:
    """The editor was closed after ten seconds; a formatter replaced everything."""

    async def left(desk: Desk) -> None:
        desk.offer("alpha, beta")
        desk.insert("alpha, beta")
        await desk.clock.pass_by(10)

    async def formatted(desk: Desk) -> None:
        desk.offer("alpha, beta")
        desk.insert("alpha, beta")
        desk.replace(0, len(desk.document.text), "Alpha;" * 400)
        await desk.clock.pass_by(31)

    assert only(told(tmp_path / "a", left), "accepted", "kept_soon") == (11, None)
    assert only(told(tmp_path / "b", formatted), "accepted", "kept_soon") == (11, None)


def test_what_is_switched_off_is_not_looked_at(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.offer("compute(a, b)")
        desk.outcomes.shown("c0")
        desk.insert("compute(a, b)")
        desk.outcomes.accepted("c0")
        await desk.clock.pass_by(400)
        desk.session.closed(desk.document)

    assert told(tmp_path, story, enabled=False) == []
    assert list(tmp_path.rglob("*")) == []


def test_no_timer_outlives_the_session(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path, "|")
        desk.offer("alpha, beta")
        desk.insert("alpha, beta")
        await asyncio.sleep(0)
        before = asyncio.all_tasks()
        await desk.session.close()
        assert len(asyncio.all_tasks()) == len(before) - 1 == 1

    asyncio.run(run())


# -- through the server


@pytest.mark.parametrize("enabled", [True, False])
def test_the_server_counts_what_its_client_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_desk: Callable[..., None], enabled: bool
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("FAMULUS_HOME", str(home))

    async def scene(desk: Any) -> None:
        desk.open("def area(width, height):\n    return ")
        id = await desk.complete()
        desk.engine.asked[0].say("width", " *", " height")
        desk.engine.asked[0].end()
        [shown] = await desk.shown(id)
        desk.type(shown)
        [item] = desk.answer(id)["result"]["items"]
        await desk.command("famulus.completionAccepted", *item["command"]["arguments"])

    at_desk(scene, settings={"statistics": {"enabled": enabled}})
    if not enabled:
        assert not home.exists()
        return
    database = sqlite3.connect(home / "data" / FOLDER / FILE)
    found = database.execute("SELECT language, model, source, outcome, how, accepted FROM suggestion").fetchall()
    database.close()
    assert found == [("python", "test", "model", "accepted", "all", len("width * height"))]


def test_the_server_completes_no_secrets(tmp_path: Path, at_desk: Callable[..., None]) -> None:
    async def scene(desk: Any) -> None:
        for name in (".env", "keys/id_rsa"):
            uri = (tmp_path / name).as_uri()
            desk.tell("textDocument/didOpen", {"textDocument": _opened(uri, "PASSWORD = ")})
            asked = {
                "textDocument": {"uri": uri},
                "position": {"line": 0, "character": 11},
                "context": {"triggerKind": 1},
            }
            assert not ((await desk.ask("textDocument/inlineCompletion", asked)) or {}).get("items")
        assert desk.engine.asked == []

    at_desk(scene)


def _opened(uri: str, text: str) -> dict[str, Any]:
    return {"uri": uri, "languageId": "python", "version": 1, "text": text}


# -- the pure parts

TEXT = st.text("ab(\n é", max_size=12)


@given(TEXT, TEXT, TEXT, st.data())
@settings(max_examples=100, deadline=None)
def test_a_trimmed_and_slid_change_makes_the_same_text(before: str, inserted: str, more: str, data: Any) -> None:
    text = Text(before + more)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    change = Change(start, end, inserted)
    after = text.edited(change).value
    small = trimmed(text, change)
    assert text.edited(small).value == after
    for to in range(len(text) + 1):
        assert text.edited(slid(small, after, to)).value == after


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6), TEXT), max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_piece_is_followed_through_edits_beside_it(edits: list[tuple[int, int, str]]) -> None:
    """Edits that do not touch it leave all of it; the place is always inside the text."""
    text = Text("before\nACCEPTED\nafter it\n")
    piece = Piece("ACCEPTED", 7, 15)
    for start, length, inserted in edits:
        start = min(start, len(text))
        end = min(start + length, len(text))
        beside = end <= piece.start or start >= piece.end
        change = trimmed(text, Change(start, end, inserted))
        if change.start == change.end and not change.inserted:
            continue
        was = text.value[piece.start : piece.end]
        text = text.edited(change)
        piece.follow(change, text.value)
        assert 0 <= piece.start <= piece.end <= len(text)
        if beside:
            assert text.value[piece.start : piece.end] == was
        assert 0 <= (piece.kept(text.value) or 0) <= 8


@given(st.text("ab \n(", max_size=40), st.text("ab \n(", max_size=40))
@settings(max_examples=100, deadline=None)
def test_kept_characters_are_in_both_texts(old: str, new: str) -> None:
    kept = kept_characters(old, new)
    assert 0 <= kept <= min(len(old), len(new))
    assert kept_characters(old, old) == len(old)
    assert kept_characters(old, ")" + old + ")") == len(old)
