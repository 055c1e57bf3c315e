"""Objects that remember."""

from __future__ import annotations


class Account:
    """Money with a limit below zero."""

    def __init__(self, balance: int = 0, limit: int = 0) -> None:
        self.balance, self.limit = balance, limit
        self.fees = 0

    def withdraw(self, amount: int) -> int:
        """Take money out; what goes below zero costs 5. Raises ValueError where the limit does not allow it."""
        cost = 5 if self.balance - amount < 0 else 0
        if amount + cost > self.balance + self.limit:
            raise ValueError("too much")
        self.balance -= amount + cost
        self.fees += cost
        return self.balance


class Cache:
    """At most so many values; what was not used for the longest time goes first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.values: dict[str, int] = {}

    def get(self, name: str) -> int | None:
        """A value, which counts as used now."""
        if name not in self.values:
            return None
        self.values[name] = self.values.pop(name)
        return self.values[name]

    def put(self, name: str, value: int) -> list[str]:
        """Keep a value; the names that are kept now, the oldest first."""
        self.values.pop(name, None)
        self.values[name] = value
        while len(self.values) > self.most:
            del self.values[next(iter(self.values))]
        return list(self.values)


class Editor:
    """A text whose changes can be taken back."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.before: list[str] = []
        self.after: list[str] = []

    def write(self, more: str) -> str:
        """Add to the text."""
        self.before.append(self.text)
        self.after.clear()
        self.text += more
        return self.text

    def undo(self) -> str:
        """Take the last change back, if there is one."""
        if self.before:
            self.after.append(self.text)
            self.text = self.before.pop()
        return self.text


class Stock:
    """How much there is of each thing."""

    def __init__(self, amounts: dict[str, int] | None = None) -> None:
        self.amounts = dict(amounts or {})

    def take(self, name: str, amount: int) -> dict[str, int]:
        """Take some away; what is used up is not listed any more. Raises KeyError or ValueError if it is not there."""
        if amount > self.amounts[name]:
            raise ValueError(f"only {self.amounts[name]} of {name}")
        self.amounts[name] -= amount
        if not self.amounts[name]:
            del self.amounts[name]
        return self.amounts


class Door:
    """A turnstile: a coin opens it for one person."""

    def __init__(self) -> None:
        self.open = False
        self.coins = 0

    def coin(self) -> bool:
        """Put a coin in; False, and the coin comes back, if it is open."""
        if self.open:
            return False
        self.open = True
        self.coins += 1
        return True

    def push(self) -> bool:
        """Go through; whether it was open."""
        was, self.open = self.open, False
        return was


class Mean:
    """The mean of numbers as they come."""

    def __init__(self) -> None:
        self.count = 0
        self.value = 0.0

    def add(self, number: float) -> float:
        """The mean with one more number."""
        self.count += 1
        self.value += (number - self.value) / self.count
        return self.value


class Poll:
    """Each person has one vote, and may change it."""

    def __init__(self) -> None:
        self.votes: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    def vote(self, person: str, choice: str) -> dict[str, int]:
        """Vote; the counts of all choices so far."""
        old = self.votes.get(person)
        if old is not None:
            self.counts[old] -= 1
        self.votes[person] = choice
        self.counts[choice] = self.counts.get(choice, 0) + 1
        return self.counts


class Ring:
    """The last few numbers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: list[int] = []

    def push(self, item: int) -> int | None:
        """Add a number; the one that has to go for it."""
        self.items.append(item)
        if len(self.items) > self.size:
            return self.items.pop(0)
        return None


class Basket:
    """Prices in cents, with a voucher that counts once."""

    def __init__(self, voucher: int = 0) -> None:
        self.voucher = voucher
        self.prices: list[int] = []

    def add(self, cents: int, count: int = 1) -> int:
        """Put things in; what all of it costs, never less than nothing."""
        if count < 1:
            raise ValueError("count is below one")
        self.prices += [cents] * count
        return max(0, sum(self.prices) - self.voucher)
