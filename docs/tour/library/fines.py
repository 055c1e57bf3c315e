"""Fines of a small library."""

from __future__ import annotations


def fine(days_late: int, member: bool = False) -> float:
    """What a reader owes: 0.20 a day after two free days, half of it for members, at most 10."""
    if days_late <= 2:
        return 0.0
    owed = (days_late - 2) * 0.2
    if member:
        owed = owed / 2
    return min(round(owed, 2), 10.0)


def reminder(days_late: int) -> str:
    """How urgently a reader is written to."""
    if days_late < 0:
        raise ValueError("days_late must not be negative")
    if days_late > 28:
        return "last"
    return "first" if days_late > 7 else "none"
