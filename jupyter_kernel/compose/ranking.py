"""Reads what is highest, first or best: *top 5 by price*, *which city has the highest average*, 最大的3个."""

from __future__ import annotations

import re

from famulus.jupyter_kernel.compose.query import Aggregate, Key
from famulus.jupyter_kernel.compose.reading import Reading
from famulus.jupyter_kernel.compose.units import Unit, implied
from famulus.jupyter_kernel.option import column_fits

# Amounts are added up where the words do not say how; of these an average is meant.
AVERAGED = re.compile(
    r"price|temp|age$|score|rate|rating|salary|wage|grade|mark|height|weight|speed|humid|percent|ratio|gpa|pressure"
    r"|价|温|龄|分|率|薪|工资|成绩|身高|体重",
    re.I,
)
_EXTREMES = frozenset(("max", "min", "latest", "earliest", "oldest", "youngest", "longest", "shortest"))
_DESCENDING = frozenset(("max", "latest", "oldest", "longest", "top"))
FUNCTION = {
    "latest": "max",
    "earliest": "min",
    "oldest": "max",
    "youngest": "min",
    "longest": "max",
    "shortest": "min",
}


def extremes(reading: Reading) -> None:
    """*top 5 by price*, *the 3 cheapest*, *which city has the highest average*, 最大的3个."""
    query = reading.query
    if match := reading.take(r"(?P<f>M)(?P<c>C)1"):
        # "highest rating first"
        query.order = [(reading.unit(match, "c").column, reading.unit(match, "f").key not in _DESCENDING)]
    if match := reading.take(r"(?P<p>N)[FRX]W?w?(?P<h>M)|(?P<d>[tz1L])(?P<n>N)[Rk]?|(?P<m>N)(?P<f>M)|(?P<g>M)(?P<o>N)"):
        number = next(group for group in "pnmo" if match[group])
        query.limit = reading.unit(match, number).code
        direction = reading.unit(match, next(group for group in "hdfg" if match[group]))
        if direction.tag in "1L":
            query.tail = direction.tag == "L"
            return
        descending = direction.key in ("top", "max", "latest", "oldest", "longest")
        _ranked(reading, descending, direction)
        return
    if _of_each_group(reading) or _by_aggregate(reading):
        return
    patterns = (
        r"h[w=]*(?P<by>C)(?P<f>[1L])$",
        r"h(?P<label>C)[w=iC]*(?P<f>M)(?!F|R$)R?(?P<a>[A#])?R?(?P<by>C)?(?P<a2>[A#])?",
        r"h(?P<label>C)w?(?P<f>M)(?P<rows>[FR])",
        r"h(?P<label>C)w?(?P<a>[A#])(?P<by>C)?=?w?(?P<f>M)",
        r"h(?P<label>C)(?P<by>C)(?P<a>[A#])?=?(?P<f>M)",
        r"(?:h=?)?(?P<label>[CRF])W?w(?P<f>M)(?P<a>[A#])?(?P<by>C)",
        r"h(?:=|w)?(?P<f>M)(?P<a>[A#])?(?P<by>C)",
        r"h(?P<by>C)(?P<a>[A#])?(?P<f>M)",
        r"h(?P<label>C)=(?P<f>M)",
        r"h=?(?P<f>M)",
        r"(?P<by>C)(?P<a>[A#])?(?P<f>M)(?P<label>[CR])?=?h",
        r"(?P<by>C)(?P<a>[A#])?(?P<f>M)h?(?P<label>[CRXF])",
        r"(?P<f>M)(?P<label>[CRF])(?:Y(?P<by>C))",
        r"(?P<f>M)(?P<by>C)(?P<label>[FR])(?!E)",
        r"(?P<f>t)(?P<label>[CRF])",
    )
    for pattern in patterns:
        match = re.search(pattern, reading.tags)
        if match and _pick(reading, match):
            return
    match = re.search(r"(?P<f>M)(?P<label>[CRF])(?!C)", reading.tags)
    if match and _measured(reading, match):
        return
    if match and implied(reading.unit(match, "f"), reading.subject) is not None:
        _pick(reading, match)
    elif match and (label := reading.unit(match, "label").column) and label.kind in ("text", "category"):
        # "the busiest station" is the one with the most rows.
        reading.query.keys, reading.query.aggregates = [Key(label)], [Aggregate("count")]
        reading.query.pick = "max" if reading.unit(match, "f").key in _DESCENDING else "min"
        reading.blot(match)


def _of_each_group(reading: Reading) -> bool:
    """*The best paid employee in every department*, *the first two orders of each customer*: rows of each group."""
    query = reading.query
    best = r"(?P<n>N)?(?P<f>M)(?P<by>C)?(?P<n2>N)?(?P<label>[FRX]|C(?!i?E?$))(?P<by2>Y?C)?[wi]*(?:E|(?<=i))(?P<key>C)"
    first = r"(?P<f>[1L])(?P<n>N)?[FR][i]*E(?P<key>C)"
    if match := re.search(best, reading.tags):
        direction = reading.unit(match, "f")
        by = next((reading.units[match.end(g) - 1].column for g in ("by2", "by") if match[g]), None)
        by = by or implied(direction, reading.subject)
        if by is None or by.kind not in ("number", "time") or (match["label"] == "C" and not _texts(reading, match)):
            return False
        number = next((reading.unit(match, g).code for g in ("n", "n2") if match[g]), "")
        query.keys, query.by = [Key(column) for column in reading.columns(match, "key")], by
        if number:
            query.each = True
            query.limit, query.order = number, [(by, direction.key not in _DESCENDING)]
        else:
            query.pick = "max" if direction.key in _DESCENDING else "min"
    elif match := re.search(first, reading.tags):
        query.keys = [Key(column) for column in reading.columns(match, "key")]
        query.each, query.limit = True, reading.unit(match, "n").code if match["n"] else "1"
        query.tail = match["f"] == "L"
    else:
        return False
    reading.blot(match)
    return True


