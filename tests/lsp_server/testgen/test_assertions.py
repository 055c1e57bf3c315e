"""What a test says is the whole answer, in the form that a person would choose; its name says what is special."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.mutants import mutants
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.values import Vocabulary
from famulus.lsp_server.execution.worker.forms import Writer
from famulus.lsp_server.execution.worker.looking import looks
from famulus.lsp_server.testgen import naming, protocols
from famulus.lsp_server.testgen.assertions import body
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.domain import Domain
from famulus.lsp_server.testgen.kills import kills
from famulus.lsp_server.testgen.selection import price
from famulus.lsp_server.testgen.simpler import observed, prepared, simpler
from famulus.lsp_server.testgen.stating import accepts
from famulus.lsp_server.testgen.style import read

SOURCE = """
class TooMuch(Exception): ...

def plain(values: list[int], most: int = 3) -> int: ...
async def later(x: int) -> int: ...
async def items(x: int):
    yield x
@contextlib.asynccontextmanager
async def opened(x: int):
    yield x

class Stack:
    def push(self, item: int) -> None: ...
    def top(self) -> int: ...
"""


def aim(name: str) -> Aim:
    return Aim("shop.py", "shop", SOURCE, functions(SOURCE)[name])


def said(name: str, call: Call, answer: dict[str, Any]) -> str:
    found = body(aim(name), call, Outcome(answer))
    return found.text if found else ""


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (["int", "2"], "assert plain([1]) == 2"),
        (["bool", True], "assert plain([1]) is True"),
        (["float", "0.30000000000000004"], "assert plain([1]) == pytest.approx(0.3)"),
        (["float", "0.25"], "assert plain([1]) == 0.25"),
        (["float", "nan"], "assert math.isnan(plain([1]))"),
        (["iterator", [["int", "2"]]], "assert list(plain([1])) == [2]"),
        (["array", "int64", [1], ["list", [["int", "2"]]]], "np.testing.assert_array_equal(plain([1]), [2])"),
        (["object", "Point", [["x", ["int", "1"]], ["_y", ["int", "2"]]]], "assert plain([1]).x == 1"),
        (["object", "Point", [["_y", ["int", "2"]]]], ""),
        (
            ["dict", [[["str", "{a}"], ["object", "Point", [["x", ["int", "1"]]]]]]],
            "result = plain([1])\nassert len(result) == 1\nassert result['{a}'].x == 1",
        ),
        (["list", [["object", "Point", [["_y", ["int", "2"]]]]] * 9], "assert len(plain([1])) == 9"),
        (["defaultdict", [[["str", "a"], ["list", []]]]], "assert plain([1]) == {'a': []}"),
        (["Counter", [[["str", "a"], ["int", "1"]]]], "assert plain([1]) == Counter({'a': 1})"),
    ],
)
def test_a_value_is_compared_in_the_form_that_fits_it(form: list[Any], expected: str) -> None:
    assert said("plain", Call("plain", ("[1]",)), {"value": form}) == expected


def test_an_object_that_hides_its_state_is_asked_what_it_tells() -> None:
    class Headers:
        """Known by what it tells to others."""

        def __init__(self, items: list[str]) -> None:
            self._items = items

        def __iter__(self) -> Iterator[str]:
            return iter(self._items)

        def __len__(self) -> int:
            return len(self._items)

        @property
        def first(self) -> str:
            return self._items[0]

    writer = Writer("/nowhere")
    full, empty = Headers(["a", "b"]), Headers([])
    answer = {"value": writer.form(full), "looks": looks(full, writer)}
    lines = ["result = plain([1])", "assert list(result) == ['a', 'b']", "assert result.first == 'a'"]
    assert said("plain", Call("plain", ("[1]",)), answer).split("\n") == lines
    answer = {"value": writer.form(empty), "looks": looks(empty, writer)}
    assert said("plain", Call("plain", ("[1]",)), answer) == "assert list(plain([1])) == []"
    changed = {"value": ["const", "None"], "receiver": ["object", "Stack", []], "receiver_looks": looks(full, writer)}
    assert said("Stack.push", Call("Stack.push", ("1",), (), "Stack()"), changed).split("\n")[:3] == [
        "stack = Stack()", "stack.push(1)", "assert list(stack) == ['a', 'b']"
    ]  # fmt: skip


def test_endless_iterators_and_warnings_have_their_own_forms() -> None:
    call = Call("plain", ("[1]",))
    endless = {"value": ["iterator", [["int", str(n)] for n in range(200)]]}
    assert said("plain", call, endless) == "assert list(itertools.islice(plain([1]), 5)) == [0, 1, 2, 3, 4]"
    warned = {"value": ["int", "2"], "warned": [["DeprecationWarning", "old"]]}
    lines = ["with pytest.warns(DeprecationWarning):", "    result = plain([1])", "assert result == 2"]
    assert said("plain", call, warned).split("\n") == lines


def test_an_exception_is_matched_by_the_words_of_its_message() -> None:
    answer = {"raised": ["exception", "TooMuch", ["list", []]], "kinds": ["TooMuch", "Exception"]}
    found = body(aim("plain"), Call("plain", ("[]",)), Outcome({**answer, "message": "more than 3: the stack is full"}))
    assert found is not None
    assert found.text == "with pytest.raises(TooMuch, match='the stack is full'):\n    plain([])"
    assert "from shop import TooMuch" in found.imports


def test_an_exception_that_no_name_of_the_project_tells_is_not_pinned() -> None:
    answer = {"raised": ["exception", "error", ["list", []]], "kinds": ["error", "Exception"], "message": "bad pattern"}
    assert said("plain", Call("plain", ("[]",)), answer) == ""


def test_what_is_asynchronous_is_awaited() -> None:
    assert said("later", Call("later", ("1",)), {"value": ["int", "1"]}) == "assert asyncio.run(later(1)) == 1"
    many = said("items", Call("items", ("1",)), {"value": ["list", [["int", "1"]]]})
    assert many.endswith("assert asyncio.run(collected()) == [1]")
    compile(many, "test", "exec")


def test_an_asynchronous_context_manager_is_entered() -> None:
    call = Call("opened", ("1",), how="with")
    lines = ["async def used():", "    async with opened(1) as entered:", "        assert entered == 1", ""]
    assert said("opened", call, {"value": ["int", "1"]}).split("\n") == [*lines, "asyncio.run(used())"]


def test_changes_and_sequences_of_calls_are_spelled_out() -> None:
    changed = {"value": ["const", "None"], "args": {"0": ["list", []]}}
    assert said("plain", Call("plain", ("[1]",)), changed) == "values = [1]\nplain(values)\nassert values == []"
    look = Call("Stack.top", receiver="Stack()", before=("self.push(2)",))
    assert (
        said("Stack.push", look, {"value": ["int", "2"]}) == "stack = Stack()\nstack.push(2)\nassert stack.top() == 2"
    )


def test_names_tell_inputs_apart() -> None:
    calls = [("[]",), ("[1]",), ("[1, 1]",), ("[-1, 2]",), ("[4, 5]",), ("[]", "0")]
    examples = [Example(Call("plain", args), Outcome({"value": ["int", str(n)]})) for n, args in enumerate(calls)]
    names = [name for name, _ in naming.names(aim("plain"), examples, {"test_plain_of_duplicates"})]
    assert names[:2] == ["test_plain_of_an_empty_list", "test_plain_of_one_item"]
    assert names[3] == "test_plain_of_negative_numbers"
    assert names[5] in ("test_plain_with_zero_most", "test_plain_with_empty_values", "test_plain_with_most_0")
    assert len(set(names)) == len(names) and "test_plain_of_duplicates" not in names
    assert all(name.isidentifier() for name in names)


def test_arguments_of_other_types_than_annotated_are_left_alone() -> None:
    domain = Domain(functions(SOURCE)["plain"])
    assert domain.holds(Call("plain", ("[1]", "2")))
    assert not domain.holds(Call("plain", ("['a']", "2")))
    assert not domain.holds(Call("plain", ("[1]", "False")))


def test_strange_inputs_cost_more_than_plain_ones() -> None:
    answer, plain = Outcome({"value": ["int", "1"]}), aim("plain").function
    assert price(plain, Call("plain", ("'ab'",)), answer) < price(plain, Call("plain", ("'é\\n'",)), answer)


def test_the_style_is_that_of_the_tests_that_are_there() -> None:
    assert read([]).tables and not read([]).annotated
    typed = "".join(f"def test_{n}() -> None: ...\n" for n in range(5))
    assert read([typed]).annotated and not read([typed]).tables
    assert read([typed, "@pytest.mark.parametrize('x', [1])\ndef test_x(x): ...\n"]).tables


def test_a_function_that_is_returned_is_called() -> None:
    source = """
