"""Makes calls in a process that is thrown away afterwards, and tells how each went."""

from __future__ import annotations

import builtins
import collections
import contextlib
import datetime
import decimal
import fractions
import gc
import inspect
import io
import itertools
import math
import os
import pathlib
import random
import re
import resource
import signal
import sys
import time
import types
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from .awaiting import awaited, finished
from .finding import static, unwrapped
from .forms import Form, Writer
from .frames import Message, send
from .looking import looks
from .reached import Reached
from .scene import Scene, Sources

MEMORY = 1 << 30
"""Bytes that a child may allocate."""
_OUTPUT = 20_000
_MODULES = (collections, datetime, decimal, fractions, io, itertools, math, pathlib, random, re, types, uuid)
STANDARD: Message = {
    **{module.__name__: module for module in _MODULES},
    **{
        kind.__name__: kind
        for kind in (decimal.Decimal, fractions.Fraction, pathlib.Path, uuid.UUID, datetime.timedelta)
    },
    **{kind.__name__: kind for kind in (collections.OrderedDict, collections.deque, collections.Counter)},
    **{kind.__name__: kind for kind in (collections.defaultdict, types.SimpleNamespace, io.StringIO, io.BytesIO)},
    "inf": math.inf,
    "nan": math.nan,
}
"""Names that the text of an argument may use besides those of the module."""
_DATES = re.compile(r"\bdatetime\.(date|datetime|time|timedelta|timezone)\b")
_EFFECTS = re.compile(
    r"os\.(remove|rename|rmdir|truncate|kill|killpg|system|exec|fork|forkpty|posix_spawn|putenv|chmod|chown|link|symlink)|"
    r"shutil\.|subprocess\.Popen|socket\.(connect|bind|sendto|getaddrinfo)|pty\.spawn|ctypes\.dlopen|webbrowser\.open"
)


class Kept(io.TextIOBase):
    """Standard output or error of a call; keeps its beginning and counts the rest."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Keep ``text`` as far as there is room."""
        if self.size < _OUTPUT:
            self.parts.append(text[: _OUTPUT - self.size])
        self.size += len(text)
        return len(text)

    @property
    def text(self) -> str:
        """What was kept, with the number of characters that were not."""
        return "".join(self.parts) + (f"… {self.size}" if self.size > _OUTPUT else "")


