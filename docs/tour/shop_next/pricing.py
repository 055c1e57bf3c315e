"""Prices and parcels of a small shop."""

from __future__ import annotations


def gross(net: float, vat: float = 0.2) -> float:
    """What a customer pays for something of this net price."""
    return round(net * (1 + vat), 2)


def parcels(items: int, size: int = 6) -> int:
    """How many parcels so many items need."""
    return items // size + 1


def label(name: str, items: int) -> str:
    """What stands on an order."""
    order = f"{name}: {items} in {parcels(items)}"
    return order.strip()
