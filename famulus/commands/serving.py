"""``famulus serve``, ``status`` and ``stop``: the life of this user's engine."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from famulus.commands.terminal import grid, output, print_json, write
from famulus.engine.errors import EngineUnavailable

if TYPE_CHECKING:
    from famulus.engine.server import Engine

STOP_SECONDS = 15.0
"""The engine gives running requests some seconds to end."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(serve)
    app.command()(status)
    app.command()(stop)


def serve(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Also listen on this port of 127.0.0.1 (0: a free one).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A catalog id, a folder or a GGUF file.")] = None,
    idle_exit: Annotated[int, typer.Option(min=0, help="Leave after so many seconds without use (0: never).")] = 0,
) -> None:
    """Run the engine in this terminal. Front ends need no such command: they start it themselves."""
    import asyncio
    import logging

    from famulus.engine.spawn import early_worker

    with early_worker() as worker:
        from famulus.engine import logs, server
        from famulus.engine.catalog import Catalog
        from famulus.engine.settings import load_settings

        settings = load_settings(model=model, idle_exit_seconds=idle_exit)
        if settings.model:
            Catalog().choose(settings.model, 0, ())  # says now what the worker would only say later
        quiet = sys.stderr.isatty() and not context.obj.debug
        logs.configure(sys.stderr, logging.WARNING if quiet else logging.INFO)
        asyncio.run(server.serve(settings, worker, port=port, on_listening=_announce))


def _announce(engine: Engine) -> None:
    status = engine.status()
    rows = [("socket", status.socket or "none")]
    if status.port is not None:
        rows.append(("OpenAI API", f"http://127.0.0.1:{status.port}/v1"))
        rows.append(("token", f"in {engine.files.token}"))
    output().print(grid(rows))
    write("The engine listens; Ctrl-C ends it.\n")


def status(as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False) -> None:
    """Show what the running engine does."""
    from famulus.engine.client import connect

    found = connect(start=False).status()
    if as_json:
        print_json(found)
    else:
        output().print(grid(status_rows(found)))


def status_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The status of an engine for people."""
    model, stats = found["model"], found["stats"]
    rows = [("state", " ".join(filter(None, (found["state"], found["reason"]))))]
    if model:
        rows.append(("model", f"{model['id']} ({model['precision']}, {model['context']} tokens of context)"))
    requests = f"{found['open_requests']} open"
    if "generated_tokens" in stats:
        requests += f", {stats['generated_tokens']:.0f} tokens generated, {stats['computed_tokens']:.0f} computed"
    rows.append(("requests", requests))
    if stats.get("drafted_tokens"):
        drafted, kept = stats["drafted_tokens"], stats["accepted_tokens"]
        rows.append(("drafts", f"{drafted:.0f} tokens computed in advance, {kept / drafted:.0%} of them kept"))
    rows.append(("running", f"for {duration(found['uptime'])}, restarts of the worker: {found['restarts']}"))
    leaves = f"after {duration(found['idle_exit'])} without use" if found["idle_exit"] else "only when told to"
    rows.append(("leaves", leaves))
    rows.append(("process", f"{found['pid']}, worker {found['worker_pid'] or 'none'}"))
    if found["socket"]:
        rows.append(("socket", found["socket"]))
    if found["port"] is not None:
        rows.append(("OpenAI API", f"http://127.0.0.1:{found['port']}/v1"))
    return rows


def duration(seconds: float) -> str:
    """A time for people: its two largest units, without those that are 0."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{count} {unit}" for count, unit in (parts[:2] if hours else parts[1:]) if count]
    return " ".join(shown) or "0 s"


def stop() -> None:
    """End the running engine and wait until it has left."""
    from famulus.engine.client import connect
    from famulus.engine.runtime import FileLock, runtime_files

    files = runtime_files()
    lock = FileLock(files.lock)
    if not files.folder.is_dir() or lock.acquire():
        lock.release()
        write("No engine runs.\n")
        return
    connect(start=False).shutdown()
    deadline = time.monotonic() + STOP_SECONDS
    while not lock.acquire():
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"The engine did not leave within {STOP_SECONDS:.0f} s.", fix=f"Look into {files.log}."
            )
        time.sleep(0.05)
    lock.release()
    write("The engine has left.\n")
