"""The magics of words cells: ``%undo``, ``%explain``, ``%accept``, ``%freeze``, ``%context``, ``%famulus``.

``%retry`` and ``%fix`` have to wait for rehearsals and so are cells of their own
(:class:`famulus.jupyter_kernel.assistant.Assistant`).

``%ask``, ``%%ask``, ``#!ask`` and ``#!py`` are marks, read before any magic is looked for
(:mod:`famulus.jupyter_kernel.detect`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class

from famulus.jupyter_kernel.modes import MODES

if TYPE_CHECKING:
    from famulus.jupyter_kernel.kernel import FamulusKernel

NONE_YET = "There is no cell in words before this one."


@magics_class
class FamulusMagics(Magics):
    """Commands about the last words cell. Each prints what it did; none raises for a missing one."""

    def __init__(self, kernel: FamulusKernel) -> None:
        super().__init__(kernel.shell)
        self._kernel = kernel

    @property
    def _assistant(self) -> Any:
        return self._kernel.assistant

    @line_magic
    def undo(self, line: str) -> None:
        """Take back what the last words cell changed in the namespace."""
        print(self._assistant.take_back())

    @line_magic
    def explain(self, line: str) -> None:
        """Say how the last words cell came to its code."""
        from famulus.jupyter_kernel.explain import explain

        last = self._assistant.last
        print(explain(last.translation) if last else NONE_YET)

    @line_magic
    def accept(self, line: str) -> None:
        """Put the code of the last words cell, run or only shown, into a new cell below. Code that somebody else
        recorded may run in its own cell from then on."""
        if signed := self._assistant.sign():
            print(signed)
        else:
            self._put_below()

    @line_magic
    def freeze(self, line: str) -> None:
        """The same as %accept."""
        self._put_below()

    @line_magic
    def context(self, line: str) -> None:
        """Show what a model is told about the namespace, with the tokens of each part."""
        print(self._assistant.told(line.strip()))

    @line_magic
    def famulus(self, line: str) -> None:
        """``%famulus``: how words cells are treated. ``%famulus mode auto|confirm|show|freeze-on-run`` sets it;
        ``%famulus model off`` leaves the model alone, ``on`` asks it again where no recipe fits well.
        ``%famulus ghost on`` adds the model's line to completions, ``off`` takes it out."""
        words = line.split()
        if words[:1] == ["mode"] and len(words) == 2 and words[1] in MODES:
            self._assistant.mode = words[1]
        elif words[:1] == ["model"] and words[1:] in (["on"], ["off"]):
            self._assistant.asks_model = words[1] == "on"
        elif words[:1] == ["ghost"] and words[1:] in (["on"], ["off"]):
            self._kernel.show_ghost(words[1] == "on")
        elif words:
            print("Use %famulus mode " + "|".join(MODES) + ", %famulus model on|off or %famulus ghost on|off.")
            return
        model = "asked where no recipe fits" if self._assistant.asks_model else "not asked"
        ghost = "on" if self._kernel.ghost else "off"
        print(f"Words cells: {self._assistant.mode} ({MODES[self._assistant.mode]}); the model is {model}.")
        print(f"Ghost text: {ghost}.")

    def _put_below(self) -> None:
        offered = self._assistant.offered
        if offered is None:
            print(NONE_YET)
            return
        words, code = offered
        assert self.shell is not None
        self.shell.set_next_input(code, replace=False)
        print(f"The code of “{_short(words)}” is in the next cell. You can delete the cell with the words.")


def _short(words: str, limit: int = 60) -> str:
    first = words.strip().splitlines()[0] if words.strip() else ""
    return first if len(first) <= limit else first[: limit - 1] + "…"
