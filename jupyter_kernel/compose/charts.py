"""A query as a picture of its answer."""

from __future__ import annotations

import re
from dataclasses import replace

from famulus.jupyter_kernel.compose import pandas_code
from famulus.jupyter_kernel.compose.pandas_code import Code
from famulus.jupyter_kernel.compose.query import Aggregate, Key, Query
from famulus.jupyter_kernel.option import column_code, column_fits
from famulus.jupyter_kernel.schema import Column

ORDERED = re.compile(r"month|year|date|day|week|quarter|time|hour|月|年|日|周|季", re.IGNORECASE)
"""Names of columns whose rows are in order, though they may be texts."""
_AXES = "fig, ax = plt.subplots()\n"


def write(query: Query) -> Code | None:
    """The code that draws the answer of a query, None where there is nothing to draw."""
    if query.chart == "box" and query.keys and query.aggregates:
        return _box(query, pandas_code.source(query), [a.column for a in query.aggregates if a.column is not None])
    if query.keys and query.aggregates:
        return _groups(query)
    columns = query.select
    if query.aggregates:
        columns = [a.column for a in query.aggregates if a.column is not None]
    if not columns:
        return None
    rows = pandas_code.source(query)
    if query.chart == "hist" or (len(columns) == 1 and query.chart == "plot" and columns[0].kind == "number"):
        if query.chart != "hist" and not query.keys:
            return _one(query, rows, columns[0])
        bins = f", bins={query.bins}" if query.bins else ""
        lines = "".join(f"ax.hist({rows}[{c.key}].dropna(){bins})\nax.set_xlabel({c.key})\n" for c in columns[:1])
        return Code(_AXES + lines + 'ax.set_ylabel("count")', "plot")
    if query.chart == "box":
        return _box(query, rows, columns)
    if len(columns) == 1:
        return _one(query, rows, columns[0])
    return _two(query, rows, columns)


def _groups(query: Query) -> Code | None:
    if _stands_alone(query):
        return _direct(query)
    found = pandas_code.expression(replace(query, chart=""))
    if found is None:
        return None
    unit = query.keys[0].unit
    timed = unit != "weekday" if unit else column_fits(query.keys[0].column, "time") >= 0.95
    kind = {"plot": "line" if timed else "bar", "hist": "bar", "box": "box"}.get(query.chart, query.chart)
    if kind == "scatter":
        return None
    value = query.aggregates[0]
    label = f"{value.function} of {value.column.name}" if value.column is not None else "count"
    data = found[0]
    if data.count("groupby") and " / " in data:
        data = f"({data})"
    if kind == "pie":
        return Code(_AXES + f'{data}.plot.pie(ax=ax, autopct="%1.1f%%")\nax.set_ylabel("")', "plot")
    axis = "ax.set_xlabel" if kind == "barh" else "ax.set_ylabel"
    other = "ax.set_ylabel" if kind == "barh" else "ax.set_xlabel"
    stacked = "stacked=True, " if query.stacked else ""
    names = f"{other}({(unit or query.keys[0].column.name)!r})\n{axis}({label!r})"
    return Code(_AXES + f"{data}.plot.{kind}({stacked}ax=ax)\n{names}", "plot")


def _stands_alone(query: Query) -> bool:
    """Whether each row is a group of its own, so that the rows can be drawn as they stand, in their order."""
    key, length = query.keys[0], query.subject.length
    numbers = all(a.column is not None and a.function in ("sum", "mean", "max", "min") for a in query.aggregates)
    shaped = query.order or query.limit or query.share or query.having[0] or query.conditions
    drawn = query.chart in ("plot", "bar", "barh", "line")
    alone = len(query.keys) == 1 and not key.unit and (length or 0) > 1 and key.column.distinct == length
    return drawn and alone and numbers and not shaped and column_fits(key.column, "time") < 0.95


