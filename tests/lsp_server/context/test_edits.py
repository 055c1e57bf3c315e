"""Recent edits are the places that were edited, as they are now."""

from __future__ import annotations

import pytest

from famulus.lsp_server.context.edits import MOST, Edits

from .conftest import Project

pytestmark = pytest.mark.asyncio

LINES = "".join(f"line_{number} = {number}\n" for number in range(400))


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def at(line: int) -> int:
    """The start of a line of :data:`LINES`."""
    return LINES.index(f"line_{line} ")


async def test_edits_close_in_time_and_place_are_one(project: Project) -> None:
    document = await project.open("a.py", LINES)
    clock = Clock()
    edits = Edits(project.session, clock)
    project.replace(document, at(200), at(200), "new = 1\n")
    project.replace(document, at(204), at(204), "more = 2\n")
    assert len(edits.events) == 1
    clock.now = 5.0
    project.replace(document, at(208), at(208), "later = 3\n")
    assert len(edits.events) == 2
    project.replace(document, at(20), at(20), "far = 4\n")
    found = edits.recent(document.uri, 100, 150)
    assert [edit.text.count("\n") for edit in found][-1] == 2
    assert "new = 1" in found[0].text and "more = 2" in found[0].text and "later = 3" in found[1].text
    assert found[2].text.splitlines()[1] == "far = 4"


async def test_places_move_with_edits_before_them(project: Project) -> None:
    document = await project.open("a.py", LINES)
    edits = Edits(project.session, Clock())
    project.replace(document, at(300), at(300), "new = 1\n")
    project.replace(document, 0, at(30), "")
    project.replace(document, 0, 0, "#\n" * 7)
    assert "new = 1" in edits.recent(document.uri, 100, 110)[0].text


async def test_the_neighbourhood_of_the_cursor_is_left_out(project: Project) -> None:
    document = await project.open("a.py", LINES)
    edits = Edits(project.session, Clock())
    project.replace(document, at(200), at(200), "new = 1\n")
    assert edits.recent(document.uri, 180, 220) == []
    assert edits.recent("file:///other.py", 180, 220) != []


async def test_the_function_around_is_named(project: Project) -> None:
    text = "class A:\n    def method(self, x):\n" + "        y = 1\n" * 30
    document = await project.open("a.py", text)
    edits = Edits(project.session, Clock())
    project.replace(document, len(text) - 14, len(text) - 14, "        z = 2\n")
    found = edits.recent("file:///other.py", 0, 0)[0].text.splitlines()
    assert found[0] == "    def method(self, x):" and "        z = 2" in found


async def test_the_ring_holds_so_many_and_nothing_that_was_not_typed(project: Project) -> None:
    document = await project.open("a.py", LINES)
    clock = Clock()
    edits = Edits(project.session, clock)
    for number in range(MOST + 5):
        clock.now += 10
        project.replace(document, at(number * 20), at(number * 20), "")
        project.replace(document, at(number * 20), at(number * 20) + 1, "l")
        assert edits.events == []
    for number in range(MOST + 5):
        clock.now += 10
        start = document.text.value.index(f"line_{number * 20} ")
        project.replace(document, start, start, "x = 1\n")
    assert len(edits.events) == MOST
    project.replace(document, 0, len(document.text), LINES)
    assert edits.events == []


async def test_closed_documents_are_forgotten(project: Project) -> None:
    document = await project.open("a.py", LINES)
    edits = Edits(project.session, Clock())
    project.replace(document, 0, 0, "x = 1\n")
    project.close(document)
    assert edits.events == []