def repeat(times: int):
    def decorator(func):
        def wrapper(value: int):
            return [func(value)] * times
        return wrapper
    return decorator
"""
    one = Aim("shop.py", "shop", source, functions(source)["repeat"])
    inner = protocols.returned(one.function)
    assert inner is not None
    calls = list(protocols.called(one, Call("repeat", ("2",)), inner, Constructors("shop.py", source, Vocabulary())))
    wrapped = [call for call in calls if call.text.count("(") > 2]
    assert wrapped and all(call.text.startswith("repeat(2)(") for call in calls)
    found = body(one, wrapped[0], Outcome({"value": ["list", []]}))
    assert found and found.text == f"assert {wrapped[0].text} == []"


@pytest.mark.parametrize(
    ("line", "other", "holds"),
    [
        ("assert f(1) == 0.0", "assert f(1) == -0.0", True),
        ("assert f(1) == [0]", "assert f(1) == [0.0]", True),
        ("assert f(1) == 0.0", "assert f(1) == 0.5", False),
        ("assert f(1) == 0", "assert f(2) == 0", False),
        ("assert f(1) == x", "assert f(1) == y", False),
        ("assert f(1) is True", "assert f(1) == 1", False),
    ],
)
def test_an_assertion_does_not_notice_an_equal_number(line: str, other: str, holds: bool) -> None:
    assert accepts(line, other) is holds


@pytest.mark.parametrize(
    ("parts", "noticed"), [({"x": 1, "y": 2, "z": 3}, False), ({"x": 1, "y": 3}, True), ({"x": 1}, True)]
)
def test_a_mutant_of_which_no_line_of_a_test_speaks_is_not_noticed(parts: dict[str, int], noticed: bool) -> None:
    def answer(**parts: int) -> Outcome:
        return Outcome({"value": ["object", "Point", [[name, ["int", str(n)]] for name, n in parts.items()]]})

    class Changed:
        """A version in which the mutant's answers are known."""

        def calls(self, *_: object, **__: object) -> list[Outcome]:
            return [answer(**parts)]

    example = Example(Call("plain", ("[1]",)), answer(x=1, y=2))
    mutant = mutants("def plain():\n    return 1\n", range(1, 3))[0]
    found = kills(Changed(), aim("plain"), [example], of=[mutant])  # type: ignore[arg-type]
    assert bool(found.killed) is noticed


