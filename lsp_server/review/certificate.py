"""The refactor certificate: which changed lines are proven not to change what the program does.

A line is *neutral* if its edit is one of layout, comments, quotes, brackets, line joins, the names of locals that
nobody can see, or of anything else that compiles to the same instructions (:mod:`.equality.codes` says what is
compared), or if it belongs to a function that only moved within its block past statements that cannot see the order.
*Documentation* is a class of its own, since programs may read docstrings. A function or class that is found word for
word in another place, or another file, is *moved*: its code is unchanged, but the names around it may be others.

Accepted exceptions: code that reads its own line numbers or source text (``inspect``, tracebacks, stack levels of
warnings, assertion rewriting of test runners), and the order of names in a namespace.
"""

from __future__ import annotations

import io
import sys
import tokenize
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

from famulus.lsp_server.review import change as differing
from famulus.lsp_server.review.change import Change, FileChange
from famulus.lsp_server.review.equality import canonical, codes, moves, statements, trees
from famulus.lsp_server.review.equality.canonical import Keys, Source, source
from famulus.lsp_server.review.equality.moves import Leftovers
from famulus.lsp_server.review.equality.statements import Comparison
from famulus.lsp_server.review.kept import Kept, code_mark, digest_of
from famulus.lsp_server.review.rule import Clock

_DECIDING = (differing, canonical, codes, moves, statements)
"""Modules whose code decides what is proven about a Python file."""
_LARGEST = 2 * 2**20
"""Bytes of a file that is still read: larger ones are made by programs."""
_PROSE = (".md", ".rst", ".adoc", ".markdown")


