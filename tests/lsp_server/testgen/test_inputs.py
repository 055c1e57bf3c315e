"""What a function asks for besides its arguments is arranged in the test; what cannot be arranged is told; and whatever
a function does to whoever calls it, the next one gets its tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import functions
from famulus.lsp_server.execution.inputs import Inputs, vocabulary
from famulus.lsp_server.execution.version import Version
from famulus.lsp_server.review.folders import Folder
from famulus.lsp_server.testgen import writing
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.choosing import best
from famulus.lsp_server.testgen.commandline import runner
from famulus.lsp_server.testgen.domain import Domain
from famulus.lsp_server.testgen.examples import Oracle
from famulus.lsp_server.testgen.fixtures import fixtures
from famulus.lsp_server.testgen.kills import kills
from famulus.lsp_server.testgen.style import Style
from famulus.lsp_server.testgen.unittesting import converted

KINDS = '''\
import argparse
import contextlib
import datetime
import os
import random
import sys
import time
from pathlib import Path

import click


def count(path: str) -> int:
    with open(path) as file:
        return sum(1 for line in file if line.strip())


def save(path: Path, rows: list[str]) -> int:
    path.write_text("\\n".join(rows))
    return len(rows)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=1)
    given = parser.parse_args(argv)
    print("hello " * given.times)
    return given.times


def program() -> None:
    if len(sys.argv) < 2:
        sys.exit(3)
    print(sys.argv[1])


@click.command()
@click.option("--name", default="x")
def greet(name: str) -> None:
    click.echo(f"hi {name}")


def ask() -> str:
    return input("name? ").title()


def age(born: int) -> int:
    return datetime.datetime.now().year - born


def stamp(name: str) -> str:
    return f"{name}-{int(time.time())}"


def shuffled(items: list[int]) -> list[int]:
    copy = list(items)
    random.shuffle(copy)
    return copy


def home() -> str:
    return os.environ.get("SHOP_HOME", "none")


@contextlib.contextmanager
def kept(lines: list[str]):
    inner: list[str] = []
    yield inner
    lines.extend(inner)


def means():
    total, count, mean = 0.0, 0, 0.0
    while True:
        total += yield mean
        count += 1
        mean = total / count


def found(names: dict[str, int], name: str) -> int | None:
    return names.get(name)


def windows(items: list[int], size: int):
    if size < 1:
        raise ValueError("size must be positive")
    for i in range(len(items) - size + 1):
        yield items[i : i + size]


class Account:
    def __init__(self) -> None:
        self._sum = 0

    def put(self, amount: int) -> None:
        """Raises ValueError unless amount is positive."""
        if amount <= 0:
            raise ValueError("amount must be positive")
        self._sum += amount

    def __len__(self) -> int:
        return self._sum


def total(account: Account, rate: int) -> int:
    return len(account) * rate
'''
CONFTEST = """\
import pytest

from kinds import Account


@pytest.fixture
def account():
    made = Account()
    made.put(5)
    return made
"""
SHOWN = {
    "windows": 'match="size must be positive"):\n        list(windows(',
    "count": "write_text",
    "save": ".read_text() ==",
    "names": "names(folder) == [",
    "main": "ended.value.code == 2",
    "program": '"sys.argv", ["program"',
    "greet": "CliRunner().invoke(greet",
    "ask": '"sys.stdin"',
    "age": "class Clock(datetime.datetime):",
    "stamp": '"kinds.time.time"',
    "shuffled": "random.seed(1)",
    "home": 'monkeypatch.setenv("SHOP_HOME"',
    "kept": "entered.append('line')",
    "means": ".send(",
    "Account.put": "amount must be positive",
    "Account.__len__": "len(Account())",
    "total": "(account):",
}
HOSTILE = """\
import builtins, os, secrets, shutil, socket, sys


def endless(x: int) -> int:
    while True:
        x += 1

def leaves(x: int) -> int:
    os._exit(0)

def deep(x: int) -> int:
    return deep(x + 1) + 1

def loud(x: int) -> str:
    return print("x" * 50_000_000)

def patches(x: int) -> int:
    builtins.len = lambda thing: 7
    builtins.isinstance = lambda thing, kind: False
    return x

def greedy(x: int) -> int:
    return len([bytearray(1 << 27) for _ in range(1 << 10)])

def deletes(x: int) -> None:
    shutil.rmtree(os.path.dirname(__file__), ignore_errors=True)
    os.remove(__file__)

