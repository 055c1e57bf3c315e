"""The tour's stop at the making of tests: ``docs/tour/library``, whose own tests look at little."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from famulus.commands.testgen_output import Made

SAMPLE, MODULE = "library", "fines.py"
SECONDS = 20.0
"""The time for all; it needs a few."""


@dataclass(frozen=True)
class Shown:
    """The tests, and the milliseconds that they took."""

    made: Sequence[Made]
    time: float


def run_testgen(files: Path) -> Shown:
    """Makes tests for the sample project below ``files``, in a copy. Raises :class:`FamulusError`."""
    from famulus.lsp_server.testgen.generate import Generator, Options
    from famulus.lsp_server.testgen.project import opened
    from famulus.lsp_server.testgen.target import Target

    with tempfile.TemporaryDirectory(prefix="famulus-tour-") as name:
        folder = Path(name)
        for file in (files / SAMPLE).glob("*.py"):
            shutil.copy(file, folder)
        start = time.perf_counter()
        with opened([Target(MODULE)], folder) as project:
            generator = Generator(project.tree, project.root, Options(SECONDS))
            made = [Made(one) for one in generator.run(project.targets)]
        return Shown(made, (time.perf_counter() - start) * 1000)
