"""``famulus tour``: shows on this machine what Famulus does. Each part of Famulus adds its own :class:`Stop`."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus import __version__
from famulus.commands import tour_notebook, tour_review, tour_testgen
from famulus.commands.completing import ask_infill
from famulus.commands.cursor import Hole
from famulus.commands.serving import duration
from famulus.commands.terminal import output, waiting
from famulus.commands.testgen_output import show
from famulus.engine.errors import FamulusError, StorageFailed

if TYPE_CHECKING:
    from famulus.engine.client import Client, Generation

FILES = Path(__file__).parents[1] / "tour"
"""The files that the tour completes: ``docs/tour`` of the project, which is part of the package."""
FILE, BEFORE = "orders.py", "        return sum("
"""The cursor stands in this file behind this text; what the file has on the rest of the line is left out."""
TABLE = "sales.csv"
PICTURE_WIDTH = 110


@dataclass
class Walk:
    """One tour under way. Stops print on ``console`` and add rows (what, milliseconds, note) to ``times``.

    ``salt`` keeps the answers of earlier tours out of the cache.
    """

    console: Console
    engine: Client
    salt: str
    times: list[tuple[str, float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Stop:
    """One thing that the tour shows."""

    title: str
    show: Callable[[Walk], None]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(tour)


def tour(
    save: Annotated[Path | None, typer.Option("--save-svg", help="Also save the tour as a picture.")] = None,
) -> None:
    """Show on this machine what Famulus does."""
    from famulus.engine.client import connect

    recording = {"record": True, "width": PICTURE_WIDTH} if save is not None else {}
    console = output(soft_wrap=False, **recording)
    start = time.perf_counter()
    with waiting("Starting the engine"):
        engine = connect()
    walk = Walk(console, engine, salt=secrets.token_hex(8))
    walk.times.append(("the engine answers", _since(start), "started here if none ran"))
    with waiting("Loading the model"):
        engine.models()
    walk.times.append(("the model is ready", _since(start), "the very first start also packs the weights"))
    for number, stop in enumerate(STOPS, 1):
        console.print(Text(f"{number}. {stop.title}\n", style="bold cyan"))
        stop.show(walk)
        console.print()
    idle = engine.status()["idle_exit"]
    leaves = f"and leaves after {duration(idle)} without use" if idle else "until `famulus stop`"
    console.print(Text(f"The engine stays for the next request {leaves}.", style="dim"))
    if save is not None:
        _save(console, save)


def show_plan(walk: Walk) -> None:
    """What the engine found on this machine, and what it made of it."""
    walk.console.print(_table(("", "choice", "why"), walk.engine.status()["plan"], strong=1))


def show_completion(walk: Walk) -> None:
    """The rest of a line in a real file, as an editor would ask for it."""
    answer = _complete(walk, typed=0)
    walk.times.append(("first token, unknown file", answer.timing.first_token, f"{answer.usage.prompt} tokens read"))
    walk.times.append(("whole line", answer.timing.total, f"{answer.usage.generated} tokens written"))


def show_keystroke(walk: Walk) -> None:
    """The same cursor one key later: only the key itself is computed."""
    answer = _complete(walk, typed=1)
    note = f"{answer.usage.prompt - answer.usage.cached} of {answer.usage.prompt} tokens read, the others are cached"
    walk.times.append(("first token, next key", answer.timing.first_token, note))
    walk.times.append(("whole line", answer.timing.total, f"{answer.usage.generated} tokens written"))


def show_ghost_text(walk: Walk) -> None:
    """The same line through the real language server, as an editor has it: ghost text, and one key typed into it."""
    import asyncio

    before, after, _ = _around_the_cursor(typed=len("line"))
    shown, first, typed = asyncio.run(ghost_text(before, after))
    walk.console.print(before[before.rindex("\n\n") + 2 :], end="", style="dim")
    walk.console.print(shown, style="italic green")
    walk.times.append(("ghost text, from key to answer", first, "famulus lsp over standard input and output"))
    walk.times.append(("ghost text, typed into", typed, "what is shown already needs no model"))


async def ghost_text(before: str, after: str) -> tuple[str, float, float]:
    """What a language server shows between two texts, the milliseconds until then, and those for its first key."""
    from lsprotocol import types
    from pygls.lsp.client import LanguageClient

    client, uri = LanguageClient("famulus tour", __version__), (FILES / FILE).as_uri()

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # type: ignore[untyped-decorator]
    def told(params: types.PublishDiagnosticsParams) -> None:
        """The tour shows completion only."""

    async def ask(lines: list[str]) -> tuple[str, float]:
        place = types.Position(len(lines) - 1, len(lines[-1].encode("utf-16-le")) // 2)
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        asked = types.InlineCompletionParams(context, types.TextDocumentIdentifier(uri), place)
        start = time.perf_counter()
        answer = await client.text_document_inline_completion_async(asked)
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        text = items[0].insert_text if items else ""
        return text if isinstance(text, str) else text.value, _since(start)

    await client.start_io(sys.executable, "-P", "-m", "famulus", "lsp")
    try:
        uncounted = {"settings": {"statistics": {"enabled": False}}}
        await client.initialize_async(
            types.InitializeParams(types.ClientCapabilities(), process_id=os.getpid(), initialization_options=uncounted)
        )
        client.initialized(types.InitializedParams())
        document = types.TextDocumentItem(uri, "python", 1, before + after)
        client.text_document_did_open(types.DidOpenTextDocumentParams(document))
        shown, first = await ask(before.split("\n"))
        change = types.TextDocumentContentChangeWholeDocument(before + shown[:1] + after)
        versioned = types.VersionedTextDocumentIdentifier(version=2, uri=uri)
        client.text_document_did_change(types.DidChangeTextDocumentParams(versioned, [change]))
        _, typed = await ask((before + shown[:1]).split("\n"))
        await client.shutdown_async(None)
        client.exit(None)
    finally:
        await client.stop()  # type: ignore[no-untyped-call]
    return shown, first, typed


def show_notebook(walk: Walk) -> None:
    """A cell in words in the notebook kernel: the code that it came to, and its value."""
    if lacking := tour_notebook.missing():
        walk.console.print(f"Not installed here: {', '.join(lacking)}", style="dim")
        return
    shown = tour_notebook.run_words(FILES / TABLE)
    walk.console.print(shown.words, style="dim")
    walk.console.print(Text(shown.code, style="bold green"), Text(f"\n{shown.value}"), sep="\n")
    walk.times.append(("a cell in words", shown.time, "from the words to the value; tried on a copy first"))


def show_review(walk: Walk) -> None:
    """A review of a commit: the call that it breaks in another file, and an input that is answered differently."""
    try:
        with waiting("Reviewing a commit"):
            shown = tour_review.run_review(FILES)
    except FamulusError as error:
        walk.console.print(str(error), style="dim")
        return
    walk.console.print(*shown.parts, sep="\n")
    walk.times.append(("a commit reviewed", shown.time, "both versions were run, in a sandbox"))


def show_testgen(walk: Walk) -> None:
    """Tests for a module whose own tests look at little, and how much more is noticed with them."""
    try:
        with waiting("Making tests"):
            shown = tour_testgen.run_testgen(FILES)
    except FamulusError as error:
        walk.console.print(str(error), style="dim")
        return
    for made in shown.made:
        show(made, walk.console)
    walk.times.append(("tests for two functions", shown.time, "mutants, examples, and five runs of what is shown"))


def show_times(walk: Walk) -> None:
    """How long everything took."""
    shown = [(what, _readable(time), note) for what, time, note in walk.times]
    walk.console.print(_table(("what", "time", "note"), shown, strong=1))


STOPS = [
    Stop("This machine, and the plan for it", show_plan),
    Stop(f"A completion in {FILE}", show_completion),
    Stop("One more key: the cache knows the rest", show_keystroke),
    Stop("The same in an editor: ghost text from the language server", show_ghost_text),
    Stop(f"A notebook cell in plain words, on {TABLE}", show_notebook),
    Stop("A commit reviewed: what it breaks, with proof", show_review),
    Stop(f"Tests that notice more, for {tour_testgen.MODULE}", show_testgen),
    Stop("What it took", show_times),
]
"""In order; the times stay last."""


def _complete(walk: Walk, typed: int) -> Generation:
    """Streams a completion after ``typed`` characters of what the file really says; returns it when it has ended."""
    before, after, truth = _around_the_cursor(typed)
    console = walk.console
    console.print(before[before.rindex("\n\n") + 2 :], end="", style="dim")
    hole = Hole(before, after, "\n")
    with ask_infill(walk.engine, hole, FILE, trigger="automatic", salt=walk.salt) as answer:
        for delta in answer:
            console.print(delta.text, end="", style="bold green")
    console.print(f"\n\nThe file says  {truth}", style="dim")
    return answer


def _around_the_cursor(typed: int = 0) -> tuple[str, str, str]:
    """The file before and after the cursor, and what it really has between them; ``typed`` characters of it are
    there."""
    text = (FILES / FILE).read_text(encoding="utf-8")
    cursor = text.index(BEFORE) + len(BEFORE) + typed
    end = text.index("\n", cursor)
    return text[:cursor], text[end:], text[cursor:end]


def _table(names: tuple[str, ...], rows: Iterable[Sequence[str]], strong: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(names):
        right = name == "time"
        table.add_column(name, style="bold" if column == strong else None, justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(str, row))
    return table


def _save(console: Console, file: Path) -> None:
    try:
        # Rich's own form has the picture fetch fonts from the network.
        form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        console.save_svg(os.fspath(file), title="famulus tour", code_format=form)
    except OSError as error:
        raise StorageFailed(f"{file} cannot be written ({error.strerror}).") from error


def _readable(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
