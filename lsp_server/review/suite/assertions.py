"""What a test demands, and how much: assertions of pytest, unittest, numpy's and torch's testing, and mocks.

Each has a strength, so that two assertions about the same thing can be compared: equal to a value is more than close
to it, that is more than a bound or a choice, and least is that there is something at all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

EXACT, CLOSE, BOUND, KIND, OTHER, PRESENT, NOTHING = 50, 40, 30, 20, 15, 10, 0
"""Strengths: equal, nearly equal, a bound or a choice, a type, not something else, not empty, always true."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One demand. ``text``: as a reader would say it; ``about``: source of what it speaks of; ``strength``: see above.

    ``tolerance``: name → value (larger is weaker). ``bound``: the operator and the number. ``choices``: what a value
    may be. ``errors``: exception classes of ``raises``; ``match``: its pattern. ``swallowed``: its failure is caught
    and dropped. ``either``: the demands of which one suffices.
    """

    text: str
    about: frozenset[str]
    strength: int
    line: int
    end_line: int
    kind: str = "assert"
    tolerance: Mapping[str, float] = field(default_factory=dict)
    bound: tuple[str, float] | None = None
    choices: frozenset[str] | None = None
    errors: tuple[str, ...] = ()
    match: str = ""
    swallowed: bool = False
    either: frozenset[str] = frozenset()


def assertions(body: list[ast.stmt], *, swallowed: bool = False) -> Iterator[Assertion]:
    """All that a list of statements demands, in order; what nested functions demand included."""
    for statement in body:
        for found in _of_statement(statement):
            yield replace(found, swallowed=swallowed) if swallowed else found
        inner = swallowed or _suppresses(statement)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(statement, name, None)
            if isinstance(block, list):
                caught = isinstance(statement, ast.Try) and name == "body" and _drops(statement)
                yield from assertions(block, swallowed=inner or caught)
        for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from assertions(part.body, swallowed=swallowed)


def name_of(node: ast.expr) -> str:
    """The last name of ``a.b.c``, or of what is called; empty for anything else."""
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _of_statement(statement: ast.stmt) -> Iterator[Assertion]:
    if isinstance(statement, ast.Assert):
        yield from (_at(found, statement) for found in _claims(statement.test))
    elif isinstance(statement, ast.Expr):
        value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if isinstance(value, ast.Call):
            yield from (_at(found, statement) for found in _call(value))
    elif isinstance(statement, ast.With | ast.AsyncWith):
        for item in statement.items:
            if isinstance(item.context_expr, ast.Call):
                found = _raises(item.context_expr, statement)
                if found is not None:
                    yield replace(found, line=item.context_expr.lineno, end_line=item.context_expr.lineno)


def _at(found: Assertion, statement: ast.stmt) -> Assertion:
    return replace(found, line=statement.lineno, end_line=statement.end_lineno or statement.lineno)


def _made(node: ast.expr, about: list[ast.expr], strength: int, **more: object) -> Assertion:
    subjects = frozenset(ast.unparse(a) for a in about if not isinstance(a, ast.Constant))
    return Assertion(ast.unparse(node), subjects, strength, 0, 0, **more)  # type: ignore[arg-type]


def _claims(test: ast.expr) -> Iterator[Assertion]:
    """What an expression that must be true demands."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _claims(value)
    elif isinstance(test, ast.BoolOp):
        parts = [found for value in test.values for found in _claims(value)]
        about = frozenset().union(*(part.about for part in parts))
        yield Assertion(ast.unparse(test), about, OTHER, 0, 0, either=frozenset(part.text for part in parts))
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield _made(test, [test.operand], PRESENT)
    elif isinstance(test, ast.Compare):
        yield _comparison(test)
    elif isinstance(test, ast.Call):
        yield _truth_of_call(test)
    elif isinstance(test, ast.Constant | ast.Tuple | ast.JoinedStr):
        yield _made(test, test.elts if isinstance(test, ast.Tuple) else [test], NOTHING)
    else:
        yield _made(test, [test], PRESENT)


