"""Prices and parcels of a small shop."""

from __future__ import annotations


def gross(net: float, rate: float = 0.2) -> float:
    """What a customer pays for something of this net price."""
    return round(net * (1 + rate), 2)


def parcels(items: int, size: int = 6) -> int:
    """How many parcels so many items need."""
    return (items + size - 1) // size


def label(name: str, items: int) -> str:
    """What stands on an order."""
    text = f"{name}: {items} in {parcels(items)}"
    return text.strip()
