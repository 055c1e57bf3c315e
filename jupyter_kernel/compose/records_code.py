"""A query over a list of dictionaries as plain Python."""

from __future__ import annotations

from famulus.jupyter_kernel.compose.query import Aggregate, Condition, Query, Value

_FLIPPED = {"==": "!=", "!=": "==", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}


def write(query: Query) -> tuple[str, str] | None:
    """Code and what it gives; None where the query asks for nothing that can be said so."""
    name = query.subject.name
    if (
        query.having[0]
        or query.each
        or query.chart
        or query.computed[0]
        or query.share
        or any(condition.unit for condition in query.conditions)
    ):
        return None
    test = _test(query)
    guard = f" if {test}" if test else ""
    if query.removes and test:
        return f"{name} = [row for row in {name} if not ({test})]", "change"
    if query.keys:
        code = _grouped(query, guard)
    elif query.aggregates:
        code = _aggregated(query, guard) if len(query.aggregates) == 1 else None
    elif query.pick and query.by is not None:
        rows = f"(row for row in {name}{guard})" if guard else name
        best = f"{query.pick}({rows}, key=lambda row: row[{query.by.key}])"
        code = f"{best}[{query.label.key}]" if query.label is not None else best
    else:
        code = _rows(query, guard)
    return (code, "value") if code is not None and code != name else None


def _test(query: Query) -> str:
    parts: list[str] = []
    for condition in query.conditions:
        code = _condition(condition)
        parts.append(code if not parts else f"{'or' if condition.either else 'and'} {code}")
    return " ".join(parts)


def _condition(condition: Condition) -> str:
    cell = f"row[{condition.column.key}]"
    values = [_value(value) for value in condition.values]
    operator, no = condition.operator, "not " if condition.negated else ""
    if operator == "between":
        return f"{no}{values[0]} <= {cell} <= {values[1]}"
    if operator == "in":
        return f"{cell} {no}in ({', '.join(values)})"
    if operator == "missing":
        return f"row.get({condition.column.key}) is {no}None"
    if operator == "true":
        return f"{no}{cell}"
    if operator == "contains":
        return f"{values[0]} {no}in {cell}"
    if operator in ("starts", "ends"):
        return f"{no}{cell}.{operator}with({values[0]})"
    if " " in operator:
        first, second = operator.split()
        return f"({cell} {first} {values[0]} and {cell} {second} {values[1]})"
    return f"{cell} {_FLIPPED[operator] if condition.negated else operator} {values[0]}"


def _value(value: Value) -> str:
    return f"row[{value.column.key}]" if value.column is not None else value.code


def _total(aggregate: Aggregate, name: str, guard: str) -> str | None:
    if aggregate.column is None:
        return f"sum(1 for row in {name}{guard})" if guard else f"len({name})"
    cells = f"row[{aggregate.column.key}] for row in {name}{guard}"
    if aggregate.function in ("sum", "max", "min"):
        return f"{aggregate.function}({cells})"
    if aggregate.function == "unique":
        return f"len({{{cells}}})"
    if aggregate.function == "count":
        return f"sum(1 for row in {name}{guard})" if guard else f"len({name})"
    function = {"std": "stdev", "var": "variance"}.get(aggregate.function, aggregate.function)
    return f"statistics.{function}({cells})"


def _aggregated(query: Query, guard: str) -> str | None:
    return _total(query.aggregates[0], query.subject.name, guard)


def _grouped(query: Query, guard: str) -> str | None:
    if len(query.keys) != 1 or query.keys[0].unit or len(query.aggregates) != 1:
        return None
    name, key = query.subject.name, query.keys[0].column.key
    inner = f"{guard} and row[{key}] == key" if guard else f" if row[{key}] == key"
    total = _total(query.aggregates[0], name, inner)
    code = f"{{key: {total} for key in dict.fromkeys(row[{key}] for row in {name}{guard})}}"
    if query.pick:
        return f"{query.pick}(({code}).items(), key=lambda pair: pair[1])[0]"
    if query.order:
        code = f"dict(sorted({code}.items(), key=lambda pair: pair[1], reverse={not query.order[0][1]})"
        return f"{code}[:{query.limit}])" if query.limit else f"{code})"
    return code


def _rows(query: Query, guard: str) -> str | None:
    name = query.subject.name
    known = [(column, ascending) for column, ascending in query.order if column is not None]
    rows = f"[row for row in {name}{guard}]" if guard else name
    select = query.select
    if known:
        keys = ", ".join(f"row[{column.key}]" for column, _ in known)
        key = keys if len(known) == 1 else f"({keys})"
        rows = f"sorted({rows}, key=lambda row: {key}{'' if known[0][1] else ', reverse=True'})"
    elif query.order:
        return None
    if query.limit:
        rows += f"[-{query.limit}:]" if query.tail else f"[:{query.limit}]"
    if not select:
        return rows
    source, test = (name, guard) if rows.startswith("[row for") and not query.limit else (rows, "")
    if len(select) == 1:
        cells = f"row[{select[0].key}] for row in {source}{test}"
        return f"list(dict.fromkeys({cells}))" if query.distinct else f"[{cells}]"
    cells = ", ".join(f"{column.key}: row[{column.key}]" for column in select)
    return f"[{{{cells}}} for row in {source}{test}]"
