"""Orders of a small shop: what `famulus tour` completes. Amounts are whole cents."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Line:
    """One article of an order."""

    article: str
    price: int
    quantity: int = 1

    def total(self) -> int:
        """Price of all pieces."""
        return self.price * self.quantity


@dataclass
class Order:
    """What a customer ordered, and what was paid for it so far."""

    customer: str
    lines: list[Line] = field(default_factory=list)
    paid: int = 0

    def add(self, article: str, price: int, quantity: int = 1) -> None:
        """Put an article into the order."""
        self.lines.append(Line(article, price, quantity))

    def total(self) -> int:
        """Price of all lines."""
        return sum(line.total() for line in self.lines)

    def open_amount(self) -> int:
        """What is still to be paid."""
        return self.total() - self.paid

    def is_paid(self) -> bool:
        """Has everything been paid?"""
        return self.open_amount() <= 0


def unpaid(orders: list[Order]) -> list[Order]:
    """Orders that still wait for money, the largest amount first."""
    waiting = [order for order in orders if not order.is_paid()]
    return sorted(waiting, key=Order.open_amount, reverse=True)


def revenue(orders: list[Order]) -> dict[str, int]:
    """What each customer has paid."""
    paid: dict[str, int] = {}
    for order in orders:
        paid[order.customer] = paid.get(order.customer, 0) + order.paid
    return paid
