"""Runs in the sandbox, away from the review: calls functions with values of plain Hypothesis, or runs a small program.

Reads a list of jobs as JSON from standard input, writes one line of JSON for each: what a mutant does otherwise. None
of the review's own ways to make arguments or to compare answers is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import io
import itertools
import json
import os
import re
import resource
import select
import sys
import time
import types
import typing
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = 100
_SECONDS, _FUZZED = 4, 1.2
"""CPU seconds of a process, and of the calls in it."""
_LOCAL = "hypothesis.internal.conjecture.providers.is_local_module_file"
"""Which modules' constants Hypothesis draws."""
_MISTAKES = (TypeError, AttributeError, NameError, RecursionError, MemoryError)
"""What a call raises that nobody should make."""
_ANYTHING = st.one_of(
    *(st.none(), st.booleans(), st.integers(-100, 1000), st.text(max_size=12), st.floats(allow_nan=False)),
    *(st.binary(max_size=8), st.lists(st.text(max_size=5), max_size=4), st.lists(st.integers(), max_size=4)),
    st.dictionaries(st.text(max_size=4), st.one_of(st.text(max_size=4), st.integers()), max_size=3),
)


def main() -> None:
    """All jobs; their parts run in processes of their own."""
    task = json.load(sys.stdin)
    program, old = task["program"], task["old"]
    printed = [_apart({"program": program, "root": old}) for _ in range(2)] if program else [{}, {}]
    for job in task["jobs"]:
        seen = ""
        if "prints" in printed[0] and printed[0] == printed[1]:
            new = _apart({"program": program, "root": job["root"]})
            if new != printed[0]:
                seen = "a program: " + _unlike(printed[0]["prints"], new.get("prints", "does not end"))
        if not seen:
            seen = _told_apart({**job, "root": old}, job)
        print(json.dumps({"seen": seen}), flush=True)


