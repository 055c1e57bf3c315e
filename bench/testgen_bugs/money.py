"""Amounts, in cents where they are whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal


def rounded(amount: Decimal) -> Decimal:
    """To cents; half a cent goes up."""
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def shares(cents: int, people: int) -> list[int]:
    """What each pays of a bill; the first ones pay a cent more where it does not come out even."""
    each, rest = divmod(cents, people)
    return [each + 1] * rest + [each] * (people - rest)


def reduced(cents: int, percent: int, most: int = 5000) -> int:
    """A price after a discount, which is never more than ``most``."""
    off = min(cents * percent // 100, most)
    return cents - off


def net(gross: float, rate: float) -> float:
    """What is left of a price without the tax of ``rate`` (0.2 for 20 %) in it."""
    return round(gross / (1 + rate), 2)


def tax(income: int) -> int:
    """Nothing up to 10000, a tenth of what is above it, and three tenths of what is above 30000."""
    due = 0
    if income > 10000:
        due += (min(income, 30000) - 10000) // 10
    if income > 30000:
        due += (income - 30000) * 3 // 10
    return due


def grown(amount: float, rate: float, years: int) -> float:
    """An amount with interest that is added each year."""
    for _ in range(years):
        amount += amount * rate
    return round(amount, 2)


def coins(cents: int, kinds: Sequence[int]) -> dict[int, int]:
    """How many of each kind make an amount, the largest first. Raises ValueError if something is left."""
    found = {}
    for kind in sorted(kinds, reverse=True):
        count, cents = divmod(cents, kind)
        if count:
            found[kind] = count
    if cents:
        raise ValueError("it cannot be paid")
    return found


def shown(cents: int) -> str:
    """``-12.05`` for -1205."""
    whole, part = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{part:02}"


def shipping(total: int, grams: int, abroad: bool = False) -> int:
    """Free from 50.00 on unless it goes abroad; else 4.90 and 1.00 for each started kilogram after the first."""
    if total >= 5000 and not abroad:
        return 0
    started = -(-grams // 1000)
    cost = 490 + 100 * max(0, started - 1)
    return cost * 2 if abroad else cost


def best_trade(prices: Sequence[int]) -> int:
    """The most that buying once and selling later gains; 0 if nothing does."""
    best = 0
    lowest = prices[0] if prices else 0
    for price in prices:
        best = max(best, price - lowest)
        lowest = min(lowest, price)
    return best
