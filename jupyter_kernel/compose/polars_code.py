"""A query as polars code."""

from __future__ import annotations

from famulus.jupyter_kernel.compose.query import Aggregate, Condition, Key, Query, Value
from famulus.jupyter_kernel.schema import Column

_METHODS = {"unique": "n_unique"}
_FLIPPED = {"==": "!=", "!=": "==", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}
_PARTS = {"weekday": "weekday", "hour": "hour", "year": "year", "day": "date"}
_EVERY = {"month": "1mo", "quarter": "1q", "week": "1w"}
_AXES = "fig, ax = plt.subplots()\n"


def write(query: Query) -> tuple[str, str] | None:
    """Code and what it gives (value, change or plot); None where the query asks for nothing."""
    name = query.subject.name
    if query.having[0] or query.each:
        return None
    if query.computed[0]:
        query.subject = query.subject
        prefix = f"{name}.with_columns(({query.computed[1]}).alias({query.computed[0]!r}))"
    else:
        prefix = name
    rows = prefix + _filtered(query)
    if query.chart:
        return _drawn(query, rows)
    if query.removes and query.conditions and not (query.keys or query.aggregates or query.pick or query.select):
        return f"{name} = {rows}", "change"
    if query.keys and query.aggregates:
        return _grouped(query, rows), "value"
    if query.aggregates:
        return _aggregated(query, rows), "value"
    if query.pick:
        return _picked(query, rows)
    code = _shown(query, rows)
    return (code, "value") if code != name else None


def _filtered(query: Query) -> str:
    if not query.conditions:
        return ""
    parts: list[str] = []
    for condition in query.conditions:
        code = condition_code(condition)
        parts.append(code if not parts else f"{'|' if condition.either else '&'} {code}")
    mask = " ".join(parts) if len(parts) > 1 else parts[0][1:-1] if parts[0].startswith("(") else parts[0]
    return f".filter(~({mask}))" if query.removes else f".filter({mask})"


def _time(column: Column) -> str:
    plain = f"pl.col({column.key})"
    return f"{plain}.str.to_datetime(strict=False)" if column.kind == "text" else plain


def condition_code(condition: Condition) -> str:
    """A condition as a polars expression."""
    column = f"pl.col({condition.column.key})"
    timed = condition.unit or any(value.is_time for value in condition.values)
    if timed:
        column = _time(condition.column) + (f".dt.{condition.unit}()" if condition.unit else "")
    values = [_value(value, condition.column) for value in condition.values]
    operator, negated = condition.operator, condition.negated
    if operator == "missing":
        return f"{column}.is_not_null()" if negated else f"{column}.is_null()"
    if operator in ("between", "in", "contains", "starts", "ends", "true"):
        code = {
            "between": f"{column}.is_between({', '.join(values)})", "in": f"{column}.is_in([{', '.join(values)}])",
            "contains": f"{column}.str.contains({''.join(values)}, literal=True)", "true": column,
            "starts": f"{column}.str.starts_with({''.join(values)})",
            "ends": f"{column}.str.ends_with({''.join(values)})",
        }[operator]  # fmt: skip
        return f"~{code}" if negated else code
    if " " in operator:
        first, second = operator.split()
        return f"(({column} {first} {values[0]}) & ({column} {second} {values[1]}))"
    return f"({column} {_FLIPPED[operator] if negated else operator} {values[0]})"


def _value(value: Value, column: Column) -> str:
    if value.column is not None:
        return f"pl.col({value.column.key})" + (f".{value.statistic}()" if value.statistic else "")
    if value.is_time:
        return f"pl.lit({value.code}).str.to_date()"
    return value.code


def _key(key: Key) -> str:
    if not key.unit:
        return key.column.key
    time = _time(key.column)
    if key.unit in _EVERY:
        return f'{time}.dt.truncate("{_EVERY[key.unit]}").alias("{key.unit}")'
    return f'{time}.dt.{_PARTS.get(key.unit, "date")}().alias("{key.unit}")'


def _aggregate(aggregate: Aggregate, several: bool) -> str:
    if aggregate.column is None:
        return 'pl.len().alias("count")'
    code = f"pl.col({aggregate.column.key}).{_METHODS.get(aggregate.function, aggregate.function)}()"
    return f'{code}.alias("{aggregate.column.name}_{aggregate.function}")' if several else code


def _result(query: Query) -> str:
    """The name of the first aggregated column."""
    first = query.aggregates[0]
    if first.column is None:
        return '"count"'
    return first.column.key if _lonely(query) else repr(f"{first.column.name}_{first.function}")


