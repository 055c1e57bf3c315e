"""Dates as people write them: *4 July 1990*, *Feb 10th, 2024*, *March 2024*, *24.12.2025*, 2024年3月5日."""

from __future__ import annotations

import re

MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"), start=1
    )
    for name in names.split()
}  # fmt: skip
_MONTH = rf"(?:{'|'.join(sorted(MONTHS, key=len, reverse=True))})\b\.?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:19|20)\d\d"
SPELT = "|".join(
    (
        rf"\b{_DAY}(?:\ of)?[\ -]{_MONTH},?[\ -]{_YEAR}\b",
        rf"\b{_MONTH}\ {_DAY},?\ {_YEAR}\b",
        rf"\b{_MONTH},?(?:\ of)?\ {_YEAR}\b",
        rf"(?<![\d./])\d{{1,2}}[./]\d{{1,2}}[./]{_YEAR}(?![\d./])",
        rf"{_YEAR}年\d{{1,2}}月(?:\d{{1,2}}[日号])?",
    )
)
"""A regular expression (to be compiled with ``re.VERBOSE`` and ``re.IGNORECASE``) for such a date."""


def iso(text: str) -> str:
    """The date in ISO form, ``2024-07-04`` or ``2024-07`` where no day is said. Of two numbers before a year the
    first is the day where they are parted by dots, the month where they are parted by slashes and it can be one."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    month = next((MONTHS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in MONTHS), 0)
    year = next(number for number in numbers if number > 31)
    rest = [number for number in numbers if number != year]
    if not month and "年" in text:
        month, rest = rest[0], rest[1:]
    elif not month:
        day_first = "." in text or rest[0] > 12
        month, rest = (rest[1], rest[:1]) if day_first else (rest[0], rest[1:])
    return f"{year}-{month:02}" + (f"-{rest[0]:02}" if rest else "")
