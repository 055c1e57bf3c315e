"""What goes along for a place: from what it uses, only what may be used, and the same from key to key."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest
from lsprotocol import types

from famulus.engine.policy import Policy
from famulus.lsp_server.context.gather import ABOVE, BELOW
from famulus.lsp_server.documents import Text

from .conftest import Project

pytestmark = pytest.mark.asyncio

SHAPES = '''\
"""Shapes."""

LIMIT = 30


def area(width: float, height: float) -> float:
    """The area of a rectangle."""
    return width * height


class Circle:
    """A round shape."""

    def __init__(self, radius: float) -> None:
        self.radius = radius

    def grow(self, factor: float) -> None:
        """Make it larger."""
        self.radius *= factor
'''
USER = """\
from pack.shapes import Circle, area


def main():
    circle = Circle(2)
    size = area(1, 2)
    circle.grow(
"""


async def test_definitions_of_what_is_used_near_the_cursor(project: Project) -> None:
    project.write(pack__shapes_py=SHAPES)
    document = await project.open("main.py", USER)
    found = [r for r in project.pieces(document, "circle.grow(") if r.source == "definitions"]
    assert [(r.piece.path, r.piece.text) for r in found] == [
        ("pack/shapes.py", 'class Circle:\n    """A round shape."""\n    def __init__(self, radius: float) -> None:'),
        ("pack/shapes.py", 'def area(width: float, height: float) -> float:\n    """The area of a rectangle."""'),
        ("pack/shapes.py", 'class Circle:\n    def grow(self, factor: float) -> None:\n    """Make it larger."""'),
    ]


async def test_names_that_a_package_passes_on(project: Project) -> None:
    project.write(pack__deep__shapes_py=SHAPES)
    (project.root / "pack" / "__init__.py").write_text("from .deep.shapes import (Circle,\n  area)\n")
    document = await project.open("main.py", USER.replace("pack.shapes", "pack"))
    found = [r for r in project.pieces(document, "circle.grow(") if r.source == "definitions"]
    assert {r.piece.path for r in found} == {"pack/deep/shapes.py"} and len(found) == 3


async def test_a_saved_ignore_file_holds_at_once(project: Project) -> None:
    (project.root / ".git").mkdir()
    project.write(pack__shapes_py=SHAPES)
    document = await project.open("main.py", USER)
    assert project.pieces(document, "circle.grow(") != []
    (project.root / ".gitignore").write_text("pack/\n")
    ignore = await project.open(".gitignore", "pack/\n", "ignore")
    project.session.saved(ignore.uri)
    await project.session.context.index.settled()
    assert project.pieces(document, "circle.grow(") == []


async def test_an_ignore_file_that_anybody_writes_holds_for_open_files(project: Project) -> None:
    """Nobody tells the server: no editor saved it, and no file that it names was touched."""
    project.write(pack__shapes_py=SHAPES, pack__other_py="def other(width, height):\n    return 1\n")
    other = await project.open("pack/shapes.py")
    document = await project.open("main.py", USER.replace("circle = ", "other()\n    circle = ") + "\n# .")
    project.replace(document, 0, 0, "from pack.other import other\n")
    project.replace(other, SHAPES.index("    self.radius *= "), SHAPES.index("    self.radius *= "), "    check()\n")
    await project.session.context.index.settled()
    before = project.pieces(document, "circle.grow(")
    assert {r.source for r in before if r.piece.path == "pack/shapes.py"} >= {"edits", "definitions"}
    ahead = replace(document.snapshot(), text=Text(document.text.value + "ahead"))

    def paths() -> list[set[str]]:
        found = project.session.context.pieces(ahead, 0), project.pieces(document, "circle.grow(")
        return [{ranked.piece.path for ranked in pieces} for pieces in found]

    (project.root / ".famulusignore").write_text("shapes.py\n")
    assert paths() == [{"pack/other.py"}] * 2
    for _ in range(3):
        project.replace(document, len(document.text), len(document.text), "x")
        assert paths()[1] == {"pack/other.py"}
    await project.session.context.index.settled()
    assert paths() == [{"pack/other.py"}] * 2
    (project.root / ".famulusignore").unlink()
    project.replace(document, 0, 0, "\n")
    assert paths()[1] == {"pack/shapes.py", "pack/other.py"}


async def test_asking_the_policy_costs_little(project: Project) -> None:
    folder = project.root / "a" / "b" / "c" / "d"
    project.write(**{f"a__b__c__d__m{n}_py": f"def function{n}(a, b):\n    return a\n" for n in range(30)})
    for at in (project.root, *folder.parents[:4], folder):
        (at / ".gitignore").write_text("*.tmp\nbuild/\n!keep.tmp\n" * 20)
    imported = "".join(f"from a.b.c.d.m{n} import function{n}\n" for n in range(30))
    uses = "".join(f"    function{n}(1, 2)\n" for n in range(30))
    document = await project.open("main.py", imported + "\n\ndef main():\n" + uses)
    times = []
    for line in range(document.text.lines - 30, document.text.lines - 1):
        start = time.thread_time()
        found = project.session.context.pieces(document.snapshot(), document.text.line_end(line))
        times.append(time.thread_time() - start)
        assert len({r.piece.path for r in found}) >= 5
    assert statistics.median(times) < 0.005


async def test_names_in_comments_and_of_files_that_are_not_imported_say_nothing(project: Project) -> None:
    project.write(shapes_py=SHAPES)
    document = await project.open("main.py", "def main():\n    # area of a Circle\n    x = area(1)\n    y.append(\n")
    assert [r.piece.text for r in project.pieces(document, "append(") if r.source == "definitions"] == []


async def test_far_places_of_the_same_file(project: Project) -> None:
    text = SHAPES + "\n# filler\n" * ABOVE + "\ndef main():\n    Circle(1).grow(\n"
    document = await project.open("main.py", text)
    found = [r.piece.text for r in project.pieces(document, ").grow(")]
    assert any("def grow" in text for text in found)
    near = await project.open("near.py", SHAPES + "\ndef main():\n    Circle(1).grow(\n")
    assert [r for r in project.pieces(near, ").grow(") if r.piece.path == "near.py"] == []


async def test_edits_elsewhere_go_along_and_settings_hold(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(pack__shapes_py=SHAPES)
    other = await project.open("pack/shapes.py")
    document = await project.open("main.py", USER)
    project.replace(
        other, SHAPES.index("    self.radius *= "), SHAPES.index("    self.radius *= "), "    check(factor)\n"
    )
    await project.session.context.index.settled()
    assert {r.source for r in project.pieces(document, "circle.grow(")} >= {"edits", "definitions"}
    configuration = project.session.settings
    settings = configuration.for_document(document.snapshot())
    for files, edits, expected in ((False, True, {"edits"}), (False, False, set())):
        context = type(settings.context)(files=files, edits=edits)
        changed = type(settings)(context=context)
        monkeypatch.setattr(configuration, "for_document", lambda snapshot, changed=changed: changed)
        assert {r.source for r in project.pieces(document, "circle.grow(")} == expected


async def test_a_definition_follows_its_file(project: Project) -> None:
    project.write(pack__shapes_py=SHAPES)
    other = await project.open("pack/shapes.py")
    document = await project.open("main.py", USER)
    start = SHAPES.index("height: float")
    project.replace(other, start, start, "depth: int, ")
    await project.session.context.index.settled()
    assert any("depth: int" in r.piece.text for r in project.pieces(document, "circle.grow("))
    project.close(other)
    await project.session.context.index.settled()
    assert not any("depth: int" in r.piece.text for r in project.pieces(document, "circle.grow("))


async def test_what_is_written_ahead_finds_the_same_pieces(project: Project) -> None:
    project.write(pack__shapes_py=SHAPES)
    document = await project.open("main.py", USER)
    found = project.pieces(document, "circle.grow(")
    ahead = replace(document.snapshot(), text=Text(USER + "2)\n\n\ndef other():\n    pass\n"))
    assert project.session.context.pieces(ahead, len(ahead.text)) == found != []


async def test_a_model_without_fill_marks_is_given_little_and_seldom(project: Project) -> None:
    project.write(pack__shapes_py=SHAPES)
    project.session.link.model = {"infill": "suffix as comment"}
    document = await project.open("main.py", USER.replace("    circle = Circle(2)\n", ""))
    first = project.pieces(document, "circle.grow(")
    assert {r.source for r in first} == {"definitions"}
    end = len(document.text)
    for character in "    Circle(1, ":
        project.replace(document, end, end, character)
        end += 1
        found = project.pieces(document)
        if character != " ":
            assert found is project.pieces(document)
    assert not any('class Circle:\n    """' in r.piece.text for r in found)
    project.replace(document, end, end, "\n    ")
    assert any("A round shape" in r.piece.text for r in project.pieces(document))


async def test_cells_before_go_along(project: Project) -> None:
    cells = ["import math\nradius = 3\n", "# Words", "area = math.pi * radius\n"]
    kinds = [types.NotebookCellKind.Code, types.NotebookCellKind.Markup, types.NotebookCellKind.Code]
    uris = [f"vscode-notebook-cell:{(project.root / 'n.ipynb').as_posix()}#{number}" for number in range(3)]
    book = types.NotebookDocument(
        (project.root / "n.ipynb").as_uri(),
        "jupyter-notebook",
        1,
        [types.NotebookCell(kind, uri) for kind, uri in zip(kinds, uris, strict=True)],
    )
    items = [
        types.TextDocumentItem(uri, "markdown" if kind == types.NotebookCellKind.Markup else "python", 1, cell)
        for uri, kind, cell in zip(uris, kinds, cells, strict=True)
    ]
    project.session.server.workspace.put_notebook_document(types.DidOpenNotebookDocumentParams(book, items))
    document = project.session.document(uris[2])
    assert document is not None
    assert [(r.source, r.piece.text) for r in project.pieces(document)] == [("cells", "import math\nradius = 3")]


async def test_nothing_of_files_that_the_policy_refuses(project: Project) -> None:
    (project.root / ".gitignore").write_text("hidden/\n")
    (project.root / ".git").mkdir()
    secret = SHAPES + "\nTOKEN_VALUE = 'tell nobody'\n"
    project.write(hidden__shapes_py=secret, pack__core_py=SHAPES)
    (project.root / "credentials.json").write_text('{"area": "tell nobody"}')
    (project.root / "pack" / "linked.py").symlink_to(project.root / "hidden" / "shapes.py")
    outside = project.root.parent / f"{project.root.name}-outside.py"
    outside.write_text(secret)
    (project.root / "pack" / "out.py").symlink_to(outside)
    hidden = await project.open("hidden/shapes.py")
    text = (
        "from hidden.shapes import area, TOKEN_VALUE\nfrom pack.linked import Circle\nfrom pack.out import LIMIT\n"
        + SHAPES
        + "def main():\n    area(TOKEN_VALUE, LIMIT, Circle(\n"
    )
    document = await project.open("main.py", text)
    project.replace(hidden, 0, 0, "edited_secret = 1\n")
    await project.session.context.index.settled()
    allowed = {project.root / "main.py", project.root / "pack" / "core.py"}
    assert set(project.session.context.index.files) <= allowed
    for line in range(document.text.lines):
        for found in project.session.context.pieces(document.snapshot(), document.text.line_end(line)):
            assert found.piece.path in ("main.py", "pack/core.py")
            assert "tell nobody" not in found.piece.text and "edited_secret" not in found.piece.text


async def test_every_read_is_asked_for(project: Project) -> None:
    read: list[Path] = []

    class Watching(Policy):
        def read(self, path: object, limit: int) -> str:
            read.append(Path(str(path)))
            return super().read(path, limit)  # type: ignore[arg-type]

    project.session.policy = Watching([project.root])
    project.write(pack__shapes_py=SHAPES, pack__other_py="x = 1\n")
    await project.open("pack/main.py", "from pack.shapes import area\n")
    assert sorted(path.name for path in read) == ["other.py", "shapes.py"]


def stdlib(name: str) -> str:
    """A real file."""
    return Path(random.__file__).with_name(name).read_text()


async def test_typing_a_line_hardly_ever_changes_the_pieces(project: Project) -> None:
    for name in ("textwrap.py", "shlex.py", "string.py", "tokenize.py", "token.py"):
        (project.root / name).write_text(stdlib(name))
    document = await project.open("tokenize.py")
    dice = random.Random(3)
    same = keys = 0
    for _ in range(40):
        line = dice.randrange(30, document.text.lines - 10)
        start, content = document.text.starts[line], document.text.line(line)
        project.replace(document, start, start + len(content), "")
        last = None
        for column, character in enumerate(content):
            offset = start + column
            project.replace(document, offset, offset, character)
            found = project.session.context.pieces(document.snapshot(), offset + 1)
            assert found == project.session.context.pieces(document.snapshot(), offset + 1)
            told = [r.key for r in found]
            if last is not None:
                keys += 1
                same += told == last
            last = told
            for ranked in found:
                if ranked.piece.path == "tokenize.py":
                    first, final = max(0, line - ABOVE), min(document.text.lines - 1, line + BELOW)
                    around = document.text.value[document.text.starts[first] : document.text.line_end(final)]
                    assert ranked.piece.text not in around
    assert keys > 300 and same / keys >= 0.95, (same, keys)


async def test_the_same_session_gives_the_same_pieces(project: Project, tmp_path: Path) -> None:
    project.write(pack__shapes_py=SHAPES)
    document = await project.open("main.py", USER)
    one = project.pieces(document, "circle.grow(")
    second = Project(tmp_path)
    other = await second.open("main.py", USER)
    assert second.pieces(other, "circle.grow(") == one
    await second.session.close()
