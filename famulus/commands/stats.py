"""``famulus stats``: what became of the completions that editors showed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from famulus.commands.terminal import output, print_json

if TYPE_CHECKING:
    from famulus.lsp_server.completion.summary import Line

NOTHING = (
    "There are no completion statistics of the last {days} days. They are counted on this machine while you type in an "
    "editor, unless its setting famulus.statistics.enabled is false."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(stats)


def stats(
    days: Annotated[int, typer.Option(min=1, max=90, help="How far to look back.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove all statistics.")] = False,
) -> None:
    """Show how many completions were shown, accepted and kept. All of it stays on this machine."""
    from famulus.lsp_server.completion import ledger
    from famulus.lsp_server.completion.summary import summary

    if delete:
        removed = ledger.remove()
        output().print("The completion statistics are removed." if removed else "There were no completion statistics.")
        return
    lines = summary(days)
    if as_json:
        print_json({"days": days, "languages": [line.data() for line in lines[:-1]], "total": _total(lines)})
    elif lines:
        _print(lines)
    else:
        output().print(NOTHING.format(days=days))


def _total(lines: list[Line]) -> dict[str, object] | None:
    return lines[-1].data() if lines else None


def _print(lines: list[Line]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("language", no_wrap=True)
    for name in ("shown", "accepted", "chars", "kept 30 s", "kept 5 min", "p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.language,
            f"{line.shown}",
            f"{line.accepted} ({line.share:.0%})",
            f"{line.characters}",
            _kept(line.kept_soon, line.known_soon),
            _kept(line.kept_later, line.known_later),
            f"{line.latency(0.5):.0f} ms",
            f"{line.latency(0.95):.0f} ms",
            style="bold" if line is lines[-1] else None,
        )
    output().print(table)


def _kept(kept: int, known: int) -> str:
    return f"{kept} ({kept / known:.0%})" if known else "-"
