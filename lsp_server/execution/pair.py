"""Two versions of a project side by side, each in a process of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.checkout import Checkouts
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.version import Run, Version

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Change


@dataclass(frozen=True)
class Apart:
    """Both versions once more, in sandboxes of their own that start when they are asked: what is found is seen there
    again. One for all pairs, since each starts with imports; ``lock`` is for whoever asks."""

    old: Version
    new: Version
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Pair:
    """Both versions, ready to make calls, and how their modules are called."""

    old: Version
    new: Version
    old_layout: Layout
    new_layout: Layout
    apart: Apart

    def kill(self) -> None:
        """Stop both, and those apart, without waiting for the end."""
        for version in (self.old, self.new, self.apart.old, self.apart.new):
            version.kill()


@contextlib.contextmanager
def pairs(
    change: Change, python: Path, count: int, *, run: Run = "sandboxed", check: Callable[[], None] = lambda: None
) -> Iterator[list[Pair]]:
    """Write both versions of ``change`` into private folders, and start ``count`` pairs of processes for them; nothing
    is left at the end.

    ``check`` is called again and again while something is waited for; what it raises ends it all. Raises
    :class:`ExecutionFailed` and :class:`sandbox.SandboxError`."""
    layouts = Layout(change.old), Layout(change.new)
    paths = [(file.old_path or "", file.new_path or "") for file in change.python()]
    with Checkouts() as checkouts, contextlib.ExitStack() as stack:
        found: list[list[Version]] = []
        for side, (tree, name) in enumerate(((change.old, "old"), (change.new, "new"))):
            root = checkouts.write(tree, name, check)
            folders = layouts[side].folders(path[side] for path in paths)
            second, fill = checkouts.elsewhere(root)
            versions = [Version(python, root, folders, run, check) for _ in range(count)]
            versions.append(Version(python, root, folders, run, check, second, fill))
            found.append([stack.enter_context(version) for version in versions])
        checkouts.same_age()
        apart = Apart(found[0].pop(), found[1].pop())
        made = [Pair(old, new, *layouts, apart) for old, new in zip(*found, strict=True)]
        try:
            _start([version for pair in made for version in (pair.old, pair.new)])
            yield made
        finally:
            for pair in made:
                pair.kill()  # all at once; then each is waited for


def _start(versions: Sequence[Version]) -> None:
    """Start all at the same time. Whatever interrupts this stops them before they are waited for."""
    with ThreadPoolExecutor(len(versions)) as pool:
        starting = [pool.submit(version.start) for version in versions]
        try:
            for started in starting:
                started.result()
        except BaseException:
            while not all(started.done() for started in starting):
                for version in versions:
                    version.kill()
                wait(starting, 0.02)
            raise