@dataclass(frozen=True, slots=True)
class Moved:
    """Code of the new side that stood elsewhere on the old one, word for word. ``proven``: nothing can see the move."""

    name: str
    old_path: str
    old_line: int
    new_path: str
    line: int
    end_line: int
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is proven about one file. Only changed lines are named; lines count from 1.

    ``lines``: how many there are, those of the new side and those that are gone without replacement; ``proven``: how
    many of them are neutral. ``neutral``, ``old_neutral``: lines of the new and of the old side that are proven not to
    matter. ``documentation``, ``old_documentation``: lines that only document. ``changed``: dotted names of the
    functions and classes with other code, the empty name for the file's top. ``rewritten``: functions that are written
    in another way but are the same.
    ``reason``: why nothing could be proven, empty if it could.
    """

    path: str
    lines: int
    proven: int = 0
    neutral: frozenset[int] = frozenset()
    old_neutral: frozenset[int] = frozenset()
    documentation: frozenset[int] = frozenset()
    old_documentation: frozenset[int] = frozenset()
    moved: tuple[Moved, ...] = ()
    changed: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    reason: str = ""

    @property
    def whole(self) -> bool:
        """Whether every changed line is proven neutral."""
        return self.proven == self.lines


@dataclass(frozen=True)
class Certificates:
    """What is proven about a change. ``late``: files that were not looked at, or not in every function, for want of
    time."""

    files: tuple[Certificate, ...]
    late: tuple[str, ...] = ()

    @property
    def lines(self) -> int:
        """How many lines the change has."""
        return sum(file.lines for file in self.files)

    @property
    def proven(self) -> int:
        """How many of them are proven neutral."""
        return sum(file.proven for file in self.files)

    @property
    def telling(self) -> bool:
        """Whether anything is proven, only documents, or moved."""
        return any(file.proven or file.documentation or file.moved for file in self.files)

    def __str__(self) -> str:
        text = f"{self.proven:,} of {self.lines:,} changed lines proven neutral"
        documentation = sum(len(file.documentation) for file in self.files)
        moved = sum(m.end_line - m.line + 1 for file in self.files for m in file.moved if not m.proven)
        text += f", {documentation:,} only documentation" if documentation else ""
        return text + (f", {moved:,} moved unchanged" if moved else "")


@dataclass(frozen=True, slots=True)
class Alone:
    """What is proven about one file alone, and what may have moved from it or into it."""

    certificate: Certificate
    moves: Leftovers = field(default_factory=Leftovers)


def store(folder: Path | None = None) -> Kept[Alone]:
    """What was proven before, by :func:`pair_digest`; nothing once our own code, or Python, is another."""
    return Kept(f"certificates-{code_mark((sys.modules[__name__], *_DECIDING))}", Alone, folder)


def pair_digest(file: FileChange) -> str:
    """Names everything of a changed file that its certificate depends on, but for the path."""
    return digest_of(file.old, file.new, file.status.encode())


def certify_change(change: Change, kept: Kept[Alone] | None = None, clock: Clock | None = None) -> Certificates:
    """What is proven about a change, moves from file to file included.

    ``kept``: what was proven before. When the time of ``clock`` is up, the rest is not looked at."""
    return certify_files(change.files, kept, clock)


def certify_files(
    files: Iterable[FileChange], kept: Kept[Alone] | None = None, clock: Clock | None = None
) -> Certificates:
    """What is proven about changed files, as :func:`certify_change`."""
    clock = clock or Clock()
    changed = list(files)
    late: list[str] = []
    small_first = sorted(range(len(changed)), key=lambda n: len(changed[n].old or b"") + len(changed[n].new or b""))
    alone = {n: _alone(changed[n], kept, clock, late) for n in small_first}
    found = [alone[n].certificate for n in range(len(changed))]
    _moves([(n, file, alone[n].moves) for n, file in enumerate(changed)], found)
    shown = (_telling_what_is_gone(file, certificate) for file, certificate in zip(changed, found, strict=True))
    return Certificates(tuple(shown), tuple(sorted(late)))


def _alone(file: FileChange, kept: Kept[Alone] | None, clock: Clock, late: list[str]) -> Alone:
    """What is proven about one file; ``late`` gets its path if the time was too short for all of it."""
    if max(len(file.old or b""), len(file.new or b"")) > _LARGEST:
        return Alone(Certificate(path=file.path, lines=file.changed_lines, reason="the file is very large"))
    if file.path.endswith((".py", ".pyi")) and not file.binary:
        return _known_or_compared(file, kept, clock, late)
    return Alone(_other(file) if clock.left else _too_late(file, late))


def _too_late(file: FileChange, late: list[str]) -> Certificate:
    late.append(file.path)
    return Certificate(path=file.path, lines=file.changed_lines, reason="no time was left")


def _known_or_compared(file: FileChange, kept: Kept[Alone] | None, clock: Clock, late: list[str]) -> Alone:
    """The same for a Python file."""
    digest = pair_digest(file)
    known = kept.get(digest) if kept is not None else None
    if known is not None:
        return replace(known, certificate=replace(known.certificate, path=file.path))
    if not clock.left:
        return Alone(_too_late(file, late))
    made, hurried = _compared(file, lambda: not clock.left)
    if hurried:
        late.append(file.path)
    elif kept is not None:
        kept.put(digest, made)
    return made


def _compared(file: FileChange, late: Callable[[], bool]) -> tuple[Alone, bool]:
    """What is proven about a Python file alone, and whether the time was too short for all of it."""
    unread = Certificate(path=file.path, lines=file.changed_lines, reason="one side cannot be read as Python")
    sides = [_readable(side, text) for side, text in ((file.old, file.old_text), (file.new, file.new_text))]
    if sides[0] is None or sides[1] is None:
        return Alone(unread), False
    try:
        comparison = Comparison(sides[0], sides[1], Keys(), _shift(file), late=late).run()
        return Alone(_python(file, comparison), moves.leftovers(comparison)), comparison.hurried
    except RecursionError:  # nested more deeply than anything that a person writes
        return Alone(unread), False


def _shift(file: FileChange) -> Callable[[int, int], int | None]:
    """See :class:`Comparison`."""
    starts = [hunk.old_start for hunk in file.hunks]
    ends = [hunk.old_end for hunk in file.hunks]
    shifts = [0, *accumulate(len(hunk.new_lines) - len(hunk.old_lines) for hunk in file.hunks)]

    def shift(line: int, end_line: int) -> int | None:
        before = bisect_right(ends, line)
        return shifts[before] if before == len(starts) or end_line < starts[before] else None

    return shift


def _readable(raw: bytes | None, text: str) -> Source | None:
    """A side in canonical form; None if its bytes are not what its coding line says, or it does not parse."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw or b"").readline)
        (raw or b"").decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return None
    return source(text)


def _python(file: FileChange, comparison: Comparison) -> Certificate:
    old, new = comparison.old, comparison.new
    documentation = _documentation(new, old) & file.changed_new_lines - comparison.open_new
    old_documentation = _documentation(old, new) & file.changed_old_lines - comparison.open_old
    made = Certificate(
        path=file.path,
        lines=file.changed_lines,
        documentation=documentation,
        old_documentation=old_documentation,
        changed=tuple(comparison.changed),
        rewritten=tuple(comparison.rewritten),
    )
    if file.status in ("added", "deleted"):
        return replace(made, changed=(), reason=f"the file is {'new' if file.status == 'added' else 'gone'}")
    open_new = _open(new, comparison.open_new, file.changed_new_lines)
    open_old = _open(old, comparison.open_old, file.changed_old_lines)
    return _counted(
        file,
        made,
        file.changed_new_lines - open_new - documentation,
        file.changed_old_lines - open_old - old_documentation,
    )


