"""Reads conditions: *price above 10 and city is Oslo*, *in March*, *without missing ages*, 价格大于10."""

from __future__ import annotations

import calendar
import re
from dataclasses import replace

from famulus.jupyter_kernel.compose.query import Condition, Value
from famulus.jupyter_kernel.compose.units import Unit, column_groups, implied
from famulus.jupyter_kernel.option import COMPARE, column_fits
from famulus.jupyter_kernel.schema import Column, Variable

# Each pattern is over tags (units.py); the first that matches at a place wins.
_PATTERNS = (
    ("between", r"(?P<C>C)=?[if]?=?B(?P<v>[ND])[&2](?P<w>[ND])"),
    ("between", r"(?P<C>C)=?[ifB]?(?P<v>[ND])2(?P<w>[ND])B?"),
    ("between", r"(?P<C>C)=?(?P<o>>)=?(?P<v>N)&=?(?P<p>>)=?(?P<w>N)"),
    ("missing", r"(?P<C>C)=?(?P<n>!?)m"),
    ("missing", r"(?P<n>!?)mi?(?P<C>C)"),
    ("missing", r"(?:W|w)!(?P<C>C)(?![=>])"),
    ("lacking", r"(?:[Ww]?(?P<n>!)|(?P<k>K))(?P<C>C)(?![=>&TNDkcsei])"),
    ("compare", r"(?P<C>C)=?(?P<n>!?)=?(?P<o>>)=?(?P<v>[AM])(?:(?P<w>C))?"),
    ("post", r"(?P<C>C)=?(?P<v>[ND])(?P<o>>)(?![NDTAMC=])"),
    ("compare", r"(?P<C>C)[&Y]?=?(?P<n>!?)=?(?P<o>>)=?(?P<v>[NDTC])"),
    ("contains", r"(?P<C>C)W?(?P<n>!?)c(?P<v>[TXN])"),
    ("starts", r"(?P<C>C)W?(?P<n>!?)s(?P<v>[TX])"),
    ("ends", r"(?P<C>C)W?(?P<n>!?)e(?P<v>[TX])"),
    ("contains", r"W?(?P<n>!?)c(?P<v>T)"),
    ("starts", r"(?P<C>C)w?(?P<v>[TX])s"),
    ("ends", r"(?P<C>C)w?(?P<v>[TX])e"),
    ("in", r"(?P<C>C)=?(?P<n>!?)(?:=|i)*(?P<v>[TN])(?P<more>(?:[&|]+[TN])+)(?![>C])"),
    ("compare", r"(?P<C>C)(?P<o>=)(?P<n>!?)(?P<v>[TNDX])(?![2B])"),
    ("compare", r"(?P<n>>)(?P<C>C)(?P<v>[TN])"),
    ("beside", r"(?P<C>C)(?P<v>[T])"),
    ("compare", r"w?(?P<o>>)=?(?P<v>N)(?P<C>C)(?!>)"),
    ("years", r"[ifW]*B?(?P<v>[ND])[&2](?P<w>[ND])B?"),
    ("age", r"(?P<o>>)=?(?P<v>[ND])(?![%R])"),
    ("on", r"[ir]?(?P<v>D)"),
    ("dated", r"(?P<n>!?)(?P<C>C)[ifr]?(?P<v>(?<=[ifr])[NH](?![RC&])|D)"),
    ("unit", r"(?P<v>N)(?P<u>U)"),
    ("unit", r"[ifr](?P<v>N)(?![RC&])"),
    ("unit", r"[ifr]?(?P<v>H)"),
    ("text", r"(?P<n>[>!]?)[ifrwW=]?(?P<v>T)(?P<more>(?:[&|]+T)*)"),
    ("flag", r"(?<![EYG&])(?P<n>!=*|K?)(?P<C>Q)(?:=(?P<v>X))?"),
)
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in _PATTERNS)