_INVERSE = {ast.Lt: ">", ast.LtE: ">=", ast.Gt: "<", ast.GtE: "<="}
_DIRECT = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def _comparison(test: ast.Compare) -> Assertion:
    if len(test.ops) > 1:
        return _made(test, [test.left, *test.comparators], BOUND)
    left, op, right = test.left, test.ops[0], test.comparators[0]
    sides = [left, right]
    if isinstance(op, ast.Eq | ast.Is):
        constant = next((s for s in sides if isinstance(s, ast.Constant)), None)
        if constant is not None and isinstance(constant.value, bool):
            return _made(test, sides, PRESENT)
        close = next((s for s in sides if name_of(s) == "approx" and isinstance(s, ast.Call)), None)
        if isinstance(close, ast.Call):
            tolerance = _tolerance(close, {"rel": 1e-6, "abs": 1e-12}, ["", "rel", "abs"])
            return _made(test, [s for s in sides if s is not close] + close.args[:1], CLOSE, tolerance=tolerance)
        return _made(test, sides, EXACT)
    if isinstance(op, ast.In):
        literal = isinstance(right, ast.Tuple | ast.List | ast.Set)
        choices = frozenset(ast.unparse(e) for e in right.elts) if literal else None  # type: ignore[attr-defined]
        return _made(test, [left] if literal else sides, BOUND, choices=choices)
    if isinstance(op, ast.IsNot | ast.NotEq | ast.NotIn):
        nothing = isinstance(right, ast.Constant) and right.value is None
        return _made(test, sides, PRESENT if nothing else OTHER)
    bound: tuple[str, float] | None = None
    if (value := _number(right)) is not None:
        bound = (_DIRECT[type(op)], value)
    elif (value := _number(left)) is not None:
        bound = (_INVERSE[type(op)], value)
    close_by = any(name_of(s) == "abs" for s in sides)
    return _made(test, sides, CLOSE if close_by else BOUND, bound=bound)


_CLOSE: dict[str, tuple[dict[str, float], list[str]]] = {
    "isclose": ({"rel_tol": 1e-9, "abs_tol": 0.0, "rtol": 1e-5, "atol": 1e-8}, ["", ""]),
    "allclose": ({"rtol": 1e-5, "atol": 1e-8}, ["", "", "rtol", "atol"]),
    "assert_allclose": ({"rtol": 1e-7, "atol": 0.0}, ["", "", "rtol", "atol"]),
    "assert_close": ({"rtol": 1e-6, "atol": 1e-5}, ["", ""]),
    "assert_almost_equal": ({"decimal": 7}, ["", "", "decimal"]),
    "assert_array_almost_equal": ({"decimal": 6}, ["", "", "decimal"]),
    "assertAlmostEqual": ({"places": 7}, ["", "", "places", "", "delta"]),
    "assertAlmostEquals": ({"places": 7}, ["", "", "places", "", "delta"]),
}
_STRENGTHS = {
    "isinstance": KIND, "issubclass": KIND, "hasattr": PRESENT, "callable": PRESENT, "any": OTHER, "all": BOUND,
    "startswith": KIND, "endswith": KIND, "match": KIND, "search": KIND, "fullmatch": BOUND,
}  # fmt: skip


def _truth_of_call(call: ast.Call) -> Assertion:
    name = name_of(call)
    if name in _CLOSE:
        return _made(call, call.args[:2], CLOSE, tolerance=_tolerance(call, *_CLOSE[name]))
    about: list[ast.expr] = [call]
    if name in ("isinstance", "issubclass", "hasattr", "callable"):
        about = call.args[:1]
    elif name in ("startswith", "endswith") and isinstance(call.func, ast.Attribute):
        about = [call.func.value]
    elif name in ("match", "search", "fullmatch"):
        about = call.args[-1:]
    return _made(call, about, _STRENGTHS.get(name, PRESENT))


_UNITTEST = {
    "assertEqual": EXACT, "assertIs": EXACT, "assertIsNone": EXACT, "assertListEqual": EXACT,
    "assertDictEqual": EXACT, "assertTupleEqual": EXACT, "assertSetEqual": EXACT, "assertSequenceEqual": EXACT,
    "assertMultiLineEqual": EXACT, "assertCountEqual": CLOSE, "assertIn": BOUND, "assertRegex": BOUND,
    "assertGreater": BOUND, "assertGreaterEqual": BOUND, "assertLess": BOUND, "assertLessEqual": BOUND,
    "assertIsInstance": KIND, "assertNotEqual": OTHER, "assertIsNot": OTHER, "assertNotIn": OTHER,
    "assertNotIsInstance": OTHER, "assertNotRegex": OTHER, "assertIsNotNone": PRESENT, "assertFalse": PRESENT,
    "assert_equal": EXACT, "assert_array_equal": EXACT, "assert_frame_equal": EXACT, "assert_series_equal": EXACT,
    "assert_index_equal": EXACT, "assert_never": EXACT,
}  # fmt: skip
_FORMER = {
    "assertEquals": "assertEqual", "assertNotEquals": "assertNotEqual", "assertItemsEqual": "assertCountEqual",
    "assertRegexpMatches": "assertRegex", "assertNotRegexpMatches": "assertNotRegex",
    "assertAlmostEquals": "assertAlmostEqual", "assertNotAlmostEquals": "assertNotAlmostEqual",
}  # fmt: skip
"""Names that unittest had for the same until Python 3.12."""
_ALONE = ("assertIsNone", "assertIsNotNone", "assertFalse")
_MOCK = {
    "assert_called_once_with": EXACT, "assert_awaited_once_with": EXACT, "assert_not_called": EXACT,
    "assert_not_awaited": EXACT, "assert_has_calls": 45, "assert_has_awaits": 45, "assert_called_with": 45,
    "assert_awaited_with": 45, "assert_any_call": CLOSE, "assert_any_await": CLOSE, "assert_called_once": BOUND,
    "assert_awaited_once": BOUND, "assert_called": KIND, "assert_awaited": KIND,
}  # fmt: skip
_HELPERS = ("assert", "check", "verify", "expect", "ensure")
_BOUNDS = {"assertGreater": ">", "assertGreaterEqual": ">=", "assertLess": "<", "assertLessEqual": "<="}


