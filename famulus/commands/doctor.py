"""``famulus doctor``: what works here, what does not, and one thing to do about each. It works when nothing does."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from famulus.commands.serving import duration
from famulus.commands.terminal import output, print_json
from famulus.commands.version import installed
from famulus.engine.errors import FamulusError

if TYPE_CHECKING:
    from famulus.engine.settings import Settings

LOW_DISK = 1 << 30
"""Bytes; with less than this free, packing or fetching a model may fail."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``fix`` says what to do where something is wrong."""

    part: str
    state: Literal["ok", "note", "wrong"]
    text: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False) -> None:
    """Say what works here, what does not, and what to do about it. Exit status 1 if something is wrong."""
    findings = []
    for part, check in CHECKS.items():
        for finding in _examined(part, check):
            findings.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def _examined(part: str, check: Callable[[str], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of one check. A check that fails is itself a finding, and the others go on."""
    try:
        yield from check(part)
    except FamulusError as error:
        yield Finding(part, "wrong", error.message, error.fix)
    except Exception as error:  # the doctor must outlive every illness
        yield Finding(part, "wrong", f"{type(error).__name__}: {error}", "Install Famulus again.")


def _print(finding: Finding) -> None:
    sign, style = {"ok": ("ok   ", "green"), "note": ("note ", "yellow"), "wrong": ("wrong", "bold red")}[finding.state]
    console = output()
    console.print(sign, end="  ", style=style)
    console.print(f"{finding.part:<9}  {finding.text}")
    if finding.fix:
        console.print(f"{'':18}-> {finding.fix}")


def check_python(part: str) -> Iterator[Finding]:
    """Interpreter and packages."""
    yield Finding(part, "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    import torch

    yield Finding("torch", "ok", f"torch {torch.__version__}")
    triton = installed("triton")
    if triton != "not installed":
        yield Finding("triton", "ok", f"triton {triton}")
    elif torch.cuda.is_available():
        yield Finding("triton", "wrong", "There is a GPU, but no triton.", "Run: pip install triton")


def check_folders(part: str) -> Iterator[Finding]:
    """Can the folders be written, and is there room?"""
    from famulus.engine.folders import folders, private

    where = folders()
    for name in ("data", "cache", "runtime"):
        folder: Path = getattr(where, name)
        try:
            private(folder)
        except FamulusError as error:
            yield Finding(part, "wrong", error.message, error.fix)
            continue
        free = shutil.disk_usage(folder).free
        if free < LOW_DISK:
            text = f"Only {free / 1e6:.0f} MB are free for {folder}."
            yield Finding(part, "wrong", text, "Free some space, or set FAMULUS_HOME to a folder on another disk.")
        else:
            yield Finding(part, "ok", f"{name}: {folder} ({free / 1e9:.1f} GB free)")


def check_settings(part: str) -> Iterator[Finding]:
    """Does ``famulus.toml`` say something, and something valid?"""
    from famulus.engine.folders import folders
    from famulus.engine.settings import FILE

    changed = _settings().model_dump(exclude_defaults=True)
    said = ", ".join(f"{key} = {value!r}" for key, value in changed.items()) or "nothing is changed"
    yield Finding(part, "ok", f"{folders().config / FILE}: {said}")


def check_engine(part: str) -> Iterator[Finding]:
    """Does an engine run, answer, and have its worker?"""
    from famulus.engine.client import connect
    from famulus.engine.launch import find
    from famulus.engine.runtime import FileLock, read_notice, runtime_files

    files = runtime_files()
    if find() is None:
        notice = read_notice(files.notice)
        lock = FileLock(files.lock)
        free = not files.folder.is_dir() or lock.acquire()
        lock.release()
        if not free:
            process = f"process {notice.pid}" if notice else "its process"
            yield Finding(part, "wrong", "An engine runs, but it does not answer.", f"End {process}; see {files.log}")
        elif notice is not None:
            text = "None runs; the last one left its socket behind."
            yield Finding(part, "note", text, "Nothing: the next start clears it.")
        else:
            yield Finding(part, "ok", "None runs; the next request starts one.")
        return
    status = connect(start=False).status()
    text = f"{status['state']} for {duration(status['uptime'])}, {status['socket'] or status['port']}"
    if status["state"] in ("failed", "frozen", "restarting"):
        yield Finding(part, "wrong", f"{text}. {status['reason']}", f"See {files.log}, then run: famulus stop")
    else:
        yield Finding(part, "ok", text)
    if status["restarts"]:
        text = f"The worker was restarted {status['restarts']} times."
        yield Finding(part, "note", text, f"The reasons are in {files.log}")


def check_model(part: str) -> Iterator[Finding]:
    """Which model is taken, is it whole, and is it packed already?"""
    from famulus.engine import manifest
    from famulus.engine.folders import folders
    from famulus.engine.served import choose

    choice = choose(_settings())
    yield Finding(part, "ok", f"{choice.entry.id}: {choice.reason} ({choice.path})")
    cache = folders().cache
    if choice.path.is_dir() and manifest.check(choice.path, cache / "verified") is None:
        yield Finding(part, "note", "It has no record of digests, so damage would go unnoticed.", "")
    packed = [file for file in (cache / "packed").rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in packed) / 1e6
    text = f"{size:.0f} MB in {cache / 'packed'}" if packed else "empty; the first start fills it"
    yield Finding("packed", "ok", text)


def check_plan(part: str) -> Iterator[Finding]:
    """The hardware plan: of the running engine, else measured now."""
    from famulus.engine import hardware
    from famulus.engine.checkpoint import open_checkpoint
    from famulus.engine.client import connect
    from famulus.engine.launch import find
    from famulus.engine.served import choose, model_size

    yield Finding("machine", "ok", hardware.machine())
    rows: list[Any] = connect(start=False).status()["plan"] if find() is not None else []
    if not rows:
        settings = _settings()
        rows = hardware.select(settings, model_size(open_checkpoint(choose(settings).path))).rows
    for what, choice, reason in rows:
        yield Finding(part, "ok", f"{what}: {choice} ({reason})")


def check_kernels(part: str) -> Iterator[Finding]:
    """Which implementation of every operation runs here, which on a GPU, and why."""
    import torch

    from famulus.kernels.check import registry
    from famulus.kernels.choices import told
    from famulus.kernels.cpu.library import LEVELS, level

    if level():
        yield Finding(part, "ok", f"compiled kernels: {level()} (levels: {', '.join(LEVELS)})")
    else:
        yield Finding(
            part, "ok", "compiled kernels: none, torch's own are used (made on Linux x86-64 with a C++ compiler)"
        )
    for op in registry().values():
        yield Finding(part, "ok", told(op))
    if torch.cuda.is_available():
        yield Finding(part, "ok", f"GPU: {torch.cuda.get_device_name()}")
    else:
        yield Finding(part, "ok", f"GPU: torch {torch.__version__} finds none")


def check_sandbox(part: str) -> Iterator[Finding]:
    """What protects the user from code that nobody has read."""
    from famulus import sandbox

    level = sandbox.level()
    state: Literal["ok", "note", "wrong"] = {"bubblewrap": "ok", "landlock": "note"}.get(level.name, "wrong")  # type: ignore[assignment]
    yield Finding(part, state, f"{level.name}: {level.reason}", level.fix)


def check_notebook(part: str) -> Iterator[Finding]:
    """Can Jupyter find the notebook kernel, and can it still start?"""
    from famulus.jupyter_kernel.install import installed, kernel_folders

    found = list(installed(kernel_folders()))
    if not found:
        yield Finding(part, "note", "Jupyter does not know the notebook kernel.", "Run: famulus kernel install")
    for kernel in found:
        if kernel.problem:
            text = f"The kernel in {kernel.folder} cannot start: {kernel.problem}."
            yield Finding(part, "wrong", text, "Install it again, or remove it: famulus kernel uninstall --help")
        else:
            yield Finding(part, "ok", f"{kernel.display_name} runs cells in {kernel.python} ({kernel.folder})")


CHECKS: dict[str, Callable[[str], Iterator[Finding]]] = {
    "Python": check_python,
    "folders": check_folders,
    "settings": check_settings,
    "engine": check_engine,
    "model": check_model,
    "plan": check_plan,
    "kernels": check_kernels,
    "sandbox": check_sandbox,
    "notebook": check_notebook,
}


def _settings() -> Settings:
    from famulus.engine.settings import load_settings

    return load_settings()