def _direct(query: Query) -> Code:
    key, columns = query.keys[0].column, [a.column for a in query.aggregates if a.column is not None]
    kind = {"plot": "line" if ORDERED.search(key.name) else "bar"}.get(query.chart, query.chart)
    chosen = columns[0].key if len(columns) == 1 else f"[{', '.join(column.key for column in columns)}]"
    extra = ", stacked=True" if query.stacked and kind != "line" else ""
    extra += ", legend=False" if len(columns) == 1 else ""
    axis = "ax.set_xlabel" if kind == "barh" else "ax.set_ylabel"
    label = f"\n{axis}({columns[0].key})" if len(columns) == 1 else ""
    return Code(f"{_AXES}{query.subject.name}.plot.{kind}(x={key.key}, y={chosen}{extra}, ax=ax){label}", "plot")


def _one(query: Query, rows: str, column: Column) -> Code | None:
    if column.kind in ("text", "category", "bool") and column_fits(column, "time") < 0.95:
        kind = {"plot": "bar", "hist": "bar"}.get(query.chart, query.chart)
        extra = 'autopct="%1.1f%%", ' if kind == "pie" else ""
        return Code(
            _AXES + f'{rows}[{column.key}].value_counts().plot.{kind}({extra}ax=ax)\nax.set_ylabel("count")', "plot"
        )
    labels = [c for c in query.subject.columns if c.kind in ("text", "category") and c != column]
    times = [c for c in query.subject.columns if column_fits(c, "time") >= 0.95 and c != column]
    if query.chart in ("bar", "pie", "barh") and labels:
        return _groups(replace(query, keys=[Key(labels[0])], aggregates=[Aggregate("sum", column)], select=[]))
    if times and query.chart in ("line", "plot"):
        return _two(query, rows, [times[0], column])
    kind = {"plot": "line"}.get(query.chart, query.chart)
    return Code(_AXES + f"{rows}[{column.key}].plot.{kind}(ax=ax)\nax.set_ylabel({column.key})", "plot")


def _two(query: Query, rows: str, columns: list[Column]) -> Code | None:
    numbers = [c for c in columns if c.kind == "number" and column_fits(c, "time") < 0.99]
    others = [c for c in columns if c not in numbers]
    if query.chart in ("bar", "barh", "pie") and others and numbers:
        return _groups(
            replace(query, keys=[Key(others[0])], aggregates=[Aggregate("sum", n) for n in numbers], select=[])
        )
    if not others and len(numbers) == 2:
        # "plot y against x", "plot y over x": what is named last runs along the bottom.
        y, x = numbers
        draw = "scatter" if query.chart in ("scatter", "plot") else "plot"
        return Code(
            _AXES + f"ax.{draw}({rows}[{x.key}], {rows}[{y.key}])\nax.set_xlabel({x.key})\nax.set_ylabel({y.key})",
            "plot",
        )
    if len(others) == 1 and numbers:
        x = others[0]
        is_time = column_fits(x, "time") >= 0.95
        if not is_time and query.chart in ("plot",):
            return _groups(replace(query, keys=[Key(x)], aggregates=[Aggregate("sum", n) for n in numbers], select=[]))
        along = f"{rows}[{x.key}]"
        if is_time and not query.conditions:
            along = column_code(query.subject, x)["time"]
        draw = "scatter" if query.chart == "scatter" else "plot"
        lines = "".join(f"ax.{draw}({along}, {rows}[{n.key}], label={n.key})\n" for n in numbers)
        legend = "\nax.legend()" if len(numbers) > 1 else f"\nax.set_ylabel({numbers[0].key})"
        return Code(_AXES + lines + f"ax.set_xlabel({x.key})" + legend, "plot")
    return None


def _box(query: Query, rows: str, columns: list[Column]) -> Code | None:
    numbers = [c for c in columns if c.kind == "number"]
    others = [c for c in columns if c.kind != "number"] or [key.column for key in query.keys]
    if not numbers:
        return None
    if others:
        return Code(_AXES + f"{rows}.boxplot(column={numbers[0].key}, by={others[0].key}, ax=ax)", "plot")
    return Code(_AXES + f"ax.boxplot([{', '.join(f'{rows}[{n.key}].dropna()' for n in numbers)}])", "plot")
