"""Whether memory was written since a fork, without reading it: the kernel keeps a page shared with the parent until
somebody writes to it, and ``/proc/self/pagemap`` tells (Documentation/admin-guide/mm/pagemap.rst, bits 56 to 63)."""

from __future__ import annotations

import ctypes
import mmap
import os
import zlib
from typing import NamedTuple

_PAGE = mmap.PAGESIZE
_EXCLUSIVE, _FILE, _SWAPPED = 0x01, 0x20, 0x40  # in the highest byte of an entry
_MINE = bytes(byte & (_EXCLUSIVE | _FILE) == _EXCLUSIVE for byte in range(256))
_NOT_YET = bytes(byte & (_EXCLUSIVE | _FILE) != _EXCLUSIVE and not byte & _SWAPPED for byte in range(256))
_SMALL = 128 << 10
_MOST_OWN = 64
_STEP = 1 << 16


class Mark(NamedTuple):
    """Memory as it was. ``pages`` are the entries of its inner pages; ``read`` are parts of it with their checksums,
    because their pages were no longer shared, or hold other objects too."""

    address: int
    size: int
    pages: bytes
    read: tuple[tuple[int, int, int], ...]
    whole: bool


class Memory:
    """Marks parts of this process's memory, and tells later which were written."""

    def __init__(self) -> None:
        self._blind = False
        try:
            self._map = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._map = -1

    @classmethod
    def blind(cls) -> Memory:
        """One that marks nothing, for looking at what objects hold."""
        memory = cls.__new__(cls)
        memory._map, memory._blind = -1, True
        return memory

    def mark(self, address: int, size: int) -> Mark:
        """``whole`` is False if a change may go unseen."""
        if self._blind:
            return Mark(address, size, b"", (), True)
        if size <= _SMALL:
            return Mark(address, size, b"", ((address, size, _checksum(address, size)),), True)
        first, last = -(-address // _PAGE), (address + size) // _PAGE
        pages = self._entries(first, last)
        if pages is None:
            return Mark(address, size, b"", ((address, _SMALL, _checksum(address, _SMALL)),), False)
        parts = [(address, first * _PAGE - address), (last * _PAGE, address + size - last * _PAGE)]
        own = _positions(pages.translate(_MINE), _MOST_OWN)
        parts += [((first + position) * _PAGE, _PAGE) for position in own]
        read = tuple((start, length, _checksum(start, length)) for start, length in parts if length)
        return Mark(address, size, pages, read, len(own) < _MOST_OWN)

    def written(self, mark: Mark) -> list[tuple[int, int]]:
        """The parts, from address to address, that hold something else than at the mark, or that are on pages which
        were shared then and were written."""
        parts = [(start, start + size) for start, size, checksum in mark.read if _checksum(start, size) != checksum]
        first = -(-mark.address // _PAGE)
        now = self._entries(first, first + len(mark.pages))
        if not mark.pages or now is None:
            return parts
        shared, mine = mark.pages.translate(_NOT_YET), now.translate(_MINE)
        both = int.from_bytes(shared, "big") & int.from_bytes(mine, "big")
        pages = both.to_bytes(len(mine), "big")
        position = pages.find(1)
        while position >= 0:
            end = pages.find(0, position) if len(parts) < _MOST_OWN else -1
            parts.append(((first + position) * _PAGE, (first + (end if end >= 0 else len(pages))) * _PAGE))
            position = pages.find(1, end) if end >= 0 else -1
        return parts

    def own(self, start: int, end: int) -> int:
        """How many pages of a private mapping hold something else than its file."""
        pages = self._entries(start // _PAGE, end // _PAGE)
        return pages.translate(_MINE).count(1) if pages else 0

    def _entries(self, first: int, last: int) -> bytes | None:
        if self._map < 0:
            return None
        parts = []
        for page in range(first, last, _STEP):
            count = min(_STEP, last - page)
            try:
                data = os.pread(self._map, 8 * count, 8 * page)
            except OSError:
                return None
            if len(data) != 8 * count:
                return None
            parts.append(data[7::8])
        return b"".join(parts)


def _checksum(address: int, size: int) -> int:
    return zlib.crc32((ctypes.c_char * size).from_address(address))


def _positions(flags: bytes, most: int) -> list[int]:
    found: list[int] = []
    position = flags.find(1)
    while position >= 0 and len(found) < most:
        found.append(position)
        position = flags.find(1, position + 1)
    return found
