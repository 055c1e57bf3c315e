"""One version of a project, ready to make calls: a process in the sandbox that is run by the project's own Python.

Measured: two versions in one process compare old with old as soon as a package imports itself by name; so each version
has a process of its own.
"""

from __future__ import annotations

import compileall
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from famulus import sandbox
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.peer import Peer

WORKER = Path(__file__).parent / "worker"
BOOT = (
    "import sys, types; sys.path[:1] = sys.path[:1] if sys.path[:1] != [''] else []; "
    "here, what, *rest = sys.argv[1:]; sys.argv[:] = ['']; "
    "package = types.ModuleType('famulus_worker'); package.__path__ = [here]; sys.modules['famulus_worker'] = package; "
    "from famulus_worker import server; "
    "server.main(rest[0], rest[1:]) if what == 'serve' else server.host_main(int(rest[0]), rest[1], rest[2:])"
)
OPTIONS = ("-s", "-B")
_IMPORT = 30.0
_SEED = 1

Run = Literal["sandboxed", "unsafe"]
Patch = tuple[str, str] | tuple[str, str, str]
"""Dotted name of a function; source in which that name has other code, which it gets; its module, if it is another."""


@dataclass
class Opened:
    """A module that is imported. ``seconds``: how long that took."""

    number: int
    seconds: float