def test_a_simpler_call_has_no_file_that_nobody_reads() -> None:
    files = ('path = tmp_path / "data.txt"', 'path.write_text("a")')
    example = Example(Call("plain", ("[str(path)]", "3"), setting=files), Outcome({"value": ["int", "1"]}))
    calls = simpler(aim("plain"), [example])
    assert {call.setting for call in calls if "path" in call.text} == {files}
    assert {call.setting for call in calls if "path" not in call.text} == {()}


def test_an_operation_alone_has_no_parentheses_around_it() -> None:
    raised = {"raised": ["exception", "TooMuch", ["list", []]], "kinds": ["TooMuch", "Exception"], "message": ""}
    text = said("Stack.push", Call("Stack.__add__", ("(1 + 2)",), (), "(1 + 2)"), raised)
    assert text.endswith("    (1 + 2) + (1 + 2)")
    text = said("Stack.push", Call("Stack.__lt__", ("2",), (), "Stack()"), raised)
    assert text.endswith("    _ = Stack() < 2")


def test_hidden_state_is_seen_by_other_methods() -> None:
    push = Call("Stack.push", ("2",), receiver="Stack()")
    looks = [(call.target, call.before) for call in observed(aim("Stack.push"), {push: True})]
    assert looks[0] == ("Stack.top", ("self.push(2)",))
    filled = Call("Stack.push", ("2",), receiver="Stack()", before=("self.fill(7)",))
    looks = [(call.target, call.before) for call in observed(aim("Stack.push"), {push: True}, [filled])]
    assert ("Stack.top", ("self.fill(7)", "self.push(2)")) in looks
    assert [call.before for call in prepared(aim("Stack.top"))] == [
        ("self.push(1)",),
        ("self.push(1)", "self.push(2)"),
    ]
