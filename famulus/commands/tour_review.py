"""The tour's stop at the review: two commits of a small shop, ``docs/tour/shop`` and ``shop_next`` over it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.engine.errors import FamulusError

if TYPE_CHECKING:
    from rich.padding import Padding
    from rich.text import Text

SECONDS = 20.0
"""The review's time; it needs a few."""
BEFORE, AFTER = "shop", "shop_next"
RULES = ("neutral", "call-site", "contract", "witness")
"""The shop has no tests and no linter, so the others have nothing to look at."""


class NoSample(FamulusError):
    """The sample project could not be made."""


@dataclass(frozen=True)
class Shown:
    """A review as a terminal shows it, and the milliseconds that it took."""

    parts: list[Text | Padding]
    time: float


def run_review(files: Path) -> Shown:
    """Reviews the second commit of the sample project, whose files lie in ``files``. Raises :class:`FamulusError`."""
    from famulus.lsp_server.review.comparison import Asked, compared
    from famulus.lsp_server.review.report import terminal
    from famulus.lsp_server.review.review import Options, review

    with _sample(files) as folder, compared(Asked(("HEAD~1..HEAD",), folder=folder)) as found:
        start = time.perf_counter()
        report = review(found.change, Options(budget=SECONDS, only=RULES), found.root)
        took = (time.perf_counter() - start) * 1000
        return Shown(list(terminal.renderables(report, report.shown(), found.change)), took)


@contextlib.contextmanager
def _sample(files: Path) -> Iterator[Path]:
    """A real repository of two commits, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="famulus-tour-") as name:
        folder = Path(name)
        _git(folder, "init", "--quiet")
        for version in (BEFORE, AFTER):
            (folder / BEFORE).mkdir(exist_ok=True)
            for file in (files / version).glob("*.py"):
                (folder / BEFORE / file.name).write_bytes(file.read_bytes())
            _git(folder, "add", "--all", ".")
            _git(folder, "commit", "--quiet", "--message", version)
        yield folder


def _git(folder: Path, *arguments: str) -> None:
    """Runs git with no configuration but its own. Raises :class:`NoSample`."""
    person = {f"GIT_{who}_{what}": "tour" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    plain = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**kept, **plain, **person},
            check=True,
            capture_output=True,
            timeout=60,
        )
    except FileNotFoundError as error:
        raise NoSample("git is not installed, so there is nothing to review.") from error
    except (subprocess.SubprocessError, OSError) as error:
        raise NoSample(f"The sample repository could not be made ({error}).") from error
