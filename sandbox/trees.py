"""Folders that hostile code has filled: any depth, any mode, any links."""

from __future__ import annotations

import os


def remove(folder: str) -> None:
    """Remove a folder without recursion, following no link. Nothing must be running in it any more.

    Each inner folder is emptied by moving its own folders up to the top, so no path grows too long for the
    system however deep the tree is. Raises :class:`OSError`.
    """
    moved = 0
    while inner := _empty(folder):
        for path in inner:
            for deeper in _empty(path):
                # The name cannot exist: whatever stood at the top was there before the first move, and is
                # listed.
                moved += 1
                os.rename(deeper, os.path.join(folder, f".removing-{os.getpid()}-{moved}"))
            os.rmdir(path)
    os.rmdir(folder)


def _empty(folder: str) -> list[str]:
    """Unlink everything but folders; the answer is the folders, which are made enterable."""
    os.chmod(folder, 0o700)
    folders: list[str] = []
    with os.scandir(folder) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                folders.append(entry.path)
            else:
                os.unlink(entry.path)
    return folders
