"""Calls that the project's own tests make of certain functions, written down while the tests run in the sandbox."""

from __future__ import annotations

import ast
import contextlib
import os
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from famulus import sandbox
from famulus.lsp_server.execution import rendering
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.execution.rendering import Form
from famulus.lsp_server.execution.values import Vocabulary
from famulus.lsp_server.execution.version import OPTIONS, WORKER
from famulus.lsp_server.execution.worker import frames

_BOOT = (
    "import sys, types; sys.path[:1] = sys.path[:1] if sys.path[:1] != [''] else []; "
    "here, *rest = sys.argv[1:]; sys.argv[:] = ['']; "
    "package = types.ModuleType('famulus_worker'); package.__path__ = [here]; sys.modules['famulus_worker'] = package; "
    "from famulus_worker import recording; recording.main(rest[0], rest[1:])"
)
_TICK = 0.05


@dataclass
class Recording:
    """A run of tests that goes on beside other work. Sandboxed only. Use it in a ``with`` block.

    ``targets``: pairs of a module's name and a dotted name in it. ``tests``: paths. ``seconds``: the longest it runs.
    """

    python: Path
    root: Path
    folders: Sequence[str]
    targets: Sequence[tuple[str, str]]
    tests: Sequence[str]
    seconds: float = 20.0
    _process: sandbox.Process | None = None
    _calls: list[list[dict[str, Form]]] | None = field(default=None)

    def __enter__(self) -> Self:
        """Start it. Raises :class:`sandbox.SandboxError`."""
        root = os.path.realpath(self.root)
        paths = [os.path.normpath(os.path.join(root, folder)) for folder in self.folders]
        limits = sandbox.Limits(wall_seconds=self.seconds + 10, cpu_seconds=None, output_bytes=1 << 30)
        argv = [str(self.python), *OPTIONS, "-c", _BOOT, str(WORKER), root, *paths]
        self._process = sandbox.spawn(
            argv, project=Path(root), readable=[WORKER], env={"PYTHONHASHSEED": "1"}, limits=limits
        )
        assert self._process.stdin is not None
        request = {"targets": list(map(list, self.targets)), "tests": list(self.tests), "seconds": self.seconds}
        with contextlib.suppress(OSError):
            frames.send(self._process.stdin.fileno(), request)
        return self

    def wait(self, seconds: float, check: Callable[[], None] = lambda: None) -> list[list[dict[str, Form]]]:
        """For each target the arguments by name, as canonical forms; nothing if it is not done in ``seconds``."""
        deadline = time.monotonic() + seconds
        while self._calls is None and self._process is not None:
            assert self._process.stdout is not None
            poller = select.poll()
            poller.register(self._process.stdout, select.POLLIN)
            if poller.poll(_TICK * 1000):
                self._calls = self._read(self._process.stdout.fileno())
            check()
            if time.monotonic() > deadline:
                break
        return self._calls or [[] for _ in self.targets]

    @property
    def done(self) -> bool:
        """Whether the tests came to their end, so that waiting longer gives no more."""
        return self._calls is not None

    def _read(self, fd: int) -> list[list[dict[str, Form]]]:
        try:
            message = frames.receive(fd, 5.0) or {}
        except (OSError, ValueError, TimeoutError):
            message = {}
        calls: list[list[dict[str, Form]]] = message.get("calls", [])
        return calls if len(calls) == len(self.targets) else [[] for _ in self.targets]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.__exit__(kind, error, trace)


def as_calls(function: Function, recorded: Sequence[dict[str, Form]], source: str) -> list[Call]:
    """Calls with these arguments, as far as they can be written. ``source``: of the module that has the function."""
    made = Constructors("", source, Vocabulary())
    found = []
    for arguments in recorded:
        with contextlib.suppress(_Unwritten):
            found.append(_call(function, arguments, made))
    return list(dict.fromkeys(found))


class _Unwritten(Exception):
    pass


def _call(function: Function, arguments: dict[str, Form], made: Constructors) -> Call:
    args: list[str] = []
    kwargs: list[tuple[str, str]] = []
    for parameter in function.parameters:
        form = arguments.get(parameter.name)
        if form is None:
            raise _Unwritten
        if parameter.kind == "star":
            args += [_text(item, made) for item in form[1]]
        elif parameter.kind == "stars":
            kwargs += [(str(key[1]), _text(value, made)) for key, value in form[1]]
        elif parameter.kind == "keyword":
            kwargs.append((parameter.name, _text(form, made)))
        else:
            args.append(_text(form, made))
    if function.node.name == "__init__":
        return Call(function.name.rpartition(".")[0], tuple(args), tuple(kwargs), source="recorded")
    receiver = ""
    if function.how in ("method", "property"):
        own = [argument.arg for argument in (*function.node.args.posonlyargs, *function.node.args.args)][:1]
        receiver = _text(arguments.get(own[0], []) if own else [], made)
    how = "get" if function.how == "property" else "call"
    return Call(function.name, tuple(args), tuple(kwargs), receiver, how=how, source="recorded")  # type: ignore[arg-type]


def _text(form: Form, made: Constructors) -> str:
    """Python for a form. An object is made by its constructor if its attributes are called like the parameters."""
    text = rendering.expression(form)
    if text:
        return text
    if form[:1] == ["object"] and len(form) == 3:
        return _object(str(form[1]), dict(form[2]), made)
    if form[:1] == ["enum"] and form[1] in made.classes:
        return f"{form[1]}.{form[2]}"
    raise _Unwritten


def _object(name: str, attributes: dict[str, Any], made: Constructors) -> str:
    node = made.classes.get(name)
    if not isinstance(node, ast.ClassDef):
        raise _Unwritten
    given = []
    for parameter in made.parameters(node)[1]:
        form = attributes.get(parameter.name, attributes.get("_" + parameter.name))
        if parameter.kind in ("star", "stars") or (form is None and not parameter.required):
            continue
        if form is None or parameter.kind == "position":
            raise _Unwritten
        given.append(f"{parameter.name}={_text(form, made)}")
    return f"{name}({', '.join(given)})"
