"""Versions of small projects, run in the sandbox by the Python of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from famulus.lsp_server.execution.version import Version

PYTHON = Path(sys.executable)
Make = Callable[..., Version]


@pytest.fixture
def version(tmp_path: Path) -> Iterator[Make]:
    """Makes a version of the given files; all are ended with the test."""
    with ExitStack() as stack:

        def make(files: dict[str, str], **options: object) -> Version:
            root = tmp_path / f"version{len(list(tmp_path.iterdir()))}"
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            return stack.enter_context(Version(PYTHON, root, **options))  # type: ignore[arg-type]

        yield make
