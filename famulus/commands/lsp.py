"""``famulus lsp``: the language server, as editors start it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from famulus.lsp_server.admission import TokenFile


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(lsp)


def lsp(
    stdio: Annotated[bool, typer.Option("--stdio", help="Standard input and output: the default.")] = False,
    tcp: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen on this port of 127.0.0.1 (0: a free one).")
    ] = None,
    ws: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen for WebSockets on this port of 127.0.0.1.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web page's origin that may open a WebSocket; may be repeated.")
    ] = None,
) -> None:
    """Run the language server. Editors start it themselves."""
    if stdio and (tcp is not None or ws is not None):
        raise typer.BadParameter("--stdio goes without --tcp and --ws.")
    from famulus.lsp_server import process

    if tcp is None and ws is None:
        process.over_stdio()
    process.over_sockets(tcp=tcp, ws=ws, origins=allow_origin or [], announce=_announce)


def _announce(kind: str, port: int, token: TokenFile) -> None:
    from famulus.commands.terminal import write

    write(f"{kind}: 127.0.0.1:{port}, token in {token.path}\n")