def conditions(tags: str, found: list[Unit], subject: Variable) -> tuple[list[Condition], str]:
    """The conditions in a string of tags, and the string with what they used up blotted out (``·``)."""
    made: list[Condition] = []
    end_of_last = -1
    position = 0
    while position < len(tags):
        hit = None
        for name, pattern in _COMPILED:
            match = pattern.match(tags, position)
            if match:
                condition = _condition(name, match, found, subject)
                if condition is not None:
                    hit = (condition, match.end())
                    break
        if hit is None:
            position += 1
            continue
        condition, end = hit
        if tags[end : end + 1] == "C" and found[end].column == condition.column and tags[end - 1] in "TN":
            end += 1  # "the Toys category", "15 minutes"
        elif tags[end : end + 1] == "U" and tags[end - 1] == "N" and found[end - 1].end == found[end].start:
            end += 1
        between = tags[end_of_last:position] if end_of_last >= 0 else ""
        start = position
        if made and "|" in between and set(between) <= set("|W·="):
            condition = Condition(
                condition.column, condition.operator, condition.values, condition.unit, condition.negated, True
            )
        if made and set(between) <= set("&|W!·"):
            start = end_of_last
        while start > 0 and tags[start - 1] in "W":
            start -= 1
        made.append(condition)
        tags = tags[:start] + "·" * (end - start) + tags[end:]
        position = end_of_last = end
    return made, tags


def _condition(name: str, match: re.Match[str], found: list[Unit], subject: Variable) -> Condition | None:
    def at(group: str) -> Unit | None:
        return found[match.start(group)] if group in match.groupdict() and match[group] else None

    column_unit, value, second = at("C"), at("v"), at("w")
    column = column_unit.column if column_unit else None
    negated = bool(match.groupdict().get("n"))
    if name == "contains" and column is None and value is not None:
        column = value.column
    if name == "between" and column and value and second:
        return _between(column, value, second, at("o"), at("p"))
    if name == "years" and value and second and value.tag + second.tag != "NN":
        times = [c for c in (*subject.columns, *subject.index) if column_fits(c, "time") >= 0.95]
        return _between(times[0], value, second, None, None) if times and value.tag == second.tag else None
    if name == "years" and value and second:
        year = _year_column(subject) if all(_YEAR.fullmatch(unit.code) for unit in (value, second)) else None
        return Condition(year[0], "between", (Value(value.code), Value(second.code)), year[1]) if year else None
    if name == "missing" and column:
        return Condition(column, "missing", negated=negated)
    if name == "lacking" and column:
        lacks = found[match.start("k")].text == "without" if match["k"] else column.kind != "number"
        return Condition(column, "missing") if lacks else None
    if name == "flag" and column:
        if match["n"] == "K" and found[match.start("n")].text != "without":
            return None
        false = value is not None and value.text.lower() in ("false", "no", "假")
        return Condition(column, "true", negated=negated != false)
    if name in ("contains", "starts", "ends") and column and value:
        code = repr(value.text) if value.tag in "NX" else value.code
        return Condition(column, name, (Value(code),), negated=negated)
    if name == "beside" and column and value:
        # "city Oslo", but not "price Oslo".
        fits = column.kind in ("text", "category") and value.column in (None, column)
        return _compare(column, None, value, None, False) if fits else None
    if name == "in" and column and value:
        more = [found[match.start("more") + i] for i, tag in enumerate(match["more"]) if tag in "TN"]
        return Condition(column, "in", tuple(Value(unit.code) for unit in (value, *more)), negated=negated)
    if name == "compare" and column and value:
        return _compare(column, at("o"), value, second, negated)
    if name == "post" and column and value:
        return _compare(column, at("o"), value, None, False) if _POST.match(found[match.start("o")].text) else None
    if name == "age" and value:
        year = _year_column(subject) if _YEAR.fullmatch(value.code) else None
        if year is not None and found[match.start("o")].key != "ne":
            sign = COMPARE[found[match.start("o")].key]
            return Condition(year[0], sign, (Value(value.code),), year[1])
        meant = implied(found[match.start("o")], subject) or _only_number(subject, value)
        return _compare(meant, at("o"), value, None, False) if meant else None
    if name == "on" and value:
        times = [c for c in subject.columns if column_fits(c, "time") >= 0.95]
        whole = re.fullmatch(r"'\d{4}.\d{1,2}.\d{1,2}'", value.code)
        if times and re.fullmatch(r"'\d{4}-\d\d'", value.code):
            return _in_month(times[0], value)
        return Condition(times[0], "==", (Value(value.code, is_time=True),), "date") if times and whole else None
    if name == "dated" and column and value:
        if column_fits(column, "time") < 0.95:
            return None
        if value.tag == "D":
            if re.fullmatch(r"'\d{4}-\d\d'", value.code):
                return _in_month(column, value)
            return Condition(column, "==", (Value(value.code, is_time=True),), "date", negated)
        made = _unit(value, None, subject)
        return replace(made, negated=negated) if made is not None else None
    if name == "unit" and value:
        return _unit(value, at("u"), subject)
    if name == "text" and value and value.column is not None:
        more = [found[match.start("more") + i] for i, tag in enumerate(match["more"]) if tag == "T"]
        if any(unit.column is None for unit in more):
            return None
        values = tuple(Value(unit.code) for unit in (value, *more))
        return Condition(value.column, "in" if more else "==", values, negated=negated)
    return None


