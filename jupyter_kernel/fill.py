"""Fills the slots of a phrasing from an instruction: every consistent way, with how well it accounts for the words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from famulus.jupyter_kernel.lexeme import FULL, NOISE
from famulus.jupyter_kernel.mentions import Read, command, defines
from famulus.jupyter_kernel.option import Context, Option
from famulus.jupyter_kernel.options import options
from famulus.jupyter_kernel.recipe import VARIABLES, Slot
from famulus.jupyter_kernel.retrieve import Index, Phrasing, token_key

PER_SLOT, BEAM = 8, 24
# What an unsaid filling is worth: a variable is often left unsaid, a column seldom.
UNSAID_VARIABLE, UNSAID_OTHER = 0.7, 0.25
LEFT, RIGHT, ORDER, VAGUE = 0.3, 0.2, 0.12, 1.8
# What is left of a match that does not account for what the instruction tells to do, or for what it is to be done to.
NOT_DONE, NOT_MEANT, UNNAMED = 0.5, 0.7, 0.9
NO_FUNCTION = 0.3
NO_SHARE = 0.9
# What is left of the worth of an unsaid variable where the words name only one of two.
ONE_OF_TWO = 0.5
_VAGUE = ("word", "value", "new", "folder")


@dataclass(frozen=True)
class Filling:
    """One way to fill a phrasing's slots. ``match``: how much of instruction and phrasing account for each other."""

    phrasing: Phrasing
    chosen: dict[str, Option]
    match: float
    fit: float

    @property
    def code(self) -> str:
        """The recipe's template with what was chosen for its slots."""
        recipe = self.phrasing.recipe
        values = {name: option.code for name, option in self.chosen.items()}
        attributes = {(name, key): v for name, option in self.chosen.items() for key, v in option.attributes.items()}
        return recipe.render(values, attributes)


@dataclass
class _Partial:
    chosen: dict[str, Option]
    used: set[int]
    score: float


