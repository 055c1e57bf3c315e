"""Settings of libraries that cells change in passing: how tables are shown and plots drawn, where modules are found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NOT_STYLE = ("backend", "backend_fallback", "interactive")
"""Settings of matplotlib that choose what draws; importing it changes them."""


@dataclass(frozen=True)
class Setting:
    """``read`` gives something that is equal as long as nothing was set; ``write`` sets it."""

    called: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def settings() -> Iterator[Setting]:
    """Those of the libraries that are loaded."""
    yield Setting("sys.path", lambda: list(sys.path), lambda paths: sys.path.__setitem__(slice(None), paths))
    numpy: Any = sys.modules.get("numpy")
    if hasattr(numpy, "set_printoptions"):
        yield Setting("numpy's print options", numpy.get_printoptions, lambda to: numpy.set_printoptions(**to))
    pandas: Any = sys.modules.get("pandas")
    if hasattr(pandas, "set_option") and hasattr(getattr(pandas, "options", None), "d"):
        yield Setting("pandas's options", lambda: dict(_flat(pandas.options.d)), lambda to: _set_pandas(pandas, to))
    matplotlib: Any = sys.modules.get("matplotlib")
    if hasattr(matplotlib, "rcParams"):
        yield Setting(
            "matplotlib's settings",
            lambda: {key: value for key, value in dict.items(matplotlib.rcParams) if key not in NOT_STYLE},
            lambda to: dict.update(matplotlib.rcParams, to),
        )


def _flat(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _set_pandas(pandas: Any, to: Mapping[str, Any]) -> None:
    now = dict(_flat(pandas.options.d))
    for key, value in to.items():
        if now.get(key) != value:
            pandas.set_option(key, value)
