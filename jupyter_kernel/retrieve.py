"""Which recipes speak of what an instruction speaks of: an index of phrasings as bags of concepts."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.recipe import FOLDER, Recipe, load
from famulus.jupyter_kernel.words import tokens

SLOT_WEIGHT = 0.6
PATH = "@path"
_STATISTICS = frozenset(("mean", "sum", "median", "max", "min", "count", "std", "var", "unique"))


@dataclass(frozen=True)
class Item:
    """A word of a phrasing by its concept, or a slot by its name."""

    key: str
    weight: float
    slot: str = ""


@dataclass(frozen=True)
class Phrasing:
    """One way of saying a recipe. ``beside``: slot → the concepts to its left and right, "" where there is none."""

    recipe: Recipe
    items: tuple[Item, ...]
    beside: dict[str, tuple[str, str]]

    @property
    def literals(self) -> list[Item]:
        """The words that an instruction must share; slots and noise are none."""
        return [item for item in self.items if not item.slot and item.weight > NOISE]


def phrasing(recipe: Recipe, say: str) -> Phrasing:
    """A phrasing as items; its words go through the same tokeniser as instructions."""
    items: list[Item] = []
    for piece in re.split(r"(\{\w+\})", say):
        if piece.startswith("{") and piece.endswith("}"):
            items.append(Item("", 1.0, piece[1:-1]))
        else:
            items += [Item(token_key(token), token.weight) for token in tokens(piece)]
    heavy = [item for item in items if item.slot or item.weight > NOISE]
    beside = {}
    for position, item in enumerate(heavy):
        if item.slot:
            left = heavy[position - 1].key if position else ""
            right = heavy[position + 1].key if position + 1 < len(heavy) else ""
            beside[item.slot] = (left, right)
    return Phrasing(recipe, tuple(items), beside)


def token_key(token: Token) -> str:
    """What a token is found by: literals by their value, so that a recipe may speak of *axis 0*."""
    return f"#{token.value}" if token.kind == "number" else token.key


class Index:
    """BM25 over phrasings. Built once for a set of recipes; never changed."""

    def __init__(self, recipes: Iterable[Recipe]) -> None:
        self.phrasings = [phrasing(recipe, say) for recipe in recipes for say in recipe.say]
        by_recipe: dict[str, set[str]] = {}
        for said in self.phrasings:
            by_recipe.setdefault(said.recipe.id, set()).update(item.key for item in said.literals)
        spread = Counter(key for keys in by_recipe.values() for key in keys)
        total = max(len(by_recipe), 1)
        most = math.log(1 + total)
        # From 0.4 for a word of every recipe to 1 for a word of one.
        self.rarity = {key: 0.4 + 0.6 * math.log(1 + total / count) / most for key, count in spread.items()}
        self._postings: dict[str, list[tuple[int, float]]] = {}
        self._lengths = [sum(item.weight for item in said.literals) or 0.3 for said in self.phrasings]
        for number, said in enumerate(self.phrasings):
            for item in said.literals:
                self._postings.setdefault(item.key, []).append((number, item.weight * self.rarity[item.key]))
            for key in _said_by_slots(said):
                self._postings.setdefault(key, []).append((number, SLOT_WEIGHT))

    def weight(self, token: Token) -> float:
        """How much of an instruction's meaning a token carries."""
        return token.weight * self.rarity.get(token_key(token), 0.9)

    def search(self, its_tokens: Sequence[Token], limit: int, per_recipe: int = 3) -> list[Phrasing]:
        """The phrasings nearest to an instruction, best first."""
        scores: dict[int, float] = {}
        keys = {token_key(token) for token in its_tokens if token.weight > NOISE}
        keys |= set(_numbered(token.key for token in its_tokens if token.key in _STATISTICS))
        keys |= {PATH} if any(token.kind == "path" for token in its_tokens) else set()
        for key in keys:
            for number, weight in self._postings.get(key, ()):
                scores[number] = scores.get(number, 0.0) + weight
        mean = sum(self._lengths) / max(len(self._lengths), 1)
        ranked = sorted(scores, key=lambda n: -scores[n] / (0.5 + 0.5 * self._lengths[n] / mean))
        taken: Counter[str] = Counter()
        found = []
        for number in ranked:
            said = self.phrasings[number]
            taken[said.recipe.id] += 1
            if taken[said.recipe.id] <= per_recipe:
                found.append(said)
                if len(found) >= limit:
                    break
        return found


def _said_by_slots(said: Phrasing) -> list[str]:
    """What stands for the statistics that a phrasing leaves to its slots: they are found without other words."""
    types = [said.recipe.slots[item.slot].type for item in said.items if item.slot]
    return _numbered("agg" for kind in types if kind == "agg") + [PATH] * ("path" in types)


def _numbered(keys: Iterable[str]) -> list[str]:
    return [f"@agg{number}" for number, _ in enumerate(keys)]


@functools.cache
def index(folder: Path = FOLDER) -> Index:
    """The index of a folder of recipes, read when it is first asked for."""
    return Index(load(folder))