def _in_month(column: Column, month: Unit) -> Condition:
    """*In March 2024*: from its first moment to its last."""
    year, number = map(int, re.findall(r"\d+", month.code))
    last = calendar.monthrange(year, number)[1]
    ends = (f"'{year}-{number:02}-01'", f"'{year}-{number:02}-{last} 23:59:59'")
    return Condition(column, "between", tuple(Value(end, is_time=True) for end in ends))


def _between(column: Column, low: Unit, high: Unit, first: Unit | None, second: Unit | None) -> Condition | None:
    values = (Value(low.code, is_time=low.tag == "D"), Value(high.code, is_time=high.tag == "D"))
    if first is None or second is None:
        return Condition(column, "between", values)
    operators = (COMPARE[first.key], COMPARE[second.key])
    return Condition(column, " ".join(operators), values) if operators[0][0] != operators[1][0] else None


def _compare(
    column: Column, operator: Unit | None, value: Unit, second: Unit | None, negated: bool
) -> Condition | None:
    sign = COMPARE[operator.key] if operator is not None else "=="
    if value.tag in "AM":
        if value.key not in ("mean", "median", "max", "min"):
            return None
        return Condition(column, sign, (Value(column=second.column if second else column, statistic=value.key),))
    if value.tag == "C":
        return Condition(column, sign, (Value(column=value.column),), negated=negated)
    if value.tag == "N" and column_fits(column, "time") >= 0.95 and re.fullmatch(r"(19|20)\d\d", value.code):
        return Condition(column, sign, (Value(value.code),), "year", negated)
    if value.tag == "N" and column.kind == "text" and sign in "==!=":
        return Condition(column, sign, (Value(repr(value.text)),), negated=negated)
    if value.tag == "X" and not (
        value.text[:1].isupper() or value.text[0] > "\u3400" or column.kind in ("text", "category")
    ):
        return None
    if (
        value.tag == "X"
        and operator is not None
        and operator.text in ("were", "was", "been", "are")
        and (value.text.endswith("ed") and value.text.islower())
    ):
        return None  # "urls were requested": a verb, no value
    if value.tag in "NX" and sign not in ("==", "!=") and value.tag == "X":
        return None
    is_time = value.tag == "D" or (column.kind == "time" and value.tag != "N")
    return Condition(column, sign, (Value(value.code, is_time=is_time),), negated=negated)


def _only_number(subject: Variable, value: Unit) -> Column | None:
    kind = "time" if value.tag == "D" else "number"
    fitting = [column for column in subject.columns if column_fits(column, kind) >= 0.9]
    if len(fitting) == 1:
        return fitting[0]
    # "people over 30" speaks of their age.
    ages = [column for column in fitting if column_groups("age") & column_groups(column.name)]
    return ages[0] if ages and value.tag == "N" and float(value.code) < 120 else None


# Comparisons that stand behind their number: *65 or more*, 65以上.
_POST = re.compile(r"or\b|and (?:above|over|up)|及?以[上下]|\+")
_YEAR = re.compile(r"(19|20)\d\d")


def _year_column(subject: Variable) -> tuple[Column, str] | None:
    """The column of years, or one of times and the unit to be taken of it."""
    columns = (*subject.columns, *subject.index)
    for column in columns:
        if column.kind == "number" and "year" in column.name.lower():
            return column, ""
    times = [column for column in columns if column_fits(column, "time") >= 0.95]
    return (times[0], "year") if times else None


def _unit(value: Unit, unit: Unit | None, subject: Variable) -> Condition | None:
    """*in 2023*, *in March*, 3月."""
    name = unit.key if unit is not None else "month" if value.tag == "H" else "year"
    if name == "year" and not re.fullmatch(r"(19|20)\d\d", value.code):
        return None
    if name not in ("year", "month") or (name == "month" and not 1 <= int(float(value.code)) <= 12):
        return None
    whole = next((c for c in subject.columns if c.name.lower() == name and c.kind == "number"), None)
    if whole is not None:
        return Condition(whole, "==", (Value(value.code),))
    times = [column for column in subject.columns if column_fits(column, "time") >= 0.95]
    return Condition(times[0], "==", (Value(value.code),), name) if times else None
