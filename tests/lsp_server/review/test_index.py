"""The index of a project: binding as Python binds, facts that survive the disk, names as ``sys.path`` finds them."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.index.binding import after_partial, bind, spelled
from famulus.lsp_server.review.index.facts import POSITIONAL, Parameter, Shape
from famulus.lsp_server.review.index.notebook import code
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.reader import Unreadable, read
from famulus.lsp_server.review.index.store import Store
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules import callsites, contracts

NAMES = "abcde"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of these little files are not kept in the user's cache."""
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))


@st.composite
def signatures(draw: st.DrawFn) -> tuple[Parameter, ...]:
    """Parameter lists that Python accepts."""
    names = draw(st.permutations(NAMES))
    counts = [draw(st.integers(0, 2)) for _ in range(3)]
    star, stars = draw(st.booleans()), draw(st.booleans())
    found: list[Parameter] = []
    optional = False
    for kind, count in ((0, counts[0]), (1, counts[1])):
        for name in names[len(found) : len(found) + count]:
            optional = optional or draw(st.booleans())
            found.append(Parameter(name, kind, "0" if optional else None))
    if star:
        found.append(Parameter("args", 2))
    for name in names[counts[0] + counts[1] :][: counts[2]]:
        found.append(Parameter(name, 3, "0" if draw(st.booleans()) else None))
    if stars:
        found.append(Parameter("kwargs", 4))
    return tuple(found)


SHAPES = st.builds(
    Shape,
    positional=st.integers(0, 5),
    keywords=st.lists(st.sampled_from([*NAMES, "z"]), unique=True, max_size=4).map(tuple),
)


def python_binds(function: Any, shape: Shape, more: int = 0, names: tuple[str, ...] = ()) -> bool:
    """Whether Python makes the call, with ``more`` positional arguments and ``names`` from stars.

    It is really made: ``inspect.Signature.bind`` of Python 3.11 refuses ``f(a=1)`` for ``def f(a=0, /, **k)``.
    """
    try:
        function(*range(shape.positional + more), **dict.fromkeys((*shape.keywords, *names)))
    except TypeError:
        return False
    return True


def compiled(parameters: tuple[Parameter, ...]) -> Any:
    """A real function with these parameters."""
    space: dict[str, Any] = {}
    exec(f"def f({spelled(parameters)}): ...", space)
    return space["f"]


@settings(max_examples=300, deadline=None)
@given(signatures(), SHAPES)
def test_binding_agrees_with_python(parameters: tuple[Parameter, ...], shape: Shape) -> None:
    assert (bind(parameters, shape) is None) == python_binds(compiled(parameters), shape)


@settings(max_examples=150, deadline=None)
@given(signatures(), SHAPES, st.booleans(), st.booleans())
def test_a_call_with_stars_fails_only_if_no_content_of_the_stars_can_save_it(
    parameters: tuple[Parameter, ...], shape: Shape, star: bool, double_star: bool
) -> None:
    starred = Shape(shape.positional, shape.keywords, star, double_star)
    function = compiled(parameters)
    free = [name for name in (*NAMES, "y") if name not in shape.keywords]
    masks = range(1 << len(free)) if double_star else (0,)
    possible = any(
        python_binds(function, shape, more, tuple(n for i, n in enumerate(free) if mask >> i & 1))
        for more in (range(6) if star else (0,))
        for mask in masks
    )
    assert (bind(parameters, starred) is None) == possible


@settings(max_examples=150, deadline=None)
@given(signatures(), SHAPES, SHAPES)
def test_partial_leaves_what_python_leaves(parameters: tuple[Parameter, ...], first: Shape, then: Shape) -> None:
    function = compiled(parameters)
    part = functools.partial(function, *range(first.positional), **dict.fromkeys(first.keywords))
    assume(bind(parameters, Shape(first.positional, first.keywords, True, True)) is None)
    filled = {p.name for p in parameters[: first.positional] if p.kind == POSITIONAL}
    assume(filled.isdisjoint(then.keywords))
    left = after_partial(parameters, first.positional, first.keywords)
    assert (bind(left, then) is None) == python_binds(part, then)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(Unreadable):
        assert read(content).lines >= 1


