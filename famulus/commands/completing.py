"""``famulus complete`` and ``famulus generate``: one request to the engine, which starts if none runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from famulus.commands.cursor import Hole, Place, open_hole
from famulus.commands.terminal import print_json, waiting, write
from famulus.engine.errors import InvalidRequest

if TYPE_CHECKING:
    from famulus.engine.client import Client, Generation

PREFIX_CHARACTERS, SUFFIX_CHARACTERS = 1 << 20, 1 << 18
"""Text beyond this distance from the cursor is not sent: far more than any model's budget."""

MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, max=1 << 17, help="Longest answer, in tokens.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(complete)
    app.command()(generate)


def complete(
    where: Annotated[str, typer.Argument(metavar="FILE:LINE:COLUMN", help="The cursor; lines and columns from 1.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print text, tokens and times as JSON.")] = False,
    max_tokens: MaxTokens = 64,
) -> None:
    """Complete the code at a cursor."""
    try:
        place = Place.parse(where)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="FILE:LINE:COLUMN") from error
    hole = open_hole(place)
    with ask_infill(_connect(), hole, str(place.file), max_tokens=max_tokens) as answer:
        text = hole.in_file(_first(answer) + "".join(delta.text for delta in answer))
    if as_json:
        print_json({"text": text, **report(answer)})
    else:
        write(text + "\n")


def generate(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT|-", help="The text to go on from; - reads standard input.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Take the prompt as a question to answer.")] = False,
    max_tokens: MaxTokens = 256,
    temperature: Annotated[float, typer.Option(min=0, max=5, help="0 always takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.001, max=1, help="Share of the probability to choose from.")] = 1.0,
    seed: Annotated[int | None, typer.Option(min=0, max=1 << 62, help="Makes a random choice repeatable.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given several times.")] = None,
) -> None:
    """Write on from a text, and stream what comes."""
    from famulus.engine import client

    text = _prompt(prompt)
    # A word that is half typed is spelled anew; after punctuation that would only limit the choice.
    continued = {"type": "text", "text": text, "heal": text[-1:].isalnum() or text.endswith(" ")}
    asked = client.chat([{"role": "user", "content": text}]) if chat else continued
    options: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "seed": seed}
    with _connect().generate(asked, max_tokens=max_tokens, stop=stop or [], **options) as answer:
        write(_first(answer))
        for delta in answer:
            write(delta.text)
    write("\n")


def ask_infill(engine: Client, hole: Hole, path: str, **options: Any) -> Generation:
    """The completion of ``hole`` under way. ``options``: ``trigger`` and those of :meth:`Client.generate`."""
    from famulus.engine import client, languages

    prompt = client.infill(
        hole.prefix[-PREFIX_CHARACTERS:],
        hole.suffix[:SUFFIX_CHARACTERS],
        path=path[-4096:],
        language=languages.language_of(path),
        trigger=options.pop("trigger", "invoked"),
    )
    return engine.generate(prompt, lane="key", **options)


def _connect() -> Client:
    from famulus.engine import client

    with waiting("Starting the engine"):
        return client.connect()


def report(answer: Generation) -> dict[str, Any]:
    """What is known about an answer that has ended."""
    return {
        "finish_reason": answer.finish_reasons.get(0, ""),
        "model": answer.model,
        "tokens": {
            "prompt": answer.usage.prompt,
            "cached": answer.usage.cached,
            "generated": answer.usage.generated,
        },
        "timing_ms": {
            "queue": answer.timing.queue,
            "first_token": answer.timing.first_token,
            "total": answer.timing.total,
        },
    }


def _first(answer: Generation) -> str:
    """The first text; until then the model may still have to be loaded."""
    with waiting("Waiting for the model"):
        return next((delta.text for delta in answer), "")


def _prompt(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise typer.BadParameter("a prompt is missing; give one, or - to type it.", param_hint="[PROMPT|-]")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The prompt on standard input is not UTF-8 text.") from error
