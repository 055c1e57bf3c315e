"""A query as pandas code."""

from __future__ import annotations

from dataclasses import dataclass, replace

from famulus.jupyter_kernel.compose import polars_code, records_code, series_code
from famulus.jupyter_kernel.compose.query import Condition, Key, Query, Value
from famulus.jupyter_kernel.option import UNITS, column_code
from famulus.jupyter_kernel.schema import Column, Variable

_METHODS = {"unique": "nunique"}
_UNITS = {"date": "normalize()"}
_PARTS = {"weekday": "day_name()", "hour": "hour", "year": "year"}


@dataclass(frozen=True)
class Code:
    """Lines of Python and what they give. ``table``: the value is a frame or a series."""

    text: str
    gives: str
    table: bool = False


def write(query: Query) -> Code | None:
    """The code of a query, None where it asks for nothing."""
    if query.subject.kind == "series":
        found = series_code.write(query)
        return Code(found[0], found[1], True) if found is not None else None
    if query.subject.kind == "list":
        found = records_code.write(query)
        return Code(found[0], found[1]) if found is not None else None
    if query.subject.library == "polars":
        found = polars_code.write(query)
        return Code(found[0], found[1], True) if found is not None else None
    if any(column in query.subject.index for column in query.columns()):
        # Levels of the index are spoken of like columns.
        table = replace(query.subject, name="_table", columns=(*query.subject.index, *query.subject.columns), index=())
        made = write(replace(query, subject=table))
        if made is None or made.gives == "change":
            return None
        return replace(made, text=f"_table = {query.subject.name}.reset_index()\n{made.text}")
    if query.computed[0]:
        # What is computed goes into a copy: the words do not ask for a change of the table.
        name, code = query.computed
        table = replace(query.subject, name="_table")
        made = write(replace(query, computed=("", ""), subject=table))
        if made is None or made.gives == "change":
            return None
        whole = f"{query.subject.name}.assign(**{{{name!r}: {code}}})"
        return replace(made, text=f"_table = {whole}\n{made.text}")
    if query.chart:
        from famulus.jupyter_kernel.compose import charts

        return charts.write(query)
    if query.removes and query.conditions and not (query.keys or query.aggregates or query.pick or query.select):
        # The words tell to take rows away from the table itself.
        return Code(f"{query.subject.name} = {source(query)}", "change", True)
    value = expression(query)
    return Code(value[0], "value", value[1]) if value is not None else None


def expression(query: Query) -> tuple[str, bool] | None:
    """The value of a query as one expression (with a line for the chosen rows in front where they are used twice),
    and whether it is a table."""
    rows = source(query)
    if query.keys:
        return _grouped(query, rows)
    if query.share and query.conditions and not query.aggregates:
        return f"{_mask(query)}.mean() * 100", False
    if query.aggregates:
        return _aggregated(query, rows)
    if query.pick:
        return _picked(query, rows)
    return _rows(query, rows)


def source(query: Query) -> str:
    """The subject, reduced to the rows that meet the conditions."""
    if not query.conditions:
        return query.subject.name
    found = query.conditions
    if query.removes and len(found) == 1 and " " not in found[0].operator:
        return (
            f"{query.subject.name}[{condition_code(query.subject, [replace(found[0], negated=not found[0].negated)])}]"
        )
    mask = condition_code(query.subject, found)
    return f"{query.subject.name}[{f'~({mask})' if query.removes else mask}]"


def condition_code(subject: Variable, found: list[Condition]) -> str:
    """Conditions as one boolean mask."""
    parts: list[str] = []
    for condition in found:
        code = _condition(subject, condition)
        if len(found) > 1 and not code.startswith(("~", "(")) and " " in code:
            code = f"({code})"
        parts.append(code if not parts else f"{'|' if condition.either else '&'} {code}")
    return " ".join(parts)


