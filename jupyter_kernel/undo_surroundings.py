"""What a cell changes around the namespace: the state of random numbers, settings of libraries and new figures, which
are put back, and the folder and environment of the process, which are named."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from famulus.jupyter_kernel.undo_settings import Setting, settings


class Surroundings:
    """Noted when made, before a cell; :meth:`settle` after it, :meth:`restore` to take it back."""

    def __init__(self) -> None:
        self._random = _random()
        self._figures = figures()
        self._folder = _folder()
        self._variables = dict(os.environ)
        self._settings = [(setting, setting.read()) for setting in settings()]
        self._new_figures: dict[int, Any] = {}
        self._after: dict[str, Any] = {}
        self._set: list[tuple[Setting, Any, Any]] = []
        self._left: list[str] = []

    def settle(self) -> None:
        """The cell has run: what it changed is now known."""
        self._after = _random()
        self._random = {name: state for name, state in self._random.items() if self._after.get(name) != state}
        self._new_figures = _new(self._figures)
        now = [(setting, before, setting.read()) for setting, before in self._settings]
        self._set = [(setting, before, after) for setting, before, after in now if not _equal(before, after)]
        self._settings = []
        self._figures = {}
        if (folder := _folder()) != self._folder:
            self._left.append(f"the current folder is now {folder}, it was {self._folder}")
        names = sorted(
            name for name in {**self._variables, **os.environ} if self._variables.get(name) != os.environ.get(name)
        )
        if names:
            self._left.append(f"environment variables were changed ({', '.join(names)})")
        self._variables = {}

    def restore(self) -> tuple[str, ...]:
        """Says what was done, and what not."""
        said = [f"Not undone: {what}." for what in self._left]
        now = _random()
        back = {name: state for name, state in self._random.items() if now.get(name) == self._after.get(name)}
        for name, state in back.items():
            if name == "random":
                sys.modules["random"].setstate(state)
            else:
                sys.modules["numpy.random"].set_state(state)
        if back:
            said.append("The random numbers go on from where they were.")
        for setting, before, after in self._set:
            if _equal(setting.read(), after):
                setting.write(before)
                said.append(f"Put back {setting.called}.")
            else:
                said.append(f"Not undone: {setting.called} were changed, and changed since.")
        mine = _close(self._new_figures)
        if mine:
            said.append("Closed the figure that it drew." if len(mine) == 1 else f"Closed {len(mine)} figures.")
        return tuple(said)


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # an array among the settings
        return False


def _random() -> dict[str, Any]:
    """The states of the generators that the whole process shares, where they are in use."""
    states: dict[str, Any] = {}
    if (own := sys.modules.get("random")) is not None:
        states["random"] = own.getstate()
    if (numbers := sys.modules.get("numpy.random")) is not None and hasattr(numbers, "get_state"):
        kind, keys, *rest = numbers.get_state()
        states["numpy"] = (kind, tuple(keys.tolist()), *rest)
    return states


def figures() -> dict[int, Any]:
    """The figures that are open, by number."""
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None or "matplotlib.pyplot" not in sys.modules:
        return {}
    return {number: manager.canvas.figure for number, manager in helpers.Gcf.figs.items()}


def close_new(before: Mapping[int, object]) -> None:
    """Closes the figures that were not there ``before``."""
    _close(_new(before))


def _new(before: Mapping[int, object]) -> dict[int, Any]:
    return {number: figure for number, figure in figures().items() if before.get(number) is not figure}


def _close(unwanted: Mapping[int, object]) -> list[int]:
    """The numbers of those that were still open."""
    shown = figures()
    found = [number for number, figure in unwanted.items() if shown.get(number) is figure]
    for number in found:
        with contextlib.suppress(Exception):  # a window that is closing already
            sys.modules["matplotlib.pyplot"].close(number)
    return found


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
