"""Tests of one version of a project, run again and again: a process in the sandbox that has the project's pytest ready.

A run begins with a fork of that process, so it costs what the project's own imports and the tests cost, and it sees
the files as they are on disk at that moment. :meth:`TestServer.hold` collects once, for many runs of the same code
with one function exchanged. The code sees its folder read-only, and a temporary folder that is its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from famulus import sandbox
from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.peer import Peer

if TYPE_CHECKING:
    from famulus.lsp_server.execution.mutants import Mutant

_WORKER = Path(__file__).parent / "worker"
_BOOT = (
    "import sys, types; sys.path[:1] = sys.path[:1] if sys.path[:1] != [''] else []; "
    "here, *rest = sys.argv[1:]; sys.argv[:] = ['']; "
    "package = types.ModuleType('famulus_worker'); package.__path__ = [here]; sys.modules['famulus_worker'] = package; "
    "from famulus_worker import testing; testing.main(rest[1], rest[2:], rest[0])"
)
_START = 60.0
_GRACE = 15.0  # seconds beyond its time after which an answer is not waited for

TOO_LONG = "TookTooLong"
"""Type of the failure of a test that used up its time."""

Framework = Literal["pytest", "unittest"]
TestOutcome = Literal["passed", "failed", "error", "skipped"]


class NoPytest(ExecutionFailed):
    """The project's Python has no pytest."""

    code, status = "no_pytest", 422


@dataclass(frozen=True)
class TestResult:
    """How one test went. ``type`` and ``message`` are those of its first exception, ``at`` the places of the project
    that it went through, ``lines`` what it ran of the traced files; ``error`` is a failure of a fixture."""

    __test__ = False

    node: str
    outcome: TestOutcome
    seconds: float = 0.0
    type: str = ""
    message: str = ""
    at: tuple[tuple[str, int], ...] = ()
    lines: Mapping[str, frozenset[int]] = field(default_factory=dict)
    arcs: Mapping[str, frozenset[tuple[int, int]]] = field(default_factory=dict)
    """Pairs of lines that it ran one after the other, if they were asked for; 0 is the end of a function."""

    @property
    def red(self) -> bool:
        """Whether it did not pass."""
        return self.outcome in ("failed", "error")


@dataclass(frozen=True)
class TestRun:
    """What a run of pytest told.

    ``collected``: the tests, in the order in which they were to run. ``errors``: files that could not be collected, as
    results of type and message. ``imported``: lines of the traced files that ran when the tests were collected.
    ``ended``: ``wall`` or ``died`` if the run did not come to its end."""

    __test__ = False

    tests: tuple[TestResult, ...] = ()
    collected: tuple[str, ...] = ()
    errors: tuple[TestResult, ...] = ()
    imported: Mapping[str, frozenset[int]] = field(default_factory=dict)
    ended: str = ""
    code: int | None = None
    broken: str = ""
    said: str = ""
    """What pytest complained of when there was no session, as of an option or a ``conftest.py``."""

    def of(self, node: str) -> TestResult | None:
        """The result of one test."""
        return next((test for test in self.tests if test.node == node), None)

    @property
    def red(self) -> tuple[TestResult, ...]:
        """The tests that did not pass."""
        return tuple(test for test in self.tests if test.red)


