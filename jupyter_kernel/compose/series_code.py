"""A query over a pandas series as code: what was grouped before is sorted, cut, drawn or looked up."""

from __future__ import annotations

from famulus.jupyter_kernel.compose.query import Condition, Query
from famulus.jupyter_kernel.option import COMPARE
from famulus.jupyter_kernel.schema import Column

_AGGREGATES = {"unique": "nunique", "count": "count"}


def write(query: Query) -> tuple[str, str] | None:
    """Code and what it gives (value or plot); None where the query asks for nothing."""
    name = query.subject.name
    base = _chosen(query)
    if base is None or query.having[0] or query.each:
        return None
    if query.chart:
        kind = {"plot": "line" if _timed(query) else "bar", "scatter": "line"}.get(query.chart, query.chart)
        extra = 'autopct="%1.1f%%", ' if kind == "pie" else ""
        drawn = _ordered(query, base) if query.order or query.limit else base
        label = query.subject.columns[0].name or name
        axis = "x" if kind in ("barh", "hist") else "y"
        last = 'ax.set_ylabel("")' if kind == "pie" else f"ax.set_{axis}label({label!r})"
        return f"fig, ax = plt.subplots()\n{drawn}.plot.{kind}({extra}ax=ax)\n{last}", "plot"
    if query.pick:
        return f"{base}.idx{query.pick}()", "value"
    if query.share:
        return f"{base} / {base}.sum() * 100", "value"
    if query.order or query.limit:
        return _ordered(query, base), "value"
    if query.aggregates:
        function = query.aggregates[0].function
        return f"{base}.{_AGGREGATES.get(function, function)}()" if function != "count" else f"len({base})", "value"
    return (base, "value") if base != name else None


def _timed(query: Query) -> bool:
    return bool(query.subject.index) and query.subject.index[0].kind == "time"


def _chosen(query: Query) -> str | None:
    name = query.subject.name
    base = name
    for condition in query.conditions:
        code = _condition(name, condition, query.subject.index)
        if code is None:
            return None
        if code.startswith("[") and len(query.conditions) == 1:
            return name + code
        base = f"{base}[{code}]"
    return base


def _condition(name: str, condition: Condition, index: tuple[Column, ...]) -> str | None:
    on_index = any(condition.column.name == column.name for column in index)
    values = [value.code for value in condition.values]
    if on_index and condition.operator == "==" and not condition.negated:
        return f"[{values[0]}]"
    if on_index and condition.operator == "in":
        return f"[[{', '.join(values)}]]"
    target = f"{name}.index" if on_index else name
    if condition.operator == "missing":
        return f"{target}.notna()" if condition.negated else f"{target}.isna()"
    if condition.operator == "between":
        return f"{target}.between({values[0]}, {values[1]})"
    if condition.operator not in COMPARE.values():
        return None
    value = condition.values[0]
    compared = f"{name}.{value.statistic}()" if value.statistic else value.code
    return f"{target} {condition.operator} {compared}" if compared else None


def _ordered(query: Query, base: str) -> str:
    levels = {column.name for column in query.subject.index}
    column, ascending = query.order[0] if query.order else (None, True)
    by_index = column is not None and column.name in levels and not query.limit
    if query.limit and query.order:
        return f"{base}.{'nsmallest' if ascending else 'nlargest'}({query.limit})"
    if query.order:
        base = f"{base}.{'sort_index' if by_index else 'sort_values'}(ascending={ascending})"
    return f"{base}.{'tail' if query.tail else 'head'}({query.limit})" if query.limit else base
