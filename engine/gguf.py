"""A strict reader of GGUF files, versions 2 and 3 (llama.cpp's format; specification: ggml ``docs/gguf.md``).

The file is mapped, never read whole. Everything in the header is checked against the file's size before it is
used, so that a truncated, corrupt or hostile file gives :class:`BadWeights` naming the file (and the tensor)
and neither a crash nor an allocation beyond a few times the header.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from famulus.engine.errors import BadWeights
from famulus.engine.ggml import FORMATS, OTHERS, Bytes, Floats, Format, dequantize

MAX_HEADER = 64 << 20
"""Bytes before the first tensor; the vocabulary of 262,144 tokens needs about 10 MiB."""
MAX_TENSORS = 50_000
MAX_KEYS = 10_000
MAX_STRINGS = 2_000_000
"""Strings in all arrays together; the largest known vocabulary with its merges needs 0.8 million."""
MAX_DIMENSIONS = 4

Value = bool | int | float | str | list[str] | NDArray[np.generic]
"""A metadata value; an array of numbers is a numpy array, an array of strings a list."""

_STRING, _ARRAY = 8, 9
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"), 3: struct.Struct("<h"),
    4: struct.Struct("<I"), 5: struct.Struct("<i"), 6: struct.Struct("<f"), 7: struct.Struct("<?"),
    10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


def bad(path: Path, what: str, fix: str = "Fetch the file again.") -> BadWeights:
    """The error for a weight file at ``path`` that cannot be used; ``what`` completes the sentence."""
    return BadWeights(f"The model file {path} {what}.", fix=fix)


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies. ``shape`` is in numpy's order (rows first), ``start`` in bytes."""

    name: str
    shape: tuple[int, ...]
    form: Format
    start: int
    size: int