@dataclass
class TestServer:
    """Runs tests of the project in ``root``, importing from ``folders`` (relative, first one first).

    ``seed``: of the hashes. ``check`` is called some twenty times a second while an answer is waited for; what it
    raises ends the wait and the process. Use it in a ``with`` block: nothing is left when it ends."""

    __test__ = False

    python: Path
    root: Path
    folders: Sequence[str] = ("",)
    sandboxed: bool = True
    seed: int = 1
    check: Callable[[], None] = lambda: None
    framework: Framework = "pytest"
    """What runs the tests; with ``unittest`` they are those of its test cases only."""
    pytest: str = ""
    """Version of the project's pytest, known after the start."""
    _peer: Peer | None = None

    def launch(self) -> None:
        """Begin to start the process, and do not wait until it is ready.

        Raises :class:`sandbox.SandboxError` where code cannot be run safely."""
        if self._peer is not None:
            return
        self.pytest = ""
        root = os.path.realpath(self.root)
        paths = [os.path.normpath(os.path.join(root, folder)) for folder in self.folders]
        argv = [str(self.python), "-s", "-B", "-c", _BOOT, str(_WORKER), self.framework, root, *paths]
        variables = {"PYTHONHASHSEED": str(self.seed)}
        limits = sandbox.Limits(
            wall_seconds=None, cpu_seconds=None, output_bytes=1 << 30, processes=128, tmp_bytes=512 << 20
        )
        self._peer = Peer(
            "tests",
            argv,
            root,
            readable=[_WORKER],
            variables=variables,
            limits=limits if self.sandboxed else None,
            check=self.check,
        )

    def start(self) -> None:
        """Start the process; done by itself at the first use.

        Raises :class:`NoPytest`, and :class:`sandbox.SandboxError` where code cannot be run safely."""
        self.launch()
        if self.pytest:
            return
        assert self._peer is not None
        with self._closing():
            ready = self._peer.receive(_START)
        if "missing" in ready:
            self.close()
            fix = "Install it there (it runs tests of unittest as well), or name another Python with --python."
            raise NoPytest(f"{self.python} has no pytest ({ready['missing']}).", fix=fix)
        self.pytest = ready["pytest"]

    def run(
        self,
        tests: Sequence[str] = (),
        *,
        wall: float = 60.0,
        trace: Iterable[str] = (),
        shuffle: int | None = None,
        reverse: bool = False,
        ordered: bool = False,
        chance: int = 1,
    ) -> TestRun:
        """Run tests (ids of pytest; none: all) with the files as they are now.

        ``trace``: paths whose lines are told. ``shuffle``: a number for an order of its own; ``ordered``: in
        the order of ``tests``; ``reverse``: that order from behind. ``chance``: the seed of random numbers."""
        order = {"shuffle": shuffle, "reverse": reverse, "ordered": ordered, "chance": chance}
        asked = {"tests": list(tests), "trace": list(trace), **order}
        return _told(self._ask({"do": "run", "wall": wall, **asked}, wall))

    def hold(
        self,
        tests: Sequence[str] = (),
        *,
        wall: float = 60.0,
        each: float = 0.0,
        trace: Iterable[str] = (),
        arcs: bool = False,
    ) -> TestRun:
        """Collect tests and keep them ready for :meth:`again` and :meth:`survives`; those held before are let go.

        ``each``: seconds after which a test fails with :data:`TOO_LONG`; 0 for as long as it takes. ``arcs``: tell the
        order of the lines that are traced as well."""
        asked = {"tests": list(tests), "trace": list(trace), "each": each, "arcs": arcs}
        return _told(self._ask({"do": "hold", "wall": wall, **asked}, wall))

    def again(self, tests: Sequence[str], *, wall: float = 60.0, trace: bool = False) -> TestRun:
        """Run some of the tests that are held, in a copy. ``trace``: tell the lines of the paths given to ``hold``."""
        return _told(self._ask({"do": "again", "tests": list(tests), "wall": wall, "trace": trace}, wall))

    def survives(self, path: str, mutant: Mutant, tests: Sequence[str], *, wall: float) -> bool | None:
        """Whether held tests all pass with the mutant in ``path``, in a copy; None if it cannot be put in place so.

        A run that does not end within ``wall`` seconds has noticed it."""
        run = self._with(path, mutant, tests, wall, first=True)
        return None if run is None else not run.ended and not run.red and len(run.tests) == len(tests)

    def noticed(self, path: str, mutant: Mutant, tests: Sequence[str], *, wall: float) -> frozenset[str] | None:
        """Which held tests do not pass with the mutant in ``path``; None as :meth:`survives`.

        Where a run does not end within ``wall`` seconds, the test that it was at has noticed it."""
        run = self._with(path, mutant, tests, wall, first=False)
        if run is None:
            return None
        passed = {test.node for test in run.tests if not test.red}
        late = [node for node in tests if run.of(node) is None]
        return frozenset(tests) - passed - frozenset(late[1:])

    def _with(self, path: str, mutant: Mutant, tests: Sequence[str], wall: float, *, first: bool) -> TestRun | None:
        """Held tests with a mutant, up to the ``first`` that fails; None if it cannot be put in place."""
        patch = {"path": path, "source": mutant.source, "function": mutant.function, "first": mutant.first}
        asked = {"do": "again", "tests": list(tests), "wall": wall, "patch": patch, "first": first}
        answer = self._ask(asked, wall)
        if not answer.get("patched") and (answer.get("broken") or "patched" in answer):
            return None
        return _told(answer)

    def release(self) -> None:
        """Let go of the tests that are held."""
        self._ask({"do": "release"}, 5.0)

    def _ask(self, message: dict[str, Any], wall: float) -> dict[str, Any]:
        self.start()
        assert self._peer is not None
        with self._closing():
            return self._peer.ask(message, wall + _GRACE)

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """Whatever fails inside ends the server; the next use starts another."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process and everything that it started. Safe to call twice."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _told(answer: Mapping[str, Any]) -> TestRun:
    return TestRun(
        tests=tuple(_result(test) for test in answer.get("tests", ())),
        collected=tuple(answer.get("collected", ())),
        errors=tuple(_result({"outcome": "error", **error}) for error in answer.get("errors", ())),
        imported=_lines(answer.get("imported", {})),
        ended=str(answer.get("ended", "")),
        code=answer.get("exit"),
        broken=str(answer.get("broken", "")),
        said=str(answer.get("said", "")),
    )


def _result(told: Mapping[str, Any]) -> TestResult:
    return TestResult(
        node=told["node"],
        outcome=told["outcome"],
        seconds=float(told.get("seconds", 0.0)),
        type=str(told.get("type", "")),
        message=str(told.get("message", "")),
        at=tuple((str(path), int(line)) for path, line in told.get("at", ())),
        lines=_lines(told.get("lines", {})),
        arcs={path: frozenset((a, b) for a, b in arcs) for path, arcs in told.get("arcs", {}).items()},
    )


def _lines(told: Mapping[str, Sequence[int]]) -> dict[str, frozenset[int]]:
    return {path: frozenset(lines) for path, lines in told.items()}
