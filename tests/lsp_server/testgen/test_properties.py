"""A property is believed where it holds for many arguments, and kept where it notices what no example notices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.inputs import Inputs, vocabulary
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.testgen import kills, writing
from famulus.lsp_server.testgen.case import Aim, Property
from famulus.lsp_server.testgen.properties import Properties
from famulus.lsp_server.testgen.style import Style
from famulus.lsp_server.testgen.writing_properties import of_properties

CODE = """\
def encode(text: str) -> str:
    return "".join(chr((ord(c) + 1) % 0x110000) if ord(c) != 0xD7FF else c for c in text)


def decode(code: str) -> str:
    return "".join(chr((ord(c) - 1) % 0x110000) if ord(c) != 0 else c for c in code)


def area(a: int, b: int) -> int:
    return a * b


def rounded(n: int) -> int:
    return n // 10 * 10


def signed(n: int) -> int:
    return n if n % 2 else -n
"""


def found(version: Version, name: str) -> tuple[Aim, list[Property]]:
    known = functions(CODE)

    def inputs(other: str) -> Inputs:
        constructors = Constructors("codes.py", CODE, vocabulary(known[other].node))
        return Inputs(known[other], constructors, constructors.words)

    aim = Aim("codes.py", "codes", CODE, known[name])
    return aim, Properties(version, aim, inputs).found(kills.of_function(aim), frozenset())


def test_what_holds_for_all_arguments_is_found_and_fails_when_the_code_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "codes.py").write_text(CODE)
    kinds: dict[str, list[str]] = {}
    written: list[writing.Written] = []
    with Version(Path(sys.executable), tmp_path) as version:
        for name in ("decode", "area", "rounded", "signed"):
            aim, properties = found(version, name)
            kinds[name] = [str(one.kind) for one in properties]
            written += of_properties(aim, properties, {one.name for one in written}, Style())
    assert "undoes" in kinds["decode"] and "order" in kinds["area"] and "more" in kinds["rounded"], kinds
    assert kinds["signed"] == [], kinds
    names = [one.name for one in written]
    assert "test_decode_undoes_encode" in names and "test_area_does_not_depend_on_the_order" in names
    (tmp_path / "test_codes.py").write_text(writing.module(written))
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "test_codes.py"]
    wrong = CODE.replace("a * b", "a - b").replace("ord(c) - 1", "ord(c)")
    for code, failing in ((CODE, []), (wrong, ["test_decode_undoes_encode", "test_area_does_not_depend_on_the_order"])):
        (tmp_path / "codes.py").write_text(code)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert (done.returncode == 0) == (not failing), done.stdout[-2000:]
        assert all(name in done.stdout for name in failing), done.stdout[-2000:]
