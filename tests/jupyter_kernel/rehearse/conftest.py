"""A real kernel whose namespace is the user's, and rehearsals inside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from famulus.jupyter_kernel.candidate import Effect, Rehearsal
from famulus.sandbox import can_confine

SETUP = """
def setup(shell):
    import asyncio, dataclasses, json, os
    from famulus.jupyter_kernel.rehearse import CannotRehearse, Rehearser

    shell.rehearser = Rehearser(shell)

    async def tell(code, **options):
        try:
            seen = await shell.rehearser.rehearse(code, **options)
        except CannotRehearse as error:
            return print(json.dumps({"cannot": str(error)}))
        print(json.dumps(dataclasses.asdict(seen)))

    shell.tell = tell

setup(get_ipython())
del setup
"""


class Live:
    """A kernel that holds the user's objects."""

    def __init__(self, notebook: Any, folder: Path) -> None:
        self.notebook = notebook
        self.folder = folder
        self.run(SETUP)

    def run(self, code: str) -> str:
        """Runs a cell for real; what it printed, or else the value that it ended with."""
        ran = self.notebook.run(code)
        assert ran.status == "ok", ran.reply
        return str(ran.stream() or ran.value)

    def rehearse(self, code: str, **options: Any) -> Rehearsal:
        """Tries code on a copy. ``seconds`` are many, because the machine may be busy."""
        told = self.tell(code, **options)
        assert "cannot" not in told, told
        effects = tuple(Effect(**effect) for effect in told.pop("effects"))
        lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
        return Rehearsal(**{**told, **lists, "effects": effects})

    def tell(self, code: str, **options: Any) -> dict[str, Any]:
        arguments = {"seconds": 60, **options}
        return dict(json.loads(self.run(f"await get_ipython().tell({code!r}, **{arguments!r})")))


Start = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="session")
def _live(start_kernel: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    if not can_confine():
        pytest.skip("the kernel has no Landlock")
    folder = tmp_path_factory.mktemp("notebook")
    with start_kernel("python3", cwd=folder) as notebook:
        yield Live(notebook, folder)


@pytest.fixture
def live(_live: Live) -> Live:
    """One kernel for all tests; each begins with an empty namespace, in the same folder."""
    _live.run("get_ipython().reset(new_session=False)")
    _live.run(f"import os; os.chdir({str(_live.folder)!r}); del os")
    return _live