def _by_aggregate(reading: Reading) -> bool:
    """*Teams ordered by their total wins*, *countries by number of orders, fewest first*: groups in such an order."""
    match = re.search(r"(?P<label>C)(?:SY?|Y)(?P<a>[A#])(?P<c>[CF]?)[&(]*(?P<d>[Oo])?", reading.tags)
    if match is None or not _texts(reading, match) or re.search("[EG]", reading.tags):
        return False
    column = reading.unit(match, "c").column if match["c"] == "C" else None
    function = reading.unit(match, "a")
    if (function.tag == "A") != (column is not None and column.kind in ("number", "bool")):
        return False
    query, label = reading.query, reading.unit(match, "label").column
    assert label is not None
    query.keys, query.aggregates = [Key(label)], [Aggregate(function.key, column)]
    query.order = [(None, bool(match["d"]) and reading.unit(match, "d").key == "ascending")]
    reading.blot(match)
    return True


def _texts(reading: Reading, match: re.Match[str]) -> bool:
    label = reading.unit(match, "label").column
    return label is not None and label.kind in ("text", "category")


def _measured(reading: Reading, match: re.Match[str]) -> bool:
    """*The longest delay*: of numbers the greatest is meant, of texts their length, which no query speaks of."""
    direction, label = reading.unit(match, "f"), reading.unit(match, "label").column
    if label is None or direction.key not in ("longest", "shortest"):
        return False
    if label.kind == "number" and not reading.query.aggregates:
        reading.query.aggregates = [Aggregate(FUNCTION[direction.key], label)]
        reading.blot(match)
    return True


def _pick(reading: Reading, match: re.Match[str]) -> bool:
    groups = match.groupdict()
    direction = reading.unit(match, "f")
    timed = direction.tag in "1L"
    if timed and (column := reading.unit(match, "by").column) and column_fits(column, "time") < 0.95:
        return False
    by = reading.unit(match, "by").column if groups.get("by") else implied(direction, reading.subject)
    function = next((reading.unit(match, g) for g in ("a", "a2") if groups.get(g)), None)
    label = reading.unit(match, "label").column if groups.get("label") else None
    if by is None and reading.subject.kind == "series":
        by = reading.subject.columns[0]
    if groups.get("rows") and implied(direction, reading.subject) is None and label is not None:
        reading.query.keys, reading.query.aggregates = [Key(label)], [Aggregate("count")]
    elif by is None and function is None:
        return False
    if by is not None and label is None and by.kind in ("text", "category") and not timed:
        label, by = by, implied(direction, reading.subject)
        if by is None:
            return False
    if by is not None and label is not None and by.kind in ("text", "category") and function is None:
        # "which city has the most customers" counts rows.
        reading.query.keys, reading.query.aggregates = [Key(label)], [Aggregate("count")]
    if by is not None and label is not None and label.kind == "number" and by.kind != "number":
        return False
    query = reading.query
    query.pick = "max" if direction.key in (*_DESCENDING, "last") else "min"
    query.label, query.by = label, by
    if label is None and not {"R", "F"} & set(match.group()):
        query.label = next((c for c in reading.subject.columns if c.kind in ("text", "category")), None)
    if function is not None:
        query.keys = [Key(label)] if label is not None else []
        query.aggregates = [Aggregate(function.key, by if function.key != "count" else None)]
    reading.blot(match)
    return True


def _ranked(reading: Reading, descending: bool, direction: Unit) -> None:
    """What the best n are ranked by, and whether they are rows or groups."""
    query = reading.query
    if re.search(r"[A#][F]?C?E[CU](?:&[CU])*[&·OSi]*$", reading.tags):
        query.order = [(None, not descending)]  # "total sales per city, top 3"
        return
    match = reading.take(
        r"(?P<label>[CR]?)[wY](?P<a>[AM#])?(?P<f>M)?(?P<by>C?)(?![E])"
        r"|(?P<label2>C)(?P<by2>C)|(?P<by3>C)[RX]?"
    )
    groups = match.groupdict() if match else {}
    by = next((reading.unit(match, g).column for g in ("by", "by2", "by3") if match and groups.get(g)), None)
    label = next((reading.unit(match, g).column for g in ("label", "label2") if match and groups.get(g)), None)
    function = reading.unit(match, "a") if match and groups.get("a") else None
    if function is not None and function.key in _EXTREMES and groups.get("by") and not groups.get("f"):
        descending, function = function.key in _DESCENDING, None
    if by is not None and label is None and by.kind in ("text", "category"):
        label, by = by, None
    by = by or implied(direction, reading.subject)
    query.by, query.label = by, label
    query.order = [(by, not descending)]
    if label is not None and function is not None:
        query.keys = [Key(label)]
        query.aggregates = [Aggregate(function.key, by if function.key != "count" else None)]
        query.order = [(None, not descending)]
    elif label is not None and by is not None:
        # A label that repeats stands for a group.
        length, distinct = reading.subject.length, label.distinct
        if length and distinct and distinct < length and not AVERAGED.search(by.name):
            query.keys, query.aggregates = [Key(label)], [Aggregate("sum", by)]
            query.order = [(None, not descending)]
