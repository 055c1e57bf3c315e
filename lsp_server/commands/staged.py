"""What is staged in a git repository, read without running anything that the repository could choose."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from famulus.engine.errors import InvalidRequest

SECONDS = 10.0
MOST_BYTES = 4 << 20
"""Of a diff; a longer one is cut."""

SAFE = (
    "-c", "core.fsmonitor=false", "-c", "core.pager=cat", "-c", "core.hooksPath=/dev/null",
    "-c", "core.quotePath=false", "-c", "diff.external=", "-c", "core.attributesFile=/dev/null",
)  # fmt: skip
"""A repository's configuration can name programs; none of them runs."""

DIFF = (
    "diff", "--cached", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", "--unified=3",
    "--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short",
)  # fmt: skip
"""In one form, whatever the user has configured: paths are read from it, and are judged."""

UNREADABLE = "/"
"""In place of a path that git had to quote; nothing allows it."""

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@ ?(.*)$")
_DEFINED = re.compile(r"^[ \t]*(?:async\s+def|def|class|function|func|fn|interface|struct|type)\s+([A-Za-z_]\w*)")


@dataclass
class FileChange:
    """One file of the index: ``kind`` is added, deleted, renamed or changed; names are those of definitions around
    the changed lines. Paths are relative to the top of the repository; ``old`` is the one before a renaming."""

    path: str
    kind: str
    added: int
    removed: int
    names: list[str]
    lines: list[str]
    old: str = ""


async def staged(folder: Path, allowed: Callable[[Path], bool]) -> list[FileChange]:
    """The staged changes of the repository that holds ``folder``; those of which ``allowed`` refuses a path, the new or
    the old one, come without names and lines.

    Raises :class:`InvalidRequest` where there is no git, no repository, or nothing staged.
    """
    top = Path((await git(folder, "rev-parse", "--show-toplevel")).rstrip("\r\n"))
    changes = parse_diff(await git(folder, *DIFF))
    if not changes:
        raise InvalidRequest("Nothing is staged.", fix="Stage the changes of the commit first: git add.")
    for change in changes:
        if not all(allowed(top / path) for path in (change.path, change.old) if path):
            change.names, change.lines = [], []
    return changes


async def git(root: Path, *arguments: str) -> str:
    """The output of a git command that only reads."""
    try:
        process = await asyncio.create_subprocess_exec(
            "git", "--no-optional-locks", *SAFE, "-C", str(root), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise InvalidRequest("git is not installed.", fix="Install git.") from error
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            said = asyncio.ensure_future(process.stderr.read(4096))
            output = b""
            while len(output) < MOST_BYTES and (chunk := await process.stdout.read(65536)):
                output += chunk
            if len(output) >= MOST_BYTES:
                process.kill()
            problem = (await said).decode(errors="replace")
            status = await process.wait()
    except TimeoutError:
        raise InvalidRequest(f"git did not answer within {SECONDS:.0f} s.", fix="Try again.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status and not output:
        first = problem.strip().split("\n")[0].removeprefix("fatal: ")
        raise InvalidRequest(
            f"git failed in {root}: {first or f'status {status}'}.", fix="Open a folder with a repository."
        )
    return output.decode(errors="replace")


def parse_diff(diff: str) -> list[FileChange]:
    """The files of a unified diff by git."""
    changes: list[FileChange] = []
    for block in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
        if not block.startswith("diff --git "):
            continue
        changes.append(_file(block.split("\n")))
    return changes


def _file(lines: list[str]) -> FileChange:
    # "diff --git a/X b/X": for a path that both sides share the halves are equal, whatever blanks it holds.
    names = lines[0].removeprefix("diff --git ")
    path, old = names[(len(names) + 1) // 2 + 2 :], ""
    kind, start = "changed", len(lines)
    for number, line in enumerate(lines):
        if line.startswith("@@"):
            start = number
            break
        if line.startswith("new file"):
            kind = "added"
        elif line.startswith("deleted file"):
            kind = "deleted"
        elif line.startswith("rename from "):
            old = line.removeprefix("rename from ")
        elif line.startswith("rename to "):
            kind, path = "renamed", line.removeprefix("rename to ")
    if '"' in names or names != f"a/{old or path} b/{path}":
        path = UNREADABLE
    change = FileChange(path, kind, 0, 0, [], [], old)
    around = ""
    for line in lines[start:]:
        hunk = _HUNK.match(line)
        defined = _DEFINED.match(hunk.group(1) if hunk else line[1:])
        around = defined.group(1) if defined else "" if hunk else around
        if not hunk and line[:1] in ("+", "-"):
            change.added += line[0] == "+"
            change.removed += line[0] == "-"
            change.lines.append(line)
            if around and around not in change.names:
                change.names.append(around)
    return change
