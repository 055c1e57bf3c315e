"""The panel: one output that is updated, in which nothing of the data or of a model is markup."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.jupyter_kernel import provenance
from famulus.jupyter_kernel.candidate import Candidate, Rehearsal, Want
from famulus.jupyter_kernel.errors import NotUnderstood
from famulus.jupyter_kernel.panel import Panel
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.translate import Translation


class Published:
    """What IPython's publisher was given."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.any = asyncio.Event()

    def publish(self, data: Any, metadata: Any, *, transient: Any, update: bool) -> None:
        self.messages.append({"data": data, "metadata": metadata, "id": transient["display_id"], "update": update})
        self.any.set()

    def clear_output(self, *, wait: bool) -> None:
        assert wait, "the cell would flicker"
        self.messages.clear()

    @property
    def markdown(self) -> str:
        return str(self.messages[-1]["data"]["text/markdown"])


def translation(code: str = "means = df['a'].mean()", words: str = "mean of a", **seen: Any) -> Translation:
    best = Attempt(Candidate(code, "recipe", recipe="pandas.mean"), Rehearsal("ok", **seen))
    return Translation(words, Want(), best, (best,), ("df", "other"), "digest")


@pytest.fixture
def published() -> Published:
    return Published()


def test_work_that_takes_a_moment_is_named_and_then_gives_way_to_the_code(published: Published) -> None:
    panel, found = Panel(published, patience=0), translation()
    panel.begin("mean of a")
    panel.stage("trying 1 of 2")
    assert [message["update"] for message in published.messages] == [False, True]
    assert "trying 1 of 2" in published.markdown
    panel.found(found)
    panel.ran(found, "ok", {})
    assert [message["update"] for message in published.messages] == [False, True], "a console shows the first alone"
    assert len({message["id"] for message in published.messages}) == 1
    assert "trying" not in published.markdown


def test_work_that_is_done_at_once_shows_its_result_alone(published: Published) -> None:
    async def work() -> None:
        panel = Panel(published, patience=60)
        panel.begin("mean of a")
        panel.stage("trying 1 of 2")
        panel.found(translation())

    asyncio.run(work())
    assert len(published.messages) == 1


def test_a_note_is_shown_though_nothing_more_happens(published: Published) -> None:
    async def work() -> None:
        Panel(published, patience=0.01).stage("trying 1 of 2")
        await asyncio.wait_for(published.any.wait(), 60)

    asyncio.run(work())
    assert "trying 1 of 2" in published.markdown


def test_another_cell_has_another_output(published: Published) -> None:
    Panel(published).shown(translation())
    Panel(published).shown(translation())
    assert len({message["id"] for message in published.messages}) == 2


def test_the_first_state_says_what_the_code_does(published: Published) -> None:
    Panel(published).found(translation(bound=("means",)))
    [message] = published.messages
    assert "new: means" in message["data"]["text/plain"] and "df['a'].mean()" in message["data"]["text/plain"]


def test_nothing_is_cleared_where_a_question_follows(published: Published) -> None:
    """In JupyterLab the box for the answer could be there already, and would go with it."""
    panel = Panel(published, patience=0)
    panel.stage("looking")
    panel.found(translation(), "This writes out.csv")
    stage, emptied, code = published.messages
    assert (stage["id"], emptied["data"]["text/markdown"]) == (emptied["id"], "")
    assert code["id"] != stage["id"] and not code["update"]


def test_a_question_is_no_run(published: Published) -> None:
    Panel(published).found(translation(), "This writes out.csv")
    assert "waiting for your answer" in published.markdown


def test_it_says_what_the_code_did(published: Published) -> None:
    Panel(published).ran(translation(bound=("means",)), "ok", {})
    assert "```python\nmeans = df['a'].mean()\n```" in published.markdown
    assert "new: means" in published.markdown and "df unchanged" in published.markdown
    assert "other unchanged" not in published.markdown, "the code does not use it"
    assert "%undo takes it back" in published.markdown


def test_it_says_what_undo_will_not_bring_back(published: Published) -> None:
    Panel(published).ran(translation(changed=("df",)), "ok", {"df": "it is too large"})
    assert "not bring back df: it is too large" in published.markdown
    assert "takes it back" not in published.markdown


def test_other_attempts_are_shown_as_differences(published: Published) -> None:
    panel, found = Panel(published), translation()
    other = Attempt(Candidate("means = df['b'].mean()", "recipe"), Rehearsal("error", error="KeyError", message="'b'"))
    panel.attempt(other, "KeyError: 'b'")
    panel.attempt(found.best, "")
    panel.ran(found, "ok", {})
    assert "1 other attempt" in published.markdown
    assert "-means = df['b'].mean()\n+means = df['a'].mean()" in published.markdown


def test_the_record_is_json_with_all_that_is_needed_to_freeze(published: Published) -> None:
    Panel(published).ran(translation(), "ok", {})
    record = published.messages[-1]["data"][provenance.MIME]
    assert json.loads(json.dumps(record)) == record
    assert (record["words"], record["code"], record["status"]) == ("mean of a", "means = df['a'].mean()", "ok")
    assert record["attempts"][0]["status"] == "ok"


def test_words_without_code_leave_what_was_tried(published: Published) -> None:
    panel = Panel(published, patience=0)
    panel.stage("looking")
    panel.attempt(
        Attempt(Candidate("df['b']", "recipe"), Rehearsal("error", error="KeyError", message="'b'")), "KeyError"
    )
    panel.failed(NotUnderstood("No."), None)
    assert "nothing was run" in published.markdown and "df['b']" in published.markdown


def test_words_without_anything_tried_leave_nothing(published: Published) -> None:
    panel = Panel(published, patience=0)
    panel.stage("looking")
    panel.failed(NotUnderstood("No."), None)
    assert published.messages == []


@given(st.text(alphabet="`~<>&*_[]()!|\\\n\x1b[31m\u202e#ab", max_size=40))
def test_nothing_breaks_out_of_its_fence(text: str) -> None:
    published = Published()
    panel = Panel(published)
    panel.attempt(Attempt(Candidate(text, "model"), None), f"KeyError: {text}")
    panel.ran(translation(code=text, words=text), "ok", {"df": text})
    shown = published.markdown
    opened = '<div style="font-family:monospace">\n\n'
    assert shown.startswith(opened)
    fence = re.match(r"`*", shown.removeprefix(opened))[0]  # type: ignore[index]
    inside, closed, rest = shown.removeprefix(f"{opened}{fence}python\n").partition(f"\n{fence}\n\n</div>\n\n")
    assert closed and not any(line.strip().startswith(fence) for line in inside.splitlines())
    caption = re.fullmatch(
        r'(?:<details><summary>)?<small style="opacity:0.7">(.*?)</small>', rest.split("</summary>")[0]
    )
    assert caption and "<" not in caption[1]
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "\x1b" not in published.messages[-1]["data"]["text/plain"]
