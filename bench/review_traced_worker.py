"""Calls what the callers of ``famulus bench review`` contain, and tells what reached the function. Stands alone.

Started with the folder to import from; reads breaks with their callers as JSON and writes one outcome for each. The
function itself never runs: a profiler ends the call when its arguments are bound.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import types
import warnings
from typing import Any

RESULTS = ("tuple arity", "list → generator", "sync → async", "property → method")
_GIVEN = {f"a{n}": f"given {n}" for n in range(8)}


class Entered(BaseException):
    """The function was reached, with these arguments."""


class Target:
    """The function that a break changes, made safe to be called."""

    def __init__(self, broken: dict[str, Any]) -> None:
        self.broken = broken
        module: Any = importlib.import_module(broken["module"])
        self.holder: Any = getattr(module, broken["owner"]) if broken["owner"] else module
        if broken["owner"]:
            self.holder.__init__ = lambda self, *args, **kwargs: None
            with contextlib.suppress(AttributeError):
                self.holder.__abstractmethods__ = frozenset()
        if broken["kind"] in RESULTS:
            setattr(self.holder, broken["name"], self._stub(broken["kind"], broken["arity"], new=broken["new"]))
        found = getattr(self.holder, broken["name"], None)
        self.code = getattr(found, "__code__", None)

    @staticmethod
    def _stub(kind: str, arity: int, *, new: bool) -> Any:
        """Something that gives what the old or the new function gives."""

        async def later(*args: Any, **kwargs: Any) -> float:
            return 1.5

        if kind == "property → method":
            return (lambda self: 1) if new else property(lambda self: 1)
        if kind == "sync → async":
            return later if new else lambda *args, **kwargs: 1.5
        if kind == "tuple arity":
            return lambda *args, **kwargs: (None,) * (arity + new)
        return lambda *args, **kwargs: iter([1, 2]) if new else [1, 2]

    def outcome(self, site: dict[str, str]) -> dict[str, Any]:
        """What happens at one caller."""
        try:
            call = self._caller(site)
            thing = self.holder.__new__(self.holder) if self.broken["owner"] else object()
            sys.setprofile(self._profile)
            result = call([thing] if site["form"] == "element" else thing, 0, **_GIVEN, options={})
            sys.setprofile(None)
            if hasattr(result, "getter"):  # mock.patch() looks the name up when it starts
                result.start()
                result.stop()
        except Entered as entered:
            return {"bound": entered.args[0]}
        except Exception as error:
            return {"failed": type(error).__name__}
        finally:
            sys.setprofile(None)
        first = result[0] if isinstance(result, list) and result else result
        frame = getattr(first, "cr_frame", None) or getattr(first, "gi_frame", None) or getattr(first, "ag_frame", None)
        if frame is not None and frame.f_code is self.code:
            return {"bound": self._bound(frame)}
        return {"result": repr(result) if isinstance(result, int) else ""}

    @staticmethod
    def _caller(site: dict[str, str]) -> Any:
        module, name = importlib.import_module(site["module"]), site["function"]
        if hasattr(module, f"Holder_{name}"):
            return getattr(module, f"Holder_{name}")().go
        if hasattr(module, f"Mine_{name}"):
            return getattr(getattr(module, f"Mine_{name}")(), f"{name}_it")
        return getattr(module, name)

    def _profile(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if event != "call" or frame.f_code is not self.code or self.broken["kind"] in RESULTS:
            return
        if not frame.f_code.co_flags & 0x2A0:  # a generator or coroutine is not entered by the call
            raise Entered(self._bound(frame))

    @staticmethod
    def _bound(frame: types.FrameType) -> dict[str, str]:
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        plain = (str, int, float, bytes, type(None))
        return {n: repr(v) if isinstance(v := frame.f_locals.get(n), plain) else type(v).__name__ for n in names}


def main() -> None:
    """Reads breaks, writes the outcomes of their callers."""
    sys.path.insert(0, sys.argv[1])
    warnings.simplefilter("ignore")
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    outcomes: list[Any] = []
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        for broken in json.load(sys.stdin):
            try:
                target = Target(broken)
            except Exception:  # the break keeps the package itself from being imported: no caller can be told apart
                outcomes.append([])
                continue
            outcomes.append([target.outcome(site) for site in broken["sites"]])
    with told:
        json.dump(outcomes, told)


if __name__ == "__main__":
    main()
