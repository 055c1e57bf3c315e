"""One version of a project on disk with its tests ready to run, and files that can be exchanged between runs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from famulus.lsp_server.execution.checkout import Checkouts
from famulus.lsp_server.execution.errors import ExecutionFailed
from famulus.lsp_server.execution.interpreter import find
from famulus.lsp_server.execution.layout import Layout
from famulus.lsp_server.execution.testserver import Framework, TestServer
from famulus.sandbox import SandboxError

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Tree


class Workbench:
    """``tree`` in a private folder, and a :class:`TestServer` for it; both are gone when the ``with`` block ends.

    ``root``: the user's folder, from which the project's Python is found unless ``interpreter`` names it. Raises
    :class:`ExecutionFailed` where nothing can be run, :class:`NoPytest` if there is no pytest."""

    def __init__(
        self,
        tree: Tree,
        *,
        root: Path | None,
        interpreter: Path | None = None,
        run: Literal["sandboxed", "unsafe"] = "sandboxed",
        seed: int = 1,
        check: Callable[[], None] = lambda: None,
        framework: Framework = "pytest",
    ) -> None:
        self.tree = tree
        self._exchanged: dict[str, bytes | None] = {}
        self._checkouts = Checkouts()
        try:
            self.python = find(root, interpreter, run=run)
            self.folder = self._checkouts.write(tree, "project", check)
            self.layout = Layout(tree)
            self.server = TestServer(
                self.python.path, self.folder, self.layout.folders(), run != "unsafe", seed, check, framework
            )
            began = time.monotonic()
            self.server.start()
            self.starting = time.monotonic() - began
            """Seconds that starting pytest took."""
        except SandboxError as error:
            self.close()
            raise ExecutionFailed(error.message, fix=error.fix) from error
        except BaseException:
            self.close()
            raise

    def another(self, seed: int) -> TestServer:
        """A second server for the same folder, whose hashes have another seed; it is the caller's to close."""
        first = self.server
        return TestServer(first.python, first.root, first.folders, first.sandboxed, seed, first.check, first.framework)

    def exchange(self, files: Mapping[str, bytes | None]) -> None:
        """Make files other than they are in the tree; None takes one away. Those not named are as in the tree."""
        for path in self._exchanged.keys() | files.keys():
            before = self._exchanged.get(path, _UNKNOWN)
            now = files[path] if path in files else self.tree.read(path)
            if now != before:
                self._write(path, now)
        self._exchanged = dict(files)

    def _write(self, path: str, content: bytes | None) -> None:
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or "\0" in path or ".git" in parts:
            return
        target = self.folder / path
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            target.unlink()  # equal files are one file, which must stay as it is for the others
        if content is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            return
        for folder in target.relative_to(self.folder).parents[:-1]:  # an empty folder could be imported
            try:
                os.rmdir(self.folder / folder)
            except OSError:
                break

    def close(self) -> None:
        """End the server and remove the folder. Safe to call twice."""
        if hasattr(self, "server"):
            self.server.close()
        self._checkouts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_UNKNOWN = b"\0 not exchanged yet"
