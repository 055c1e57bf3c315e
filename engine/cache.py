"""The KV cache's book-keeping: a pool of pages, who holds them, and what the prefix tree remembers.

No tensors here: a page is a number, the runner owns the rows behind it. A page holds the keys and values of
``page_size`` consecutive positions. Whole pages are shared by reference; at the first difference the leading
rows of the closest page are copied into a private one (:class:`PageCopy`): reuse is exact to the token.

A page is *held* while a table or a pending copy refers to it, *cached* while only the tree knows it, else
*free*: ``free + cached + held == total`` always. A table that holds a page of the tree holds that page's
ancestors too, so every cached page can be evicted, leaf by leaf, least recently used first.

When may a page be written again? A table keeps the source of its pending copy held until
:meth:`PageCache.settle` (the step that carried the copy was committed) or until it is released; and pages
given back are handed out only by a later plan, whose work the runner starts after the current step's. So no
page is overwritten before its last reader ran, even if that reader was cancelled in the middle of a step.

Not thread-safe: one loop owns a cache. All operations cost O(tokens / page_size).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from famulus.engine.pages import FreePages
from famulus.engine.prefix import Node, PrefixTree

STALE_PAGES = 3
"""The longest branch that a newer request may take the place of: at most so much is ever computed again."""


@dataclass(frozen=True, slots=True)
class PageCopy:
    """Copy the first ``rows`` rows of page ``source`` to page ``target``, in every layer, before the step."""

    source: int
    target: int
    rows: int


@dataclass(eq=False, slots=True)
class Table:
    """The pages of one sequence, in the order of its positions.

    The pages of ``path`` are the tree's and must not be written; those behind are private. ``reused`` tokens
    came from the cache. While ``copy`` is set, the page behind the path waits for that copy: no row of it is
    valid yet.
    """

    salt: str
    pages: list[int] = field(default_factory=list)
    path: list[Node] = field(default_factory=list, repr=False)
    reused: int = 0
    copy: PageCopy | None = None


class PageCache:
    """A pool of ``pages`` pages of ``page_size`` tokens and the prefix tree over them."""

    def __init__(self, pages: int, page_size: int = 16) -> None:
        if pages < 1 or page_size < 1:
            raise ValueError("a cache needs at least one page of at least one token")
        self.total = pages
        self.page_size = page_size
        self.held = 0
        self.tree = PrefixTree(pages, page_size)
        self._free = FreePages(pages)
        self._refs = [0] * pages
        self._heap: list[tuple[int, int, Node]] = []  # (last_used, serial, node); may be stale
        self._serial = count()
        self._tick = 0

    @property
    def free(self) -> int:
        """Pages that hold nothing."""
        return self._free.count

    @property
    def cached(self) -> int:
        """Pages that only the tree knows; evicted when needed."""
        return self.total - self._free.count - self.held

    @property
    def available(self) -> int:
        """Pages that can be had without taking any from a table."""
        return self.total - self.held

    def pages_for(self, tokens: int) -> int:
        """How many pages ``tokens`` tokens fill, the last one perhaps in part."""
        return -(-tokens // self.page_size)

    def acquire(self, tokens: Sequence[int], limit: int, salt: str = "", *, supersede: bool = False) -> Table:
        """A table that starts with what the cache knows of ``tokens``, at most ``limit`` of them.

        ``table.reused`` tokens need not be computed again. If they end inside a page, ``table.copy`` has to
        run before anything reads them. ``supersede``: this one takes the place of the request before it, as
        one keystroke does of another: a short branch that stands where the new pages should lie is taken
        over or forgotten. So a text that is typed lies in one piece, not in one piece per page.
        """
        limit = max(0, min(limit, len(tokens)))
        table = self.pin(tokens, salt, limit)
        at = table.reused
        source, rows = self._end(table).nearest(tuple(tokens[at : min(at + self.page_size, limit)]))
        stale = self._stale(table) if supersede else []
        for node in reversed(stale):
            self._offer(self.tree.detach(node))
            if node is not source:
                self._free.give(node.page)
        if source is not None and source in stale:
            self._hold(source.page)
            table.pages.append(source.page)
            table.reused += rows
        elif source is not None and self.available > (self._refs[source.page] == 0):
            source.last_used = self._tick
            self._start_copy(table, source.page, rows, room=self.pages_for(len(tokens) - at) + 1)
            table.reused += rows
        return table

    def pin(self, tokens: Sequence[int], salt: str = "", limit: int | None = None) -> Table:
        """Hold the whole pages that the cache knows of ``tokens`` until :meth:`unpin`."""
        path = self.tree.match(tokens, len(tokens) if limit is None else limit, salt)
        table = Table(salt, [node.page for node in path], path, len(path) * self.page_size)
        for page in table.pages:
            self._hold(page)
        self._touch(table)
        return table

    def unpin(self, table: Table) -> None:
        """Let go of what :meth:`pin` held."""
        self.release(table)

    def extend(self, table: Table, tokens: int) -> bool:
        """Give ``table`` private pages until it has room for ``tokens`` tokens in all, evicting as needed.

        False, with nothing changed, if there are not enough pages.
        """
        missing = self.pages_for(tokens) - len(table.pages)
        if missing > self.available:
            return False
        if missing > 0:
            self._allocate(table, missing, room=max(missing, len(table.pages)))
        return True

    def settle(self, table: Table) -> None:
        """The table's pending copy ran, or is not wanted any more: its source may go."""
        if table.copy is not None:
            self._drop(table.copy.source)
            table.copy = None

    def publish(self, table: Table, tokens: Sequence[int], computed: int) -> None:
        """Give the tree the whole pages among the first ``computed`` of ``tokens``, whose rows are in place.

        Where the tree has an equal page already, the table takes that one and its own goes.
        """
        assert table.copy is None or computed // self.page_size <= len(table.path), "no row behind it is valid yet"
        for at in range(len(table.path), computed // self.page_size):
            key = tuple(tokens[at * self.page_size : (at + 1) * self.page_size])
            parent, page = self._end(table), table.pages[at]
            node = parent.children.get(key)
            if node is None:
                node = self._attach(parent, key, page)
            else:
                table.pages[at] = node.page
                self._hold(node.page)
                self._drop(page)
            table.path.append(node)

    def release(self, table: Table, tokens: Sequence[int] = (), computed: int = 0) -> None:
        """Give all pages back. The rows of the first ``computed`` of ``tokens`` stay cached, to the token."""
        self.publish(table, tokens, computed)
        tail = tuple(tokens[len(table.path) * self.page_size : computed])
        if tail and table.copy is None:
            parent = self._end(table)
            if parent.nearest(tail)[1] < len(tail):
                table.path.append(self._attach(parent, tail, table.pages[len(table.path)]))
        self.settle(table)
        self._touch(table)
        for page in table.pages:
            self._drop(page)
        table.pages, table.path, table.reused = [], [], 0

    def fork(self, table: Table, tokens: Sequence[int], computed: int) -> Table | None:
        """A second table for the first ``computed`` of ``tokens``: whole pages shared, the tail to be copied.

        The first table may go on writing behind ``computed``. None, with nothing changed, if no page is left.
        """
        assert table.copy is None, "the rows to fork are not in place yet"
        self.publish(table, tokens, computed)
        whole, rows = divmod(computed, self.page_size)
        if rows and not self.available:
            return None
        child = Table(table.salt, table.pages[:whole], table.path[:whole], computed)
        for page in child.pages:
            self._hold(page)
        if rows:
            self._start_copy(child, table.pages[whole], rows, room=2)
        return child

    def truncate(self, table: Table, tokens: int) -> int:
        """Forget the rows behind the first ``tokens`` and give their pages back; how many rows are kept.

        A page that others may read cannot be written again: if the cut falls inside one, it goes as a whole.
        """
        whole, rows = divmod(tokens, self.page_size)
        if rows and (whole < len(table.path) or self._refs[table.pages[whole]] > 1):
            rows = 0
        keep = whole + (rows > 0)
        if table.copy is not None and table.copy.target in table.pages[keep:]:
            self.settle(table)
        self._touch(table)
        for page in table.pages[keep:]:
            self._drop(page)
        del table.pages[keep:]
        del table.path[whole:]
        kept = whole * self.page_size + rows
        table.reused = min(table.reused, kept)
        return kept

    def evict(self, pages: int) -> int:
        """Forget up to ``pages`` cached pages, least recently used first; how many were freed."""
        freed = 0
        while freed < pages and self._heap:
            last_used, _, node = heapq.heappop(self._heap)
            if last_used == node.last_used and self._evictable(node):
                self._offer(self.tree.detach(node))
                self._free.give(node.page)
                freed += 1
        return freed

    def check(self) -> None:
        """Assert every invariant; O(pages), for tests."""
        self.tree.check()
        free = self._free.pages()
        held = {page for page, refs in enumerate(self._refs) if refs}
        known = {page for page, node in enumerate(self.tree.node_of) if node is not None}
        assert all(refs >= 0 for refs in self._refs)
        assert not free & (held | known), "a free page in use"
        assert free | held | known == set(range(self.total)), "a page was lost"
        assert (self.free, self.held, self.cached) == (len(free), len(held), len(known - held))
        queued = {node for last_used, _, node in self._heap if last_used == node.last_used}
        assert len(self._heap) <= 2 * self.total + 64, "stale entries pile up"
        for _, _, node in self.tree.nodes():
            parent = node.parent
            if node.page in held:
                assert parent is not None
                assert parent.is_root or parent.page in held, "held below a page that may go"
            else:
                assert node.children or node in queued, "a cached leaf that eviction cannot find"

    def _allocate(self, table: Table, wanted: int, room: int) -> None:
        """Append ``wanted`` private pages; ``room``: how many the table is likely to use in the end."""
        if wanted > self._free.count:
            # Somewhat more than needed: neighbouring pages go together, so the next ones lie in one piece.
            self.evict(wanted - self._free.count + min(room, self.total // 16))
        for page in self._free.take(wanted, table.pages[-1] if table.pages else -1, room):
            self._hold(page)
            table.pages.append(page)

    def _start_copy(self, table: Table, source: int, rows: int, room: int) -> None:
        self._hold(source)  # first, so that making room for the target does not evict it
        self._allocate(table, 1, room)
        table.copy = PageCopy(source, table.pages[-1], rows)

    def _stale(self, table: Table) -> list[Node]:
        """The branch that begins right behind the table's last page, top down, if it is short and unheld."""
        follower = table.pages[-1] + 1 if table.pages else self.total
        node = self.tree.node_of[follower] if follower < self.total else None
        if node is None or node.parent is not self._end(table):
            return []
        branch = [node]
        for node in branch:
            branch += node.children.values()
            if len(branch) > STALE_PAGES or self._refs[node.page]:
                return []
        return branch

    def _hold(self, page: int) -> None:
        self._refs[page] += 1
        self.held += self._refs[page] == 1

    def _drop(self, page: int) -> None:
        self._refs[page] -= 1
        if self._refs[page] == 0:
            self.held -= 1
            node = self.tree.node_of[page]
            if node is None:
                self._free.give(page)
            else:
                self._offer(node)

    def _end(self, table: Table) -> Node:
        return table.path[-1] if table.path else self.tree.root(table.salt)

    def _touch(self, table: Table) -> None:
        self._tick += 1
        for node in table.path:
            node.last_used = self._tick

    def _attach(self, parent: Node, key: tuple[int, ...], page: int) -> Node:
        node, superfluous = self.tree.attach(parent, key, page)
        node.last_used = self._tick
        # A pending copy may still read the superfluous leaf's page; then the page goes when that copy ran.
        if superfluous is not None and self._refs[superfluous.page] == 0:
            self._free.give(superfluous.page)
        return node

    def _evictable(self, node: Node) -> bool:
        if node.is_root or node.children:
            return False
        return self.tree.node_of[node.page] is node and self._refs[node.page] == 0

    def _offer(self, node: Node) -> None:
        """Queue a node for eviction if nothing holds it or stands below it."""
        if not self._evictable(node):
            return
        heapq.heappush(self._heap, (node.last_used, next(self._serial), node))
        if len(self._heap) > 2 * self.total + 64:
            latest = {entry[2]: entry for entry in self._heap if entry[0] == entry[2].last_used}
            self._heap = [entry for node, entry in latest.items() if self._evictable(node)]
            heapq.heapify(self._heap)
