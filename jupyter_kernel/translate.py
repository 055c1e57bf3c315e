"""From words to code that ran in rehearsal: candidates from every source, tried on a copy, the best one chosen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from famulus.jupyter_kernel import consent, intent, mutate, rank, repair, retrieve, slots
from famulus.jupyter_kernel.candidate import Candidate, Rehearsal, Want
from famulus.jupyter_kernel.errors import NotUnderstood
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.interrupt import in_thread
from famulus.jupyter_kernel.prompt import Prompt, phrase
from famulus.jupyter_kernel.rank import Attempt
from famulus.jupyter_kernel.rehearse import CannotRehearse
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.writing import Author, Notebook, Writes

REHEARSED = 6
"""Candidates of the recipes that are tried; beyond these the instruction means something else."""
GOOD_MATCH = 0.9
"""From this match on a recipe answers and the model is not waited for."""
FAR = 0.1
"""A candidate this far behind one that works is not tried."""
CLOSE = 0.03
"""Recipes that fit and whose matches differ by less are told apart by the model, where it is at hand."""
VARIED = 2
"""Candidates whose variations are tried."""
ROUNDS = 3
"""Of repairs, in all."""
SECONDS = 10.0
PATIENT, HURRIED = 20.0, 6.0
"""Seconds for the model: where nothing else fits, and where something does or the model is small."""


class Stage(Protocol):
    """Somebody who watches the search: the panel."""

    def stage(self, text: str) -> None: ...

    def writing(self, code: str) -> None: ...

    def attempt(self, attempt: Attempt, objection: str) -> None: ...


class Rehearses(Protocol):
    """A way to try code without consequences."""

    async def rehearse(self, code: str, *, seconds: float = SECONDS) -> Rehearsal: ...


@dataclass(frozen=True)
class Translation:
    """What was found: ``attempts`` in the order tried, ``best`` the one to run. ``names`` are those that the user had,
    ``schema`` is the digest of what they were; ``model`` and ``seed`` are set if a model wrote or judged. ``guess``
    says why it must not run unasked, "" if it may; ``doubt`` is said of what runs unasked all the same; ``note`` is
    something that the user should know."""

    words: str
    want: Want
    best: Attempt
    attempts: tuple[Attempt, ...]
    names: tuple[str, ...]
    schema: str
    model: str = ""
    seed: int | None = None
    guess: str = ""
    doubt: str = ""
    note: str = ""


async def translate(
    words: str,
    schema: Schema,
    rehearser: Rehearses | None,
    watcher: Stage,
    *,
    avoided: Collection[str] = (),
    model: Writes | None = None,
    notebook: Notebook = Notebook(),
    previous: Previous | None = None,
) -> Translation:
    """The code for ``words``, none of ``avoided``. ``previous`` is the cell before, from which the words may go on.

    Raises :class:`NotUnderstood` if nothing fits.
    """
    want = intent.read(words, schema)
    want = replace(want, changes=consent.changes(words, want, frozenset(v.name for v in schema.variables)))
    search = Search(words, schema, want, rehearser, watcher, frozenset(avoided))
    watcher.stage("looking for code")
    search.proposed = await in_thread(lambda: slots.propose(words, schema, previous=previous))
    await search.attempt(search.proposed[:REHEARSED], until_clear=True)
    await search.mended(GOOD_MATCH)
    if model is not None:
        search.author = Author(model, words, schema, want, notebook)
        await search.advised()
    if not search.clear:
        await search.varied()
        await search.mended(0.0)
    ordered = [attempt for attempt in rank.order(search.attempts, want) if not search.hopeless(attempt)]
    if not ordered:
        raise NotUnderstood(search.why_not(), fix="Say it another way, or in Python.")
    return search.found(ordered[0])


@dataclass
class Search:
    """The attempts for one instruction, while it is translated."""

    words: str
    schema: Schema
    want: Want
    rehearser: Rehearses | None
    watcher: Stage
    avoided: frozenset[str] = frozenset()
    proposed: list[Candidate] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    author: Author | None = None
    wrote: bool = False
    rounds: int = ROUNDS

    @property
    def clear(self) -> bool:
        """Whether a recipe says just this, and it works."""
        best = rank.order(self.attempts, self.want)[:1]
        return bool(best) and best[0].candidate.match >= GOOD_MATCH

    @property
    def sent(self) -> Prompt | None:
        """What a model was told."""
        return self.author.sent if self.author is not None else None

    @property
    def fitting(self) -> bool:
        """Whether anything would run if nobody were asked."""
        return any(not self.hopeless(attempt) for attempt in rank.order(self.attempts, self.want))

    async def attempt(self, candidates: Sequence[Candidate], *, until_clear: bool = False) -> None:
        """Rehearses what was not tried yet; ``until_clear``: only until one is clear and the next is far behind."""
        known = {attempt.candidate.code for attempt in self.attempts} | self.avoided
        new = [candidate for candidate in candidates if candidate.code not in known]
        for number, candidate in enumerate(new, 1):
            if until_clear and self.clear and candidate.match < max(a.candidate.match for a in self.attempts) - FAR:
                return
            self.watcher.stage(f"trying {number} of {len(new)}")
            self.attempts.append(Attempt(candidate, await _rehearsed(candidate.code, self.rehearser)))
            self.watcher.attempt(self.attempts[-1], rank.objection(self.attempts[-1], self.want))

    async def advised(self) -> None:
        """Asks the model where it can help: a large one wherever no recipe is clear or two are, a small one only to
        write what no recipe does, which is then shown and not run."""
        assert self.author is not None
        model, fitting = self.author.model, self.fitting
        if self.clear and not (model.ready and model.about.large):
            return
        model.begin(HURRIED if fitting else PATIENT)
        self.watcher.stage("asking the model")
        if not await model.connect():
            return
        if not model.about.large:
            if fitting:
                return
            model.begin(HURRIED)
        if not self.clear:
            await self._written()
        if model.about.large:
            await self._judged()

    async def _written(self) -> None:
        """Adds what the model writes."""
        assert self.author is not None
        candidates = await self.author.candidates(self.proposed, self.avoided, self._show)
        self.wrote = bool(candidates)
        for candidate in candidates:
            self._agree(candidate)
        await self.attempt(candidates)

    def _show(self, text: str) -> None:
        self.watcher.writing(text.strip("\n"))

    def _agree(self, candidate: Candidate) -> None:
        """What was tried already gets the votes of the model that says the same."""
        for at, tried in enumerate(self.attempts):
            if tried.candidate.code == candidate.code:
                votes = tried.candidate.votes + candidate.votes
                self.attempts[at] = Attempt(replace(tried.candidate, votes=votes), tried.rehearsal)

    async def _judged(self) -> None:
        """Lets a model that is at hand say how likely each attempt is, where it is not clear which is best."""
        assert self.author is not None
        fit = rank.order(self.attempts, self.want)
        if self.clear:
            close = [attempt for attempt in fit if fit[0].candidate.match - attempt.candidate.match < CLOSE]
        else:
            written = [attempt for attempt in fit if attempt.candidate.source == "model"]
            close = [*[attempt for attempt in fit if attempt not in written][:REHEARSED], *written]
        if len(close) < 2 and self.clear:
            return
        scored = await self.author.judged([attempt.candidate for attempt in close], self.proposed)
        for attempt, candidate in zip(close, scored, strict=True):
            self.attempts[self.attempts.index(attempt)] = Attempt(candidate, attempt.rehearsal)

    async def varied(self) -> None:
        """Adds variations of the best attempts, and of those to which there is an objection that one may mend."""
        best = rank.order(self.attempts, self.want)[:VARIED]
        others = [attempt for attempt in self.attempts if attempt not in best][: VARIED - len(best)]
        for attempt in [*best, *others]:
            await self.attempt(mutate.mutations(self.words, self.schema, self.want, attempt))

    async def mended(self, least: float) -> None:
        """Repairs what failed, the best first, while nothing as good works. ``least``: the match from which on."""
        tried: set[str] = set()
        while self.rounds:
            failed = self._failed(least, tried)
            if failed is None:
                return
            assert failed.rehearsal is not None
            tried.add(failed.candidate.code)
            self.rounds -= 1
            self.watcher.stage("repairing")
            made = repair.of(failed.candidate.code, failed.rehearsal, self.schema)
            candidates = [replace(failed.candidate, code=one.code, source="repair", votes=1) for one in made]
            if not candidates and self.author is not None:
                said = f"{failed.rehearsal.error}: {failed.rehearsal.message}"
                candidates = await self.author.corrected(failed.candidate.code, said)
            await self.attempt(candidates)

    def _failed(self, least: float, tried: Collection[str]) -> Attempt | None:
        """The attempt that is worth a repair: it raised an error, and matches better than all that work."""
        working = [attempt for attempt in rank.order(self.attempts, self.want) if not self.hopeless(attempt)][:1]
        bar = max([least, *(a.candidate.match + CLOSE for a in working)])
        failed = [
            attempt
            for attempt in self.attempts
            if attempt.rehearsal is not None
            and attempt.rehearsal.status == "error"
            and attempt.candidate.match >= bar
            and attempt.candidate.code not in tried
            and not self.hopeless(attempt)
        ]
        return max(failed, key=lambda attempt: rank.score(attempt, self.want), default=None)

    def hopeless(self, attempt: Attempt) -> bool:
        """Whether an attempt says too little of the words to be shown."""
        return rank.hopeless(attempt, self.want, wrote=self.wrote)

    def why_not(self) -> str:
        """One sentence: nothing fits, and what would be understood that is nearest."""
        objection = rank.objection(self.attempts[0], self.want) if self.attempts else ""
        nearest = self._nearest()
        hint = f" (closest: “{nearest}”)" if nearest else f" ({objection})" if objection else ""
        trouble = self.author.model.trouble if self.author is not None else ""
        alone = f" The model was of no help: {trouble.rstrip('.')}." if trouble else ""
        return f"No code was found for these words{hint}.{alone}"

    def _nearest(self) -> str:
        recipes = {said.recipe.id: said.recipe for said in retrieve.index().phrasings}
        for candidate in self.proposed:
            recipe = recipes.get(candidate.recipe)
            if recipe is not None and (said := phrase(recipe, candidate.code)):
                return said
        near = slots.nearest(self.words, 1)
        return near[0].say[0].replace("{", "").replace("}", "") if near else ""

    def found(self, best: Attempt) -> Translation:
        """The result of the search."""
        model = self.author.model if self.sent is not None and self.author is not None else None
        small = model is None or not model.about.large
        trouble = self.author.model.trouble if self.author is not None else ""
        names = tuple(variable.name for variable in self.schema.variables)
        return Translation(
            words=self.words,
            want=self.want,
            best=best,
            attempts=tuple(self.attempts),
            names=names,
            schema=self.schema.fingerprint(),
            model=model.about.name if model is not None else "",
            seed=model.seed if model is not None else None,
            guess=rank.guess(best, self.want, small=small),
            doubt=rank.doubt(best),
            note=f"without the model: {trouble}" if trouble else "",
        )


async def _rehearsed(code: str, rehearser: Rehearses | None) -> Rehearsal | None:
    if rehearser is None:
        return None
    try:
        return await rehearser.rehearse(code, seconds=SECONDS)
    except CannotRehearse:  # the user is shown the code, and asked
        return None
