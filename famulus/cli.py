"""Entry of the ``famulus`` command.

Editors start the language server, and wait for it: it begins at once, without what reads the arguments of the other
commands, which takes a fifth of a second to load.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

_INTERRUPTED = 130
FOR_EDITORS = (["lsp"], ["lsp", "--stdio"])


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and leave the process with its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given in FOR_EDITORS:
            from famulus.lsp_server import process

            process.over_stdio()
    except (Exception, KeyboardInterrupt) as error:
        from famulus.commands.application import Run, failed

        sys.exit(failed(error, Run()))
    try:
        from famulus.commands import application
    except KeyboardInterrupt:  # while the commands are loaded
        sys.exit(_INTERRUPTED)
    status = application.run(given)
    if status == _INTERRUPTED and threading.active_count() == 1:
        _leave(status)
    sys.exit(status)


def _leave(status: int) -> NoReturn:
    """End without taking apart all that was read, which takes a tenth of a second after a long review: after Ctrl-C
    somebody waits for the terminal."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
