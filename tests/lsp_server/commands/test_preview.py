"""A rewriting while it is written: what clients are told that opted in, and that nothing is applied before a yes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from famulus.lsp_server.commands import preview, rewrite
from famulus.lsp_server.commands.preview import SECONDS

Scenes = Callable[..., None]
URI = "file:///nowhere/a.py"
OLD = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result\n"
NEW = ["def total(values):\n", "    if not values:\n", "        return 0\n", "    result = 0\n",
       "    for value in values:\n", "        result += value\n", "    return result\n"]  # fmt: skip
ALL = {"start": {"line": 0, "character": 0}, "end": {"line": 4, "character": 17}}
OPTED = {"proposals": True}


@pytest.fixture(autouse=True)
def _not_alone_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that other processes take must not count as time that was spent on working out what is told."""
    monkeypatch.setattr(preview, "SHARE", 1e9)


async def begin(desk: Any) -> tuple[int, Any]:
    """A rewriting has begun: its request, and what the engine was asked."""
    desk.open(OLD)
    id = desk.begin(
        "workspace/executeCommand", {"command": "famulus.rewrite", "arguments": [URI, ALL, "return 0 for no values"]}
    )
    await desk.settle()
    return id, desk.engine.asked[-1]


async def say(desk: Any, asked: Any, *lines: str) -> None:
    """The model writes some lines, slowly enough that each is told."""
    for line in lines:
        asked.say(line)
        await desk.settle()
        await asyncio.sleep(SECONDS * 1.2)  # the pace of the model, not a wait for anything


def states(desk: Any) -> list[str]:
    return [told["state"] for told in desk.told("famulus/proposal")]


def text(told: Any) -> str:
    (change,) = told["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 1}
    (edit,) = change["edits"]
    assert edit["range"] == ALL
    assert told["edit"]["changeAnnotations"][told["id"]]["needsConfirmation"] is True
    assert edit["annotationId"] == told["id"]
    return str(edit["newText"])


def test_it_grows_by_whole_lines_and_is_applied_after_a_yes(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        id, asked = await begin(desk)
        asked.say("def to")
        await desk.settle()
        assert states(desk) == []  # no whole line yet
        await say(desk, asked, "tal(values):\n", *NEW[1:3], "    res")
        assert states(desk) == ["growing"] * 3
        assert [text(told) for told in desk.told("famulus/proposal")] == [
            "".join([*NEW[:count], *OLD.splitlines(keepends=True)[1:]]).rstrip("\n") for count in (1, 2, 3)
        ]
        assert len({told["id"] for told in desk.told("famulus/proposal")}) == 1
        assert desk.asked("workspace/applyEdit") == [] and desk.answer(id) is None
        asked.say("ult = 0\n", *NEW[4:])
        asked.end()
        await desk.settle()
        final = desk.told("famulus/proposal")[-1]
        assert (final["state"], text(final)) == ("final", "".join(NEW).rstrip("\n"))
        (request,) = desk.asked("workspace/applyEdit")
        assert request["params"]["edit"] == final["edit"]
        desk.reply(request, {"applied": True})
        await desk.result(id)
        assert states(desk)[-1] == "final"  # nothing is withdrawn that was answered
        assert len(desk.engine.asked) == 1, "others are written although this one holds"

    at_desk(scene, options=OPTED)


def test_it_is_told_and_worked_out_ten_times_a_second_at_the_most(
    at_desk: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "SECONDS", 60.0)  # ten times a second is too often for a busy machine
    worked_out = 0

    def so_far(old: str, new: str) -> str:
        nonlocal worked_out
        worked_out += 1
        return new

    monkeypatch.setattr(rewrite, "so_far", so_far)

    async def scene(desk: Any) -> None:
        _, asked = await begin(desk)
        asked.say(*NEW[:-1])
        await desk.settle()
        assert states(desk) == ["growing"]
        assert worked_out == 1

    at_desk(scene, options=OPTED)


def test_what_does_not_hold_is_withdrawn(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        id, asked = await begin(desk)
        await say(desk, asked, "def total(values:\n", "    return result\n")
        asked.end()
        await desk.settle()
        others = desk.engine.asked[-1]
        assert (others is not asked, others.request.n) == (True, 3)
        others.end()
        await desk.result(id)
        assert states(desk) == ["growing", "growing", "withdrawn"]
        assert "edit" not in desk.told("famulus/proposal")[-1]
        assert "No rewriting held" in desk.told("window/showMessage")[0]["message"]
        assert desk.asked("workspace/applyEdit") == []

    at_desk(scene, options=OPTED)


def test_a_user_who_discards_it_ends_the_work(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        id, asked = await begin(desk)
        await say(desk, asked, NEW[0], "    pass\n")
        desk.tell("famulus/discardProposal", {"id": "another"})
        desk.tell("famulus/discardProposal", {})
        await desk.settle()
        assert desk.answer(id) is None
        desk.tell("famulus/discardProposal", {"id": desk.told("famulus/proposal")[0]["id"]})
        await desk.result(id)
        assert asked.cancelled
        assert states(desk) == ["growing", "growing", "withdrawn"]
        assert desk.told("window/showMessage") == []

    at_desk(scene, options=OPTED)


def test_a_cancelled_command_withdraws_it_even_while_the_user_is_asked(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        id, asked = await begin(desk)
        await say(desk, asked, *NEW)
        asked.end()
        await desk.settle()
        assert states(desk)[-1] == "final"
        desk.tell("$/cancelRequest", {"id": id})
        await desk.settle()
        assert states(desk)[-1] == "withdrawn"

    at_desk(scene, options=OPTED)


def test_typing_into_the_text_withdraws_it(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        id, asked = await begin(desk)
        await say(desk, asked, NEW[0], "    pass\n")
        desk.type("# more\n")
        await say(desk, asked, NEW[2])
        assert "text changed" in desk.answer(id)["error"]["message"]
        assert asked.cancelled
        assert states(desk) == ["growing", "growing", "withdrawn"]

    at_desk(scene, options=OPTED)


def test_without_opting_in_nothing_is_told_before_the_question(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        id, asked = await begin(desk)
        await say(desk, asked, *NEW)
        asked.end()
        await desk.settle()
        (question,) = desk.asked("window/showMessageRequest")
        desk.reply(question, {"title": "Discard"})
        await desk.result(id)
        assert states(desk) == []

    at_desk(scene)


def test_what_needs_no_model_is_final_at_once(at_desk: Scenes) -> None:
    async def scene(desk: Any) -> None:
        desk.open(OLD)
        arguments = [URI, ALL, "rename values to numbers"]
        id = desk.begin("workspace/executeCommand", {"command": "famulus.rewrite", "arguments": arguments})
        await desk.settle()
        assert states(desk) == ["final"]
        (request,) = desk.asked("workspace/applyEdit")
        desk.reply(request, {"applied": False, "failureReason": "no"})
        await desk.result(id)

    at_desk(scene, options=OPTED)