def _condition(subject: Variable, condition: Condition) -> str:
    attributes = column_code(subject, condition.column)
    series = attributes["series"]
    timed = condition.unit or any(value.is_time for value in condition.values)
    if timed:
        series = attributes["time"] + (f".dt.{_UNITS.get(condition.unit, condition.unit)}" if condition.unit else "")
    values = [_value(subject, value) for value in condition.values]
    operator = condition.operator
    if operator == "between":
        code = f"{series}.between({values[0]}, {values[1]})"
    elif operator == "in":
        code = f"{series}.isin([{', '.join(values)}])"
    elif operator == "missing":
        return f"{series}.notna()" if condition.negated else f"{series}.isna()"
    elif operator == "true":
        code = series
    elif operator == "contains":
        code = f"{series}.str.contains({values[0]}, case=False, regex=False, na=False)"
    elif operator in ("starts", "ends"):
        code = f"{series}.str.{operator}with({values[0]})"
    elif " " in operator:
        first, second = operator.split()
        return f"({series} {first} {values[0]}) & ({series} {second} {values[1]})"
    else:
        if condition.negated:
            operator = {"==": "!=", "!=": "==", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}[operator]
        return f"{series} {operator} {values[0]}"
    return f"~{code}" if condition.negated else code


def _value(subject: Variable, value: Value) -> str:
    if value.column is not None:
        series = f"{subject.name}[{value.column.key}]"
        return f"{series}.{value.statistic}()" if value.statistic else series
    return f"pd.Timestamp({value.code})" if value.is_time else value.code


def key_code(subject: Variable, key: Key) -> str:
    """What ``groupby`` is told of a key."""
    if not key.unit:
        return key.column.key
    time = column_code(subject, key.column)["time"]
    if key.unit in _PARTS:
        return f"{time}.dt.{_PARTS[key.unit]}"
    return f'{time}.dt.to_period("{UNITS.get(key.unit, "D")}")'


def _grouped(query: Query, rows: str) -> tuple[str, bool] | None:
    keys = [key_code(query.subject, key) for key in query.keys]
    by = keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
    if not query.aggregates:
        if query.pick and query.by is not None:
            cells = f"{column_code(query.subject, query.by)['time']}.groupby({_outside(query, by)})"
            if query.by.kind == "number" or query.conditions:
                cells = f"{rows}.groupby({by})[{query.by.key}]"
            return f"{rows}.loc[{cells}.idx{query.pick}()]", True
        if query.each:
            column, ascending = query.order[0] if query.order else (None, True)
            ordered = f"{rows}.sort_values({column.key}, ascending={ascending})" if column is not None else rows
            return f"{ordered}.groupby({by}).{'tail' if query.tail else 'head'}({query.limit})", True
        return None
    functions = list(dict.fromkeys(_METHODS.get(a.function, a.function) for a in query.aggregates))
    columns = list(dict.fromkeys(a.column.key for a in query.aggregates if a.column is not None))
    if any(a.column is None for a in query.aggregates):
        if len(query.aggregates) > 1:
            return None
        code, series = f"{rows}.groupby({by}).size()", True
    elif len(functions) == 1:
        chosen = columns[0] if len(columns) == 1 else f"[{', '.join(columns)}]"
        code, series = f"{rows}.groupby({by})[{chosen}].{functions[0]}()", len(columns) == 1
    elif len(columns) == 1:
        code, series = f"{rows}.groupby({by})[{columns[0]}].agg({functions!r})", False
    else:
        each = ", ".join(
            f"{a.column.key}: {_METHODS.get(a.function, a.function)!r}" for a in query.aggregates if a.column
        )
        code, series = f"{rows}.groupby({by}).agg({{{each}}})", False
    if query.having[0]:
        kept = f"{code}.loc[lambda group: group {' '.join(query.having)}]"
        return (kept if query.order or query.limit else f"{kept}.index.tolist()"), False
    if query.pick:
        return f"{code}.idx{query.pick}()", False
    if query.share:
        code = f"{code} / {rows}[{columns[0]}].sum() * 100" if columns else f"{code} / len({rows}) * 100"
        return code, True
    return _shaped(query, code, series), True


def _outside(query: Query, by: str) -> str:
    """The keys for a column that stands alone: columns of the table by their series."""
    plain = len(query.keys) == 1 and not query.keys[0].unit
    return f"{query.subject.name}[{query.keys[0].column.key}]" if plain else by


