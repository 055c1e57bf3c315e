"""Two versions of a project side by side, each in a process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.checkout import Checkouts
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.version import Run, Version

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Change


@dataclass(frozen=True)
class Pair:
    """Both versions, ready to make calls, and how their modules are called."""

    old: Version
    new: Version
    old_layout: Layout
    new_layout: Layout


@contextlib.contextmanager
def both(
    change: Change, python: Path, *, run: Run = "sandboxed", check: Callable[[], None] = lambda: None
) -> Iterator[Pair]:
    """Write both versions of ``change`` into private folders and start their processes; nothing is left at the end.

    ``check`` is called again and again while something is waited for; what it raises ends it all. Raises
    :class:`ExecutionFailed` and :class:`sandbox.SandboxError`."""
    old_layout, new_layout = Layout(change.old), Layout(change.new)
    paths = [(file.old_path or "", file.new_path or "") for file in change.python()]
    with Checkouts() as checkouts, contextlib.ExitStack() as stack:
        versions = []
        for tree, name, layout, side in ((change.old, "old", old_layout, 0), (change.new, "new", new_layout, 1)):
            root = checkouts.write(tree, name, check)
            folders = layout.folders(path[side] for path in paths)
            second, fill = checkouts.elsewhere(root)
            versions.append(stack.enter_context(Version(python, root, folders, run, check, second, fill)))
        with ThreadPoolExecutor(2) as pool:
            for started in [pool.submit(version.start) for version in versions]:
                started.result()
        try:
            yield Pair(versions[0], versions[1], old_layout, new_layout)
        finally:
            for version in versions:
                version.kill()  # both at once; then each is waited for
