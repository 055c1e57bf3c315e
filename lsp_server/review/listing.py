"""What git's index says of each file, with the times that it remembers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from famulus.lsp_server.review.git import Repository

_KNOWN = re.compile(
    rb"(?P<tag>[A-Za-z?]) (?P<mode>\d+) (?P<name>[0-9a-f]+) (?P<stage>\d)\t(?P<path>[^\0]+)\0"
    rb"  ctime: (?P<cs>\d+):(?P<cn>\d+)\n  mtime: (?P<ms>\d+):(?P<mn>\d+)\n  dev: \d+\tino: \d+\n"
    rb"  uid: \d+\tgid: \d+\n  size: (?P<size>\d+)\tflags: (?P<flags>[0-9a-f]+)\n"
)
"""An entry as ``ls-files -v --stage --debug -z`` prints it."""
_PLAIN = re.compile(rb"(?P<tag>[A-Za-z?]) (?P<mode>\d+) (?P<name>[0-9a-f]+) (?P<stage>\d)\t(?P<path>[^\0]+)\0")
_INTENT_TO_ADD = 1 << 29


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of the index. ``stat``: the file's time of writing and of change in ns, and its size modulo 2³², as git
    saw it last; None if this git does not tell. ``intended``: named with ``git add -N``, but not staged."""

    path: str
    mode: str
    name: str
    stage: str
    skipped: bool
    intended: bool = False
    stat: tuple[int, int, int] | None = None


def listed(repository: Repository) -> Iterator[Listed]:
    """The entries of the index; several for a file that has a conflict."""
    output = repository.run("ls-files", "-v", "--stage", "--debug", "-z", "--full-name")
    at = 0
    while (known := _KNOWN.match(output, at)) is not None:
        written = int(known["ms"]) * 10**9 + int(known["mn"])
        changed = int(known["cs"]) * 10**9 + int(known["cn"])
        intended = int(known["flags"], 16) & _INTENT_TO_ADD != 0
        yield _entry(known, intended, (written, changed, int(known["size"])))
        at = known.end()
    if at < len(output):  # a git that prints this in another form
        plain = repository.run("ls-files", "-v", "--stage", "-z", "--full-name")
        yield from (_entry(entry, False, None) for entry in _PLAIN.finditer(plain))


def _entry(found: re.Match[bytes], intended: bool, stat: tuple[int, int, int] | None) -> Listed:
    path, mode, name, stage = (found[part] for part in ("path", "mode", "name", "stage"))
    # S: a sparse checkout leaves it out. Small letters: the user told git not to look.
    skipped = found["tag"] in (b"S", b"s", b"h")
    return Listed(os.fsdecode(path), mode.decode(), name.decode(), stage.decode(), skipped, intended, stat)
