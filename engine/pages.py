"""Which physical pages are free, kept as maximal runs so that a sequence can grow in one piece.

The CPU attention reads neighbouring pages as one view, so where a page lies matters: a sequence takes the
page after its last one whenever that is free, and a new one starts in a big hole with room to grow on both
sides. All operations cost O(pages taken), independent of the size of the pool.
"""

from __future__ import annotations


class FreePages:
    """The free pages of a pool of ``pages`` pages, numbered from 0; all are free at first."""

    def __init__(self, pages: int) -> None:
        self.count = 0
        self._length: dict[int, int] = {}  # first page of a hole -> its length
        self._first: dict[int, int] = {}  # last page of a hole -> its first page
        # Holes by the bit length of their size: the biggest hole is found to within a factor of two in O(1).
        self._classes: list[dict[int, None]] = [{} for _ in range(pages.bit_length() + 1)]
        self._open(0, pages)

    def take(self, count: int, after: int = -1, room: int = 0) -> list[int]:
        """Take ``count`` pages, at best those right behind page ``after`` (-1: a new sequence).

        A run that cannot continue starts in a big hole, so placed that its left neighbour can grow too if the
        new one gets ``room`` pages. Needs ``count <= self.count``.
        """
        assert count <= self.count, "taking more pages than are free"
        taken: list[int] = []
        while len(taken) < count:
            hole = after + 1
            gap = 0
            if after < 0 or hole not in self._length:
                hole = self._biggest()
                if hole > 0:
                    gap = max(0, self._length[hole] - max(room, count - len(taken))) // 2
            length = self._close(hole)
            used = min(count - len(taken), length - gap)
            self._open(hole, gap)
            self._open(hole + gap + used, length - gap - used)
            taken += range(hole + gap, hole + gap + used)
            after = taken[-1]
        return taken

    def give(self, page: int) -> None:
        """Give one page back; neighbouring holes grow together."""
        first, length = page, 1
        if page - 1 in self._first:
            first = self._first[page - 1]
            length += self._close(first)
        if page + 1 in self._length:
            length += self._close(page + 1)
        self._open(first, length)

    def pages(self) -> set[int]:
        """All free pages; O(free), for checks."""
        return {page for first, length in self._length.items() for page in range(first, first + length)}

    def _biggest(self) -> int:
        holes = next(holes for holes in reversed(self._classes) if holes)
        return next(iter(holes))

    def _open(self, first: int, length: int) -> None:
        if length > 0:
            self._length[first] = length
            self._first[first + length - 1] = first
            self._classes[length.bit_length()][first] = None
            self.count += length

    def _close(self, first: int) -> int:
        length = self._length.pop(first)
        del self._first[first + length - 1]
        del self._classes[length.bit_length()][first]
        self.count -= length
        return length
