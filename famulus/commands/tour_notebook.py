"""The tour's stop at the notebook: one cell in words, in a real kernel, on the table ``docs/tour/sales.csv``."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from famulus.engine.errors import FamulusError

NEEDED = ("ipykernel", "jupyter_client", "pandas")
LOAD = "import pandas as pd\nsales = pd.read_csv({name!r}, parse_dates=['date'])"
WORDS = "mean price per product in sales"
PATIENCE = 60.0


class NoAnswer(FamulusError):
    """The kernel did not do what the tour asked of it."""


@dataclass(frozen=True)
class Shown:
    """One cell in words: what was typed, the code that it came to, its value as text, and milliseconds from the
    request to the reply."""

    words: str
    code: str
    value: str
    time: float


def missing() -> list[str]:
    """The packages that this environment lacks for the notebook's part of the tour."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def run_words(table: Path) -> Shown:
    """Reads ``table`` into a kernel and runs a cell in words there. Raises :class:`NoAnswer`."""
    with _kernel(table) as client:
        _run(client, LOAD.format(name=table.name))
        start = time.perf_counter()
        seen = _run(client, WORDS)
        took = (time.perf_counter() - start) * 1000
    return Shown(WORDS, seen["code"], seen["value"], took)


@contextmanager
def _kernel(table: Path) -> Iterator[Any]:
    """A client of a kernel in a folder of its own, which is removed: recordings of the tour are nobody's."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager

    from famulus.jupyter_kernel import install

    with tempfile.TemporaryDirectory(prefix="famulus-tour-") as name:
        folder = Path(name)
        install.write(folder / "kernels" / install.NAME, install.kernelspec(install.examine(sys.executable)))
        specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
        shutil.copy(table, folder)
        manager = KernelManager(kernel_name=install.NAME, kernel_spec_manager=specs)
        manager.start_kernel(cwd=name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=PATIENCE)
            yield client
        except RuntimeError as error:  # of jupyter_client: the kernel ended before it was ready
            raise NoAnswer(f"The notebook kernel did not start ({error}).", fix="Run: famulus doctor") from error
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def _run(client: Any, code: str) -> dict[str, str]:
    """Runs a cell to its end. Returns the code that stands for its words, and the text of its value."""
    from famulus.jupyter_kernel import provenance

    seen = {"code": "", "value": "", "problem": ""}

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        data = content.get("data", {})
        if message["msg_type"] == "execute_result":
            seen["value"] = data["text/plain"]
        elif provenance.MIME in data:
            seen["code"] = data[provenance.MIME]["code"]
        elif message["msg_type"] == "error":
            seen["problem"] = f"{content['ename']}: {content['evalue']}"

    try:
        client.execute_interactive(code, allow_stdin=False, output_hook=hear, timeout=PATIENCE)
    except TimeoutError as error:
        raise NoAnswer(f"The notebook kernel did not answer within {PATIENCE:.0f} s.") from error
    if seen["problem"]:
        raise NoAnswer(f"The cell “{code}” failed: {seen['problem']}")
    return seen
