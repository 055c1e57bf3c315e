"""From a request to what is shown: an engine whose every word the tests say, everything else as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pygls.workspace import PositionCodec

from famulus.engine.errors import EngineRestarted
from famulus.lsp_server.completion import partial
from famulus.lsp_server.completion.track import Request, Track
from famulus.lsp_server.documents import Document, Snapshot, Text

Scenes = Callable[..., None]
HEAD = "import os\n\n\ndef area(width, height):\n    "
"""A file whose last line is about to be written."""


def test_what_the_model_writes_is_shown_at_the_cursor(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        (asked,) = desk.engine.asked
        assert asked.request.lane == "key"
        assert asked.request.prompt.prefix == HEAD + "return "
        asked.say("width", " *", " height")
        asked.end()
        assert await desk.shown(id) == ["width * height"]
        (item,) = desk.answer(id)["result"]["items"]
        here = desk.position(len(desk.text))
        assert item["range"] == {"start": here, "end": here}
        assert item["command"]["command"] == "famulus.completionAccepted"
        assert desk.engine.errors == []

    at_desk(scene)


def test_typing_what_is_shown_asks_no_model_and_a_backspace_brings_it_back(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        first = await desk.complete()
        desk.engine.asked[0].say("width", " *", " height")
        desk.engine.asked[0].end()
        await desk.shown(first)
        for letter, rest in (("w", "idth * height"), ("i", "dth * height")):
            desk.type(letter)
            assert await desk.shown(await desk.complete()) == [rest]
        desk.type("", delete=1)
        assert await desk.shown(await desk.complete()) == ["idth * height"]
        keyed = [asked for asked in desk.engine.asked if asked.request.lane == "key"]
        assert len(keyed) == 1

    at_desk(scene)


def test_a_stream_is_kept_while_the_user_types_what_comes(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        first = await desk.complete()
        (asked,) = desk.engine.asked
        asked.say("wid")
        desk.type("w")
        second = await desk.complete()
        assert await desk.shown(first) == []  # answered at once: a newer one overtook it
        asked.say("th", " *")
        desk.type("i")
        third = await desk.complete()
        asked.say(" height")
        asked.end()
        assert await desk.shown(third) == ["dth * height"]
        assert await desk.shown(second) == []
        assert len(desk.engine.asked) == 1

    at_desk(scene)


def test_a_key_that_comes_before_the_first_word_waits_for_it(at_desk: Scenes) -> None:
    """The prompt is being read: starting anew at every key of a fast typist would never come to an end."""

    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        await desk.complete()
        desk.type("h")
        second = await desk.complete()
        (asked,) = desk.engine.asked
        assert not asked.cancelled
        asked.say("height")
        asked.end()
        assert await desk.shown(second) == ["eight"]

    at_desk(scene)


def test_a_stream_that_takes_another_way_than_the_user_is_cancelled_and_asked_anew(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        await desk.complete()
        desk.type("h")
        second = await desk.complete()
        desk.engine.asked[0].say("wid")
        assert await desk.shown(second) is None
        assert desk.engine.asked[0].cancelled
        assert desk.engine.asked[1].request.prompt.prefix.endswith("return h")
        desk.engine.asked[1].say("eight")
        desk.engine.asked[1].end()
        assert await desk.shown(second) == ["eight"]

    at_desk(scene)


def test_the_engine_is_told_of_a_superseding_request_before_the_loop_turns(at_desk: Scenes) -> None:
    """The promise is 50 ms; what is done in the same turn of the loop takes none of them."""

    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        await desk.complete()
        (asked,) = desk.engine.asked
        asked.say("width")
        await desk.settle()
        assert not asked.cancelled
        position = desk.position(len(HEAD) - 4)
        desk.tell(
            "textDocument/didChange",
            {
                "textDocument": {"uri": "file:///nowhere/a.py", "version": 2},
                "contentChanges": [{"range": {"start": position, "end": position}, "text": "x"}],
            },
        )
        assert asked.cancelled

    at_desk(scene)


def test_the_engine_is_told_when_a_request_at_another_place_supersedes(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open("x = \ny = \n")
        first = await desk.complete(4)
        (asked,) = desk.engine.asked
        await desk.complete(9)  # some turns of the loop, no time
        assert asked.cancelled
        assert not desk.engine.asked[1].cancelled
        assert await desk.shown(first) == []

    at_desk(scene)


EMPTIED = "x = 1\n\n\ndef area(width, height):\n    y = 1\n    z"
"""A document of whose last line one character is left."""


@pytest.mark.parametrize(
    ("name", "edits", "wanted"),
    [
        ("the line's last character goes", [("", None, 1)], False),
        ("and then a step of its indentation", [("", None, 1), ("", None, 4)], False),
        ("a dedent", [("\n    ", None, 0), ("", None, 4)], True),
        ("a second Enter, and the editor trims the first line", [("\n    ", None, 0), ("\n    |", None, 0)], True),
        ("something is deleted on another line", [("\n    ", None, 0), ("", 5, 1)], True),
        ("a letter comes and goes between", [("", None, 1), ("\n    ", None, 0)], True),
    ],
)
def test_only_a_line_that_the_user_emptied_shows_nothing(
    at_desk: Scenes, name: str, edits: list[tuple[str, int | None, int]], wanted: bool
) -> None:
    async def scene(desk: Any) -> None:
        desk.open(EMPTIED)
        await desk.complete()
        for text, at, delete in edits:
            if text.endswith("|"):
                blanks = len(desk.text) - 4
                desk.type(text[:-1], at)
                desk.type("", blanks + 4, delete=4)
            else:
                desk.type(text, at, delete=delete)
        await desk.complete()
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert ("just emptied" not in told["text"]) is wanted, name

    at_desk(scene)


def test_an_edit_that_contradicts_cancels_at_once_without_a_new_request(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        (asked,) = desk.engine.asked
        asked.say("width")
        await asyncio.sleep(0)
        desk.type("x")
        assert asked.cancelled
        assert await desk.shown(id) == []  # and what was asked for an old text is never shown

    at_desk(scene)


def test_closing_marks_that_the_editor_adds_do_not_cancel(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return max")
        await desk.complete()
        desk.type("()")
        id = await desk.complete(len(desk.text) - 1)
        (asked,) = desk.engine.asked
        asked.say("(", "width", ",", " height", ")")
        asked.end()
        assert await desk.shown(id) == ["width, height)"] or await desk.shown(id) == ["width, height"]
        assert not desk.engine.errors

    at_desk(scene)


def test_a_request_that_is_taken_back_frees_the_engine(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        (asked,) = desk.engine.asked
        desk.tell("$/cancelRequest", {"id": id})
        await asyncio.sleep(0.05)
        assert asked.cancelled
        assert desk.answer(id)["error"]["code"] == -32800

    at_desk(scene)


def test_a_request_that_is_taken_back_for_a_newer_one_hands_its_stream_on(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        first = await desk.complete()
        (asked,) = desk.engine.asked
        desk.tell("$/cancelRequest", {"id": first})
        desk.type("w")
        second = await desk.complete()
        await asyncio.sleep(0.05)
        asked.say("width")
        asked.end()
        assert await desk.shown(second) == ["idth"]
        assert len(desk.engine.asked) == 1

    at_desk(scene)


def test_nothing_is_asked_where_nothing_is_wanted_and_the_reason_is_told(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return width")
        middle = len(desk.text) - 2
        assert await desk.shown(await desk.complete(middle)) == []
        assert desk.engine.asked == []
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(middle))
        assert "inside a word" in told["text"]
        assert told["title"]

    at_desk(scene)


def test_a_hopeless_suggestion_is_given_up_at_once_and_explained(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        (asked,) = desk.engine.asked
        asked.say("foo", " bar", " baz", " qux", logprob=-6.0)
        assert await desk.shown(id) == []  # not waiting for its end
        assert asked.cancelled
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert "not likely enough" in told["text"]
        assert told["data"]["tokens"] is None  # the stream was ended before the engine told
        assert "tokens: not known" in told["text"]

    at_desk(scene)


def test_an_unlikely_suggestion_is_not_waited_for_and_shown_once_the_user_agrees(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        (asked,) = desk.engine.asked
        asked.say("width", " *", logprob=-0.9)
        asked.say(" height", logprob=-0.01)
        assert await desk.shown(id) == []
        assert not asked.cancelled
        asked.end()
        desk.type("width *")
        assert await desk.shown(await desk.complete()) == [" height"]
        assert len(desk.engine.asked) == 1

    at_desk(scene)


def test_who_asks_explicitly_gets_several_the_likeliest_first(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete(invoked=True)
        greedy, sampled = desk.engine.asked
        assert (greedy.request.n, greedy.request.sampling.temperature) == (1, 0)
        assert (sampled.request.n, sampled.request.sampling.temperature > 0) == (2, True)
        greedy.say("width", logprob=-2.0)
        sampled.say("height", logprob=-0.5, index=0)
        sampled.say("width", logprob=-0.1, index=1)  # the same as the greedy one
        greedy.end()
        sampled.end()
        assert await desk.shown(id) == ["height", "width"]

    at_desk(scene)


def test_an_engine_that_dies_is_no_error_for_the_editor(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        desk.engine.asked[0].fail(EngineRestarted("The engine ended."))
        assert await desk.shown(id) == []
        assert len(desk.engine.errors) == 1
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert "The engine ended." in told["text"]

    at_desk(scene)


def test_no_engine_means_no_wait(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.engine.state, desk.engine.reason = "away", "The engine cannot be started."
        desk.open(HEAD + "return ")
        assert await desk.shown(await desk.complete()) == []
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert "cannot be started" in told["text"]

    at_desk(scene)


def test_the_tokens_of_an_answer_are_told_and_of_none_nothing_is(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        desk.engine.asked[0].say("width", " *", " height")
        desk.engine.asked[0].end()
        await desk.shown(id)
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert told["data"]["tokens"] == {"prompt": 100, "cached": 99, "generated": 5}
        assert "tokens: 100 of prompt" in told["text"]
        await desk.complete(at=len(HEAD) - 9)  # inside a word: nothing is asked
        told = await desk.command("famulus.whyNothing", "file:///nowhere/a.py", desk.position(len(HEAD) - 9))
        assert told["data"]["tokens"] is None
        assert "tokens" not in told["text"]

    at_desk(scene)


def test_the_prompt_can_be_looked_at_with_tokens_of_each_part(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        desk.engine.asked[0].say("width")
        desk.engine.asked[0].end()
        await desk.shown(id)
        told = await desk.command("famulus.showPrompt", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert "def area(width, height):" in told["text"]
        assert f"{len((HEAD + 'return ').split())} tokens" in told["text"]
        assert "100 tokens, 99 of them from its cache" in told["text"]

    at_desk(scene)


def test_tokens_of_a_prompt_that_the_engine_never_told_are_not_said_to_be_none(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        await desk.complete()
        desk.engine.asked[0].say("foo", " bar", " baz", " qux", logprob=-6.0)  # given up before its end
        await desk.settle()
        told = await desk.command("famulus.showPrompt", "file:///nowhere/a.py", desk.position(len(desk.text)))
        assert "not known" in told["text"]
        assert "It read" not in told["text"]

    at_desk(scene)


def test_ghost_text_is_streamed_to_who_asked_for_it(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        id = await desk.complete()
        (asked,) = desk.engine.asked
        asked.say("width", " *", " height")
        await desk.shown(id)
        (told,) = desk.told("famulus/partialCompletion")
        assert told["item"]["insertText"] == "width * height"
        assert told["textDocument"]["version"] == 1
        asked.say(" +", " 1")
        asked.end()
        assert await desk.shown(id) == ["width * height + 1"]

    at_desk(scene, options={"partialCompletions": True})


@pytest.mark.parametrize(
    ("before", "tokens", "so_far"),
    [
        ("import os\n\n\n", ("def", " area", "(width", "):"), []),  # a head without its block
        (HEAD, ("for", " side", " in", " sides", ":"), []),
        (HEAD, ("if", " width", ":", "\n", "        return 0", "\n", "    else", ":"), ["if width:\n        return 0"]),
        (HEAD + "return ", ("width", " *", " (height"), ["width * (height)"]),  # closed, as it would be at the end
        (HEAD + "return (width\n            * height)", ("\n", "\n", "\n", "def", " f"), []),  # leaves the block
    ],
)
def test_streamed_ghost_text_passes_the_filters_of_the_answer(
    at_desk: Scenes, monkeypatch: pytest.MonkeyPatch, before: str, tokens: tuple[str, ...], so_far: list[str]
) -> None:
    monkeypatch.setattr(partial, "SHARE", 1e9)  # on a busy machine judging seems to take long

    async def scene(desk: Any) -> None:
        desk.open(before)
        id = await desk.complete()
        (asked,) = desk.engine.asked
        asked.say(*tokens[:-1])
        await asyncio.sleep(2 * partial.SECONDS)  # the model takes its time
        asked.say(tokens[-1])
        await desk.settle()
        told = [told["item"]["insertText"] for told in desk.told("famulus/partialCompletion")]
        asked.end()
        assert told[-1:] == (await desk.shown(id)) == so_far

    at_desk(scene, options={"partialCompletions": True})


@pytest.mark.parametrize(("gap", "waits"), [(0.03, True), (0.2, False)])
def test_only_in_a_burst_of_keys_the_engine_is_not_asked_at_once(gap: float, waits: bool) -> None:
    document = Document("file:///a.py", "", 1, "python", PositionCodec())
    track = Track()
    for key in range(8):
        track.arrived(Request(document, Snapshot("file:///a.py", key, "python", Text()), 0, began=key * gap))
    assert (track.delay > 0) is waits
    assert track.delay < 0.15
    track.arrived(Request(document, Snapshot("file:///a.py", 9, "python", Text()), 0, began=60.0))
    assert track.delay == 0


def test_who_sets_a_delay_waits_so_long_and_a_newer_key_ends_the_wait(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(HEAD + "return ")
        first = await desk.complete()
        assert desk.engine.asked == []
        desk.type("w")
        second = await desk.complete()
        assert await desk.shown(first) == []
        await asyncio.sleep(0.15)
        (asked,) = desk.engine.asked
        asked.say("idth")
        asked.end()
        assert await desk.shown(second) == ["idth"]

    at_desk(scene, settings={"completion": {"delay": 100}, "statistics": {"enabled": False}})