def _call(call: ast.Call) -> Iterator[Assertion]:
    """What a call that stands alone demands."""
    name = _FORMER.get(name_of(call), name_of(call))
    raised = _raises(call, None)
    if raised is not None:
        yield raised
    elif name in ("assertTrue", "assert_") and call.args:
        yield from _claims(call.args[0])
    elif name in _MOCK and isinstance(call.func, ast.Attribute):
        yield _made(call, [call.func.value], _MOCK[name])
    elif name in _CLOSE:
        yield _made(call, call.args[:2], CLOSE, tolerance=_tolerance(call, *_CLOSE[name]))
    elif name in _UNITTEST and call.args:
        about = call.args[: 1 if name in _ALONE else 2]
        number = _number(call.args[1]) if name in _BOUNDS and len(call.args) > 1 else None
        bound = None if number is None else (_BOUNDS[name], number)
        yield _made(call, about, _UNITTEST[name], bound=bound)
    elif name.lstrip("_").lower().startswith(_HELPERS):
        yield _made(call, [call, *call.args], EXACT, kind="call")


def _raises(call: ast.Call, within: ast.With | ast.AsyncWith | None) -> Assertion | None:
    """``pytest.raises``, ``assertRaises`` and their kin, as a block or as a call."""
    name = name_of(call.func)
    if name not in ("raises", "warns", "assertRaises", "assertRaisesRegex", "assertWarns", "assertWarnsRegex"):
        return None
    first = next((k.value for k in call.keywords if k.arg in ("expected_exception", "expected_warning")), None)
    classes = first or (call.args[0] if call.args else None)
    if classes is None:
        return None
    errors = classes.elts if isinstance(classes, ast.Tuple) else [classes]
    pattern = next((ast.unparse(k.value) for k in call.keywords if k.arg == "match"), "")
    if name.endswith("Regex") and len(call.args) > 1:
        pattern = ast.unparse(call.args[1])
    if within is not None:
        inside = [n for s in within.body for n in ast.walk(s)]
        called = sorted({name_of(n) for n in inside if isinstance(n, ast.Call)})
        about = "raises in " + (", ".join(called) or "; ".join(ast.unparse(s) for s in within.body))
    else:
        about = "raises in " + name_of(call.args[-1] if len(call.args) > 1 else call)
    return Assertion(
        ast.unparse(call), frozenset({about}), EXACT, 0, 0, "raises", errors=tuple(map(ast.unparse, errors)),
        match=pattern,
    )  # fmt: skip


def _tolerance(call: ast.Call, defaults: Mapping[str, float], positions: list[str]) -> dict[str, float]:
    """The tolerances of a call; those that are no plain numbers are left out."""
    values = dict(defaults)
    given = [(n, a) for n, a in zip(positions, call.args, strict=False) if n]
    for name, node in given + [(k.arg, k.value) for k in call.keywords if k.arg]:
        number = _number(node)
        if number is not None:
            values[name] = number
        else:
            values.pop(name, None)
    if "delta" in values:
        values.pop("places", None)
    return {n: 10.0**-v if n in ("places", "decimal") else v for n, v in values.items() if _near(n)}


def _near(name: str) -> bool:
    return name in ("rel", "abs", "rel_tol", "abs_tol", "rtol", "atol", "places", "decimal", "delta")


def _number(node: ast.expr) -> float | None:
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1.0, node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return sign * node.value
    return None


def _drops(statement: ast.Try) -> bool:
    """Whether a failed assertion inside is caught and nothing comes of it."""
    for handler in statement.handlers:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        wide = any(c is None or name_of(c) in ("AssertionError", "Exception", "BaseException") for c in caught)
        if wide:
            return not any(
                isinstance(n, ast.Raise | ast.Assert | ast.Return) or (isinstance(n, ast.Call) and name_of(n) == "fail")
                for s in handler.body
                for n in ast.walk(s)
            )
    return False


def _suppresses(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.With | ast.AsyncWith):
        return False
    calls = [i.context_expr for i in statement.items if isinstance(i.context_expr, ast.Call)]
    wide = ("AssertionError", "Exception", "BaseException")
    return any(name_of(c) == "suppress" and any(name_of(a) in wide for a in c.args) for c in calls)
