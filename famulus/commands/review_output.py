"""Where the findings of ``famulus review`` go: standard output, files, and a line of progress on standard error."""

from __future__ import annotations

import contextlib
import gc
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.status import Status

from famulus.commands.terminal import output, waiting, write
from famulus.engine.errors import FamulusError, InvalidRequest, StorageFailed

if TYPE_CHECKING:
    from famulus.lsp_server.review.change import Change
    from famulus.lsp_server.review.finding import Finding
    from famulus.lsp_server.review.review import Report

FORMS = ("terminal", "json", "stream", "sarif", "markdown", "github", "github-review", "gitlab")


_UNWRAPPED = 1 << 16
"""Columns, where no terminal wraps lines."""


class UnknownForm(InvalidRequest):
    """``--format`` says something that there is not, or several for one place."""


class Outputs:
    """All that was asked for with ``--format``. ``everything``: show more than the weightiest findings."""

    def __init__(self, forms: Sequence[str], *, everything: bool) -> None:
        self._wanted = [_form(form) for form in forms]
        if sum(file is None for _, file in self._wanted) > 1:
            raise UnknownForm("Only one form can go to standard output.", fix="Name files for the others: sarif=FILE")
        if any(form == "stream" and file is not None for form, file in self._wanted):
            raise UnknownForm("The stream goes to standard output only.")
        self._everything = everything
        self._streams = ("stream", None) in self._wanted
        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._status: Status | None = None
        self._doing, self._seen = "", 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While the review runs: a line that says what it does, and a request to end is a Ctrl-C."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            if not self._console.is_terminal or self._streams:
                yield
                return
            with self._console.status("Reading the change") as self._status:
                yield
        finally:
            self._status = None
            signal.signal(signal.SIGTERM, before)

    def begin(self, change: Change, root: Path | None) -> None:
        """Before the first rule. ``root``: what the paths are relative to."""
        paths = [file.path for file in change.files]
        self._say("start", title=change.title, root=str(root) if root is not None else None, files=paths)

    def progress(self, text: str) -> None:
        """What is looked at now."""
        self._doing = text
        self._say("progress", text=text)
        self._show()

    def found(self, finding: Finding) -> None:
        """A finding, as it comes."""
        from famulus.lsp_server.review.review import counts

        if self._everything or counts(finding):
            self._seen += 1
            self._say("finding", finding=finding.as_json())
            self._show()

    def interrupted(self) -> None:
        """The user does not want to wait any longer; a second Ctrl-C ends at once what is left to do."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.freeze()  # the trees of a large project would be walked through once more at the end

    def explained(self, report: Report, change: Change) -> Report:
        """The report with the model's words, for which an engine is started if none runs."""
        from dataclasses import replace

        from famulus.engine.client import connect
        from famulus.lsp_server.review.words import worded

        try:
            with waiting("Asking the model"):
                words = worded(connect(), change, report.shown(everything=self._everything))
        except FamulusError as error:
            return replace(report, left_out=(*report.left_out, f"The model could not be asked: {error}"))
        if not words:
            why = "The model said nothing that the findings bear out, so its words are left away."
            return replace(report, left_out=(*report.left_out, why))
        return replace(report, words=tuple(words))

    def end(self, report: Report, change: Change) -> None:
        """Writes the report in all forms. Raises :class:`StorageFailed`."""
        shown = report.shown(everything=self._everything)
        for form, file in self._wanted:
            if form == "terminal":
                self._print(report, shown, change, file)
                continue
            text = _text(form, report, shown, change)
            if file is None:
                write(text)
            else:
                _save(file, text)

    def _show(self) -> None:
        if self._status is not None:
            so_far = f" · {self._seen} finding{'' if self._seen == 1 else 's'} so far" if self._seen else ""
            self._status.update(f"Looking at {self._doing}{so_far}")

    def _say(self, event: str, **values: Any) -> None:
        if self._streams:
            from famulus.lsp_server.review.report import as_json

            write(as_json.line(event, **values))

    @staticmethod
    def _print(report: Report, shown: Sequence[Finding], change: Change, file: Path | None) -> None:
        from famulus.lsp_server.review.report import terminal

        with _opened(file) if file is not None else contextlib.nullcontext(None) as stream:
            console = output(soft_wrap=False, file=stream)
            if not console.is_terminal:
                console = output(soft_wrap=False, file=stream, width=_UNWRAPPED)
            for part in terminal.renderables(report, shown, change):
                console.print(part)


def _form(said: str) -> tuple[str, Path | None]:
    form, _, file = said.partition("=")
    if form not in FORMS:
        raise UnknownForm(f"There is no form {form!r}; there are: {', '.join(FORMS)}.")
    return form, Path(file) if file else None


def _text(form: str, report: Report, shown: Sequence[Finding], change: Change) -> str:
    from famulus.lsp_server.review.report import as_json, github, gitlab, markdown, sarif

    match form:
        case "json":
            return as_json.text(report, shown)
        case "stream":
            summary = markdown.text(report, report.shown(), change)
            return as_json.line("end", report=as_json.document(report, shown), markdown=summary)
        case "sarif":
            return sarif.text(report, shown)
        case "markdown":
            return markdown.text(report, shown, change)
        case "github":
            return github.workflow_commands(shown)
        case "github-review":
            return github.review_comments(report, shown, change)
        case _:
            return gitlab.text(shown)


def _save(file: Path, text: str) -> None:
    with _opened(file) as stream:
        stream.write(text)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with open(file, "w", encoding="utf-8", errors="backslashreplace") as stream:
            yield stream
    except OSError as error:
        raise StorageFailed(f"{file} cannot be written ({error.strerror}).") from error
