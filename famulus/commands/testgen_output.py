"""What ``famulus testgen`` prints: a patch with the numbers below it, one JSON document, or events as they come."""

from __future__ import annotations

import contextlib
import difflib
import gc
import hashlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from famulus.commands.terminal import output, print_json, write

if TYPE_CHECKING:
    from famulus.lsp_server.testgen.audit import Audit
    from famulus.lsp_server.testgen.case import Result
    from famulus.lsp_server.testgen.generate import Generated
    from famulus.lsp_server.testgen.placing import Insertion
    from famulus.lsp_server.testgen.writing import Written

FORMS = ("terminal", "json", "stream")


@dataclass
class Made:
    """The tests for one file of code. ``labels``: what each says about a change; ``witnesses``: tests that fail now and
    passed before; ``saved``: whether they were written into the project."""

    one: Generated
    inserted: Sequence[Insertion] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    witnesses: Sequence[Written] = ()
    notes: Sequence[str] = ()
    saved: bool = False


class Outputs:
    """Where the results go. ``form``: one of :data:`FORMS`."""

    def __init__(self, form: str) -> None:
        self.form = form
        self._made: list[Made] = []
        self.root = Path()
        self._waiting = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._status: Status | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While tests are made: a line that says what is done, and a request to end is a Ctrl-C."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            if not self._waiting.is_terminal or self.form == "stream":
                yield
                return
            with self._waiting.status("Reading the project") as self._status:
                yield
        finally:
            self._status = None
            signal.signal(signal.SIGTERM, before)

    def begin(self, root: Path) -> None:
        """``root``: the folder that paths are relative to."""
        self.root = root
        self.say("start", root=str(root))

    def progress(self, text: str) -> None:
        """What is done now."""
        self.say("progress", text=text)
        if self._status is not None:
            self._status.update(f"Making tests: {text}")

    def made(self, made: Made) -> None:
        """The tests for a file, as they are ready."""
        self._made.append(made)
        self.say("file", file=_plain(made))
        if self.form == "terminal":
            show(made, output())

    def interrupted(self) -> None:
        """The user does not want to wait any longer; a second Ctrl-C ends at once what is left to do."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.freeze()  # a large project would be walked through once more at the end

    def end(self, *, complete: bool) -> None:
        """After the last file. ``complete``: whether all were looked at."""
        if self.form == "json":
            print_json({"root": str(self.root), "complete": complete, "files": [_plain(made) for made in self._made]})
        elif not complete and self.form == "terminal":
            self._waiting.print(f"Interrupted: tests for {len(self._made)} files are ready, the others were not made.")
        self.say("end", complete=complete)

    def audited(self, audit: Audit) -> None:
        """What a suite is good for."""
        if self.form == "terminal":
            _show_audit(audit)
            return
        plain = {
            "complete": audit.complete,
            "tests": len(audit.tests),
            "mutants": audit.mutants,
            "idle": [
                {"test": t.node, "path": t.path, "line": t.line, "verdict": t.verdict, "mutants": t.tried}
                for t in audit.idle
            ],
            "failing": audit.red,
            "notes": audit.notes,
        }
        if self.form == "json":
            print_json(plain)
        self.say("audit", **plain)

    def say(self, event: str, **values: Any) -> None:
        """One line of the form ``stream``; nothing in the others."""
        if self.form == "stream":
            write(json.dumps({"event": event, **values}, ensure_ascii=False) + "\n")


def score(killed: int | None, mutants: int) -> str:
    """A mutation score, as a person reads it."""
    return f"{100 * (killed or 0) // mutants} %" if mutants else "-"


def digest(text: str) -> str:
    """By which a program knows the text that insertions belong to; line ends are ``\\n``."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def show(made: Made, console: Console) -> None:
    """The tests as a patch, unless they are written already, and the numbers below it."""
    one = made.one
    if one.text and not made.saved:
        print_patch(one.before, one.text, one.path, console)
    console.print(Text(_headline(made), style="bold"))
    for result in one.results:
        if result.mutants and (one.text or result.killed == result.killed_before):
            console.print(f"  {_told(result)}")
    for name, label in made.labels.items():
        console.print(f"  {name}: {label}")
    for witness in made.witnesses:
        console.print(f"  {witness.name}: passes before the change and fails after it; not written:")
        console.print(Text("".join(f"    {line}\n" for line in witness.text.splitlines()).rstrip("\n"), style="yellow"))
    for note in (*one.notes, *made.notes):
        console.print(f"  {note}")