def _lonely(query: Query) -> bool:
    names = [a.column.name for a in query.aggregates if a.column is not None]
    return len(names) == len(set(names))


def _grouped(query: Query, rows: str) -> str:
    keys = ", ".join(_key(key) for key in query.keys)
    each = ", ".join(_aggregate(a, not _lonely(query)) for a in query.aggregates)
    code = f"{rows}.group_by({keys}, maintain_order=True).agg({each})"
    value = _result(query)
    if query.pick:
        return f"{code}.sort({value}, descending={query.pick == 'max'})[0, 0]"
    if query.share:
        return f"{code}.with_columns((pl.col({value}) / pl.col({value}).sum() * 100).alias('percent'))"
    if query.order:
        column, ascending = query.order[0]
        names = [key.column for key in query.keys]
        by = column.key if column is not None and column in names else value
        code += f".sort({by}, descending={not ascending})"
    elif any(key.unit for key in query.keys):
        code += f'.sort("{query.keys[0].unit}")'
    return f"{code}.{'tail' if query.tail else 'head'}({query.limit})" if query.limit else code


def _aggregated(query: Query, rows: str) -> str:
    if len(query.aggregates) == 1:
        first = query.aggregates[0]
        if first.column is None:
            return f"{rows}.height"
        return f"{rows}[{first.column.key}].{_METHODS.get(first.function, first.function)}()"
    return f"{rows}.select({', '.join(_aggregate(a, not _lonely(query)) for a in query.aggregates)})"


def _picked(query: Query, rows: str) -> tuple[str, str] | None:
    if query.by is None:
        return None
    code = f"{rows}.sort({query.by.key}, descending={query.pick == 'max'}, nulls_last=True)"
    return (f"{code}[{query.label.key}][0]" if query.label is not None else f"{code}.head(1)"), "value"


def _shown(query: Query, rows: str) -> str:
    code = rows
    known = [(column, ascending) for column, ascending in query.order if column is not None]
    if known:
        names = ", ".join(column.key for column, _ in known)
        nulls = ", nulls_last=True" if query.limit else ""
        code += f".sort({names}{'' if known[0][1] else ', descending=True'}{nulls})"
    if query.limit:
        code += f".{'tail' if query.tail else 'head'}({query.limit})"
    select = list(dict.fromkeys(column.key for column in query.select))
    if len(select) == 1:
        code += f"[{select[0]}]" + (".unique(maintain_order=True)" if query.distinct else "")
        return code + (".to_list()" if query.as_list else "")
    return f"{code}.select({', '.join(select)})" if select else code


def _drawn(query: Query, rows: str) -> tuple[str, str] | None:
    columns = list(query.select) or [a.column for a in query.aggregates if a.column is not None]
    if query.keys and query.aggregates:
        grouped = _grouped(query, rows)
        unit = query.keys[0].unit
        label = f'"{unit}"' if unit else query.keys[0].column.key
        kind = "plot" if query.chart == "line" or (query.chart == "plot" and unit) else "bar"
        kind = {"pie": "pie", "barh": "barh"}.get(query.chart, kind)
        value = _result(query)
        if kind == "pie":
            return f"_data = {grouped}\n{_AXES}ax.pie(_data[{value}], labels=_data[{label}].to_list())", "plot"
        where = f"_data[{label}]" if kind == "plot" else f"_data[{label}].cast(pl.String)"
        names = ("ylabel", "xlabel") if kind == "barh" else ("xlabel", "ylabel")
        return (
            f"_data = {grouped}\n{_AXES}ax.{kind}({where}, _data[{value}])\n"
            f"ax.set_{names[0]}({label})\nax.set_{names[1]}({value})"
        ), "plot"
    if query.chart == "hist" and columns:
        bins = f", bins={query.bins}" if query.bins else ""
        return f"{_AXES}ax.hist({rows}[{columns[0].key}].drop_nulls(){bins})\nax.set_xlabel({columns[0].key})", "plot"
    if len(columns) == 2:
        y, x = columns if columns[0].kind == "number" else columns[::-1]
        draw = {"scatter": "scatter", "bar": "bar"}.get(query.chart, "scatter" if x.kind == "number" else "plot")
        return (
            f"{_AXES}ax.{draw}({rows}[{x.key}], {rows}[{y.key}])\nax.set_xlabel({x.key})\nax.set_ylabel({y.key})"
        ), "plot"
    if len(columns) == 1:
        return f"{_AXES}ax.plot({rows}[{columns[0].key}])\nax.set_ylabel({columns[0].key})", "plot"
    return None