def _shaped(query: Query, code: str, series: bool) -> str:
    """A grouped result in the order and length asked for."""
    if query.limit and query.order:
        ascending = query.order[0][1]
        if series:
            return f"{code}.{'nsmallest' if ascending else 'nlargest'}({query.limit})"
    if query.order:
        column, ascending = query.order[0]
        is_key = column is not None and any(key.column == column for key in query.keys)
        if is_key:
            code += f".sort_index(ascending={ascending})"
        elif series:
            code += f".sort_values(ascending={ascending})"
        elif column is not None:
            code += f".sort_values({column.key}, ascending={ascending})"
    if query.limit:
        code += f".{'tail' if query.tail else 'head'}({query.limit})"
    return code


def _aggregated(query: Query, rows: str) -> tuple[str, bool] | None:
    functions = list(dict.fromkeys(_METHODS.get(a.function, a.function) for a in query.aggregates))
    columns = list(dict.fromkeys(a.column for a in query.aggregates if a.column is not None))
    if not columns:
        if query.share:
            return f"{_mask(query)}.mean() * 100" if query.conditions else None, False  # type: ignore[return-value]
        return f"len({rows})", False
    if len(functions) == 1 and len(columns) == 1:
        if query.share and query.conditions:
            whole = f"{query.subject.name}[{columns[0].key}]"
            return f"{_cells(query, columns[0])}.{functions[0]}() / {whole}.{functions[0]}() * 100", False
        return f"{_cells(query, columns[0])}.{functions[0]}()", False
    names = [column.key for column in columns]
    if len(functions) == 1:
        return f"{rows}[[{', '.join(names)}]].{functions[0]}()", True
    if len(columns) == 1:
        return f"{_cells(query, columns[0])}.agg({functions!r})", True
    each = ", ".join(f"{a.column.key}: {_METHODS.get(a.function, a.function)!r}" for a in query.aggregates if a.column)
    return f"{rows}.agg({{{each}}})", True


def _mask(query: Query) -> str:
    return f"({condition_code(query.subject, query.conditions)})"


def _cells(query: Query, column: Column) -> str:
    """One column of the chosen rows."""
    if not query.conditions or query.removes:
        return f"{source(query)}[{column.key}]"
    return f"{query.subject.name}.loc[{condition_code(query.subject, query.conditions)}, {column.key}]"


def _picked(query: Query, rows: str) -> tuple[str, bool] | None:
    if query.by is None:
        return None
    attributes = column_code(query.subject, query.by)
    position = (attributes["time"] if query.by.kind != "number" else attributes["series"]) + f".idx{query.pick}()"
    if query.conditions:
        position = f"{_cells(query, query.by)}.idx{query.pick}()"
    name = query.subject.name
    if query.label is not None:
        return f"{name}.loc[{position}, {query.label.key}]", False
    return f"{name}.loc[{position}]", True


def _rows(query: Query, rows: str) -> tuple[str, bool] | None:
    code = rows
    column, ascending = query.order[0] if query.order else (None, True)
    if query.limit and column is not None and column.kind == "number":
        code += f".{'nsmallest' if ascending else 'nlargest'}({query.limit}, {column.key})"
    else:
        known = [(column, ascending) for column, ascending in query.order if column is not None]
        if query.order and not known and len(query.select) == 1:
            known = [(query.select[0], query.order[0][1])]
        if query.order and not known:
            return None
        if known:
            names = [column.key for column, _ in known]
            code += f".sort_values({names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}"
            directions = list(dict.fromkeys(ascending for _, ascending in known))
            mixed = [ascending for _, ascending in known]
            code += f", ascending={mixed})" if len(directions) > 1 else ")" if directions[0] else ", ascending=False)"
        if query.limit:
            code += f".{'tail' if query.tail else 'head'}({query.limit})"
    select = list(dict.fromkeys(c.key for c in query.select))
    if len(select) == 1:
        if code == query.subject.name + f"[{condition_code(query.subject, query.conditions)}]" and not query.removes:
            code = _cells(query, query.select[0])
        else:
            code += f"[{select[0]}]"
        code += ".unique()" if query.distinct else ""
        code += ".tolist()" if query.as_list else ""
    elif select and query.select:
        code += f"[[{', '.join(select)}]]"
        code += ".drop_duplicates()" if query.distinct else ""
    return (code, True) if code != query.subject.name else None
