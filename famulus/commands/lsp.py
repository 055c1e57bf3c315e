"""``famulus lsp``: the language server, as editors start it."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(lsp)


def lsp(
    stdio: Annotated[bool, typer.Option("--stdio", help="Standard input and output: the default.")] = False,
) -> None:
    """Run the language server. Editors start it themselves."""
    import asyncio
    import logging
    import sys

    from famulus.engine import logs
    from famulus.lsp_server import doors

    logs.configure(sys.stderr, logging.WARNING)
    asyncio.run(doors.serve_stdio())