class Filler:
    """Fills phrasings from one instruction; options are worked out once for each kind of slot."""

    def __init__(self, index: Index, contexts: Callable[[str], Context]) -> None:
        self.index = index
        self.contexts = contexts
        self._options: dict[tuple[str, str, str | None, str], list[Option]] = {}

    def fill(self, said: Phrasing, limit: int = 3) -> list[Filling]:
        """The best consistent fillings of a phrasing, none where a slot cannot be filled."""
        recipe = said.recipe
        partials = [_Partial({}, set(), 0.0)]
        slots = sorted(recipe.slots.values(), key=_difficulty)
        for slot in slots:
            found = self._of(slot, recipe.library)
            if not found:
                return []
            partials = self._extend(partials, slot, found, said)
            if not partials:
                return []
        fillings = []
        for partial in partials:
            if all((n, a) in _attributes(partial) for n, a in recipe.holes() if a):
                match = self._match(said, partial)
                fillings.append(Filling(said, partial.chosen, match, partial.score + self._order(said, partial)))
        return sorted(fillings, key=lambda f: -(f.match + 0.1 * f.fit))[:limit]

    def _of(self, slot: Slot, library: str) -> list[Option]:
        signature = (slot.type, slot.kind, slot.default, library)
        if signature not in self._options:
            self._options[signature] = options(slot, self.contexts(library))
        return self._options[signature]

    def _extend(self, partials: list[_Partial], slot: Slot, found: list[Option], said: Phrasing) -> list[_Partial]:
        out = []
        literal = {item.key for item in said.literals}
        context = self.contexts(said.recipe.library)
        ranked = sorted(((o.score + self._cue(slot, o, said, context), o) for o in found), key=lambda pair: -pair[0])
        for partial in partials:
            taken = 0
            for score, option in ranked:
                span = range(option.start, option.end)
                if any(index in partial.used for index in span) or not _consistent(slot, option, partial, said):
                    continue
                if slot.type in _VAGUE and option.end == option.start + 1:
                    token = context.read.tokens[option.start]
                    if token.kind == "word" and token_key(token) in literal and option.score < 0.9:
                        continue
                out.append(
                    _Partial({**partial.chosen, slot.name: option}, partial.used | set(span), partial.score + score)
                )
                taken += 1
                if taken >= PER_SLOT:
                    break
        return sorted(out, key=lambda partial: -partial.score)[:BEAM]

    def _cue(self, slot: Slot, option: Option, said: Phrasing, context: Context) -> float:
        """What stands beside a slot in the phrasing should stand beside its filling in the instruction."""
        left, right = said.beside.get(slot.name, ("", ""))
        if not option.said:
            return 0.0
        bonus = 0.0
        its_tokens = context.read.tokens
        before = next((t for t in reversed(its_tokens[: option.start]) if t.weight > NOISE), None)
        after = next((t for t in its_tokens[option.end :] if t.weight > NOISE), None)
        if left and before is not None and token_key(before) == left:
            bonus += LEFT
        if right and after is not None and token_key(after) == right:
            bonus += RIGHT
        # Any word may stand in a vague slot: there the neighbours decide.
        return bonus * (VAGUE if slot.type in _VAGUE else 1.0)

    def _order(self, said: Phrasing, partial: _Partial) -> float:
        """Slots that compete for the same words come in the phrasing's order."""
        named = [item.slot for item in said.items if item.slot and partial.chosen[item.slot].said]
        bonus = 0.0
        for position, first in enumerate(named):
            for second in named[position + 1 :]:
                if _family(said.recipe.slots[first]) == _family(said.recipe.slots[second]):
                    in_order = partial.chosen[first].start < partial.chosen[second].start
                    bonus += ORDER if in_order else -ORDER
        return bonus

    def _match(self, said: Phrasing, partial: _Partial) -> float:
        read = self.contexts(said.recipe.library).read
        rarity = self.index.rarity
        unmatched: dict[str, list[tuple[int, float]]] = {}
        order: list[int] = []
        covered = total = 0.0
        strengths = {i: o.score for o in partial.chosen.values() for i in range(o.start, o.end)}
        for position, token in enumerate(read.tokens):
            if position in read.taken:
                continue
            weight = self.index.weight(token)
            total += weight
            if position in strengths:
                covered += weight * (0.4 + 0.6 * min(strengths[position], 1.0))
            elif token.weight > NOISE:
                unmatched.setdefault(token_key(token), []).append((position, weight))
        percent = any(token.value.endswith("%") for token in read.tokens if token.kind == "number")
        wanted = met = 0.0
        for item in said.literals:
            weight = item.weight * rarity.get(item.key, 0.9)
            wanted += weight
            if unmatched.get(item.key):
                position, its_weight = unmatched[item.key].pop()
                covered += its_weight
                met += weight
                if item.weight >= FULL:
                    order.append(position)
            elif percent and item.key == "percent":
                met += weight  # "10%" says it
        # A phrasing of which only little words are met says nothing of what is asked.
        heard = met / wanted if wanted else 1.0
        for name, slot in said.recipe.slots.items():
            option = partial.chosen[name]
            if slot.default is None and slot.type != "new":
                wanted += 0.8
                met += 0.8 * _worth(slot, option) * (ONE_OF_TWO if self._second(said, partial, name) else 1.0)
        whole = (covered + met) / (total + wanted) if total + wanted else 0.0
        least = 0.75 if said.recipe.gives == "change" else 0.65
        if not _speaks_of_subject(said, partial) and total:
            # Nothing of the user's is named, so that what is not understood tells more.
            whole *= 1 - 0.4 * (total - covered) / total
        if said.recipe.gives == "change" and heard < 0.95 and not _speaks_of_subject(said, partial):
            # What is changed must be named, or the words be those of the phrasing.
            whole *= 0.7
        if total and defines(read):
            # Of functions there is one for each purpose: what is not understood is the purpose.
            whole *= covered / total if "def " in said.recipe.code else NO_FUNCTION
        whole *= self._does(said, partial, {position for left in unmatched.values() for position, _ in left})
        if percent and not any(a == "fraction" for _, a in said.recipe.holes()):
            whole *= NO_SHARE
        # Of two recipes, one for n things and one for one of them, the latter is meant where no number is said.
        slots = said.recipe.slots
        whole -= 0.01 * sum(slots[n].type in ("int", "number") and not o.said for n, o in partial.chosen.items())
        # Words tell little by their order, but of two recipes with the same words the one in order is meant.
        whole -= 0.0 if order == sorted(order) else 0.02
        return whole * min(1.0, 0.4 + 0.6 * heard / least)

    def _second(self, said: Phrasing, partial: _Partial, name: str) -> bool:
        """Whether a variable is left unsaid though another that the recipe works on is said."""
        slots = said.recipe.slots
        others = [n for n, slot in slots.items() if n != name and slot.type in VARIABLES and slot.type != "text"]
        return (
            slots[name].type in VARIABLES
            and not partial.chosen[name].said
            and any(partial.chosen[other].said for other in others)
        )

    def _does(self, said: Phrasing, partial: _Partial, unmatched: set[int]) -> float:
        """1 where the filling does what the words tell to do with what they name, less where it does not."""
        read = self.contexts(said.recipe.library).read
        slots = said.recipe.slots
        bare = {
            i
            for name, option in partial.chosen.items()
            if slots[name].type in ("word", "value") and option.said
            for i in range(option.start, option.end)
            if read.tokens[i].kind == "word"
        }
        share = NOT_DONE if command(read) in unmatched | bare else 1.0
        if _speaks_of_subject(said, partial):
            return share
        if any(_is_thing(read, i) for i in bare):
            # *drop the database*: the word that says what is dropped is no value of a list that nobody named.
            return share * NOT_MEANT
        subject = any(slot.type in VARIABLES for slot in slots.values())
        return share * (UNNAMED if subject and bare else 1.0)


