"""What ``%undo`` is made of: whatever a cell did to the namespace, everything is as it was, sharing included."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.jupyter_kernel import undo

SCALARS = st.one_of(st.integers(), st.text(max_size=3), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=2), inner, max_size=4)),
    max_leaves=12,
)


def scramble(value: Any, seen: set[int]) -> None:
    """Changes everything mutable that can be reached."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inner = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    for one in inner:
        scramble(one, seen)
    if isinstance(value, list):
        value.reverse()
        value.append(object())
    elif isinstance(value, dict):
        value.pop(next(iter(value), ""), None)
        value["new"] = object()


@given(VALUES, st.booleans())
def test_nested_containers_come_back_with_their_identity(value: Any, share: bool) -> None:
    namespace: dict[str, Any] = {"a": value, "b": value if share else [value], "c": [1]}
    before, kept = repr(namespace), dict(namespace)
    snapshot = undo.take(namespace, ["a", "b"])
    scramble(namespace["a"], set())
    scramble(namespace["b"], set())
    del namespace["c"]
    namespace["d"] = namespace["a"]
    snapshot.settle(namespace)
    snapshot.restore(namespace)
    assert repr(dict(sorted(namespace.items()))) == before
    assert all(namespace[name] is kept[name] for name in kept)


def run(namespace: dict[str, Any], code: str, changing: list[str], cap: int = undo.CAP) -> undo.Undone:
    snapshot = undo.take(namespace, changing, cap=cap)
    exec(code, namespace)
    snapshot.settle(namespace, skip=["__builtins__"])
    return snapshot.restore(namespace)


def test_frames_come_back_in_place_for_every_alias() -> None:
    df = pd.DataFrame({"a": [1, 2, 3], "b": list("xyz")}, index=[7, 8, 9])
    before = df.copy()
    namespace: dict[str, Any] = {"df": df, "alias": df, "held": [df], "pd": pd}
    code = "df['c'] = 1; df.drop(columns='a', inplace=True); df.loc[7, 'b'] = 'q'; df.index = [0, 1, 2]"
    assert run(namespace, code, ["df"]).left == {}
    assert namespace["df"] is df and namespace["held"][0] is df
    pd.testing.assert_frame_equal(df, before)


@pytest.mark.parametrize("code", ["a[1] = 9", "a.sort()", "a[:] = 0", "a.resize(2, refcheck=False)"])
def test_arrays_come_back_in_place(code: str) -> None:
    array = np.array([3, 1, 2])
    run({"a": array}, code, ["a"])
    assert array.tolist() == [3, 1, 2]


def test_sets_deques_bytes_and_objects_of_the_user_come_back() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "class P: pass\np = P(); p.x = [1]; s = {1}; q = __import__('collections').deque([1], 2); b = bytearray(b'x')",
        namespace,
    )
    namespace["P"].__module__ = "__main__"
    code = "p.x.append(2); p.y = 1; del p.x; s.clear(); q.extend([2, 3]); b += b'yz'"
    result = run(namespace, code, ["p", "s", "q", "b"])
    assert result.left == {}
    assert vars(namespace["p"]) == {"x": [1]} and namespace["s"] == {1}
    assert namespace["q"] == deque([1], 2) and namespace["b"] == bytearray(b"x")


def test_classes_and_functions_come_back_whole() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "import abc, dataclasses, enum\n"
        "class E(enum.Enum):\n    A = 1\n"
        "class P(abc.ABC):\n    n, known = 1, {}\n    low = property(lambda self: 1)\n"
        "    @classmethod\n    def up(cls): cls.n += 1\n"
        "@dataclasses.dataclass\nclass D:\n    x: int = 1\n"
        "def kw(*, a=[1]): a.append(1)",
        namespace,
    )
    made = dict(namespace)
    code = "P.up(); P.known['k'] = 1; P.new = 2; del P.low; E.A.label = 'a'; D.x = 7; kw(); kw.calls = 1"
    result = run(namespace, code, ["E", "P", "D", "kw"])
    assert result.left == {} and all(namespace[name] is made[name] for name in ("E", "P", "D", "kw"))
    assert eval(
        "(P.n, P.known, hasattr(P, 'new'), isinstance(P.low, property), hasattr(E.A, 'label'), D.x, kw.__kwdefaults__,"
        " hasattr(kw, 'calls'))",
        namespace,
    ) == (1, {}, False, True, False, 1, {"a": [1]}, False)


def test_what_was_bound_anew_since_stays() -> None:
    namespace: dict[str, Any] = {"x": 1}
    snapshot = undo.take(namespace, [])
    namespace |= {"x": 2, "y": 3}
    snapshot.settle(namespace)
    namespace["y"] = "mine"
    result = snapshot.restore(namespace)
    assert namespace == {"x": 1, "y": "mine"}
    assert result.restored == ("x",) and "bound anew" in result.left["y"]


def test_what_is_too_large_is_named_and_its_name_is_not_lost() -> None:
    namespace: dict[str, Any] = {"big": np.zeros(1 << 20), "small": [1]}
    result = run(namespace, "big[0] = 1; small.append(2); big = None", ["big", "small"], cap=1 << 20)
    assert "too large" in result.left["big"]
    assert namespace["big"][0] == 1 and namespace["small"] == [1], "the name came back, its contents could not"


def test_a_generator_is_named_as_not_put_back() -> None:
    namespace: dict[str, Any] = {"g": iter([1, 2, 3].__iter__())}
    namespace["g"] = (n for n in range(3))
    generator = namespace["g"]
    result = run(namespace, "next(g)", ["g"])
    assert "generator" in result.left["g"] and namespace["g"] is generator


@pytest.mark.parametrize("edit", ["made.append(9)", "frame.loc[0, 'a'] = 9", "new['b'] = 1"])
def test_what_the_user_went_on_with_is_not_taken_away(edit: str) -> None:
    namespace: dict[str, Any] = {"frame": pd.DataFrame({"a": [1, 2]}), "pd": pd}
    snapshot = undo.take(namespace, ["frame"])
    exec("made = [1]; frame = frame.copy(); new = frame.copy()", namespace)
    snapshot.settle(namespace, skip=["__builtins__"])
    exec(edit, namespace)
    name = edit.split(".")[0].split("[")[0]
    edited = namespace[name]
    result = snapshot.restore(namespace)
    assert namespace[name] is edited and "changed since" in result.left[name]
