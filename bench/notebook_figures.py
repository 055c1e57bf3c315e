"""What a figure shows, read from the artists of matplotlib. Runs inside the kernel that is measured."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from famulus.bench.notebook_same import same

HELPERS = (
    *("axes", "bars", "boxes", "heatmap", "histogram", "labelled", "legend", "line", "lines", "pie", "points"),
    *("series_drawn", "titled"),
)


class Drawn:
    """The figures of one cell: those it showed, and those still open."""

    def __init__(self, shown: Iterable[object]) -> None:
        self._figures: dict[int, Any] = {id(value): value for value in shown if type(value).__name__ == "Figure"}
        pyplot = sys.modules.get("matplotlib.pyplot")
        for figure in map(pyplot.figure, pyplot.get_fignums()) if pyplot else ():
            self._figures[id(figure)] = figure
        for figure in self._figures.values():
            with contextlib.suppress(Exception):  # labels of categories exist only after drawing
                figure.canvas.draw()

    def helpers(self) -> dict[str, Callable[..., object]]:
        """What a check may call."""
        return {name: getattr(self, name) for name in HELPERS}

    def axes(self) -> list[Any]:
        """All axes with something in them."""
        return [ax for figure in self._figures.values() for ax in figure.axes if ax.has_data()]

    def lines(self) -> list[tuple[Any, Any]]:
        """(x, y) of each line."""
        drawn = [artist for ax in self.axes() for artist in ax.get_lines()]
        return [(one.get_xdata(), one.get_ydata()) for one in drawn if one.get_linestyle() not in ("None", "")]

    def line(self, y: Sequence[float], x: Sequence[float] | None = None) -> bool:
        """Whether a line has these values; one may start where they are known (a gap of NaN is left out)."""
        wanted = [float(v) for v in y]
        return any(
            same([float(v) for v in found], wanted) and (x is None or same(list(at), list(x)))
            for at, found in self.lines()
        )

    def series_drawn(self, values: Sequence[float]) -> bool:
        """Whether the values are drawn in order, as a line or as bars."""
        heights = [[size for _, size, _ in group] for group in self._bar_groups()]
        return self.line(values) or any(same(found, [float(v) for v in values]) for found in heights)

    def points(self, x: Iterable[Any], y: Iterable[Any]) -> bool:
        """Whether there is a scatter of these pairs, in any order."""
        wanted = sorted(zip(_numbers(x), _numbers(y), strict=True))
        clouds = [
            [tuple(map(float, pair)) for pair in artist.get_offsets()]
            for ax in self.axes()
            for artist in ax.collections
            if type(artist).__name__ == "PathCollection"
        ]
        for ax in self.axes():
            for artist in ax.get_lines():
                if artist.get_marker() not in ("None", "", None):
                    clouds.append(list(zip(_numbers(artist.get_xdata()), _numbers(artist.get_ydata()), strict=True)))
        return any(same(sorted(cloud), wanted) for cloud in clouds)

    def bars(self, expected: Mapping[Any, float], horizontal: bool | None = None) -> bool:
        """Whether there are bars of these sizes with these labels, in any order."""
        wanted = {str(key): float(size) for key, size in expected.items()}
        for group in self._bar_groups(horizontal):
            if sorted(round(size, 6) for _, size, _ in group) != sorted(round(size, 6) for size in wanted.values()):
                continue
            labels = [label for label, _, _ in group]
            if not any(labels) or all(same(wanted.get(label), size) for label, size, _ in group):
                return True
        return False

    def _bar_groups(self, horizontal: bool | None = None) -> list[list[tuple[str, float, float]]]:
        """Of each set of bars: (label, size, middle) of each bar."""
        groups = []
        for ax in self.axes():
            for container in ax.containers:
                lying = getattr(container, "orientation", "vertical") == "horizontal"
                if type(container).__name__ != "BarContainer" or horizontal not in (None, lying):
                    continue
                axis = ax.yaxis if lying else ax.xaxis
                texts = {
                    round(float(at), 3): label.get_text()
                    for at, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
                }
                group = []
                for bar in container.patches:
                    middle = bar.get_y() + bar.get_height() / 2 if lying else bar.get_x() + bar.get_width() / 2
                    size = bar.get_width() if lying else bar.get_height()
                    group.append((texts.get(round(float(middle), 3), ""), float(size), float(middle)))
                groups.append(group)
        return groups

    def histogram(self, data: Iterable[float], bins: int | None = None) -> bool:
        """Whether bars that touch count all of the data, as numbers or as a density, in so many bins."""
        values = list(data)
        for ax in self.axes():
            for container in ax.containers:
                patches = getattr(container, "patches", [])
                if len(patches) < 2 or bins not in (None, len(patches)):
                    continue
                edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in patches]
                counted = sum(bar.get_height() for bar in patches)
                area = sum(bar.get_height() * bar.get_width() for bar in patches)
                inside = edges[0][0] <= min(values) + 1e-9 and max(values) <= edges[-1][1] + 1e-9
                if inside and (same(counted, len(values)) or same(area, 1.0)):
                    return True
        return False

    def boxes(self, count: int) -> bool:
        """Whether there are so many boxes of a box plot."""
        patches = [patch for ax in self.axes() for patch in ax.patches if type(patch).__name__ == "PathPatch"]
        outlines = [artist.get_xydata() for ax in self.axes() for artist in ax.get_lines()]
        closed = [outline for outline in outlines if len(outline) in (5, 11) and same(outline[0], outline[-1])]
        return len(patches) + len(closed) == count

    def pie(self, expected: Mapping[Any, float]) -> bool:
        """Whether a pie has these shares, and all labels if it has any."""
        whole = sum(expected.values())
        wanted = sorted(size / whole for size in expected.values())
        for ax in self.axes():
            wedges = [patch for patch in ax.patches if type(patch).__name__ == "Wedge"]
            shares = sorted((wedge.theta2 - wedge.theta1) / 360 for wedge in wedges)
            legend = ax.get_legend()
            texts = {text.get_text() for text in [*ax.texts, *(legend.get_texts() if legend else [])]}
            alike = len(shares) == len(wanted) and all(abs(a - b) < 1e-4 for a, b in zip(shares, wanted, strict=True))
            if alike and {str(key) for key in expected} <= texts:
                return True
        return False

    def heatmap(self, values: Any) -> bool:
        """Whether an image or a mesh shows this matrix."""
        wanted = [float(v) for row in values for v in row]
        found = [artist.get_array() for ax in self.axes() for artist in (*ax.images, *ax.collections)]
        return any(same([float(v) for v in array.ravel()], wanted) for array in found if array is not None)

    def titled(self, text: str) -> bool:
        """Whether a title says ``text``, in whatever case."""
        titles = [ax.get_title() for ax in self.axes()]
        titles += [figure.get_suptitle() for figure in self._figures.values()]
        return text.casefold() in (title.strip().casefold() for title in titles)

    def labelled(self, x: str | None = None, y: str | None = None) -> bool:
        """Whether axes have these labels, in whatever case."""
        return any(
            x in (None, ax.get_xlabel().strip().casefold()) and y in (None, ax.get_ylabel().strip().casefold())
            for ax in self.axes()
        )

    def legend(self) -> bool:
        """Whether there is a legend."""
        return any(ax.get_legend() is not None for ax in self.axes())


def _numbers(values: Iterable[Any]) -> list[float]:
    """Numbers of an axis; dates as matplotlib counts them."""
    items = list(values)
    if items and ("datetime" in str(getattr(items[0], "dtype", "")) or not hasattr(items[0], "__float__")):
        return [float(number) for number in sys.modules["matplotlib.dates"].date2num(items)]
    return [float(item) for item in items]