SOURCE = b"import os\n\nclass A(os.PathLike):\n    x: int = 1\n    async def f(self, a, *, b=2): return a, b\n"


def test_facts_come_back_from_the_disk_as_they_were(tmp_path: Path) -> None:
    tree = Memory({"a.py": SOURCE})
    first = Project(tree, Store(tmp_path)).modules[0].facts
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "swept")
    second = Project(tree, Store(tmp_path)).modules[0].facts
    assert first is not second and msgspec.to_builtins(first, order="sorted") == msgspec.to_builtins(
        second, order="sorted"
    )
    whole = kept.read_bytes()
    for spoilt in (b"", whole[:-1], whole[:16], b"\0" * len(whole), whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(spoilt)
        again = Project(tree, Store(tmp_path)).modules[0].facts
        assert msgspec.to_builtins(first, order="sorted") == msgspec.to_builtins(again, order="sorted")
        assert kept.read_bytes() == whole


def test_without_a_place_for_facts_everything_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Project(Memory({"a.py": SOURCE}), Store(tmp_path / "file" / "below")).symbol("a.A.f") is not None


def test_what_cannot_be_parsed_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    project = Project(Memory({"bad.py": b"def f(:\n", "nul.py": b"x = 1\0", "good.py": SOURCE}), Store(tmp_path))
    assert [module.name for module in project.modules] == ["good"]
    assert [text.split(" ")[0] for text in project.left_out] == ["bad.py", "nul.py"]
    assert "line 1" in project.left_out[0]


LAYOUT = {
    "src/app/__init__.py": b"from app.core import run\n",
    "src/app/core.py": b"def run(): ...\n",
    "plain/__init__.py": b"",
    "plain/deep/mod.py": b"def f(): ...\n",
    "scripts/one.py": b"import two\ntwo.g()\n",
    "scripts/two.py": b"def g(): ...\n",
    "tests/test_app.py": b"from app import run\nimport plain.deep.mod as m\nfrom plain.deep.mod import f\n"
    b"run()\nm.f()\nf()\n",
    "pkg/__init__.py": b"",
    "pkg/a.py": b"from . import b\nfrom .b import h\nb.h()\nh()\n",
    "pkg/b.py": b"def h(): ...\n",
    "code/shop/cart.py": b"def pay(): ...\n",
    "jobs/daily.py": b"from shop.cart import pay\npay()\n",
    "pyproject.toml": b"[tool.setuptools.packages.find]\nwhere = ['code']\n",
}


def test_imports_find_what_sys_path_would_find(tmp_path: Path) -> None:
    project = Project(Memory(LAYOUT), Store(tmp_path))
    assert {"app", "app.core", "plain", "pkg.a"} <= set(project.by_name)
    for name, places in {
        "app.core.run": {"tests/test_app.py:4"},
        "plain.deep.mod.f": {"tests/test_app.py:5", "tests/test_app.py:6"},
        "pkg.b.h": {"pkg/a.py:3", "pkg/a.py:4"},
        "shop.cart.pay": {"jobs/daily.py:2"},
    }.items():
        symbol = project.symbol(name) or project.symbol(name.removeprefix("plain.deep."))
        assert symbol is not None
        calls = [use for use in project.callers(symbol) if use.reference.call is not None]
        assert {f"{use.module.path}:{use.reference.line}" for use in calls} == places
    two = project.module("scripts/two.py")
    assert two is not None and project.callers(two.by_qualname["g"])


def test_places_count_characters_whatever_the_encoding_and_the_line_ends(tmp_path: Path) -> None:
    text = "from m import f\r\ns = 'äöü'; f(1)\r\n"
    for encoded in (text.encode(), b"\xef\xbb\xbf" + text.encode(), ("# coding: latin-1\r\n" + text).encode("latin-1")):
        files = {"m.py": b"def f(a): ...\n", "u.py": encoded}
        change = between(Memory(files), Memory({**files, "m.py": b"def f(): ...\n"}))
        (finding,) = callsites.RULE.check(Context(change))
        assert (finding.place.column, finding.place.end_column) == (12, 16)


def reorder(tree: ast.Module) -> None:
    """Functions of a module, and methods of its classes, in another order, where no decorator ties them together."""
    for body in [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]:
        places = [i for i, n in enumerate(body) if isinstance(n, ast.FunctionDef) and not n.decorator_list]
        names = [node.name for i in places if isinstance(node := body[i], ast.FunctionDef)]
        if len(set(names)) == len(names):
            mixed = [body[i] for i in places]
            random.Random(1).shuffle(mixed)
            for place, node in zip(places, mixed, strict=True):
                body[place] = node


def rename_locals(tree: ast.Module) -> None:
    """Locals of functions without inner scopes under other names."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)
    fixed = (ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom, ast.ExceptHandler, ast.GeneratorExp, ast.Match)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        nodes = [node for node in ast.walk(function) if node is not function]
        if any(isinstance(node, inner + fixed) for node in nodes):
            continue
        given = {node.arg for node in nodes if isinstance(node, ast.arg)}
        own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} - given
        for node in nodes:
            if isinstance(node, ast.Name) and node.id in own:
                node.id += "_renamed"


def neutrally_changed(content: bytes) -> bytes:
    """The same program: laid out anew, its functions in another order, their locals under other names."""
    tree = ast.parse(content)
    reorder(tree)
    rename_locals(tree)
    return ast.unparse(tree).encode()


@pytest.mark.parametrize("package", ["json", "email", "asyncio", "unittest"])
def test_neutral_changes_of_real_packages_are_left_alone(package: str, tmp_path: Path) -> None:
    folder = Path(sys.modules["ast"].__file__ or "").parent / package
    files = {f"{package}/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.py"))}
    changed = {name: neutrally_changed(content) for name, content in files.items()}
    change = between(Memory(files), Memory(changed))
    context = Context(change)
    store = Store(tmp_path)
    context._projects.update(old=Project(change.old, store), new=Project(change.new, store))
    assert len(change.files) >= len(files) - 3
    assert [*callsites.RULE.check(context), *contracts.RULE.check(context)] == []
    assert context.left_out == []


BOOK = nbformat.writes(
    nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell('"source": [\nx = 1'),
            nbformat.v4.new_code_cell('%time\nx = [1, "]"]\ny = !ls\n\nx?'),
            nbformat.v4.new_code_cell("%%timeit\nz = 2,"),
        ]
    )
)


def test_code_of_a_notebook_keeps_its_lines() -> None:
    source, places = code(BOOK.encode())
    lines = {place: source.decode().split("\n")[line - 1] for line, place in places.items()}
    assert lines == {
        "cell 2, line 1": "pass", "cell 2, line 2": 'x = [1, "]"]', "cell 2, line 3": "y = None", "cell 2, line 4": "",
        "cell 2, line 5": "pass", "cell 3, line 1": "", "cell 3, line 2": "z = 2,",
    }  # fmt: skip
    assert all(json.dumps(lines[places[n]])[1:-1] in BOOK.split("\n")[n - 1] for n in places if "2" in places[n][-3:])


@pytest.mark.parametrize(
    "instead",
    ['["%%timeit\\n", "z = 2,"]', '"z = 2\\nz = 3"', '[\n\n    "%%timeit\\n",\n    "z = 2,"\n   ]'],
)
def test_a_notebook_is_refused_where_code_does_not_stand_on_lines_of_its_own(instead: str) -> None:
    there = '[\n    "%%timeit\\n",\n    "z = 2,"\n   ]'
    assert there in BOOK
    with pytest.raises(ValueError, match="lines of their own"):
        code(BOOK.replace(there, instead).encode())


@settings(deadline=None)
@given(data=st.data())
def test_a_spoilt_notebook_is_read_or_refused(data: st.DataObject) -> None:
    lines = BOOK.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(st.sampled_from([*lines, "[", "{}", "0,"]), max_size=2)
        )
    with contextlib.suppress(ValueError):
        source, places = code("\n".join(lines).encode())
        read(source)
        assert all(0 < line <= len(lines) for line in places)