class Child:
    """Makes calls to things in ``module``. ``root``: the folder of the project."""

    def __init__(self, module: Any, root: str) -> None:
        self.writer = Writer(root)
        self.root = root
        self.module = module
        self.names: Message = {**STANDARD, **vars(module)}
        self.dated: Message = {"datetime": datetime} if self.names["datetime"] is datetime.datetime else {}
        """What ``datetime.date(...)`` needs where the class is known by the name of the module."""
        self.effects: list[str] = []
        self.reached = Reached()
        self.sources = Sources(root)
        self.steady = False
        """Whether chance is the same for all calls: then what they ask is not told, and each line that they reach
        once only."""
        self.looking = False
        """Whether objects are asked what can be asked of them from outside."""

    def work(self, fd: int, batch: Message) -> None:
        """Make the calls of ``batch``, one message for each on ``fd``, and leave the process."""
        me = os.getpid()
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
        gc.freeze()
        self.looking = bool(batch.get("looks"))
        self.steady = batch.get("dice") is not None
        if self.steady:
            random.seed(batch["dice"])
            if "numpy.random" in sys.modules:
                sys.modules["numpy.random"].seed(batch["dice"])
        for statement in batch.get("imports", ()):
            with contextlib.suppress(Exception):
                exec(statement, self.names)
        problem = self._patch(batch["patch"]) if batch.get("patch") else ""
        if hasattr(sys, "addaudithook"):
            sys.addaudithook(self._audit)
        known = dict(vars(builtins))
        for call in batch["calls"]:
            answer: Message = {"invalid": problem} if problem else self._guarded(call, batch.get("trace"))
            if os.getpid() != me:
                os._exit(0)  # the call forked, and this is the copy
            replaced = vars(builtins) != known
            if replaced:
                vars(builtins).update(known)
                answer["effects"] = sorted({*answer.get("effects", ()), "builtins"})
            send(fd, answer)
            if replaced:
                break  # the rest is done by a fresh process
        os._exit(0)

    def _patch(self, patch: Message) -> str:
        """Give a function the code that ``source`` has for the same name; the answer is why that failed."""
        try:
            module = sys.modules[patch["module"]] if patch.get("module") else self.module
            code: Any = compile(patch["source"], getattr(module, "__file__", "") or "<patch>", "exec")
            for part in patch["name"].split("."):
                code = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == part)
            function = unwrapped(static(module, patch["name"]))
            function.__code__ = code
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def _audit(self, event: str, arguments: Any) -> None:
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(mode, str) and len(self.effects) < 20 and not self._own(arguments[:1]):
                self.effects.append("open:w")
        elif _EFFECTS.match(event) and len(self.effects) < 20 and not self._own(arguments):
            self.effects.append(event)

    def _own(self, arguments: Any) -> bool:
        """Whether all paths that are meant lie in the folder that was made for the call."""
        own = self.writer.own
        paths = [os.fspath(a) for a in arguments if isinstance(a, (str, os.PathLike))]
        return bool(own and paths) and all(
            isinstance(p, str) and os.path.realpath(p).startswith(own + os.sep) for p in paths
        )

    def _guarded(self, call: Message, trace: Any) -> Message:
        """The answer to a call, whatever it does to this process. ``trace``: tell the lines that it reaches in the
        module; of another one, where it is the name of that."""
        out, err = Kept(), Kept()
        kept = sys.stdout, sys.stderr
        self.effects, self.sources.asked = [], set()
        self.reached.begin()
        started, began = time.process_time(), time.monotonic()
        signal.setitimer(signal.ITIMER_PROF, call.get("cpu", 1.0))
        sys.stdout, sys.stderr = out, err
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                answer = self._placed(call, trace)
            answer["warned"] = [[w.category.__name__, self.writer.text(str(w.message))] for w in warned or ()][:20]
        except BaseException as error:
            answer = {"invalid": f"{type(error).__name__}: {self.writer.text(_message(error))}"}
        finally:
            sys.settrace(None)
            self.sources.stop()
            sys.stdout, sys.stderr = kept
            signal.setitimer(signal.ITIMER_PROF, 0)
        answer.update(out=self.writer.text(out.text), err=self.writer.text(err.text))
        answer.setdefault("effects", sorted(set(self.effects)))
        answer["cpu"], answer["wall"] = time.process_time() - started, time.monotonic() - began
        if trace:
            answer.update(
                lines=sorted(self.reached.lines), arcs=sorted(self.reached.arcs), asked=sorted(self.sources.asked)
            )
        return answer

    def _placed(self, call: Message, trace: Any) -> Message:
        """The answer to a call in its setting."""
        setting = call.get("setting", ())
        with Scene("\n".join(setting), self.writer) as scene:
            names = {**self.names, **scene.names} if setting else self.names
            for statement in setting:
                exec(statement, names)
            scene.begin()
            self.effects = []
            answer = self._answer(call, trace, names)
            answer["effects"] = sorted(set(self.effects))  # the end of the scene has some of its own
            if scene.folder:
                answer["files"] = scene.files()
            return answer

    def _answer(self, call: Message, trace: Any, names: Message) -> Message:
        receiver: Any = None
        text = "\n".join([call.get("receiver") or "", *call.get("args", ()), *call.get("kwargs", {}).values()])
        names = {**names, **self.dated} if _DATES.search(text) else names
        if call.get("receiver"):
            if trace and call["target"].endswith(".__call__"):  # what made the function is a part of it
                self._trace(trace)
            receiver = eval(call["receiver"], names)
            sys.settrace(None)
            names = {**names, "self": receiver}
        if trace and call.get("before"):
            self._trace(trace)
        for statement in call.get("before", ()):
            exec(statement, names)
        sys.settrace(None)
        self.sources.stop()
        arguments = [eval(text, names) for text in call.get("args", ())]
        named = {name: eval(text, names) for name, text in call.get("kwargs", {}).items()}
        given = {**{str(i): value for i, value in enumerate(arguments)}, **named}
        texts = {**{str(i): text for i, text in enumerate(call.get("args", ()))}, **call.get("kwargs", {})}
        shared = vars(self.module)
        given = {place: v for place, v in given.items() if shared.get(texts[place], self) is not v}
        before = {name: self.writer.form(value, drain=False) for name, value in given.items()}
        own = self.writer.form(receiver, drain=False)
        function = self._function(call, receiver)
        if trace:
            self._trace(trace)
        value: Any = None
        try:
            value = finished(function(*arguments, **named))
            if call.get("how") == "with":
                answer: Message = {"value": self._inside(value, call.get("inside", ()), names, given)}
            elif self.looking and isinstance(value, types.GeneratorType):
                answer = self._begun(value)
            else:
                answer = {"value": self.writer.form(value)}
        except BaseException as error:
            answer = self._raised(error)
        sys.settrace(None)
        self.sources.stop()
        after = {name: self.writer.form(value, drain=False) for name, value in given.items()}
        answer["args"] = {name: form for name, form in after.items() if form != before[name]}
        changed = self.writer.form(receiver, drain=False)
        if changed != own:
            answer["receiver"], answer["receiver_before"] = changed, own
        if self.looking:
            if answer.get("value", [""])[0] == "object" and value is not receiver:
                answer["looks"] = looks(value, self.writer)
            if changed != own:
                answer["receiver_looks"] = looks(receiver, self.writer)
        return answer

    def _begun(self, made: types.GeneratorType[Any, Any, Any]) -> Message:
        """The answer of a generator: where its first step fails, that is what its caller gets (``drawn``)."""
        try:
            first = list(itertools.islice(made, 1))
        except Exception as error:
            return {**self._raised(error), "drawn": True}
        return {"value": self.writer.form(itertools.chain(first, made))}

    def _inside(self, manager: Any, statements: Any, names: Message, given: Message) -> Form:
        """The form of what a context manager gives; ``statements`` are run inside of it, where it is ``entered``."""
        if hasattr(type(manager), "__aenter__") and not hasattr(type(manager), "__enter__"):
            form: Form = awaited(self._inside_of_async(manager, statements, {**names, **given}))
            return form
        with manager as entered:
            return self._entered(entered, statements, {**names, **given})

    async def _inside_of_async(self, manager: Any, statements: Any, names: Message) -> Form:
        async with manager as entered:
            return self._entered(entered, statements, names)

    def _entered(self, entered: Any, statements: Any, names: Message) -> Form:
        form: Form = self.writer.form(entered, drain=False)
        for statement in statements:
            exec(statement, {**names, "entered": entered})
        return form

    def _function(self, call: Message, receiver: Any) -> Callable[..., Any]:
        name, how = call["target"], call.get("how", "call")
        if how == "with" and name.endswith(".__enter__"):
            return lambda: receiver
        if how == "get":
            return lambda: getattr(receiver, name.rpartition(".")[2])
        if receiver is not None:
            member = inspect.getattr_static(type(receiver), name.rpartition(".")[2])
            own = name.rpartition(".")[2]
            if isinstance(member, types.FunctionType):
                return types.MethodType(member, receiver)  # not what an instance attribute of the name hides
            function: Callable[..., Any] = getattr(receiver, own)
            return function
        found: Any = self.module
        for part in name.split("."):
            found = getattr(found, part)
        return lambda *args, **kwargs: found(*args, **kwargs)

    def _raised(self, error: BaseException) -> Message:
        step = error.__traceback__
        at: list[Any] = []
        depth = 0
        while step is not None and depth < 10_000:
            code = step.tb_frame.f_code
            if code.co_filename.startswith(self.root):
                at = [os.path.relpath(code.co_filename, self.root), step.tb_lineno, step.tb_next is None]
            step, depth = step.tb_next, depth + 1
        kinds = [kind.__name__ for kind in type(error).__mro__[:-2]]
        form: Form = self.writer.form(error, drain=False)
        return {"raised": form, "kinds": kinds, "message": self.writer.text(_message(error))[:2000], "at": at}

    def _trace(self, trace: Any) -> None:
        """Listen to this thread: which lines of the module are run, and what else it asks."""
        module = sys.modules[trace] if isinstance(trace, str) else self.module
        if self.steady:
            sys.settrace(self.reached.new_lines(module))
        else:
            self.sources.start()
            sys.settrace(self.reached.tracer(module))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