def _open(side: Source, lines: Set[int], changed: Set[int]) -> Set[int]:
    return _stood_in(side.lines, lines & side.code_lines, changed & side.code_lines) if lines else frozenset()


def _stood_in(lines: Sequence[str], found: Set[int], changed: Set[int]) -> Set[int]:
    """The lines that are not proven.

    The line difference may take the last lines of a new function for those of the one before it: where such a line is
    open but does not count as changed, the changed lines with the same text are open in its place.
    """
    stand_ins = {lines[n - 1].strip() for n in found - changed}
    return found | {n for n in changed if lines[n - 1].strip() in stand_ins}


def _documentation(side: Source, other: Source) -> frozenset[int]:
    """Lines of the docstrings and bare strings that the other side does not have."""
    there = Counter((d.scope, d.value) for d in other.documentation)
    lines: set[int] = set()
    for text in side.documentation:
        if there[text.scope, text.value]:
            there[text.scope, text.value] -= 1
        else:
            lines.update(range(text.line, text.end_line + 1))
    return frozenset(lines)


def _counted(file: FileChange, made: Certificate, neutral: frozenset[int], old: frozenset[int]) -> Certificate:
    gone = {n for hunk in file.hunks if not hunk.new_lines for n in range(hunk.old_start, hunk.old_end)}
    return replace(made, neutral=neutral, old_neutral=old, proven=len(neutral) + len(old & gone))


def _telling_what_is_gone(file: FileChange, made: Certificate) -> Certificate:
    """The certificate without new lines in whose place something stood that is gone, and matters: where all new lines
    of a hunk are neutral, only they can tell of it."""
    hiding: set[int] = set()
    for hunk in file.hunks:
        gone = frozenset(range(hunk.old_start, hunk.old_end)) - made.old_neutral
        if gone and hunk.new_lines and made.neutral.issuperset(range(hunk.new_start, hunk.new_end)):
            count, of = len(hunk.new_lines), len(hunk.old_lines)
            hiding.update(hunk.new_start + (line - hunk.old_start) * count // of for line in gone)
    return _counted(file, made, made.neutral - hiding, made.old_neutral) if hiding else made


def _moves(moving: Sequence[tuple[int, FileChange, Leftovers]], found: list[Certificate]) -> None:
    """Adds to the certificates what only moved."""
    gone = [(n, file, at, left) for n, file, own in moving for at, left in enumerate(own.gone)]
    come = [(n, file, at, left) for n, file, own in moving for at, left in enumerate(own.come)]
    proofs = {n: own.proven for n, _, own in moving}
    for i, k in moves.matched([left for *_, left in gone], [left for *_, left in come]):
        (old_index, old_file, old_at, old), (index, file, at, new) = gone[i], come[k]
        same = old_index == index and file.status not in ("added", "deleted")
        proven = same and (old_at, at) in proofs[index]
        if not proven and not new.telling:
            continue
        name = f"{new.scope}.{new.name}".lstrip(".")
        moved = Moved(name, old_file.path, old.line, file.path, new.line, new.end_line, proven)
        made = replace(found[index], moved=(*found[index].moved, moved))
        if proven:
            made = _counted(
                file,
                replace(made, changed=tuple(n for n in made.changed if n != name)),
                made.neutral
                | file.changed_new_lines & frozenset(range(new.line, new.end_line + 1)) - made.documentation,
                made.old_neutral
                | file.changed_old_lines & frozenset(range(old.line, old.end_line + 1)) - made.old_documentation,
            )
        found[index] = made


def _other(file: FileChange) -> Certificate:
    """A file that is no Python: prose is documentation, other languages are compared by their syntax trees."""
    made = Certificate(path=file.path, lines=file.changed_lines)
    if file.binary:
        return replace(made, reason="the file is binary")
    if file.path.lower().endswith(_PROSE):
        return replace(made, documentation=file.changed_new_lines, old_documentation=file.changed_old_lines)
    language = trees.language_of(file.path)
    if language is None or file.status in ("added", "deleted"):
        return replace(made, reason="the language is not read" if language is None else "one side is not there")
    compared = trees.compare(language, file.old_text, file.new_text)
    if compared is None:
        return replace(made, reason="one side cannot be read")
    open_new = _stood_in(file.new_text.split("\n"), compared.open_new, file.changed_new_lines)
    open_old = _stood_in(file.old_text.split("\n"), compared.open_old, file.changed_old_lines)
    return _counted(file, made, file.changed_new_lines - open_new, file.changed_old_lines - open_old)
