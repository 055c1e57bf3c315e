"""Which files may be read, and which may be sent to a model. Standard library only: both front ends ask it.

A file is refused where its name says that it holds secrets (:mod:`famulus.engine.denied`), where an ignore file says
so (:mod:`famulus.engine.ignored`), and outside the workspace. Links are followed, and every name on the way must pass,
not only the last. What the user types into is another matter than what is read for him: ``"buffer"`` asks whether
an open document may be completed in itself, ``"context"`` whether its text may help elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from famulus.engine import denied
from famulus.engine.errors import PolicyRefused
from famulus.engine.ignored import Ignored

Purpose = Literal["context", "buffer"]
MAX_LINKS = 40


@dataclass(frozen=True)
class Verdict:
    """May the file be used? ``reason`` is a sentence for the user where it may not, else ""."""

    allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


ALLOWED = Verdict(True)


class Policy:
    """The policy of one workspace. ``roots`` are its folders; none is fine, and then no file may be read.

    ``trusted`` says that the user trusts the workspace: only then may its ``.famulusignore`` take in, by name and
    without wildcards (``!credentials.json``), what else is refused for its name. Methods may be called from any thread.
    """

    def __init__(self, roots: Sequence[Path], *, trusted: bool = False) -> None:
        self.roots = tuple(Path(os.path.realpath(root)) for root in roots)
        self.trusted = trusted
        # An inner root comes first: it lies in the outer one as well.
        ordered = sorted({str(root) for root in self.roots}, key=len, reverse=True)
        self._ignored = {root: Ignored(root) for root in ordered}
        self._parts = [(root, _parts(root)) for root in ordered]

    def check(self, path: str | os.PathLike[str], purpose: Purpose = "context") -> Verdict:
        """May the file at ``path`` be used? One that does not exist is judged by its name."""
        return self._resolved(path, purpose)[0]

    def check_uri(self, uri: str, purpose: Purpose = "buffer") -> Verdict:
        """May the open document be used? Untitled ones are judged by their name, cells by their notebook."""
        try:
            parts = urlsplit(uri)
            path = unquote(parts.path, errors="surrogateescape")
        except ValueError:
            return _refused(uri, "has an address that cannot be read")
        if os.name == "nt" and path[2:3] == ":":
            path = path[1:]
        ours = parts.netloc in ("", "localhost")
        if ours and (parts.scheme == "file" or (os.path.isabs(path) and self._root_of(path))):
            return self.check(path, purpose)
        if reason := denied.why(path.replace("\\", "/").split("/")):
            return _refused(path, reason)
        if purpose == "context" and parts.scheme not in ("untitled", "vscode-notebook-cell"):
            return _refused(path, "is outside the workspace")
        return ALLOWED

    def check_name(self, name: str, root: Path | None = None) -> Verdict:
        """May what a repository calls ``name`` be used, in whatever commit (``git show REV:name``)?

        ``name`` is relative to ``root`` (the first root by default); links of today's work tree play no part.
        """
        parts = name.replace("\\", "/").split("/") if os.name == "nt" else name.split("/")
        base = os.path.realpath(root) if root is not None else next(map(str, self.roots), "")
        if not name or "\0" in name or os.path.isabs(name) or ".." in parts or base not in self._ignored:
            return _refused(name, "is outside the workspace")
        return self._named(os.path.join(base, *(part for part in parts if part not in ("", "."))), "context", False)

    def read(self, path: str | os.PathLike[str], limit: int) -> str:
        """The text of a file for context. It is opened without following a link that was not judged.

        Raises :class:`PolicyRefused` where it may not be read, is not there, is no plain file, has more than ``limit``
        bytes, or is not UTF-8 text.
        """
        verdict, real = self._resolved(path, "context")
        if not verdict:
            raise PolicyRefused(verdict.reason)
        try:
            descriptor = self._opened(real)
            try:
                if reason := _unreadable(os.fstat(descriptor), limit):
                    raise _refusal(real, reason)
                with open(descriptor, "rb", closefd=False) as file:
                    content = file.read(limit + 1)
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise _refusal(real, "does not exist") from error
        except OSError as error:
            raise _refusal(real, f"cannot be opened ({error.strerror})") from error
        if len(content) > limit:
            raise _refusal(real, f"is larger than {limit} bytes")
        if b"\0" in content:
            raise _refusal(real, "is not text")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _refusal(real, "is not UTF-8 text") from error

    def _resolved(self, path: str | os.PathLike[str], purpose: Purpose) -> tuple[Verdict, str]:
        """The verdict, and the real path that it is about."""
        given = os.fsdecode(path)
        if "\0" in given:
            return _refused(given, "has a name that no file can have"), given
        if not os.path.isabs(given):
            if not self.roots:
                return _refused(given, "is outside the workspace"), given
            given = os.path.join(self.roots[0], given)
        try:
            *links, real = self._followed(given)
            for link in links:
                if not (verdict := self._named(link, purpose, False, link=True)):
                    return verdict, real
            try:
                found = os.lstat(real)
            except (FileNotFoundError, NotADirectoryError):
                return (
                    _refused(given, "is a link that leads nowhere") if links else self._named(real, purpose, False)
                ), real
            if purpose == "context" and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                return _refused(given, "has several names (hard links), and one of them may be excluded"), real
            return self._named(real, purpose, stat.S_ISDIR(found.st_mode)), real
        except OSError as error:
            return _refused(given, f"cannot be looked at ({error.strerror})"), given

    def _named(self, real: str, purpose: Purpose, directory: bool, *, link: bool = False) -> Verdict:
        """The verdict on one name without links in its folders."""
        root = self._root_of(real)
        secret = denied.why(real.split(os.sep))
        if not root:
            if secret:
                return _refused(real, secret)
            return ALLOWED if link or purpose == "buffer" else _refused(real, "is outside the workspace")
        said = self._ignored[root].ask(real, directory)
        if said.own:
            return _refused(real, said.reason)
        if secret and not (self.trusted and said.named):
            return _refused(real, secret)
        return _refused(real, said.reason) if said.reason and purpose == "context" else ALLOWED

    def _root_of(self, path: str) -> str:
        """The root that ``path`` lies in, compared by whole names; "" for none."""
        parts = _parts(path)
        return next((root for root, own in self._parts if parts[: len(own)] == own), "")

    def _followed(self, path: str) -> list[str]:
        """The links that lead from ``path`` to what it names, and that itself at the end."""
        if os.name == "nt":
            real = os.path.realpath(path)
            return [real] if os.path.normcase(real) == os.path.normcase(path) else [path, real]
        # Below a root, which is a real path, there is nothing above to follow.
        at = self._root_of(path)
        pending = path[len(at) :].split("/")[::-1]
        links: list[str] = []
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at = os.path.dirname(at) if at != "/" else ""
                continue
            at = f"{at.rstrip('/')}/{part}"
            try:
                target = os.readlink(at)
            except OSError:  # no link
                continue
            links.append(at)
            if len(links) > MAX_LINKS:
                raise OSError(0, "its links go in circles")
            at = "" if target.startswith("/") else os.path.dirname(at)
            pending += target.split("/")[::-1]
        return [*links, at or "/"]

    def _opened(self, real: str) -> int:
        """A descriptor of the file at ``real``, reached from its root without following any link."""
        if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
            descriptor = os.open(real, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            if os.path.realpath(real) != real or not os.path.samestat(os.fstat(descriptor), os.stat(real)):
                os.close(descriptor)
                raise FileNotFoundError(0, "it was replaced")
            return descriptor
        root = self._root_of(real)
        *folders, name = real[len(root) :].strip("/").split("/")
        enter = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
        at = os.open(root, enter)
        try:
            for folder in folders:
                below = os.open(folder, enter, dir_fd=at)
                os.close(at)
                at = below
            return os.open(
                name or ".", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=at
            )
        finally:
            os.close(at)


def _parts(path: str) -> list[str]:
    return [part for part in os.path.normcase(path).split(os.sep) if part]


def _unreadable(found: os.stat_result, limit: int) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    if found.st_nlink > 1:
        return "has several names (hard links), and one of them may be excluded"
    return f"is larger than {limit} bytes" if found.st_size > limit else ""


def _refused(path: str, reason: str) -> Verdict:
    return Verdict(False, f"`{_shown(path)}` {reason}.")


def _refusal(path: str, reason: str) -> PolicyRefused:
    return PolicyRefused(f"`{_shown(path)}` {reason}.")


def _shown(path: str) -> str:
    name = path.rstrip("/").rpartition("/")[2] or path
    return name if name.isprintable() else ascii(name)[1:-1]
