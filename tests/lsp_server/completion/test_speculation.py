"""What follows a suggestion is written ahead, in the lane that gives way, and taken when the suggestion is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from famulus.lsp_server.completion.request import Place
from famulus.lsp_server.completion.speculation import PAUSE_SECONDS, on_the_way
from famulus.lsp_server.documents import Text

Scenes = Callable[..., None]
HEAD = "def area(width, height):\n    result = "
FIRST = "width * height"


async def offered(desk: Any) -> Any:
    """A suggestion is shown, and the engine asked for what follows it."""
    desk.open(HEAD)
    id = await desk.complete()
    desk.engine.asked[0].say("width", " *", " height", logprob=-0.001)
    desk.engine.asked[0].end()
    assert await desk.shown(id) == [FIRST]
    await asyncio.sleep(2 * PAUSE_SECONDS)
    assert len(desk.engine.asked) == 2
    ahead = desk.engine.asked[1]
    assert ahead.request.lane == "idle"
    assert ahead.request.prompt.prefix == HEAD + FIRST
    return ahead


def test_after_accepting_the_next_suggestion_is_there(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        ahead = await offered(desk)
        ahead.say("\n    ", "return", " result", logprob=-0.001)
        ahead.end()
        await desk.settle()
        desk.type(FIRST)
        assert await desk.shown(await desk.complete()) == ["\n    return result"]
        assert len([a for a in desk.engine.asked if a.request.lane == "key"]) == 1

    at_desk(scene)


def test_typing_the_suggestion_and_beyond_keeps_what_is_written_ahead(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        ahead = await offered(desk)
        for letter in FIRST:
            desk.type(letter)
        assert not ahead.cancelled
        desk.type("\n    r")
        assert not ahead.cancelled
        id = await desk.complete()
        ahead.say("\n    ", "return", " result", logprob=-0.001)
        ahead.end()
        assert await desk.shown(id) == ["eturn result"]

    at_desk(scene)


def test_any_other_edit_cancels_it_at_once(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        ahead = await offered(desk)
        desk.type("x")
        assert ahead.cancelled

    at_desk(scene)


def test_it_is_a_setting(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD)
        id = await desk.complete()
        desk.engine.asked[0].say("width", logprob=-0.001)
        desk.engine.asked[0].end()
        assert await desk.shown(id) == ["width"]
        await asyncio.sleep(2 * PAUSE_SECONDS)
        assert len(desk.engine.asked) == 1

    at_desk(scene, settings={"completion": {"speculative": False}, "statistics": {"enabled": False}})


def test_a_document_is_on_the_way_while_it_holds_a_beginning_of_what_is_expected() -> None:
    origin = Place(Text("a = \nb = 2"), 4)
    for now, expected in (("a = \nb = 2", True), ("a = fo\nb = 2", True), ("a = foo\nb = 2", True),
                          ("a = fx\nb = 2", False), ("a = fooo\nb = 2", False), ("a =\nb = 2", False),
                          ("a = fo\nb = 3", False)):  # fmt: skip
        assert on_the_way(origin, "foo", Text(now)) is expected, now


@pytest.mark.parametrize(
    ("now", "at", "typed"),
    [
        ("a = foo\r\nb = 2", 7, "oo"),
        ("a = f(x)\r\nb = 2", 7, "(x"),
        ("a = f\r\n\r\nb = 2", 7, "\n"),
        ("a = f\r\nb = 2", 5, ""),
        ("a = \r\nb = 2", 4, None),
        ("a = foo\r\nb = 3", 7, None),
        ("z = foo\r\nb = 2", 7, None),
        ("a = f(xy\r\nb = 2", 7, None),
    ],
)
def test_what_was_typed_is_known_if_nothing_else_changed(now: str, at: int, typed: str | None) -> None:
    assert Place(Text("a = f\r\nb = 2"), 5).typed(Place(Text(now), at)) == typed
