"""The page cache without a model: a dictionary plays the pages' rows and remembers what was written to each.

A row of keys and values depends on every token before it, so a row's right content is the whole prefix up to
it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from famulus.engine.cache import STALE_PAGES, PageCache, PageCopy, Table
from famulus.engine.pages import FreePages

PAGE = 4
Content = tuple[str, tuple[int, ...]]

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=22)
whichever = st.integers(0, 99)
salts = st.sampled_from(["", "other"])


class Rows:
    """What the runner would have written: (page, row) -> salt and tokens up to and with that row's."""

    def __init__(self) -> None:
        self.of: dict[tuple[int, int], Content] = {}

    def write(self, pages: list[int], salt: str, text: list[int], start: int, end: int) -> None:
        for at in range(start, end):
            self.of[pages[at // PAGE], at % PAGE] = (salt, tuple(text[: at + 1]))

    def copy(self, copy: PageCopy) -> None:
        for row in range(copy.rows):
            self.of[copy.target, row] = self.of[copy.source, row]

    def check(self, pages: list[int], salt: str, text: Sequence[int], start: int, end: int) -> None:
        for at in range(start, end):
            known = self.of[pages[at // PAGE], at % PAGE]
            assert known == (salt, tuple(text[: at + 1])), "somebody else's row"


@dataclass(eq=False)
class Writer:
    """A sequence that uses the cache."""

    table: Table
    text: list[int]
    computed: int


class CacheMachine(RuleBasedStateMachine):
    """Anything may happen in any order; every table and every cached page holds exactly its own tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = PageCache(12, PAGE)
        self.rows = Rows()
        self.live: list[Writer] = []
        self.pinned: list[tuple[Table, tuple[int, ...]]] = []

    @rule(text=tokens, spare=st.integers(0, 3), salt=salts, supersede=st.booleans())
    def acquire(self, text: list[int], spare: int, salt: str, supersede: bool) -> None:
        limit = len(text) - spare
        known = [text for its, text, _ in self.cache.tree.nodes() if its == salt]
        best = max((common(text[: max(0, limit)], its) for its in known), default=0)
        table = self.cache.acquire(text, limit, salt, supersede=supersede)
        if best % PAGE and len(table.pages) == len(table.path):
            assert table.reused == best // PAGE * PAGE, "whole pages are shared even so"
            assert self.cache.available <= 1
        else:
            assert table.reused == best, "reuse is exact to the token"
        self.live.append(Writer(table, text[: table.reused], table.reused))

    @rule(text=tokens)
    def run_a_request(self, text: list[int]) -> None:
        self.acquire(text, 1, "", supersede=len(text) % 2 == 0)
        self.write(-1, text[self.live[-1].computed :])

    @precondition(lambda self: self.live)
    @rule(which=whichever, back=st.integers(0, 5))
    def fork(self, which: int, back: int) -> None:
        parent = self.live[which % len(self.live)]
        self.run_copy(parent)
        computed = max(0, parent.computed - back)
        before = self.cache.available
        table = self.cache.fork(parent.table, parent.text, computed)
        if table is None:
            assert before == 0
            return
        whole = computed // PAGE
        assert table.pages[:whole] == parent.table.pages[:whole], "whole pages are shared"
        self.live.append(Writer(table, parent.text[:computed], computed))

    @precondition(lambda self: self.live)
    @rule(which=whichever, more=st.lists(st.integers(0, 2), min_size=1, max_size=9))
    def write(self, which: int, more: list[int]) -> None:
        writer = self.live[which % len(self.live)]
        self.run_copy(writer)
        total, before = writer.computed + len(more), list(writer.table.pages)
        missing = self.cache.pages_for(total) - len(before)
        fits = missing <= self.cache.available
        counters = (self.cache.free, self.cache.cached, self.cache.held)
        assert self.cache.extend(writer.table, total) == fits
        if not fits:
            assert writer.table.pages == before
            after = (self.cache.free, self.cache.cached, self.cache.held)
            assert after == counters, "a refusal changes nothing"
            return
        text = writer.text[: writer.computed] + more
        self.rows.write(writer.table.pages, writer.table.salt, text, writer.computed, total)
        writer.text, writer.computed = text, total

    def run_copy(self, writer: Writer) -> None:
        if writer.table.copy is not None:
            self.rows.copy(writer.table.copy)
            self.cache.settle(writer.table)

    @precondition(lambda self: self.live)
    @rule(which=whichever)
    def publish(self, which: int) -> None:
        writer = self.live[which % len(self.live)]
        self.cache.publish(writer.table, writer.text, writer.computed)

    @precondition(lambda self: self.live)
    @rule(which=whichever, back=st.integers(0, 9))
    def truncate(self, which: int, back: int) -> None:
        writer = self.live[which % len(self.live)]
        asked = max(0, writer.computed - back)
        kept = self.cache.truncate(writer.table, asked)
        assert asked - PAGE < kept <= asked
        writer.text, writer.computed = writer.text[:kept], kept

    @precondition(lambda self: self.live)
    @rule(which=whichever, known=st.booleans())
    def release(self, which: int, known: bool) -> None:
        writer = self.live.pop(which % len(self.live))
        pending = writer.table.copy is not None
        salt = writer.table.salt
        self.cache.release(writer.table, writer.text, writer.computed if known else 0)
        if known and not pending:
            again = self.cache.acquire(writer.text, writer.computed, salt)
            assert again.reused == writer.computed or self.cache.available <= 1, "what was computed is known"
            self.cache.release(again)

    @rule(text=tokens, salt=salts)
    def pin(self, text: list[int], salt: str) -> None:
        self.pinned.append((self.cache.pin(text, salt), tuple(text)))

    @precondition(lambda self: self.pinned)
    @rule(which=whichever)
    def unpin(self, which: int) -> None:
        table, _ = self.pinned.pop(which % len(self.pinned))
        self.cache.unpin(table)

    @rule(pages=st.integers(1, 6))
    def evict(self, pages: int) -> None:
        expected = min(pages, self.cache.cached)
        assert self.cache.evict(pages) == expected, "all that is cached can be evicted"

    @invariant()
    def nothing_is_lost(self) -> None:
        self.cache.check()

    @invariant()
    def all_rows_are_right(self) -> None:
        for writer in self.live:
            table, copy = writer.table, writer.table.copy
            end = writer.computed if copy is None else len(table.path) * PAGE
            self.rows.check(table.pages, table.salt, writer.text, 0, end)
            if copy is not None:
                pages = [*table.pages[: end // PAGE], copy.source]
                self.rows.check(pages, table.salt, writer.text, end, min(writer.computed, end + copy.rows))
        for table, text in self.pinned:
            self.rows.check(table.pages, table.salt, text, 0, table.reused)
        for salt, text, node in self.cache.tree.nodes():
            at = (len(text) - 1) // PAGE * PAGE
            self.rows.check([node.page] * (at // PAGE + 1), salt, text, at, len(text))

    def teardown(self) -> None:
        for writer in self.live:
            self.cache.release(writer.table, writer.text, writer.computed)
        for table, _ in self.pinned:
            self.cache.unpin(table)
        self.cache.check()
        assert self.cache.held == 0
        self.cache.evict(self.cache.total)
        assert self.cache.free == self.cache.total


def common(a: list[int], b: tuple[int, ...]) -> int:
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def written(cache: PageCache, text: list[int], salt: str = "") -> Table:
    """A table for ``text``, as if its copy and its step had run."""
    table = cache.acquire(text, len(text) - 1, salt)
    assert cache.extend(table, len(text))
    cache.settle(table)
    return table


def test_a_typed_character_costs_one_token() -> None:
    cache = PageCache(64)
    text = list(range(100))
    cache.release(written(cache, text), text, 100)
    for typed in range(40):
        text = [*text, 1000 + typed]
        table = written(cache, text)
        assert table.reused == len(text) - 1
        cache.release(table, text, len(text))
    assert cache.cached <= 2 + 140 // 16 + 1, "tails that a longer one repeats do not pile up"


def test_a_change_in_the_middle_keeps_everything_before_it() -> None:
    cache = PageCache(64)
    text = list(range(100))
    cache.release(written(cache, text), text, 100)
    changed = [*text[:71], 999, *text[71:]]
    table = cache.acquire(changed, 100)
    assert table.reused == 71
    assert table.copy is not None
    assert table.copy.rows == 71 % 16


def test_one_workspace_never_sees_the_pages_of_another() -> None:
    cache = PageCache(64)
    text = list(range(50))
    cache.release(written(cache, text, "mine"), text, 50)
    assert cache.acquire(text, 50, "yours").reused == 0
    assert cache.acquire(text, 50, "mine").reused == 50


def test_least_recently_used_goes_first_and_what_is_held_never() -> None:
    cache = PageCache(8, PAGE)
    old, new, kept = [1] * 8, [2] * 8, [3] * 8
    for text in (kept, old, new):
        cache.release(written(cache, text), text, 8)
    pin = cache.pin(kept)
    cache.release(cache.pin(old))  # used again: now ``new`` is the oldest
    assert cache.evict(2) == 2
    assert cache.pin(new).reused == 0
    assert cache.pin(old).reused == 8
    cache.evict(8)
    assert pin.reused == 8
    assert cache.pin(kept).pages == pin.pages


def test_what_was_held_longest_counts_as_used_last() -> None:
    cache = PageCache(8, PAGE)
    long, short = [1] * 8, [2] * 8
    table = written(cache, long)
    cache.publish(table, long, 8)
    cache.release(written(cache, short), short, 8)
    cache.release(table, long, 8)
    assert cache.evict(2) == 2
    assert cache.pin(long).reused == 8


def test_rows_that_were_copied_lately_count_as_used() -> None:
    cache = PageCache(8, PAGE)
    for text in ([1, 2, 3], [5, 6, 7]):
        cache.release(written(cache, text), text, 3)
    cache.release(cache.acquire([1, 2, 9], 3))
    assert cache.evict(1) == 1
    assert cache.acquire([1, 2, 9], 3).reused == 2


def test_a_page_that_a_longer_one_repeats_stays_until_it_was_copied() -> None:
    cache = PageCache(8, PAGE)
    cache.release(written(cache, [1, 2, 3]), [1, 2, 3], 3)
    reader = cache.acquire([1, 2, 9], 3)
    assert reader.copy is not None
    longer = [1, 2, 3, 4]
    cache.release(written(cache, longer), longer, 4)
    other = cache.acquire([7] * 20, 0)
    assert cache.extend(other, 4 * cache.available)
    assert reader.copy.source not in other.pages
    cache.settle(reader)
    cache.check()


def test_a_copy_into_a_page_that_was_given_up_is_forgotten() -> None:
    cache = PageCache(8, PAGE)
    cache.release(written(cache, [1, 2, 3]), [1, 2, 3], 3)
    table = cache.acquire([1, 2, 9], 3)
    assert cache.truncate(table, 0) == 0
    assert table.copy is None
    assert cache.held == 0
    cache.check()


def test_the_source_of_a_copy_outlives_the_search_for_its_target() -> None:
    cache = PageCache(3, PAGE)
    text = [1, 2, 3, 4, 5, 6]
    cache.release(written(cache, text), text, 6)
    other = [9] * 4
    cache.release(written(cache, other), other, 4)
    table = cache.acquire([1, 2, 3, 4, 5, 7], 5)
    assert table.copy is not None
    assert table.copy.source != table.copy.target
    assert table.reused == 5
    cache.check()


def test_a_rollback_spares_rows_that_a_fork_has_yet_to_copy() -> None:
    cache = PageCache(8, PAGE)
    text = list(range(6))
    parent = written(cache, text)
    child = cache.fork(parent, text, 6)
    assert child is not None
    assert child.copy is not None
    assert cache.truncate(parent, 5) == 4, "the page with rows 4 and 5 is given up, not written again"
    assert cache.extend(parent, 8)
    assert child.copy.source not in parent.pages
    cache.settle(child)
    cache.check()


def test_a_text_that_is_typed_lies_in_one_piece() -> None:
    cache, dice = PageCache(128), random.Random(3)
    text = [dice.randrange(1000) for _ in range(300)]
    for key in range(300):
        text.append(dice.randrange(1000))
        shown = text + [dice.randrange(1000) for _ in range(dice.randrange(4, 24))]
        table = cache.acquire(text, len(text) - 1, supersede=True)
        assert key == 0 or table.reused == len(text) - 1
        assert cache.extend(table, len(shown))
        assert runs(table.pages) == 1
        cache.settle(table)
        cache.release(table, shown, len(shown) - 1)
    cache.check()


def test_only_a_short_branch_that_nobody_holds_is_taken_over() -> None:
    cache = PageCache(64, PAGE)
    start = [1, 2, 3, 4]
    long = [*start, *range(10, 10 + PAGE * (STALE_PAGES + 1))]
    cache.release(written(cache, long), long, len(long))
    assert cache.acquire([*start, 10, 11, 99], 6, supersede=True).copy is not None
    assert cache.pin(long).reused == len(long), "a long branch stays"

    cache = PageCache(3, PAGE)
    for text in (start, [7, 8, 9]):
        cache.release(written(cache, text), text, len(text))
    cache.release(cache.acquire([*start, 10], 4, supersede=True))
    assert cache.acquire([7, 8, 9], 3).reused == 3, "another text's page stays, wherever it lies"

    cache = PageCache(64, PAGE)
    short = [*start, 5, 6, 7, 8]
    cache.release(written(cache, short), short, 8)
    pin = cache.pin(short)
    assert cache.acquire([*start, 5, 6, 99], 6, supersede=True).copy is not None
    cache.unpin(pin)
    assert cache.acquire([*start, 5, 6, 99], 6).copy is not None, "only a request that says so takes over"
    assert cache.pin(short).reused == 8


def test_equal_pages_computed_twice_are_kept_once() -> None:
    cache = PageCache(16, PAGE)
    text = list(range(12))
    first, second = written(cache, text), written(cache, text)
    assert set(first.pages).isdisjoint(second.pages)
    cache.publish(first, text, 12)
    cache.publish(second, text, 12)
    assert first.pages == second.pages
    assert cache.held == 3
    cache.check()


def test_sequences_that_grow_side_by_side_stay_in_one_piece() -> None:
    cache = PageCache(256)
    tables = [cache.acquire([at] * 64, 63) for at in range(4)]
    for length in range(64, 500):
        for table in tables:
            assert cache.extend(table, length)
    for table in tables:
        assert runs(table.pages) == 1


@pytest.mark.parametrize(("step", "most"), [(16, 12), (1024, 4)], ids=["page by page", "at once"])
def test_a_full_pool_still_gives_long_runs(step: int, most: int) -> None:
    cache = PageCache(256)
    dice = random.Random(7)
    for at in range(60):
        text = [at] * dice.randrange(100, 800)
        cache.release(written(cache, text), text, len(text))
    table = cache.acquire([99] * 1024, 0)
    for length in range(step, 1025, step):
        assert cache.extend(table, length)
    assert runs(table.pages) <= most, "64 pages in a few runs, although nothing was free"


def runs(pages: list[int]) -> int:
    return sum(b != a + 1 for a, b in zip([-9, *pages], pages, strict=False))


def test_ten_thousand_short_requests_leave_no_trace() -> None:
    cache = PageCache(32, PAGE)
    for at in range(10_000):
        text = [at % 3, at % 5, at % 7, 1, 2, 3, 4, at % 11]
        cache.release(written(cache, text, str(at % 4)), text, 8)
    cache.check()
    assert cache.held == 0


def test_the_same_few_requests_for_ever_do_not_grow_the_queue_of_evictions() -> None:
    cache = PageCache(32, PAGE)
    for at in range(2_000):
        text = [at % 3, 1, 2, 3, 4, 5]
        cache.release(written(cache, text), text, 6)
    assert cache.free > 0, "nothing had to be evicted"
    cache.check()


@pytest.mark.parametrize(("pages", "size"), [(0, 16), (4, 0)])
def test_an_impossible_pool_is_refused(pages: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least one page"):
        PageCache(pages, size)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_free_pages_are_given_out_once_and_grow_together_again(data: st.DataObject) -> None:
    pool, taken = FreePages(30), list[int]()
    for _ in range(data.draw(st.integers(1, 25))):
        if data.draw(st.booleans()) and taken:
            page = taken.pop(data.draw(st.integers(0, len(taken) - 1)))
            pool.give(page)
        else:
            count = data.draw(st.integers(0, min(6, pool.count)))
            after = data.draw(st.sampled_from([-1, *taken]))
            free, got = pool.pages(), pool.take(count, after, data.draw(st.integers(0, 9)))
            assert len(got) == len(set(got)) == count
            assert set(got) <= free
            if count and after >= 0 and after + 1 in free:
                assert got[0] == after + 1, "a sequence goes on where it stopped"
            taken += got
        assert pool.pages() == set(range(30)) - set(taken)
        assert pool.count == 30 - len(taken)
    for page in taken:
        pool.give(page)
    assert pool.take(30) == list(range(30)), "all holes have become one"
