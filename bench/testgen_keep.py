"""What ``famulus bench testgen`` has measured so far: lines of JSON in a folder, so that a run can be cut and go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Verdict:
    """A changed function and who noticed. ``ours``, ``peer``: whether the tests did; None where they were not run on
    it. ``pool``: whether a tenfold search for inputs did."""

    kind: str
    line: int
    change: str
    ours: bool | None = None
    peer: bool | None = None
    pool: bool | None = None

    @property
    def killable(self) -> bool:
        """Whether anything here noticed it."""
        return bool(self.ours or self.peer or self.pool)


@dataclass
class Suite:
    """Tests of one function, or by the peer of one module, and what they are worth.

    ``tests``: functions; ``rows``: how many pytest counts, with each row of a table; ``bare``: those without an
    assertion; ``dropped``: proposed, not kept;
    ``red``, ``flaky``: of ten runs of the right code; ``lines`` and ``branches``: reached and in all, of the function;
    ``expected``: tests that are expected to fail (``xfail``)."""

    text: str = field(default="", repr=False)
    tests: int = 0
    rows: int = 0
    bare: int = 0
    dropped: int = 0
    red: int = 0
    flaky: int = 0
    expected: int = 0
    lines: tuple[int, int] = (0, 0)
    branches: tuple[int, int] = (0, 0)


@dataclass
class Record:
    """One function. ``suite``: of its tests, though ``text`` is the whole file; ``seconds`` of the wall, ``processor``
    seconds: its part of what the functions of its module took; ``importing``: seconds of collecting the tests, with
    the imports; ``mutants`` and ``killed``: of the kinds by which tests are chosen; ``why``: why there are no tests."""

    key: str
    module: str
    name: str
    statements: int
    revision: str
    budget: float
    suite: Suite = field(default_factory=Suite)
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0
    importing: float = 0.0
    mutants: int = 0
    killed: int = 0
    why: str = ""


@dataclass
class Module:
    """What the peer did for one module. ``budget``: seconds it was given, ``seconds``: it took, ``starting``: to start
    and look at the module before; ``failed``: why it made nothing. ``coverage``: lines and branches by function."""

    key: str
    budget: float
    seconds: float
    starting: float
    functions: list[str] = field(default_factory=list)
    suite: Suite = field(default_factory=Suite)
    coverage: dict[str, tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=dict)
    failed: str = ""


class Keep:
    """A folder with one file of lines for each kind of record; of two with one key the later counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, part: str, record: Record | Module) -> None:
        """Write a record at once."""
        with (self.folder / f"{part}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")

    def records(self, part: str) -> dict[str, Record]:
        """The functions of a part by key."""
        return {line["key"]: _record(line) for line in self._lines(part)}

    def modules(self, part: str) -> dict[str, Module]:
        """The peer's modules by key."""
        return {line["key"]: _module(line) for line in self._lines(part)}

    def _lines(self, part: str) -> list[dict[str, Any]]:
        path = self.folder / f"{part}.jsonl"
        if not path.exists():
            return []
        found = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # a run was cut while it wrote
        return found


def _record(line: dict[str, Any]) -> Record:
    verdicts = [Verdict(**verdict) for verdict in line.pop("verdicts")]
    return Record(**{**line, "suite": _suite(line["suite"]), "verdicts": verdicts})


def _module(line: dict[str, Any]) -> Module:
    coverage = {name: (tuple(lines), tuple(branches)) for name, (lines, branches) in line.pop("coverage").items()}
    return Module(**{**line, "suite": _suite(line["suite"]), "coverage": coverage})


def _suite(line: dict[str, Any]) -> Suite:
    return Suite(**{**line, "lines": tuple(line["lines"]), "branches": tuple(line["branches"])})
