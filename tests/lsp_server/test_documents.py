"""The mirror is what the editor shows, whatever is typed where, in the units of every client."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from pygls.workspace import Workspace

from famulus.lsp_server.documents import Change, Document, Mirror, Text

ALPHABET = [
    "a",
    "b",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "é",
    "ß",
    "語",
    "😀",
    "👩‍👩‍👧",
    "\x0c",
    "\u2028",
    "\x85",
    "e\u0301",
    "\ufeff",
    "\0",
]
ENCODINGS = ["utf-8", "utf-16", "utf-32"]
texts = st.lists(st.sampled_from(ALPHABET), max_size=30).map("".join)


class Truth:
    """The editor's own text as a plain list of code units, edited in the most obvious way."""

    def __init__(self, text: str, encoding: str) -> None:
        self.codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding]
        self.width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
        self.data = text.encode(self.codec)

    @property
    def text(self) -> str:
        return self.data.decode(self.codec)

    def place(self, line: int, units: int) -> int:
        """The byte at a position, as the specification clamps it."""
        ends = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text)), len(self.text)]
        if line + 1 >= len(ends):
            return len(self.data)
        start, end = ends[line], ends[line + 1]
        plain = re.sub(r"(\r\n|\r|\n)$", "", self.text[start:end])
        room = len(plain.encode(self.codec))
        return len(self.text[:start].encode(self.codec)) + min(units * self.width, room)

    def edit(self, start: tuple[int, int], end: tuple[int, int], inserted: str) -> None:
        first, last = sorted((self.place(*start), self.place(*end)))
        if self.codec == "utf-8":  # half a character of several bytes stays whole
            first, last = self._floor(first), self._floor(last)
        data = self.data[:first] + inserted.encode(self.codec) + self.data[last:]
        whole = data.decode(self.codec, "surrogatepass")
        self.data = re.sub("[\ud800-\udfff]", "\ufffd", whole).encode(self.codec)

    def _floor(self, at: int) -> int:
        while at < len(self.data) and self.data[at] & 0xC0 == 0x80:
            at -= 1
        return at


class Quiet:
    """Nobody watches."""

    def opened(self, document): ...
    def changed(self, document, before, change): ...
    def closed(self, document): ...


def mirror(text: str, encoding: str) -> Mirror:
    made = Mirror(Workspace(None), encoding, Quiet())
    made.put_text_document(types.TextDocumentItem("file:///a%20b.py", "python", 1, text))
    return made


def partial(start: tuple[int, int], end: tuple[int, int], text: str) -> types.TextDocumentContentChangePartial:
    return types.TextDocumentContentChangePartial(types.Range(types.Position(*start), types.Position(*end)), text)


positions = st.tuples(st.integers(0, 12), st.integers(0, 40))
edits = st.lists(st.tuples(positions, positions, texts), max_size=12)


def check(document: Document, truth: Truth) -> None:
    assert document.source == truth.text
    assert document.text.starts == Text(truth.text).starts


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=60, deadline=None)
@given(texts, edits)
def test_the_mirror_follows_any_edits(encoding, text, edits):
    made, truth = mirror(text, encoding), Truth(text, encoding)
    document = made.document("file:///a b.py")
    for version, (start, end, inserted) in enumerate(edits, 2):
        made.update_text_document(
            types.VersionedTextDocumentIdentifier(version, "file:///a%20b.py"), partial(start, end, inserted)
        )
        truth.edit(start, end, inserted)
        check(document, truth)
        assert document.version == version


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_mirror_is_the_truth_after_ten_thousand_edits(encoding):
    draw = random.Random(f"seed {encoding}")
    made, truth = mirror("", encoding), Truth("", encoding)
    document = made.document("file:///a b.py")
    for version in range(10_000):
        if draw.random() < 0.005:
            change = types.TextDocumentContentChangeWholeDocument("".join(draw.choices(ALPHABET, k=60)))
            truth = Truth(change.text, encoding)
        else:
            inserted = "".join(draw.choices(ALPHABET, k=draw.choice([0, 1, 1, 1, 2, 9])))
            line = draw.randint(0, document.text.lines + 1)
            start = (line, draw.randint(0, 12))
            end = start if draw.random() < 0.6 else (line + draw.randint(0, 1), draw.randint(0, 12))
            change = partial(start, end, inserted)
            truth.edit(start, end, inserted)
        made.update_text_document(types.VersionedTextDocumentIdentifier(version, "file:///a%20b.py"), change)
        check(document, truth)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(texts)
def test_every_offset_has_a_position_and_comes_back(encoding, text):
    document = mirror(text, encoding).document("file:///a b.py")
    for offset in range(len(text) + 1):
        there = document.position_at(offset)
        line, _ = document.text.place(offset)
        assert document.offset_at(there) == min(offset, document.text.line_end(line))


def test_positions_out_of_range_are_taken_into_the_text():
    document = mirror("ab\r\nc😀", "utf-16").document("file:///a b.py")
    for line, units, offset in [(0, 99, 2), (1, 99, 6), (9, 0, 6), (1, 2, 5), (1, 3, 6)]:
        assert document.offset_at(types.Position(line, units)) == offset


def test_form_feeds_and_unicode_separators_end_no_line():
    assert Text("a\x0cb\u2028c\u2029d\x85e\x1c\nf").lines == 2


def test_half_a_character_is_never_kept():
    document = mirror("x\ud83d\n\udc00y", "utf-16").document("file:///a b.py")
    document.source.encode()
    document.apply_change(partial((0, 0), (0, 0), "\udfff"))
    assert document.source == "\ufffdx\ufffd\n\ufffdy"


def test_listeners_are_told_the_text_before_and_the_new_version():
    told = []

    class Ear(Quiet):
        def opened(self, document):
            told.append(("opened", document.source))

        def changed(self, document, before, change):
            told.append((before.value, change, document.snapshot().version, document.snapshot().text.value))

        def closed(self, document):
            told.append(("closed", document.source))

    made = Mirror(Workspace(None), "utf-16", Ear())
    made.put_text_document(types.TextDocumentItem("untitled:Untitled-1", "python", 1, "ab"))
    identity = types.VersionedTextDocumentIdentifier(2, "untitled:Untitled-1")
    made.update_text_document(identity, partial((0, 1), (0, 2), "é"))
    assert made.document("untitled:Untitled-1").snapshot().path is None
    made.remove_text_document("untitled:Untitled-1")
    made.remove_text_document("untitled:Untitled-1")
    assert told == [("opened", "ab"), ("ab", Change(1, 2, "é"), 2, "aé"), ("closed", "aé")]


def test_a_key_in_a_file_of_five_megabytes_takes_milliseconds():
    document = mirror("    value = compute(other, 12345)\n" * 160_000, "utf-16").document("file:///a b.py")
    assert len(document.text) > 5 << 20
    document.offset_at(types.Position(80_000, 4))
    start = time.process_time()
    for key in range(50):
        document.apply_change(partial((80_000, 4 + key), (80_000, 4 + key), "x"))
        document.position_at(document.offset_at(types.Position(80_000, 5 + key)))
    assert (time.process_time() - start) / 50 < 0.05


def test_folders_hold_their_documents_but_not_their_namesakes():
    made = Mirror(Workspace(None), "utf-16", Quiet())
    for name in ("a", "a/b"):
        made.add_folder(types.WorkspaceFolder(f"file:///w/{name}", name))
    assert made.folder_of("file:///w/a/x.py") == "file:///w/a"
    assert made.folder_of("file:///w/a/b/x.py") == "file:///w/a/b"
    assert made.folder_of("file:///w/ab/x.py") is None