@dataclass
class Version:
    """Makes calls in one version.

    ``root``: its folder, shown read-only. ``folders``: where it imports from, relative to the root, first one first.
    ``second``: another folder for the same files, which ``fill`` puts there, for calls with another seed of the hashes:
    what depends on the place differs there as well.
    ``check`` is called some twenty times a second while an answer is waited for; what it raises ends the wait and the
    version. Use it in a ``with`` block: nothing is left when it ends.
    """

    python: Path
    root: Path
    folders: Sequence[str] = ("",)
    run: Run = "sandboxed"
    check: Callable[[], None] = lambda: None
    second: Path | None = None
    fill: Callable[[], None] = lambda: None
    _filled: bool = False
    _peer: Peer | None = None
    _opened: dict[tuple[str, int], Opened | ImportFailed] = field(default_factory=dict)
    _hosts: dict[int, int] = field(default_factory=dict)
    _started: int = 0

    def start(self) -> None:
        """Start its process; done by itself at the first use.

        Raises :class:`sandbox.SandboxError` where code cannot be run safely."""
        if self._peer is not None:
            return
        _compile_worker()
        root = os.path.realpath(self.root)
        paths = self._paths(root)
        argv = [str(self.python), *OPTIONS, "-c", BOOT, str(WORKER), "serve", root, *paths]
        variables = {"PYTHONHASHSEED": str(_SEED)}
        limits = sandbox.Limits(wall_seconds=None, cpu_seconds=None, output_bytes=1 << 30, processes=48)
        self._peer = Peer(
            "code",
            argv,
            root,
            readable=[WORKER, self.second] if self.second else [WORKER],
            variables=variables,
            limits=limits if self.run == "sandboxed" else None,
            check=self.check,
        )
        with self._closing():
            self._peer.receive(_IMPORT)

    def open(self, module: str, *, seed: int = _SEED) -> Opened:
        """Import a module, once. ``seed``: of the hashes. Raises :class:`ImportFailed`."""
        known = self._opened.get((module, seed))
        if known is None:
            if self.second and seed != _SEED and not self._filled:
                self.fill()
                self._filled = True
            if seed not in self._hosts:
                self._started += 1
                self._hosts[seed] = self._started
            root = os.path.realpath(self.second if self.second and seed != _SEED else self.root)
            request = {"do": "open", "module": module, "seed": seed, "root": root, "folders": self._paths(root)}
            request |= {"boot": [BOOT, str(WORKER)], "options": OPTIONS}
            answer = self._ask(request, self._hosts[seed], _IMPORT)
            if "lost" in answer:
                self._lost(seed)
                known = ImportFailed(module, f"the process ended while it was imported: {answer['lost']}")
            elif "failed" in answer:
                known = ImportFailed(module, answer["message"], kind=answer["failed"], at=tuple(answer["at"]))
            else:
                known = Opened(self._hosts[seed], answer["seconds"])
            self._opened[module, seed] = known
        if isinstance(known, ImportFailed):
            raise known
        return known

    def _paths(self, root: str) -> list[str]:
        return [os.path.normpath(os.path.join(root, folder)) for folder in self.folders]

    def _lost(self, seed: int) -> None:
        """The host with these hashes is gone, and the modules that it had imported with it."""
        del self._hosts[seed]
        gone = [key for key, known in self._opened.items() if key[1] == seed and isinstance(known, Opened)]
        for key in gone:
            del self._opened[key]

    @property
    def importing(self) -> float:
        """Seconds that the slowest import took so far."""
        return max((known.seconds for known in self._opened.values() if isinstance(known, Opened)), default=0.0)

    def samples(self, module: str, names: Sequence[str]) -> list[tuple[str, Any]]:
        """Constants that stand in a module under dotted names, alone or in plain containers.

        Pairs: ``constant`` and the number or text, ``pattern`` and the text and flags of a regular expression. Raises
        :class:`ImportFailed`."""
        opened = self.open(module)
        answer = self._ask({"do": "samples", "module": module, "names": list(names)}, opened.number, 10.0)
        if "samples" not in answer:
            self._lost(_SEED)
        return [(kind, value) for kind, value in answer.get("samples", [])]

    def calls(
        self,
        module: str,
        calls: Sequence[Call],
        *,
        cpu: float | Sequence[float] = 0.5,
        wall: float = 5.0,
        total: float | None = None,
        fresh: bool = False,
        losses: int = 3,
        trace: bool | str = False,
        looks: bool = False,
        seed: int = _SEED,
        imports: Iterable[str] = (),
        patch: Patch | None = None,
        steady: bool = False,
    ) -> list[Outcome]:
        """The outcome of each call, in order.

        All are made by one copy of the imported module, or each by a ``fresh`` one. ``cpu``: CPU seconds for a call (or
        for each), ``wall``: seconds. After ``losses`` calls that ended their process, or ``total`` seconds, the rest is
        skipped. ``trace``:
        tell which lines of the module (or of the one of this name, which is imported) were reached. ``looks``: ask
        results that are objects, and receivers that change, what they tell to others. ``imports``: statements for names
        that arguments use. ``patch``: is made first. ``steady``: random numbers follow the seed too. Raises
        :class:`ImportFailed`, and :class:`ExecutionFailed` if the process is lost.
        """
        if not calls:
            return []
        opened = self.open(module, seed=seed)
        times = [cpu] * len(calls) if isinstance(cpu, (int, float)) else list(cpu)
        request: dict[str, Any] = {
            "do": "run",
            "module": module,
            "calls": [{**call.message(), "cpu": limit} for call, limit in zip(calls, times, strict=True)],
            "each": wall,
            "total": total,
            "fresh": fresh,
            "losses": losses,
            "trace": trace,
            "looks": looks,
            "imports": list(imports),
            "dice": seed if steady else None,
            "patch": None if patch is None else {"name": patch[0], "source": patch[1], "module": "".join(patch[2:])},
        }
        longest = sum(times) + (losses + 1) * wall + 10.0
        answer = self._ask(request, opened.number, longest)
        if "results" not in answer:
            self._lost(seed)
            return [Outcome({"ended": "died", "detail": str(answer.get("lost", ""))})] * len(calls)
        return [Outcome(result) for result in answer["results"]]

    def _ask(self, message: dict[str, Any], host: int, wall: float) -> dict[str, Any]:
        self.start()
        assert self._peer is not None
        with self._closing():
            return self._peer.ask({**message, "host": host, "wall": wall}, wall + 20.0)

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """Whatever fails inside ends the version: what it had imported is gone."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        """Stop its process without waiting for the end; :meth:`close` is still needed."""
        if self._peer is not None:
            self._peer.kill()

    def close(self) -> None:
        """End its process and everything that it started."""
        peer, self._peer = self._peer, None
        self._opened.clear()
        self._hosts.clear()
        if peer is not None:
            peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@functools.cache
def _compile_worker() -> None:
    """Compile the worker once: nobody imports it here, and in the sandbox nothing can be kept of it."""
    if not sys.dont_write_bytecode:
        compileall.compile_dir(WORKER, quiet=2)


def can_run() -> str:
    """Why code cannot be run in a sandbox here, as a sentence; empty if it can."""
    found = sandbox.level()
    return "" if found.backend else f"Code is not run on this machine: {found.reason} {found.fix}".strip()