def _is_thing(read: Read, index: int) -> bool:
    if read.tokens[index].key in ("file", "folder"):
        return True
    return index > 0 and read.tokens[index - 1].text.lower() in ("the", "this", "my", "our", "all")


def _speaks_of_subject(said: Phrasing, partial: _Partial) -> bool:
    slots = said.recipe.slots
    return any(
        option.said and (slots[name].type in VARIABLES or option.columns) for name, option in partial.chosen.items()
    )


def _family(slot: Slot) -> str:
    """Types of slots that compete for the same words."""
    families = {"int": "number", "value": "number", "columns": "column", "list": "sequence", "array": "sequence"}
    return families.get(slot.type, slot.type)


def _worth(slot: Slot, option: Option) -> float:
    if option.said:
        # A word that means something else (*duplicates* as a value) hardly fills a slot.
        return 1.0 if option.score >= 0.3 else 0.5
    return UNSAID_VARIABLE if slot.type in VARIABLES else UNSAID_OTHER


def _difficulty(slot: Slot) -> tuple[int, int]:
    """Variables first, then what depends on them, then literals, the vaguest last."""
    order = {"column": 1, "columns": 1, "condition": 1, "expr": 1, "value": 3, "word": 4, "new": 5, "folder": 4}
    return (0 if slot.type in VARIABLES else order.get(slot.type, 2), slot.default is not None)


def _consistent(slot: Slot, option: Option, partial: _Partial, said: Phrasing) -> bool:
    if slot.type in VARIABLES:
        others = [o for n, o in partial.chosen.items() if said.recipe.slots[n].type in VARIABLES]
        return not any(o.owner and o.owner == option.owner for o in others)
    if slot.type in ("column", "columns", "condition", "expr"):
        owner = slot.of or next(
            (n for n, s in said.recipe.slots.items() if s.type in VARIABLES and s.type != "text"), ""
        )
        if owner and owner in partial.chosen and partial.chosen[owner].owner != option.owner:
            return False
        same = [o for n, o in partial.chosen.items() if said.recipe.slots[n].type in ("column", "columns")]
        if slot.type in ("column", "columns"):
            return not any(o.owner == option.owner and set(o.columns) & set(option.columns) for o in same)
    if slot.type in ("value", "word") and option.said:
        # Nothing is replaced by itself: *ROME by Rome* may find one value in both words.
        return not any(o.said and o.code == option.code and said.recipe.slots[n].type == slot.type
                       for n, o in partial.chosen.items())  # fmt: skip
    return True


def _attributes(partial: _Partial) -> set[tuple[str, str]]:
    return {(name, key) for name, option in partial.chosen.items() for key in option.attributes}