def _told_apart(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What a function answers otherwise; what the old one does not answer twice does not count."""
    first, changed = _apart(old), _apart(new)
    other = {key for key, answer in first.items() if answer and key != "failed" and changed.get(key, answer) != answer}
    second = _apart(old) if other else {}
    for key, answer in first.items():
        if key in other and second.get(key) == answer:
            return f"Hypothesis: {key[:80]}: {answer[:60]} → {changed[key][:60]}"
    return ""


def _unlike(old: str, new: str) -> str:
    pairs = zip(old.splitlines(), [*new.splitlines(), *[""] * 1000], strict=False)
    one, other = next(((a, b) for a, b in pairs if a != b), ("", new[-80:]))
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    return f"{one[max(0, at - 30) : at + 30]!r} → {other[max(0, at - 30) : at + 30]!r}"


def _apart(job: dict[str, Any]) -> dict[str, str]:
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
        try:
            seen = _done(job)
        except BaseException as error:
            seen = {"failed": f"{type(error).__name__}: {error}"[:300]}
        with contextlib.suppress(BaseException), os.fdopen(into, "w") as file:
            json.dump(seen, file)
        os._exit(0)
    os.close(into)
    parts = []
    poller = select.poll()
    poller.register(out, select.POLLIN)
    while poller.poll(1000 * _SECONDS) and (part := os.read(out, 1 << 20)):
        parts.append(part)
    os.close(out)
    with contextlib.suppress(OSError):
        os.kill(process, 9)
    os.waitpid(process, 0)
    try:
        seen = json.loads(b"".join(parts))
    except ValueError:
        return {"failed": "it did not end"}
    return dict(seen)


def _done(job: dict[str, Any]) -> dict[str, str]:
    sys.path.insert(0, job["root"])
    os.chdir(job["root"])
    if "program" in job:
        return {"prints": _program(job["program"]).replace(job["root"], "")}
    module = importlib.import_module(job["module"])
    if not (module.__file__ or "").startswith(job["root"]):
        return {"failed": "another module of this name"}
    return _fuzzed(module, job["name"], job["root"])


def _program(source: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
        except BaseException as error:
            print("ends with", type(error).__name__, str(error)[:200])
    return re.sub(r"0x[0-9a-f]+", "0x", out.getvalue())


def _fuzzed(module: Any, name: str, root: str) -> dict[str, str]:
    """What the function answered, by its arguments."""
    holder, last = module, name.rpartition(".")[2]
    for part in name.split(".")[:-1]:
        holder = getattr(holder, part)
    plain = inspect.getattr_static(holder, last)
    function = getattr(holder, last)
    bound = isinstance(plain, (types.FunctionType, property)) and inspect.isclass(holder)
    if isinstance(plain, property):
        function = plain.fget
    parameters = _parameters(function, skip=bound)
    owner = _object(holder) if bound else st.none()
    seen: dict[str, str] = {}
    with contextlib.suppress(AttributeError):  # of all modules it would take seconds in each process
        mock.patch(_LOCAL, lambda file: file == module.__file__).start()
    until = time.process_time() + _FUZZED

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def each(data: Any) -> None:
        if time.process_time() > until:
            return
        try:
            me = [data.draw(owner)] if bound else []
            args, named = [], {}
            for parameter, strategy in parameters:
                if parameter.default is not parameter.empty and data.draw(st.booleans()):
                    continue
                if parameter.kind is parameter.POSITIONAL_ONLY:
                    args.append(data.draw(strategy))
                else:
                    named[parameter.name] = data.draw(strategy)
        except BaseException as error:
            if type(error).__module__.startswith("hypothesis") and "Unsatisf" not in type(error).__name__:
                raise
            return
        key = _told([me, args, named], root)
        if key not in seen:
            seen[key] = _answer(function, [*me, *args], named, root)

    with contextlib.suppress(Exception):
        each()
    return seen


def _parameters(function: Any, *, skip: bool) -> list[tuple[inspect.Parameter, Any]]:
    signature = list(inspect.signature(function).parameters.values())[1 if skip else 0 :]
    try:
        hints = typing.get_type_hints(function)
    except Exception:
        hints = {}
    found = []
    for parameter in signature:
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            found.append((parameter, _strategy(hints.get(parameter.name), parameter)))
    return found


def _strategy(hint: Any, parameter: inspect.Parameter) -> Any:
    if hint is not None and hint is not Any:
        return st.from_type(hint)
    default = parameter.default
    if default is not parameter.empty and default is not None:
        return st.one_of(st.just(default), st.from_type(type(default)), _ANYTHING)
    return _ANYTHING


def _object(kind: Any) -> Any:
    return st.from_type(kind) if kind.__init__ is object.__init__ else st.builds(kind, **_untyped(kind))


def _untyped(kind: Any) -> dict[str, Any]:
    try:
        return {p.name: s for p, s in _parameters(kind.__init__, skip=True) if p.default is p.empty}
    except (TypeError, ValueError):
        return {}


def _answer(function: Any, args: list[Any], named: dict[str, Any], root: str) -> str:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            value = function(*args, **named)
            if inspect.iscoroutine(value):
                import asyncio

                value = asyncio.run(value)
            if isinstance(value, (types.GeneratorType, map, filter, zip)):
                value = list(itertools.islice(value, 50))
    except _MISTAKES:
        return ""
    except (Exception, SystemExit) as error:
        return f"raises {type(error).__name__}"
    return _told([value, args, named, out.getvalue()], root)


def _told(value: Any, root: str) -> str:
    """A value as text; of objects whose text has an address also what they keep."""
    text = _text(value, 0)
    text = re.sub(r"0x[0-9a-f]+", "0x", text).replace(root, "")
    return text if len(text) < 400 else text[:200] + hashlib.sha1(text.encode("utf-8", "replace")).hexdigest()


def _text(value: Any, depth: int) -> str:
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return "[" + ", ".join(_text(item, depth) for item in value) + "]"
    if type(value) is dict:
        return "{" + ", ".join(f"{_text(k, depth)}: {_text(v, depth)}" for k, v in value.items()) + "}"
    try:
        text = repr(value)
    except Exception as error:
        text = type(error).__name__
    if " at 0x" in text and depth < 2 and hasattr(value, "__dict__") and not callable(value):
        return type(value).__name__ + _text(dict(sorted(vars(value).items(), key=lambda item: item[0])), depth + 1)
    return text


if __name__ == "__main__":
    main()
