"""The search for surprise, with a model that has read one text and expects nothing else."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path

import pytest

from famulus.lsp_server.documents import Snapshot, Text
from famulus.lsp_server.prediction.surprise import rule
from famulus.lsp_server.prediction.surprise.candidates import Alternative
from famulus.lsp_server.prediction.surprise.decide import Rule, first_weight
from famulus.lsp_server.prediction.surprise.scoring import PLACES, Evidence, LinkAsker, context, examine
from famulus.lsp_server.prediction.surprise.source import Source

RIGHT = '''import sys


class Queue:
    def __init__(self, size):
        self.size = size
        self.items = []

    def put(self, item, position):
        """Adds an item."""
        if len(self.items) >= self.size:
            raise OverflowError(item)
        self.items.insert(position, item)
        return len(self.items) - 1
'''

_WORDS = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")


class Reader:
    """Expects after three words what followed them in the text that it has read, and gives all else one in 400."""

    def __init__(self, text=RIGHT):
        self.asked = 0
        self._after = {}
        words = self._words(text)
        for i in range(len(words)):
            self._after.setdefault(tuple(words[max(0, i - 3) : i]), words[i])

    async def score(self, prompt, continuation):
        self.asked += 1
        await asyncio.sleep(0)
        before, words = self._words(prompt), self._words(continuation)
        every = before + words
        return [(every[i], self._weight(every, i)) for i in range(len(before), len(every))]

    async def next(self, prompt):
        before = tuple(self._words(prompt)[-3:])
        words = dict.fromkeys(self._after.values(), -6.0) | {self._after.get(before, "\n"): -0.1}
        return sorted(words.items(), key=lambda w: -w[1])

    def _weight(self, words, i):
        return -0.1 if self._after.get(tuple(words[max(0, i - 3) : i])) == words[i] else -math.log(400)

    @staticmethod
    def _words(text):
        return _WORDS.findall(text)


RULE = Rule(4.0, 9.0)


def hints(text, opened="", reader=None, memory=None, rule_used=RULE, edited=0):
    memory = memory or rule.Memory(Text(opened))
    seen = Snapshot("file:///q.py", 2, "python", Text(text), Path("q.py"))
    return asyncio.run(rule.findings(reader or Reader(), rule_used, memory, seen, edited))


@pytest.mark.parametrize(
    ("right", "wrong", "message", "fix"),
    [
        ("OverflowError(item)", "OverflowError(position)", "`item` may be meant here instead of `position`", "item"),
        ("(position, item)", "(item, position)", "`position, item` may be meant here", "position, item"),
        (">= self.size", "> self.size", "`>=` may be meant here instead of `>`", ">="),
        ("self.items) - 1", "self.size) - 1", "`items` may be meant here instead of `size`", "items"),
        (") - 1", ") - 2", "`1` may be meant here instead of `2`", "1"),
    ],
)
def test_what_was_not_expected_is_told_with_what_was(right, wrong, message, fix):
    text = RIGHT.replace(right, wrong)
    found = hints(text)
    first = next(f for f in found if f.message.startswith(message))
    assert first.severity == "hint" and first.source == "surprise"
    (change,) = first.fixes[0].changes
    assert change.inserted == fix
    assert text[: change.start] + fix + text[change.end :] == RIGHT


def test_nothing_is_said_of_what_was_expected():
    assert hints(RIGHT) == []


def test_functions_that_were_there_when_the_file_was_opened_are_left_alone():
    wrong = RIGHT.replace(">= self.size", "> self.size")
    reader = Reader()
    assert hints(wrong, opened=wrong, reader=reader) == [] and reader.asked == 0
    assert hints(wrong, opened=RIGHT) != []


def test_a_function_is_judged_once_and_its_hints_move_with_it():
    wrong = RIGHT.replace(">= self.size", "> self.size")
    memory, reader = rule.Memory(Text(RIGHT)), Reader()
    (first,) = hints(wrong, reader=reader, memory=memory)
    asked = reader.asked
    (second,) = hints("# a line\n" + wrong, reader=reader, memory=memory)
    assert reader.asked == asked > 0
    assert second.start == first.start + len("# a line\n")
    assert hints(RIGHT, reader=reader, memory=memory) == [] and reader.asked == asked


def test_hints_of_a_function_are_few_and_need_a_large_gain():
    wrong = RIGHT.replace("OverflowError(item)", "OverflowError(position)").replace(">=", ">").replace("- 1", "- 2")
    wrong = wrong.replace("(position, item)", "(item, position)")
    assert len(hints(wrong)) == 3
    assert hints(wrong, rule_used=Rule(1000.0, 1000.0)) == []


def test_confidence_is_told_in_words():
    wrong = RIGHT.replace("OverflowError(item)", "OverflowError(position)")
    (likely,) = hints(wrong, rule_used=Rule(4.0, math.inf))
    (sure,) = hints(wrong, rule_used=Rule(4.0, 4.0))
    assert "finds it likely" in likely.message and "finds it very likely" in sure.message


def test_the_function_nearest_to_the_edit_goes_first_and_few_at_once():
    bodies = "".join(f"def f{i}(a, b):\n    c = a + b\n    return a\n\n\n" for i in range(9))
    asked = []

    class Noting(Reader):
        async def score(self, prompt, continuation):
            asked.append(re.findall(r"def (f\d)", prompt + continuation)[-1])
            return await super().score(prompt, continuation)

    hints(bodies, reader=Noting(), edited=bodies.index("def f5"))
    assert asked[0] == "f5" and set(asked) == {"f4", "f5", "f6"}


def test_long_functions_and_what_does_not_parse_cost_nothing():
    reader = Reader()
    assert hints("def f(a, b):\n" + "    print(a < b)\n" * 90, reader=reader) == []
    assert hints("def f(a, b):\n    return a <\n", reader=reader) == []
    assert reader.asked == 0


def test_evidence_sums_the_line_and_the_lines_after_it():
    wrong = Source(Text(RIGHT.replace("OverflowError(item)", "OverflowError(position)")))
    function = wrong.functions[1]
    evidence = asyncio.run(examine(Reader(), wrong, function, context(wrong, function, "q.py")))
    best = max(evidence, key=lambda e: e.gain(4))
    assert best.alternative.replacement == "item" and best.rank == 0
    assert best.line > 5 and best.surprisal > 5 > best.usual > 0
    assert len(best.after) == 2 and best.gain(0) == best.line and best.gain(2) == best.line + sum(best.after)
    assert len({(e.alternative.start, e.alternative.end) for e in evidence}) <= PLACES


class Link:
    """An engine that never answers, and remembers what it was asked and what was given up."""

    def __init__(self):
        self.lanes, self.cancelled = [], 0

    async def score(self, prompt, continuation, **fields):
        self.lanes.append(fields["lane"])
        return await Call(self.given_up).answer()

    def generate(self, prompt, **fields):
        self.lanes.append(fields["lane"])
        return Call(self.given_up)

    def given_up(self):
        self.cancelled += 1


class Call:
    def __init__(self, given_up):
        self.cancel = given_up

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.Event().wait()

    async def answer(self):
        try:
            await anext(self)
        finally:
            self.cancel()


def test_typing_stops_the_engine_and_asking_waits_for_everything_else():
    async def work():
        link = Link()
        asker = LinkAsker(link)
        for question in (asker.score("a", "b"), asker.next("a")):
            task = asyncio.create_task(question)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert link.cancelled == 2 and link.lanes == ["idle", "idle"]

    asyncio.run(work())


def test_cancelling_forgets_nothing_that_was_judged():
    two = RIGHT + "\n\ndef g(a, b):\n    c = a < b\n    return a\n"
    memory = rule.Memory(Text(""))

    class Stuck(Reader):
        async def score(self, prompt, continuation):
            if "def g" in prompt + continuation:
                await asyncio.Event().wait()
            return await super().score(prompt, continuation)

    async def work():
        seen = Snapshot("file:///q.py", 2, "python", Text(two), Path("q.py"))
        reader = Stuck()
        task = asyncio.create_task(rule.findings(reader, RULE, memory, seen, 0))
        while memory.known(RIGHT[RIGHT.index("    def put") :].rstrip()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(work(), 20))


def test_lines_after_a_change_speak_against_it_from_half_a_nat_on():
    change = Alternative("name", 0, 1, "a", "b")
    weak, strong = (Evidence(change, 9.0, 0, 9.0, (against,), 1.0) for against in (-0.4, -0.6))
    assert first_weight(weak) == 8.6 and first_weight(strong) == -math.inf
