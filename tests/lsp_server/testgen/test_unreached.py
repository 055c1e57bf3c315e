"""Lines behind simple conditions are reached by arguments that fulfil them."""

from __future__ import annotations

import ast
import sys
from types import FrameType
from typing import Any

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.values import Vocabulary
from famulus.lsp_server.testgen import constants
from famulus.lsp_server.testgen.matching import keyed, matched, told
from famulus.lsp_server.testgen.unreached import Unreached

CODE = """
import re

LIMIT = 200
MARKS = {0x5F3, 0x5F4}
DATE = re.compile(r"(\\d{4})-(\\d\\d)")


def told(text, options=None, number=3):
    if isinstance(text, bytes):
        return "bytes"
    if len(text) > LIMIT:
        return "long"
    first = ord(text[0]) if text else 0
    if first in MARKS:
        return "mark"
    if 0x660 <= first <= 0x669:
        return "digit"
    head = text.strip().split(":")[0]
    if head.startswith("x-") and "=" in text:
        return "header"
    found = DATE.match(text)
    if found:
        return "date"
    if options and options.get("mode") == "strict":
        return "strict"
    if number % 7 == 5 and not text:
        return "seven"
    while number > 1000:
        number -= 1000
        head = "large"
    return head


class Shelf:
    def __init__(self, size=1, *, label=""):
        self.size = size
        self.label = label or "none"

    def full(self, count):
        if self.label == "spare":
            return False
        if count + 2 > 40 and self.size is None:
            return True
        return count >= self.size
"""


def _reached(name: str, call: Call) -> frozenset[int]:
    """Lines of a function that a call runs."""
    space: dict[str, Any] = {}
    exec(compile(CODE, "told.py", "exec"), space)
    lines: set[int] = set()

    def watch(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename == "told.py":
            lines.add(frame.f_lineno)
            return watch
        return None

    sys.settrace(watch)
    try:
        eval(call.text, space)
    except (TypeError, ValueError, AttributeError):
        pass
    finally:
        sys.settrace(None)
    return frozenset(lines) & frozenset(functions(CODE)[name].lines)


def test_lines_behind_simple_conditions_are_reached() -> None:
    seeds = {"told": Call("told", ("'abc'",)), "Shelf.full": Call("Shelf.full", ("1",), receiver="Shelf()")}
    for name, seed in seeds.items():
        function = functions(CODE)[name]
        known = constants.values(constants.expressions(CODE, "told.py", function, lambda name, path: None))
        made_by, parameters = functions(CODE)["Shelf.__init__"], functions(CODE)["Shelf.__init__"].parameters
        unreached = Unreached(function, known, parameters, constants.kept(made_by, parameters))
        came = [(seed, _reached(name, seed))]
        for _ in range(3):
            lines = frozenset().union(*(reached for _, reached in came))
            came += [(call, _reached(name, call)) for call in unreached.calls(lines, came)]
        lines = frozenset().union(*(reached for _, reached in came))
        statements = {node.lineno for node in ast.walk(function.node) if isinstance(node, ast.stmt)}
        assert statements - {function.node.lineno} <= lines
        assert all(len(call.script) < 200 for call, _ in came)


def test_constants_of_class_and_module_are_read() -> None:
    function = functions(CODE)["told"]
    found = constants.expressions(CODE, "told.py", function, lambda name, path: None)
    assert {"LIMIT", "MARKS", "DATE"} == set(found)
    assert Constructors("told.py", CODE, Vocabulary()).classes.keys() == {"Shelf"}


def test_keys_match_what_the_object_holds_and_words_what_the_code_asks_for() -> None:
    call = Call(
        "Cart.total", ("{'a': 2.5, 'b': 1.0}",), receiver="Cart()", before=("self.add('fig', 2)", "self.add('kiwi')")
    )
    [made] = keyed(call)
    assert made.args == ("{'fig': 2.5, 'kiwi': 1.0}",)
    assert not list(keyed(Call("total", ("{'a': 1}",))))
    looked = [
        Call("Stock.get", ("'x'",), receiver="Stock([Item('abc')])"),
        Call("pick", ("{'k': 1}", "'x'")),
        Call("plain", ("'x'",)),
    ]
    assert [call.text for call in matched(looked, 5)] == ["Stock([Item('abc')]).get('abc')", "pick({'k': 1}, 'k')"]
    code = 'def price(code):\n    """SAVE10 is ten per cent, `HALF` a half."""\n    return code.startswith("SAVE")\n'
    assert told(functions(code)["price"]) == ["'SAVE10'"]


def test_a_protocol_is_stood_for_by_a_class_with_its_methods() -> None:
    code = """
class Reads(Protocol):
    def read(self) -> str: ...
    def close(self) -> None:
        \"\"\"No more.\"\"\"
class Half:
    def read(self): return ""
class Base:
    def close(self): print()
class Whole(Base):
    def read(self): return ""
"""
    assert Constructors("a.py", code, Vocabulary()).concrete("Reads") == "Whole"
    declared = {name for name, function in functions(code).items() if function.is_declared_only}
    assert declared == {"Reads.read", "Reads.close"}