def connects(x: int) -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)

def forks(x: int) -> int:
    return x if os.fork() else os._exit(0)

def token(n: int) -> str:
    return secrets.token_hex(8)

def harmless(x: int) -> int:
    return 2 * x
"""
REFUSED = {
    "endless": "do not end",
    "leaves": "left the interpreter",
    "deep": "RecursionError",
    "loud": "",
    "patches": "",
    "greedy": "",
    "deletes": "changes or deletes files",
    "connects": "needs the network",
    "forks": "starts or ends processes",
    "token": "os.urandom",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "kinds.py").write_text(KINDS)
    (folder / "hostile.py").write_text(HOSTILE)
    (folder / "conftest.py").write_text(CONFTEST)
    return folder


@pytest.fixture(scope="module")
def oracle(project: Path) -> Iterator[Oracle]:
    with Version(Path(sys.executable), project) as version:
        yield Oracle(version)


def asked(oracle: Oracle, module: str, source: str, name: str) -> tuple[Aim, list[Example], str]:
    function = functions(source)[name]
    constructors = Constructors(f"{module}.py", source, vocabulary(function.node))
    given = fixtures(Folder(oracle.version.root), "test_kinds.py") if module == "kinds" else ()
    aim = Aim(f"{module}.py", module, source, function, runner(source, function), given)
    inputs = Inputs(function, constructors, constructors.words)
    return aim, *oracle.examples(aim, inputs, seconds=0.01)


def test_what_surrounds_a_call_is_part_of_its_test(oracle: Oracle, project: Path) -> None:
    written: list[writing.Written] = []
    for name, shown in SHOWN.items():
        aim, examples, refused = asked(oracle, "kinds", KINDS, name)
        assert not refused, (name, refused)
        made = writing.write(aim, examples[:40], {one.name for one in written})
        plain = [one.text.replace("'", '"') for one in made]
        assert any(shown.replace("'", '"') in text for text in plain), (name, plain)
        written += made
    assert {"test_greet_without_arguments", "test_greet_with_name"} & {one.name for one in written}
    cased = [one for test in written if (one := converted(test)) is not None and test.holder == ""]
    assert not [one.text for one in cased if "monkeypatch" in one.text or "capsys" in one.text]
    (project / "test_kinds.py").write_text(writing.module(written))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", ".", "test_kinds.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_test_reads_the_command_line_of_pytest(oracle: Oracle) -> None:
    for name in ("main", "program"):
        aim, examples, _ = asked(oracle, "kinds", KINDS, name)
        for example in [*examples, *oracle.more(aim, examples[:10])]:
            assert example.call.args or "sys.argv" in example.call.script, example.call.script


def test_hostile_code_costs_its_own_tests_only(oracle: Oracle, project: Path) -> None:
    for name, why in REFUSED.items():
        _, examples, refused = asked(oracle, "hostile", HOSTILE, name)
        assert not examples and why in refused and refused, (name, refused, examples[:3])
    assert (project / "hostile.py").read_text() == HOSTILE
    _, examples, refused = asked(oracle, "hostile", HOSTILE, "harmless")
    assert examples and not refused


@pytest.mark.parametrize(
    ("docstring", "inside", "outside"),
    [
        ("size: number of items on a page", "3", "-1"),
        ("Args:\n    size (int): How many.", "0", "-2"),
        (":param size: must be positive", "1", "0"),
        ("size: between 1 and 5", "5", "6"),
        ("The size, which is not zero.", "-1", "0"),
    ],
)
def test_arguments_outside_the_documented_domain_are_known(docstring: str, inside: str, outside: str) -> None:
    from famulus.lsp_server.execution.calls import Call

    function = functions(f'def page(size: int):\n    """Cut.\n\n    {docstring}\n    """\n    return size\n')["page"]
    assert Domain(function).holds(Call("page", (inside,)))
    assert not Domain(function).holds(Call("page", (outside,)))


def test_answers_of_none_fill_no_table(oracle: Oracle) -> None:
    aim, examples, _ = asked(oracle, "kinds", KINDS, "found")
    notice = kills(oracle.version, aim, examples)
    chosen = [examples[n].outcome for n in best(aim, examples, notice, None, 5, Style())]
    assert notice.killed and {one.kind for one in chosen} == {"value"}
    assert 0 < sum(one.value == ["const", "None"] for one in chosen) <= 2
