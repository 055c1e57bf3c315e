"""Days, months and hours."""

from __future__ import annotations

from datetime import date, timedelta


def is_leap(year: int) -> bool:
    """Whether a year of the Gregorian calendar has a 29th of February."""
    if year % 100 == 0:
        return year % 400 == 0
    return year % 4 == 0


def days_in_month(year: int, month: int) -> int:
    """How many days a month (1 to 12) has."""
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def quarter_end(day: date) -> date:
    """The last day of the quarter that a day is in."""
    month = (day.month - 1) // 3 * 3 + 3
    return date(day.year, month, days_in_month(day.year, month))


def add_months(day: date, months: int) -> date:
    """The same day so many months later, or the last one of that month."""
    total = day.year * 12 + day.month - 1 + months
    year, month = total // 12, total % 12 + 1
    return date(year, month, min(day.day, days_in_month(year, month)))


def workdays(start: date, end: date) -> int:
    """Mondays to Fridays from ``start`` on, before ``end``."""
    found = 0
    while start < end:
        if start.weekday() < 5:
            found += 1
        start += timedelta(days=1)
    return found


def age(born: date, today: date) -> int:
    """Full years that somebody is old."""
    years = today.year - born.year
    if (today.month, today.day) < (born.month, born.day):
        years -= 1
    return years


def duration(seconds: int) -> str:
    """Hours, minutes and seconds: ``1:02:03``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def minute_of_day(clock: str) -> int:
    """Minutes since midnight of a time such as ``9:30 pm``."""
    time, _, half = clock.strip().lower().partition(" ")
    hour, minute = (int(part) for part in time.split(":"))
    hour %= 12
    if half == "pm":
        hour += 12
    return hour * 60 + minute


def week_start(day: date) -> date:
    """The Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def is_weekend(day: date) -> bool:
    """Whether a day is a Saturday or a Sunday."""
    return day.isoweekday() in (6, 7)
