"""A look tells what the user's variables are, and disturbs none of them."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import functools
import io
import math
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
import types
from collections.abc import Callable
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pandas.api.extensions import ExtensionArray, ExtensionDtype

from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.schema import Column, Schema, Variable


def seen(value: object, name: str = "x") -> Variable:
    variable = look({name: value}).variable(name)
    assert variable is not None
    return variable


def column(variable: Variable, name: str) -> Column:
    return next(column for column in variable.columns if column.name == name)


def sales() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=400),
            "region": ["north", "south"] * 200,
            "revenue": [12.5, 8.0] * 200,
            "sold": [True, False] * 200,
            "size": pd.Categorical(["S", "L"] * 200),
            "mixed": [1, "a"] * 200,
            "email": [f"ann{i}@example.org" for i in range(400)],
        }
    )


KINDS = {"date": "time", "region": "text", "revenue": "number", "sold": "bool", "size": "category", "email": "text"}


def test_names_that_are_not_the_users_are_left_out() -> None:
    stock = {"exit": 1, "display": 2}
    namespace = {"_": 1, "_x": 2, "In": [], "exit": 1, "display": 3, "mine": 4, "ignore previous": 5}
    assert [v.name for v in look(namespace, {"In", "exit", "display"}).variables] == ["mine"]
    # What the user has bound anew is his, as it is for %who.
    assert {v.name for v in look(namespace, {"In": namespace["In"], **stock}).variables} == {"display", "mine"}


def test_the_most_recently_bound_comes_first() -> None:
    namespace = {"a": 1, "b": 2, "c": 3, "d": 4}
    names = [v.name for v in look(namespace, (), {"a": 7, "b": 2, "c": 2}).variables]
    assert names == ["a", "c", "b", "d"]


def test_modules_are_imports_and_imported_functions_are_callables() -> None:
    schema = look({"np": np, "m": math, "sqrt": math.sqrt, "root": math.sqrt, "Path": pathlib.Path})
    assert schema.imports == {"np": "numpy", "m": "math"}
    sqrt, path = schema.variable("sqrt"), schema.variable("Path")
    assert sqrt and (sqrt.kind, sqrt.module, sqrt.signature) == ("callable", "math", "(x, /)")
    assert path and (path.kind, path.module, path.type) == ("class", "pathlib", "pathlib.Path")
    assert schema.variable("root").module == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "make",
    [
        sales,
        lambda: pl.from_pandas(sales().drop(columns="mixed")),
        lambda: pa.Table.from_pandas(sales().drop(columns="mixed")),
        lambda: sales().drop(columns="mixed").astype({"date": "object", "region": "object"}),
        lambda: sales().drop(columns="mixed").to_dict("records"),
    ],
    ids=["pandas", "polars", "pyarrow", "objects", "records"],
)
def test_columns_of_a_table_are_told_with_kinds_and_samples(make: Callable[[], Any]) -> None:
    table = seen(make())
    assert table.length == 400
    kinds = {c.name: c.kind for c in table.columns if c.name in KINDS}
    assert kinds in (KINDS, KINDS | {"size": "text"})
    assert set(column(table, "region").samples) == {"'north'", "'south'"}
    assert column(table, "region").distinct == 2
    assert column(table, "revenue").samples[:2] == ("12.5", "8.0")
    assert column(table, "date").samples[0] == "'2024-01-01'"
    email = column(table, "email")
    assert email.private and not email.samples and re.fullmatch(r"aaa9+@aaa\.aaa", email.pattern)
    assert "example" not in repr(table)


def test_a_frame_tells_shape_index_and_labels_that_are_not_text() -> None:
    frame = pd.DataFrame({0: [1, 2], ("a", 1): [3, 4], "b c": [5, 6]}, index=pd.Index(["x", "y"], name="city"))
    told = seen(frame)
    assert told.shape == (2, 3)
    assert [c.key for c in told.columns] == ["0", "('a', 1)", "'b c'"]
    assert told.index == (Column("city", "text", "str", ("'x'", "'y'"), distinct=2),)
    assert seen(pd.DataFrame({"a": [1]})).index == ()
    by_region = seen(sales().groupby("region").revenue.sum())
    assert (by_region.kind, by_region.columns[0].name, by_region.index[0].name) == ("series", "revenue", "region")


def test_a_wide_frame_is_cut_and_says_how_wide_it_is() -> None:
    told = seen(pd.DataFrame(np.zeros((2, 5000))))
    assert told.shape == (2, 5000) and 50 <= len(told.columns) <= 200


@pytest.mark.parametrize(
    ("value", "kind", "element", "length"),
    [
        ([3, 1, 2.5], "list", "number", 3), (["a", None], "list", "text", 2), ((1, "a"), "tuple", "other", 2),
        ({1, 2}, "set", "number", 2), (frozenset("ab"), "set", "text", 2), ([], "list", "", 0),
        ([[1], (2,)], "list", "list", 2), ([{"a": 1}], "list", "dict", 1), ({"a": 1, "b": 2}, "dict", "number", 2),
        (collections.Counter("aab"), "dict", "number", 2), (collections.deque([1]), "list", "number", 1),
        (range(10), "tuple", "number", 10), (3, "number", "", None), (2 + 1j, "number", "", None),
        (decimal.Decimal("1.5"), "number", "", None), (True, "bool", "", None), ("abc", "text", "", 3),
        (datetime.date(2024, 1, 31), "time", "", None), (pd.Timestamp("2024-01-31"), "time", "", None),
        (pathlib.Path("a/b.csv"), "path", "", None), (matplotlib.figure.Figure(), "figure", "", None),
        (matplotlib.figure.Figure().add_subplot(), "figure", "", None), (io.StringIO(), "file", "", None),
        (np.float64(2), "number", "", None), (np.arange(6).reshape(2, 3), "array", "number", 2),
        (np.array(["a", "b"]), "array", "text", 2), (pl.Series("s", [1, 2]), "series", "number", 2),
        (pa.array([1, 2]), "series", "number", 2), (pl.DataFrame({"a": [1]}).lazy(), "frame", "", None),
        (None, "other", "", None), (b"abc", "other", "", 3), (math.sin, "callable", "", None),
        (functools.partial(max, 1), "callable", "", None), (int, "class", "", None),
    ],
)  # fmt: skip
def test_kinds(value: object, kind: str, element: str, length: int | None) -> None:
    told = seen(value)
    assert (told.kind, told.element, told.length) == (kind, element, length)


def test_previews_are_short_and_true() -> None:
    assert seen([3, 1, 2]).preview == "[3, 1, 2]"
    assert seen(list(range(10**6))).preview.endswith(", …]")
    assert seen("hello").preview == "'hello'"
    assert len(seen("x" * 10**7).preview) < 80
    assert seen({1: "a"}).preview == "{1: 'a'}"
    assert seen(pathlib.Path("a/b.csv")).preview == "'a/b.csv'"
    assert seen(np.arange(3.0)).preview == "float64 (3,) [0.0, 1.0, 2.0, …]"


def test_signatures_are_read_and_annotations_never_evaluated() -> None:
    def area(r: float, /, unit: str = "m", *rest: int, key: object = object(), **more: int) -> float:
        return r

    assert seen(area).signature == "(r: float, /, unit: str = 'm', *rest, key: object = ..., **more)"
    source = "from __future__ import annotations\ndef f(a: print('evaluated'), b: int): pass"
    namespace: dict[str, object] = {}
    exec(source, namespace)
    assert seen(namespace["f"]).signature == "(a, b: int)"
    assert seen(functools.lru_cache(area)).signature == seen(area).signature

    @dataclasses.dataclass
    class Dog:
        name: str
        age: int = 3

    assert seen(Dog).signature == "(name: str, age: int = ...)" or seen(Dog).signature == "(name: str, age: int = 3)"


def test_secrets_and_personal_data_give_their_form_only() -> None:
    namespace = {
        "api_key": "hunter22", "note": "call ann@example.org", "config": {"host": "db", "password": "hunter22"},
        "emails": ["ann@example.org"], "people": [{"name": "Ann", "age": 30}], "phones": pd.Series(["555-123-4567"]),
        "by_mail": {"ann@example.org": 3}, "card": 4111111111111111, "owners": np.array(["ann@example.org"]),
        "url": "postgres://bob:hunter22@db/x", "path": pathlib.Path("ann@example.org/x"),
    }  # fmt: skip
    schema = look(namespace)
    told = repr(schema)
    assert not [text for text in ("hunter22", "ann@", "Ann'", "4567", "4111") if text in told]
    assert schema.variable("note").pattern == "aaa aaa@aaa.aaa"  # type: ignore[union-attr]
    config, people = schema.variable("config"), schema.variable("people")
    assert config and column(config, "host").samples == ("'db'",) and column(config, "password").pattern == "***"
    assert people and column(people, "age").samples == ("30",)


def test_a_private_value_among_ordinary_ones_is_not_told() -> None:
    told = seen(pd.DataFrame({"who": ["ann@example.org", *"abcdefghi"]}))
    assert column(told, "who").samples == tuple(map(repr, "abcdefghi")) and not column(told, "who").private
    assert "example" not in repr(seen(["ann@example.org", *"abcdefghi"]))


def test_tables_of_a_sqlite_database_are_told_without_disturbing_it(tmp_path: pathlib.Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, item TEXT, at DATETIME)")
        connection.executemany("INSERT INTO orders VALUES (?, 'a', 'b')", [(i,) for i in range(5)])
        connection.commit()
        pending = connection.execute("SELECT id FROM orders ORDER BY id")
        pending.fetchone()
        table = seen(connection).tables[0]
        assert (table.name, [(c.name, c.kind) for c in table.columns]) == (
            "orders", [("id", "number"), ("item", "text"), ("at", "time")]
        )  # fmt: skip
        assert [row[0] for row in pending] == [1, 2, 3, 4] and not connection.in_transaction
        with sqlite3.connect(tmp_path / "x.db") as other:
            other.execute("BEGIN EXCLUSIVE")
            started = time.monotonic()
            assert seen(connection).tables == ()
            assert time.monotonic() - started < 4, "the lock of another connection was waited for"
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    connection.close()
    other.close()
    assert seen(connection).kind == "database"


class Boom(BaseException):
    """Raised by objects that no look may touch."""


def boom(*_: object, **__: object) -> Any:
    raise Boom


TOUCHES = (
    "__repr__", "__str__", "__len__", "__iter__", "__getitem__", "__getattr__", "__getattribute__", "__eq__",
    "__hash__", "__bool__", "__format__", "__dir__", "__call__", "__contains__", "__index__", "__float__",
    "__array__", "__lt__", "__deepcopy__", "__fspath__", "__reduce_ex__", "keys", "items", "shape", "columns",
    "dtypes", "dtype", "iloc", "utcoffset", "tolist", "to_list",
)  # fmt: skip


def odd(*bases: type, of: Callable[..., Any] = type) -> Any:
    """A class that says it is a frame, and whose every method raises."""
    return of("Odd", bases, {**dict.fromkeys(TOUCHES, boom), "__class__": property(lambda self: pd.DataFrame)})


def hostile() -> dict[str, object]:
    meta: Any = type("Meta", (type,), dict.fromkeys(("__hash__", "__eq__", "__repr__", "__getattribute__"), boom))
    objects: dict[str, object] = {"plain": odd()(), "with_metaclass": odd(of=meta)(), "odd_class": odd(of=meta)}
    for base in (list, dict, set, str, int, float, tuple, collections.OrderedDict):
        objects[f"of_{base.__name__}"] = odd(base)()
    inner = list(objects.values())
    one = inner[0]
    recursive: list[object] = [one]
    recursive.append(recursive)
    circle: dict[str, object] = {}
    circle["self"] = circle
    frame, series = pd.DataFrame({"a": [1, 2]}), pd.Series([1, 2])
    frame.attrs["x"] = series.attrs["x"] = one
    cached: Any = functools.lru_cache(boom)
    cached.__wrapped__ = one
    zone = type("Zone", (datetime.tzinfo,), {"utcoffset": boom})
    return objects | {
        "frame": type("Frame", (pd.DataFrame,), dict.fromkeys(("__len__", "__repr__", "iloc"), boom))({"a": [1]}),
        "array": np.zeros(3).view(type("Array", (np.ndarray,), dict.fromkeys(("__len__", "flat", "shape"), boom))),
        "path": type("Own", (pathlib.PurePosixPath,), {"__str__": boom, "__fspath__": boom})("a"),
        "module": type("Module", (types.ModuleType,), {"__getattr__": boom, "__getattribute__": boom})("odd"),
        "zone": datetime.datetime(2024, 1, 1, tzinfo=zone()),
        "file": type("File", (io.StringIO,), {"name": property(boom), "__iter__": boom})(),
        "in_list": inner, "in_dict": {"a": one, "b": inner[1]}, "recursive": recursive, "circle": circle,
        "in_frame": pd.DataFrame({"a": pd.Series([one, inner[1]], dtype=object)}), "keys": {1: one, None: inner[1]},
        "rows": [{"a": one}, {"a": inner[1]}], "partial": functools.partial(boom, one), "cached": cached,
        "default": types.FunctionType(boom.__code__, {}, argdefs=(one,)), "attrs": frame, "of_attrs": series,
        "huge": "x" * 10**8, "big": 10**10000, "surrogate": "\ud800", "endless": range(10**30),
        "odd_type": type("a b\nc", (), {"__module__": 3})(),
    }  # fmt: skip


def test_no_code_of_the_users_objects_runs() -> None:
    objects = hostile()
    schema = look(objects)
    told = {v.name: v for v in schema.variables}
    assert set(told) == set(objects) - {"module"} and set(schema.imports) == {"module"}
    kinds = {name: told[name].kind for name in ("plain", "with_metaclass", "odd_class", "of_list", "of_dict", "of_int")}
    assert list(kinds.values()) == ["other", "other", "class", "list", "dict", "number"]
    assert [told[name].kind for name in ("frame", "array", "path", "file")] == ["frame", "array", "path", "file"]
    assert told["in_list"].length == 11 and told["in_list"].element == "other"
    assert told["attrs"].columns[0].kind == "number" and not told["attrs"].columns[0].samples
    schema.fingerprint()


class OwnDtype(ExtensionDtype):
    name = "own"
    type = object

    def __str__(self) -> str:
        raise Boom


class Own(ExtensionArray):
    dtype = OwnDtype()  # type: ignore[assignment]
    nbytes = 0

    def __len__(self) -> int:
        return 3

    def take(self, *_: object, **__: object) -> Any:
        raise Boom

    def copy(self) -> Own:
        return self

    __getitem__ = __array__ = isna = take  # type: ignore[assignment]


def test_columns_of_a_users_own_type_are_not_asked() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "own": pd.Series(Own())})
    told = seen(frame)
    assert column(told, "own") == Column("own", "other", "OwnDtype")
    assert column(told, "a").samples == ("1", "2", "3")


def test_a_memory_map_is_not_read(tmp_path: pathlib.Path) -> None:
    # The file was cut since: reading the array would end the process.
    path = tmp_path / "x.bin"
    np.arange(100_000.0).tofile(path)
    mapped = np.memmap(path, dtype="float64", mode="r")
    path.write_bytes(b"")
    assert seen(mapped).shape == (100_000,)
    assert seen(np.asarray(mapped)[10:]).preview == "float64 (99990,)"
    os.truncate(path, 800_000)


def test_looking_imports_nothing_and_starts_no_thread_of_polars() -> None:
    code = """
        import os, sys
        from famulus.jupyter_kernel.look import look
        look({"x": 1, "rows": [{"a": 1}]})
        heavy = {"pandas", "numpy", "polars", "pyarrow", "matplotlib", "duckdb", "torch", "sqlite3"} & set(sys.modules)
        assert not heavy, heavy
        import datetime, polars as pl
        if os.path.isdir("/proc/self/task"):
            frame = pl.DataFrame({
                "a": range(1000), "s": ["x"] * 1000, "t": [datetime.date(2024, 1, 1)] * 1000,
                "c": pl.Series(["u", "v"] * 500, dtype=pl.Categorical), "l": [[1, 2]] * 1000, "d": [{"k": 1}] * 1000,
            })
            threads = len(os.listdir("/proc/self/task"))
            told = look({"frame": frame, "lazy": frame.lazy(), "series": frame["s"]}).variable("frame")
            assert told.columns[0].samples == ("0", "1", "2"), told
            assert len(os.listdir("/proc/self/task")) == threads
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_look_takes_milliseconds_however_large_the_objects_are() -> None:
    rows = 10_000_000
    big = pd.DataFrame({"a": np.zeros(rows), "t": np.zeros(rows, "datetime64[s]"), "b": np.zeros(rows, bool)})
    namespace: dict[str, object] = {
        "big": big,
        "long": list(range(1_000_000)),
        "keys": dict.fromkeys(range(500_000), 1),
    }
    for i in range(49):
        namespace |= {f"n{i}": i, f"s{i}": f"text {i}", f"l{i}": [f"value {j}" for j in range(100)], f"d{i}": {"a": i}}
    look(namespace)
    taken = []
    for _ in range(5):
        started = time.process_time()
        look(namespace)
        taken.append(time.process_time() - started)
    assert min(taken) < 0.1  # promised: 20 ms


def test_the_fingerprint_knows_forms_and_no_values() -> None:
    def schema(data: list[object], default: object = 3) -> Schema:
        def clean(frame: Any, by: Any = default) -> None: ...

        return look({"df": pd.DataFrame({"a": data}), "words": {"x", "y", *map(str, data)}, "clean": clean})

    assert schema([1, 2]).fingerprint() == schema([5, 6, 7]).fingerprint()
    assert schema([1, 2]).fingerprint() != schema(["a", "b"]).fingerprint()
    assert schema([1], object()).fingerprint() == schema([1], object()).fingerprint()
