"""The kernel "Python 3 · Famulus": ipykernel's own, with cells in plain words."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import Bool, Enum, Type, Unicode

from famulus.engine.errors import FamulusError
from famulus.jupyter_kernel.errors import CellError, Stopped
from famulus.jupyter_kernel.interrupt import Interrupts, in_thread
from famulus.jupyter_kernel.magics import FamulusMagics
from famulus.jupyter_kernel.shell import FamulusShell

if TYPE_CHECKING:
    from famulus.jupyter_kernel.answer import Answer
    from famulus.jupyter_kernel.detect import Reading
    from famulus.jupyter_kernel.ghost import Ghost

COMMANDS = ("%retry", "%fix")
"""Magics that have to wait for rehearsals, and so take the way of words."""
MOST_READ = 50_000
"""Characters. Nobody writes a longer cell in words, and an interrupt waits while a cell is read."""


class FamulusKernel(IPythonKernel):
    """A cell that is Python goes to ipykernel as it came."""

    if TYPE_CHECKING:
        shell: Any

    shell_class = Type(FamulusShell)
    famulus_python = Unicode("", help="Famulus's own interpreter, with which the engine is started.").tag(config=True)

    famulus_home = Unicode("", help="The folder of the engine and of the user's key; empty: the usual one.").tag(
        config=True
    )

    on_change = Enum(
        ["regenerate", "stop"], "regenerate", help="What to do with words that have no recording that fits."
    ).tag(config=True)

    trust_recordings = Bool(False, help="Run code that somebody else recorded for the words, unasked.").tag(config=True)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)  # type: ignore[no-untyped-call]
        self._assistant: Any = None
        self._interrupts = Interrupts()
        # Recordings stand beside the notebook, also after a cell has gone to another folder.
        self.folder = _folder()
        self.failed: tuple[str, str, str] | None = None
        self.ghost: Ghost | None = None
        self.shell.register_magics(FamulusMagics(self))
        self.shell.on_reset = self._begin_anew

    async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Runs a cell from the request to its reply; an interrupt raises only in the user's own code.

        Where it raises elsewhere the front end waits for ever for the reply that the kernel then never sends.
        """
        if threading.current_thread() is not threading.main_thread():
            await super().execute_request(stream, ident, parent)  # type: ignore[no-untyped-call]
            return
        with Interrupts() as self._interrupts:
            await super().execute_request(stream, ident, parent)  # type: ignore[no-untyped-call]

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict[str, Any] | None = None,
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        """Runs a cell; words are translated first and then run once, in the live namespace."""
        request = (code, silent, store_history, user_expressions, allow_stdin)
        extra = {"cell_meta": cell_meta, "cell_id": cell_id}
        if threading.current_thread() is not threading.main_thread():
            return await self._run(request, extra)
        answer: Answer | None = None
        run: str | FamulusError = code
        if not silent:
            if self.ghost:
                self.ghost.stop()
            answer, run = await self._translated(code, allow_stdin, cell_meta or {})
        try:
            with self.shell.in_place_of(code, run), self._interrupts.raising():
                reply = await self._run(request, extra)
        except (KeyboardInterrupt, Stopped):
            error = {"status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": ["Interrupted."]}
            reply = error | {"execution_count": self.execution_count, "user_expressions": {}, "payload": []}
        if answer is not None:
            self._after(answer, reply)
        if not silent and isinstance(run, str) and reply["status"] == "error":
            self.failed = (run, reply["ename"], reply["evalue"])
        if self.ghost and not silent:
            self.ghost.look_ahead(self.shell.history_manager.input_hist_parsed)
        return reply

    def _begin_anew(self) -> None:
        self.failed = None
        if self._assistant is not None:
            self._assistant.forget()

    def _after(self, answer: Answer, reply: dict[str, Any]) -> None:
        try:
            self.assistant.ran(answer, reply)
        except Exception:
            # The code ran, and its reply must come.
            self.log.exception("what a cell in words did could not be kept")

    @contextmanager
    def _cancel_on_sigint(self, future: Any) -> Iterator[None]:
        """ipykernel's own, which only works when something else wakes the loop: it slept through an interrupt."""
        with super()._cancel_on_sigint(future):
            loop, cancel = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)

            def cancel_now(number: int, frame: Any) -> None:
                if callable(cancel):
                    cancel(number, frame)
                loop.call_soon_threadsafe(lambda: None)

            signal.signal(signal.SIGINT, cancel_now)
            yield

    async def _run(self, request: tuple[Any, ...], extra: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = await super().do_execute(*request, **extra)  # type: ignore[no-untyped-call]
        return reply

    async def _translated(
        self, code: str, allow_stdin: bool, metadata: dict[str, Any]
    ) -> tuple[Answer | None, str | FamulusError]:
        """What runs for a cell, or why nothing does: a Python cell is itself."""
        try:
            reading = self.read(code)
            if reading is None or reading.kind == "python":
                return None, code
            if self._assistant is None:
                # In a thread: what is loaded with the first words would hold up an interrupt.
                await self._interrupts.run(in_thread(_load))
            answer = await self.assistant.answer(
                code, reading, self._interrupts, allow_stdin=allow_stdin, metadata=metadata
            )
            return answer, answer.run
        except FamulusError as error:
            return None, error
        except Exception as error:
            # A mistake of ours must not leave the front end waiting for a reply that never comes.
            self.log.exception("a cell in words failed")
            return None, CellError(f"Famulus failed on these words ({type(error).__name__}: {error}). Nothing was run.")

    def read(self, code: str) -> Reading | None:
        """Words or Python? None where it is so plainly Python that nothing had to be loaded to see it.

        ``%retry`` and ``%fix`` are cells in words: those of the last one.
        """
        if code.isascii() and "#!" not in code and _parses(code):
            return None
        if len(code) > MOST_READ and not code.lstrip().startswith(("#!", "%")):
            return None
        from famulus.jupyter_kernel import detect

        if code.strip() in COMMANDS:
            return detect.Reading("words", code, "")
        magics = self.shell.magics_manager.magics["line"]
        try:
            return detect.read(code, self.shell.user_ns, magics=magics)
        except Exception:
            # Whatever we get wrong, ordinary cells run as they always did.
            self.log.exception("a cell could not be read")
            return None

    async def do_is_complete(self, code: str) -> dict[str, Any]:
        """A line in words is complete as it stands."""
        from famulus.jupyter_kernel import detect

        magics = self.shell.magics_manager.magics["line"]
        status = detect.is_complete(code, self.shell.user_ns, magics=magics)
        if status is not None:
            return {"status": status}
        answer: dict[str, Any] = super().do_is_complete(code)  # type: ignore[no-untyped-call]
        return answer

    def show_ghost(self, on: bool) -> None:
        """Switches the line that the model would write next on or off."""
        if self.ghost is not None:
            self.ghost.stop()
        if on:
            from famulus.jupyter_kernel.ghost import Ghost

            self.ghost = self.ghost or Ghost(Path(self.famulus_home) if self.famulus_home else None)
        else:
            self.ghost = None

    async def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        """ipykernel's completions; with ghost text on, the guessed line as well."""
        reply: dict[str, Any] = super().do_complete(code, cursor_pos)  # type: ignore[no-untyped-call]
        if self.ghost is None:
            return reply
        return self.ghost.in_menu(reply, code, len(code) if cursor_pos is None else cursor_pos)

    async def do_history(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """ipykernel's history; with ghost text on, the guessed line as well where inline completions are asked for."""
        reply: dict[str, Any] = super().do_history(*arguments, **options)  # type: ignore[no-untyped-call]
        if self.ghost is None or options.get("hist_access_type") != "search" or options.get("output"):
            return reply
        return self.ghost.in_history(reply, options.get("pattern") or "", options.get("n"))

    @property
    def assistant(self) -> Any:
        """What words cells need; loaded with the first of them."""
        if self._assistant is None:
            from famulus.jupyter_kernel.assistant import Assistant

            self._assistant = Assistant(self)
        return self._assistant


def _load() -> None:
    from famulus.jupyter_kernel import assistant, slots
    from famulus.jupyter_kernel.schema import Schema

    assert assistant
    slots.propose("", Schema())


def _parses(code: str) -> bool:
    # A warning about the cell comes once, when it is run. (Filters are left alone: changing them repeats old warnings.)
    shown, warnings.showwarning = warnings.showwarning, lambda *_arguments, **_more: None
    try:
        compile(code, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    finally:
        warnings.showwarning = shown
    return True


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return os.path.abspath(os.sep)