class _Cursor:
    """Reads little-endian values off the header and refuses to run over its end."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path, self.whole = path, len(data)
        self.data = data[:MAX_HEADER]
        self.at = 0
        self.strings = 0

    def fail(self, what: str) -> BadWeights:
        return bad(self.path, what)

    def take(self, count: int) -> int:
        """Moves over ``count`` bytes and returns where they start."""
        start = self.at
        if count > len(self.data) - start:
            if start + count <= self.whole:
                raise self.fail(f"has a header of more than {MAX_HEADER >> 20} MiB")
            raise self.fail(f"is truncated or corrupt: its header runs over the end ({self.whole} bytes)")
        self.at = start + count
        return start

    def number(self, form: struct.Struct) -> int | float | bool:
        value: int | float | bool = form.unpack_from(self.data, self.take(form.size))[0]
        return value

    def u32(self) -> int:
        return int(self.number(_U32))

    def u64(self) -> int:
        return int(self.number(_U64))

    def text(self, what: str) -> str:
        size = self.u64()
        start = self.take(size)
        try:
            return str(self.data[start : start + size], "utf-8")
        except UnicodeDecodeError:
            raise self.fail(f"is corrupt: {what} at byte {start} is not UTF-8") from None

    def value(self, key: str) -> Value:
        kind = self.u32()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text(f"the value of {key!r}")
        if kind == _ARRAY:
            return self.array(key)
        raise self.fail(f"is corrupt: {key!r} has the unknown type {kind}")

    def array(self, key: str) -> Value:
        kind, count = self.u32(), self.u64()
        if kind in _SCALARS:
            form = _SCALARS[kind]
            start = self.take(count * form.size)
            return np.frombuffer(self.data, dtype=form.format, count=count, offset=start).copy()
        if kind != _STRING:
            raise self.fail(f"is corrupt: {key!r} is an array of the unusable type {kind}")
        self.strings += count
        if self.strings > MAX_STRINGS:
            raise self.fail(f"is corrupt: {key!r} claims {count} strings")
        return [self.text(key) for _ in range(count)]


class GGUF:
    """One open GGUF file: ``metadata`` by key and ``tensors`` by name; the weights stay mapped."""

    def __init__(self, path: Path) -> None:
        """Maps and checks ``path``. Raises :class:`BadWeights`."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise bad(path, "is empty") from None
        except OSError as error:
            raise bad(path, f"cannot be read ({error.strerror})") from error
        cursor = _Cursor(path, memoryview(self._map))
        tensors, keys = self._counts(cursor)
        self.metadata: dict[str, Value] = {}
        for _ in range(keys):
            key = cursor.text("a key")
            if key in self.metadata:
                raise cursor.fail(f"is corrupt: the key {key!r} stands there twice")
            self.metadata[key] = cursor.value(key)
        self.tensors = self._tensors(cursor, tensors)

    @staticmethod
    def _counts(cursor: _Cursor) -> tuple[int, int]:
        magic = cursor.take(4)
        if bytes(cursor.data[magic : magic + 4]) != b"GGUF":
            raise cursor.fail("is not a GGUF file")
        version = cursor.u32()
        if version not in (2, 3):
            raise cursor.fail(f"has GGUF version {version}; Famulus reads versions 2 and 3, little-endian")
        tensors, keys = cursor.u64(), cursor.u64()
        if tensors > MAX_TENSORS or keys > MAX_KEYS:
            raise cursor.fail(f"is corrupt: it claims {tensors} tensors and {keys} metadata keys")
        return tensors, keys

    def _tensors(self, cursor: _Cursor, count: int) -> dict[str, TensorInfo]:
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment % 8:
            raise cursor.fail(f"is corrupt: its alignment is {alignment!r}")
        entries = [self._entry(cursor) for _ in range(count)]
        base = -(-cursor.at // alignment) * alignment
        found: dict[str, TensorInfo] = {}
        end = base
        for name, shape, form, offset in sorted(entries, key=lambda entry: entry[3]):
            size = math.prod(shape) // form.weights * form.bytes
            start = base + offset
            if name in found:
                raise cursor.fail(f"is corrupt: the tensor {name!r} stands there twice")
            if offset % alignment or start < end:
                raise cursor.fail(f"is corrupt: the tensor {name!r} overlaps another or is not aligned")
            if (end := start + size) > cursor.whole:
                raise cursor.fail(f"is truncated: the tensor {name!r} ends at byte {end}, the file at {cursor.whole}")
            found[name] = TensorInfo(name, shape, form, start, size)
        return found

    @staticmethod
    def _entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], Format, int]:
        name = cursor.text("a tensor's name")
        dimensions = cursor.u32()
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise cursor.fail(f"is corrupt: the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(cursor.u64() for _ in range(dimensions))[::-1]
        kind, offset = cursor.u32(), cursor.u64()
        form = FORMATS.get(kind)
        if form is None:
            known = OTHERS.get(kind, f"number {kind}")
            raise BadWeights(
                f"The model file {cursor.path} holds the tensor {name!r} in the type {known}, "
                "which Famulus does not read.",
                fix="Take a file in Q4_K_M, Q4_0, Q8_0, F16 or BF16.",
            )
        if 0 in shape or shape[-1] % form.weights:
            raise cursor.fail(f"is corrupt: the tensor {name!r} has the shape {shape} in {form.name}")
        return name, shape, form, offset

    def info(self, name: str) -> TensorInfo:
        """Raises :class:`BadWeights` for a tensor that the file does not hold."""
        try:
            return self.tensors[name]
        except KeyError:
            raise bad(self.path, f"lacks the tensor {name!r}") from None

    def raw(self, name: str) -> Bytes:
        """The stored blocks as a read-only view: [..., rows, row_bytes] uint8."""
        info = self.info(name)
        flat = np.frombuffer(self._map, dtype=np.uint8, count=info.size, offset=info.start)
        return flat.reshape(*info.shape[:-1], -1)

    def tensor(self, name: str) -> Floats:
        """The weights, decoded: float32 in the tensor's shape."""
        return dequantize(self.info(name).form, self.raw(name))