def print_patch(before: str | None, after: str, path: str, console: Console) -> None:
    """What would be written, as a patch. ``before``: None for a new file."""
    old = (before or "").split("\n")
    new = after.split("\n")
    old, new = ([*rows[:-1]] if rows[-1] == "" else rows for rows in (old, new))
    above = "/dev/null" if before is None else f"a/{path}"
    for line in difflib.unified_diff(old, new, above, f"b/{path}", lineterm=""):
        console.print(Text(line, style=_style(line)))


def _style(line: str) -> str:
    if line.startswith(("---", "+++")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")


def _headline(made: Made) -> str:
    one = made.one
    number = len(one.written) if one.text else 0
    tests = f"{number or 'no'} {'new ' if one.before is not None else ''}test{'' if number == 1 else 's'}"
    runs = f", run {one.proof.runs} times, none failed" if number and one.proof and one.proof.holds else ""
    return f"{one.path}: {tests}{runs}{', written' if made.saved else ''} ({one.seconds:.1f} s)"


def _told(result: Result) -> str:
    name, of = result.aim.function.name, result.mutants
    before, after = score(result.killed_before, of), score(result.killed, of)
    was, now = result.coverage
    parts = [f"mutation score {before} → {after} ({result.killed} of {of} mutants noticed)"]
    parts.append(f"statements {was.statements_run} → {now.statements_run} of {now.statements}")
    if now.branches:
        parts.append(f"branches {was.branches_run} → {now.branches_run} of {now.branches}")
    return f"{name}: {', '.join(parts)}"


def _show_audit(audit: Audit) -> None:
    console = output()
    for judged in audit.idle:
        why = f"{judged.verdict} of {judged.tried}" if judged.verdict == "kills nothing" else judged.verdict
        name = judged.node.partition("::")[2]
        console.print(f"{judged.path}:{judged.line}: {name}: {why}{' mutants' if why != judged.verdict else ''}")
    for node in audit.red:
        console.print(f"{node}: fails already")
    for note in audit.notes:
        console.print(note)
    idle = len(audit.idle)
    rest = "" if audit.complete else "; not all mutants were tried, so a test may be missing here"
    console.print(Text(f"{idle} of {len(audit.tests)} tests check nothing ({audit.mutants} mutants){rest}.", "bold"))


def _plain(made: Made) -> dict[str, Any]:
    one = made.one
    return {
        "path": one.path,
        "new": one.before is None,
        "digest": None if one.before is None else digest(one.before),
        "written": made.saved,
        "text": one.text,
        "insertions": [{"line": part.line, "column": part.column, "text": part.text} for part in made.inserted],
        "tests": [{"name": test.name, "label": made.labels.get(test.name)} for test in one.written if one.text],
        "witnesses": [{"name": test.name, "text": test.text} for test in made.witnesses],
        "runs": one.proof.runs if one.proof else 0,
        "functions": [
            {
                "name": result.aim.function.name,
                "path": result.aim.path,
                "mutants": result.mutants,
                "killed_before": result.killed_before,
                "killed": result.killed,
                **_covered(result),
                "refused": result.refused,
            }
            for result in one.results
        ],
        "notes": [*one.notes, *made.notes],
        "seconds": round(one.seconds, 2),
    }


def _covered(result: Result) -> dict[str, int]:
    was, now = result.coverage
    return {
        "statements": now.statements,
        "statements_before": was.statements_run,
        "statements_run": now.statements_run,
        "branches": now.branches,
        "branches_before": was.branches_run,
        "branches_run": now.branches_run,
    }
